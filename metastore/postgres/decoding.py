"""Rows of a binary result as records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from psycopg.adapt import Transformer

from metastore import schema
from metastore.postgres.rows import quoted
from metastore.records import Blob, Edge, Extent, Inode, Named, ObjectMeta, Part, Upload, Version, Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.pq.abc import PGresult

#: The columns of each kind as they stand after SELECT, for an alias of one letter.
INODE_COLUMNS = quoted(schema.inode.columns, "i.")
EDGE_COLUMNS = quoted(schema.edge.columns, "e.")
NAMED_COLUMNS = f"{EDGE_COLUMNS}, {INODE_COLUMNS}"
EXTENT_COLUMNS = quoted(schema.extent.columns, "x.")
BLOB_COLUMNS = quoted(schema.blob.columns, "b.")
#: As text: records are decoded from JSON by their own types.
META_COLUMNS = "m.vol, m.ino, " + ", ".join(
    f'm."{name}"::text' for name in ("headers", "user", "checksums", "tags", "acl", "parts")
)
UPLOAD_COLUMNS = (
    "u.vol, u.upload_id, u.object_key, u.owner, u.initiated,"
    ' u.headers::text, u."user"::text, u.tags::text, u.acl::text, u.checksum, u.ended'
)
PART_COLUMNS = "p.vol, p.upload_id, p.number, p.content, p.size, p.etag, p.checksums::text, p.modified"
VERSION_COLUMNS = quoted(schema.version.columns, "r.")
VOLUME_COLUMNS = "v.vol, v.name, v.owner, v.created, v.holder, v.epoch, v.settings::text"

_EDGE_WIDTH = len(schema.edge.columns)
_RDEV = Inode.__struct_fields__.index("rdev")
_UNSIGNED = 1 << 64
_OPTIONS = msgspec.json.Decoder(dict[str, str])
# One for all results: it keeps the loaders it has found, and nothing else between calls.
_transformer = Transformer()


def tuples(result: PGresult) -> list[tuple[Any, ...]]:
    """Return the rows of *result*."""
    _transformer.set_pgresult(result)
    rows: list[tuple[Any, ...]] = _transformer.load_rows(0, result.ntuples, tuple)
    return rows


def inode(row: Sequence[Any]) -> Inode:
    """Make an inode of its columns."""
    if row[_RDEV] < 0:  # kept as the signed number of the same 64 bits
        row = (*row[:_RDEV], row[_RDEV] + _UNSIGNED, *row[_RDEV + 1 :])
    return Inode(*row)


def named(row: Sequence[Any]) -> Named:
    """Make an entry of the columns of edge and inode."""
    return Named(Edge(*row[:_EDGE_WIDTH]), inode(row[_EDGE_WIDTH:]))


def extent(row: Sequence[Any]) -> Extent:
    """Make an extent of its columns."""
    return Extent(*row)


def blob(row: Sequence[Any]) -> Blob:
    """Make a blob of its columns."""
    return Blob(*row)


def meta(row: Sequence[Any]) -> ObjectMeta:
    """Make an object's metadata of its columns."""
    return ObjectMeta(row[0], row[1], *(_OPTIONS.decode(text) for text in row[2:]))


def upload(row: Sequence[Any]) -> Upload:
    """Make an upload of its columns."""
    return Upload(*row[:5], *(_OPTIONS.decode(text) for text in row[5:9]), *row[9:])


def part(row: Sequence[Any]) -> Part:
    """Make a part of its columns."""
    vol, upload_id, number, content, size, etag, checksums, modified = row
    return Part(vol, upload_id, number, content, size, etag, _OPTIONS.decode(checksums), modified)


def version(row: Sequence[Any]) -> Version:
    """Make a version of its columns."""
    return Version(*row)


def volume(row: Sequence[Any]) -> Volume:
    """Make a volume of its columns."""
    return Volume(*(*row[:6], _OPTIONS.decode(row[6])))
