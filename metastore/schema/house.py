"""What the appliance knows: accounts, exports, nodes, ring."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY

from metastore.schema.columns import key, metadata, number

account = Table(
    "account",
    metadata,
    # Canonical user id: 64 hex digits.
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    # The POSIX identity of everything done by its keys; unsigned 32-bit each.
    number("uid"),
    number("gid"),
    Column("groups", ARRAY(BigInteger), nullable=False),
    key("id"),
    UniqueConstraint("name", name="account_name"),
)

access_key = Table(
    "access_key",
    metadata,
    Column("access_key", Text, nullable=False),
    # In clear: SigV4 needs it. The database is to be guarded like the bodies.
    Column("secret_key", Text, nullable=False),
    # account.id.
    Column("account", Text, nullable=False),
    key("access_key"),
)

export = Table(
    "export",
    metadata,
    # As the client names it: /bucket.
    Column("path", Text, nullable=False),
    # The directory that it shows; ino 1 = the whole bucket.
    number("vol"),
    number("ino"),
    # Networks in CIDR form that may mount it.
    Column("clients", ARRAY(Text), nullable=False),
    Column("read_only", Boolean, nullable=False),
    # none, root or all; and who a squashed caller becomes.
    Column("squash", Text, nullable=False),
    number("anon_uid"),
    number("anon_gid"),
    key("path"),
)

node = Table(
    "node",
    metadata,
    # 1..65535, never used twice.
    number("id"),
    # The identity written on its disk.
    Column("uuid", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    # Copies are spread over zones, in proportion to weight.
    Column("zone", Text, nullable=False),
    number("weight"),
    # up, suspended or leaving.
    Column("state", Text, nullable=False),
    key("id"),
)

ring = Table(
    "ring",
    metadata,
    # One row per epoch, never changed: blobs are read by the epoch that placed them.
    number("epoch"),
    # N copies, W acknowledgements.
    Column("copies", Integer, nullable=False),
    Column("write_quorum", Integer, nullable=False),
    # SHA-256 in hex over the canonical form.
    Column("checksum", Text, nullable=False),
    key("epoch"),
)

partition = Table(
    "partition",
    metadata,
    # ring.epoch and the partition's number in it, from 0.
    number("epoch"),
    Column("number", Integer, nullable=False),
    # Node numbers: `copies` first, then in hand-off order.
    Column("nodes", ARRAY(BigInteger), nullable=False),
    key("epoch", "number"),
)
