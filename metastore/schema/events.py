"""Locks and events."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import JSON

from metastore.schema.columns import key, metadata, number

nlm_lock = Table(
    "nlm_lock",
    metadata,
    # A granted NLM lock, so that it survives the gateway.
    number("vol"),
    number("ino"),
    # Who holds it: the client's name, its opaque owner and its process (NLM4 alock: caller_name, oh, svid).
    Column("host", Text, nullable=False),
    Column("oh", LargeBinary, nullable=False),
    number("svid"),
    # The range; length 0 = to the end of the file.
    number("offset"),
    number("length"),
    # False = shared.
    Column("exclusive", Boolean, nullable=False),
    key("vol", "ino", "host", "oh", "svid", "offset"),
)

journal = Table(
    "journal",
    metadata,
    # What happened, in order, for notifications and replication; pruned by range.
    number("vol"),
    # Grows within a volume; there may be gaps.
    number("seq"),
    # When.
    number("at"),
    # The kind of event and what it says, as JSON.
    Column("kind", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    key("vol", "seq"),
)
