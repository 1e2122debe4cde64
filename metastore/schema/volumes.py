"""Who serves what: volumes, gateways, and the batches they wrote."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, LargeBinary, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSON

from metastore.schema.columns import key, metadata, number

volume = Table(
    "volume",
    metadata,
    # The volume's number, for ever: file handles and blobs carry it. From a sequence, never used twice.
    Column("vol", BigInteger, Identity(always=False), nullable=False),
    # The bucket's name; unique, so a name is free again when its volume is dropped.
    Column("name", Text, nullable=False),
    # The account's id (account.id) that made it.
    Column("owner", Text, nullable=False),
    # When it was made.
    number("created"),
    # gateway.id of the process that serves it, 0 = none. Changed by take_volume and release_volume; every batch holds
    # this row FOR SHARE until it is committed, so a change waits for the batches before it and fails those after it.
    number("holder"),
    # Grows by one at each take_volume; with `holder` it is the fence.
    number("epoch"),
    # The first number of each kind that nobody has reserved. Only ever grows, in blocks, under the fence.
    number("next_ino"),
    number("next_cookie"),
    number("next_content"),
    number("next_blob"),
    # Options of the bucket by name, text to text.
    Column("settings", JSON, nullable=False),
    key("vol"),
    UniqueConstraint("name", name="volume_name"),
)

gateway = Table(
    "gateway",
    metadata,
    # One run of one gateway process; from a sequence, never used twice.
    Column("id", BigInteger, Identity(always=False), nullable=False),
    # The name in the process's configuration.
    Column("name", Text, nullable=False),
    # When the run began.
    number("started"),
    # Where other gateways reach it: host:port of its S3 door; empty = it does not say.
    Column("address", Text, nullable=False),
    # Grows with every renewal of the lease, by register_gateway and renew alone; -1 = the run has ended in order. Who
    # sees it stand still for a whole lease, by a clock of its own, may take the run's volumes.
    number("beat"),
    key("id"),
)

batch = Table(
    "batch",
    metadata,
    # One row per volume and batch, written with the batch: after a lost connection it tells whether the batch was
    # committed. Inserted and pruned by range, never updated: an updated row gets slower under every long snapshot.
    number("vol"),
    # volume.epoch under which it was written.
    number("epoch"),
    # The gateway's own count of batches; grows within an epoch.
    number("number"),
    key("vol", "epoch", "number"),
)

reply_cache = Table(
    "reply_cache",
    metadata,
    # One row per volume and batch that had replies: answers to requests that must not run twice. By batch.
    number("vol"),
    number("epoch"),
    number("number"),
    # MessagePack: a list of [key, reply], in the order of the batch's Changes.
    Column("replies", LargeBinary, nullable=False),
    key("vol", "epoch", "number"),
)
