"""Freeing what nothing points at, in fenced transactions of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.errors import NoReply
from metastore.postgres.decoding import BLOB_COLUMNS, blob, tuples
from metastore.postgres.encoding import INT8, INT8_ARRAY, bigint, bigint_array
from metastore.postgres.fold import lock_references
from metastore.postgres.parts import FENCED, Parts
from metastore.postgres.session import SqlError, Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metastore.postgres.session import Call
    from metastore.records import Blob

_FENCE = Statement("fence", "SELECT gatefold_fence($1, $2, $3)", (INT8, INT8, INT8))
_RECLAIM = Statement(
    "reclaim",
    # Blobs are locked by number, as batches do: in another order the two would wait for each other in a circle.
    """
    WITH oldest AS (
        SELECT r.content FROM reclaim r WHERE r.vol = $1
          AND (r.epoch = 0 OR r.epoch < (SELECT v.epoch FROM volume v WHERE v.vol = $1))
        ORDER BY r.content LIMIT 1
    ), chunk AS (
        SELECT x.content, x."offset", x.blob FROM extent x JOIN oldest o ON x.vol = $1 AND x.content = o.content
        ORDER BY x."offset" LIMIT $2 FOR UPDATE OF x
    ), gone AS (
        DELETE FROM extent x USING chunk c
        WHERE x.vol = $1 AND x.content = c.content AND x."offset" = c."offset" RETURNING 1
    ), locked AS (
        SELECT b.id, c.refs FROM (SELECT blob, count(*) AS refs FROM chunk GROUP BY blob) c
        JOIN blob b ON b.vol = $1 AND b.id = c.blob ORDER BY b.id FOR UPDATE OF b
    ), moved AS (
        UPDATE blob b SET refs = b.refs - l.refs FROM locked l WHERE b.vol = $1 AND b.id = l.id
    ), finished AS (
        DELETE FROM reclaim r USING oldest o
        WHERE r.vol = $1 AND r.content = o.content AND (SELECT count(*) FROM chunk) < $2 RETURNING 1
    )
    SELECT greatest((SELECT count(*) FROM gone), (SELECT count(*) FROM finished))
    """,
    (INT8, INT8),
)
_REAP = Statement(
    "reap uploads",
    """
    WITH ended AS (
        SELECT upload_id FROM upload WHERE vol = $1 AND ended <> 0 ORDER BY upload_id LIMIT 1
    ), chunk AS (
        SELECT p.upload_id, p.number FROM part p JOIN ended e ON p.vol = $1 AND p.upload_id = e.upload_id
        ORDER BY p.number LIMIT $3
    ), gone AS (
        DELETE FROM part p USING chunk c
        WHERE p.vol = $1 AND p.upload_id = c.upload_id AND p.number = c.number RETURNING p.content
    ), detached AS (
        INSERT INTO reclaim (vol, content, since, epoch) SELECT $1, content, $2, 0 FROM gone
    ), finished AS (
        DELETE FROM upload u USING ended e
        WHERE u.vol = $1 AND u.upload_id = e.upload_id AND (SELECT count(*) FROM chunk) < $3 RETURNING 1
    )
    SELECT greatest((SELECT count(*) FROM gone), (SELECT count(*) FROM finished))
    """,
    (INT8, INT8, INT8),
)
_DOOM = Statement(
    "doom",
    # The outer condition is evaluated again on a row that a batch has just changed.
    """
    WITH chosen AS (
        SELECT id FROM blob WHERE vol = $1 AND refs = 0 AND doomed = 0 ORDER BY id LIMIT $3 FOR UPDATE
    )
    UPDATE blob b SET doomed = $2 FROM chosen c
    WHERE b.vol = $1 AND b.id = c.id AND b.refs = 0 AND b.doomed = 0 RETURNING b.id
    """,
    (INT8, INT8, INT8),
)
_DOOMED = Statement(
    "doomed",
    f"SELECT {BLOB_COLUMNS} FROM blob b WHERE b.vol = $1 AND b.doomed <> 0 AND b.doomed < $2 ORDER BY b.id LIMIT $3",
    (INT8, INT8, INT8),
)
_FORGET = Statement(
    "forget blobs",
    "DELETE FROM blob b USING unnest($2) AS k (id) WHERE b.vol = $1 AND b.id = k.id AND b.doomed <> 0",
    (INT8, INT8_ARRAY),
)
#: Jumps from volume to volume in the index of doomed blobs.
_DROPPED = Statement(
    "dropped volumes",
    """
    WITH RECURSIVE v AS (
        (SELECT vol FROM blob WHERE doomed <> 0 ORDER BY vol LIMIT 1)
        UNION ALL
        SELECT (SELECT b.vol FROM blob b WHERE b.vol > v.vol AND b.doomed <> 0 ORDER BY b.vol LIMIT 1)
        FROM v WHERE v.vol IS NOT NULL
    )
    SELECT vol FROM v WHERE vol IS NOT NULL AND NOT EXISTS (SELECT 1 FROM volume o WHERE o.vol = v.vol) ORDER BY vol
    """,
    (),
)
_UNREFERENCED = Statement(
    "unreferenced",
    # Ranges do not overlap: the last that begins at or before a number is the only one that can hold it.
    """
    SELECT k.id FROM unnest($2) WITH ORDINALITY AS k (id, ord), LATERAL (
        SELECT r.last, r.epoch FROM blob_range r WHERE r.vol = $1 AND r.first <= k.id ORDER BY r.first DESC LIMIT 1
    ) AS r
    WHERE r.last >= k.id AND r.epoch < coalesce((SELECT epoch FROM volume WHERE vol = $1), r.epoch + 1)
      AND NOT EXISTS (SELECT 1 FROM blob b WHERE b.vol = $1 AND b.id = k.id)
    ORDER BY k.ord
    """,
    (INT8, INT8_ARRAY),
)


class PgGarbage(Parts):
    """`metastore.api.Garbage` over PostgreSQL."""

    async def reclaim(self, vol: int, limit: int) -> int:
        """Free at most *limit* extents of detached contents; return how many, 0 only when there is no backlog."""
        rows = await self._fenced(vol, lock_references(vol), (_RECLAIM, [bigint(vol), bigint(limit)]))
        return int(rows[0][0])

    async def reap_uploads(self, vol: int, now_ns: int, limit: int) -> int:
        """Detach at most *limit* parts of uploads that have ended; return how many, 0 only when there is no backlog."""
        rows = await self._fenced(vol, (_REAP, [bigint(vol), bigint(now_ns), bigint(limit)]))
        return int(rows[0][0])

    async def doom(self, vol: int, now_ns: int, limit: int) -> int:
        """Mark at most *limit* blobs with refs 0 as doomed at *now_ns*; return how many."""
        return len(await self._fenced(vol, (_DOOM, [bigint(vol), bigint(now_ns), bigint(limit)])))

    async def doomed(self, vol: int, before_ns: int, limit: int) -> list[Blob]:
        """Return blobs doomed before *before_ns*, by number."""
        return [blob(row) for row in await self._maintain((_DOOMED, [bigint(vol), bigint(before_ns), bigint(limit)]))]

    async def forget_blobs(self, vol: int, ids: Sequence[int]) -> None:
        """Delete the rows of doomed blobs."""
        await self._maintain((_FORGET, [bigint(vol), bigint_array(ids)]))

    async def dropped_volumes(self) -> list[int]:
        """Return the numbers of dropped volumes that still have blobs."""
        return [row[0] for row in await self._maintain((_DROPPED, []))]

    async def unreferenced(self, vol: int, ids: Sequence[int]) -> list[int]:
        """Return those of *ids* without a blob row that lie in ranges of closed epochs."""
        return [row[0] for row in await self._maintain((_UNREFERENCED, [bigint(vol), bigint_array(ids)]))]

    async def _fenced(self, vol: int, *calls: Call) -> list[tuple[Any, ...]]:
        """Run *calls* in one transaction with the fence of *vol*; return the rows of the last.

        Raise NoReply if the fence does not hold.
        """
        fence = (_FENCE, [bigint(each) for each in (self._gateway, vol, self._epoch(vol))])
        try:
            return tuples((await self._maintenance.query([fence, *calls]))[-1])
        except SqlError as error:
            if error.sqlstate == FENCED:
                raise NoReply(str(error)) from error
            raise

    async def _maintain(self, call: Call) -> list[tuple[Any, ...]]:
        return tuples((await self._maintenance.query([call]))[0])
