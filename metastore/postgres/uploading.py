"""Multipart uploads: `metastore.api.Uploads` over PostgreSQL. Their rows are written by batches, like every other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.postgres.decoding import PART_COLUMNS, UPLOAD_COLUMNS, part, tuples, upload
from metastore.postgres.encoding import BYTEA, INT8, bigint
from metastore.postgres.parts import Parts
from metastore.postgres.session import Statement

if TYPE_CHECKING:
    from metastore.records import Part, Upload

_UPLOAD = Statement(
    "load upload", f"SELECT {UPLOAD_COLUMNS} FROM upload u WHERE u.vol = $1 AND u.upload_id = $2", (INT8, BYTEA)
)
_PARTS = Statement(
    "load parts",
    f"SELECT {PART_COLUMNS} FROM part p WHERE p.vol = $1 AND p.upload_id = $2 AND p.number > $3"
    " ORDER BY p.number LIMIT $4",
    (INT8, BYTEA, INT8, INT8),
)
_PAGE = Statement(
    "page uploads",
    f"""
    SELECT {UPLOAD_COLUMNS} FROM upload u
    WHERE u.vol = $1 AND (u.object_key, u.upload_id) > ($2, $3) AND u.object_key < $4 AND u.ended = 0
    ORDER BY u.object_key, u.upload_id LIMIT $5
    """,
    (INT8, BYTEA, BYTEA, BYTEA, INT8),
)
#: No key begins with this byte: keys are UTF-8.
_BEHIND_ALL = b"\xff"


class PgUploads(Parts):
    """`metastore.api.Uploads` over PostgreSQL."""

    async def load_upload(self, vol: int, upload_id: bytes) -> Upload | None:
        """Return one upload's row, ended or not."""
        (result,) = await self._pool.query([(_UPLOAD, [bigint(vol), upload_id])])
        return next(map(upload, tuples(result)), None)

    async def load_parts(self, vol: int, upload_id: bytes, after: int, limit: int) -> list[Part]:
        """Return the next parts of an upload, by number."""
        (result,) = await self._pool.query([(_PARTS, [bigint(vol), upload_id, bigint(after), bigint(limit)])])
        return [part(row) for row in tuples(result)]

    async def page_uploads(self, vol: int, after: tuple[bytes, bytes], upper: bytes | None, limit: int) -> list[Upload]:
        """Return the next uploads in progress, by key and id."""
        parameters = [bigint(vol), *after, _BEHIND_ALL if upper is None else upper, bigint(limit)]
        (result,) = await self._pool.query([(_PAGE, parameters)])
        return [upload(row) for row in tuples(result)]
