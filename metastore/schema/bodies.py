"""Where the bytes lie: extents, blobs, and what is in progress or to be freed."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import JSON

from metastore.schema.columns import key, metadata, number

extent = Table(
    "extent",
    metadata,
    number("vol"),
    # The content generation: an inode's, a part's, or one that waits in `reclaim`. By batch, all below too.
    number("content"),
    # Where in the content the run begins, and its length (>= 1). Runs of a content never overlap; gaps are zeros.
    number("offset"),
    number("length"),
    # Where the bytes lie: blob.id and the offset in it; offset + length is never beyond blob.size.
    number("blob"),
    number("blob_offset"),
    key("vol", "content", "offset"),
    # Recount of references, and whose bytes a damaged blob holds.
    Index("extent_blob", "vol", "blob"),
)

blob = Table(
    "blob",
    metadata,
    number("vol"),
    # From a range reserved ahead (blob_range), never used twice. The row is inserted when first referenced.
    number("id"),
    # Bytes; never changes.
    number("size"),
    # Extents that lie in it, inline ones included: put at birth, then moved by deltas and cuts of batches and by
    # reclaim.
    number("refs"),
    # ring.epoch by which the copies were placed.
    number("ring_epoch"),
    # Bit i = replica position i of that ring has no copy.
    number("missing"),
    # The nodes that took a copy instead: 2 bytes big-endian each.
    Column("handoff", LargeBinary, nullable=False),
    # When it was given up, irrevocably; 0 = alive. Set only while refs = 0.
    number("doomed"),
    key("vol", "id"),
    CheckConstraint("refs >= 0", name="blob_refs"),
    # A doomed blob gets no reference again: a batch that tries is refused.
    CheckConstraint("doomed = 0 OR refs = 0", name="blob_doomed"),
    Index("blob_unreferenced", "vol", "id", postgresql_where=text("refs = 0 AND doomed = 0")),
    Index("blob_incomplete", "vol", "id", postgresql_where=text("missing <> 0 OR handoff <> ''::bytea")),
    Index("blob_given_up", "vol", "id", postgresql_where=text("doomed <> 0")),
)

blob_range = Table(
    "blob_range",
    metadata,
    # Blob numbers first..last, reserved for one epoch of the volume. Outlives the volume.
    number("vol"),
    number("first"),
    number("last"),
    # Who reserved it. Once volume.epoch is higher, what nodes hold of the range without a blob row is garbage.
    number("gateway"),
    number("epoch"),
    key("vol", "first"),
)

reclaim = Table(
    "reclaim",
    metadata,
    # A content generation that nothing points at; by batch. Deleted with the last of its extents.
    number("vol"),
    number("content"),
    # When it was detached, or begun.
    number("since"),
    # Not 0: a draft that this epoch of the volume is building in several batches; garbage once the epoch is closed.
    number("epoch"),
    key("vol", "content"),
)

upload = Table(
    "upload",
    metadata,
    # A multipart upload in progress.
    number("vol"),
    # The id that S3 clients see.
    Column("upload_id", LargeBinary, nullable=False),
    # The key it will have; its directories need not exist yet.
    Column("object_key", LargeBinary, nullable=False),
    # Account and POSIX identity that began it.
    Column("owner", Text, nullable=False),
    # When it was begun.
    number("initiated"),
    # What CreateMultipartUpload said of the object: JSON objects as in object_meta.
    Column("headers", JSON, nullable=False),
    Column("user", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("acl", JSON, nullable=False),
    # The checksum algorithm and type announced, empty = none.
    Column("checksum", Text, nullable=False),
    # When it was completed or aborted, 0 = in progress; then its parts are freed in chunks, and the row goes last.
    number("ended"),
    key("vol", "upload_id"),
    # ListMultipartUploads, by key.
    Index("upload_key", "vol", "object_key", "upload_id"),
    Index("upload_ended", "vol", "upload_id", postgresql_where=text("ended <> 0")),
)

part = Table(
    "part",
    metadata,
    number("vol"),
    Column("upload_id", LargeBinary, nullable=False),
    # 1..10000; a part sent again replaces the row, and its old content goes to `reclaim`.
    Column("number", Integer, nullable=False),
    # The content generation whose extents are the part's bytes; CompleteMultipartUpload moves them, as rows.
    number("content"),
    number("size"),
    # As S3 shows it, without quotes.
    Column("etag", LargeBinary, nullable=False),
    # base64 by lower-case algorithm.
    Column("checksums", JSON, nullable=False),
    # When it was stored.
    number("modified"),
    key("vol", "upload_id", "number"),
    # For check: a content that no inode has may be a part's.
    Index("part_content", "vol", "content"),
)
