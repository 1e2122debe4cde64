"""Keyset pages of one directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.postgres.decoding import NAMED_COLUMNS, named, tuples
from metastore.postgres.encoding import BYTEA, BYTEA_ARRAY, INT8, INT8_ARRAY, bigint, bigint_array, bytes_array
from metastore.postgres.parts import Parts
from metastore.postgres.session import Statement
from metastore.postgres.walking import walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metastore.api import Steer
    from metastore.postgres.walking import Found, Scan
    from metastore.records import KeyEntry, Named

_BY_COOKIE = Statement(
    "page by cookie",
    f"""
    SELECT {NAMED_COLUMNS} FROM edge e JOIN inode i ON i.vol = e.vol AND i.ino = e.ino
    WHERE e.vol = $1 AND e.parent = $2 AND e.cookie > $3 AND NOT e.ghost
    ORDER BY e.cookie LIMIT $4
    """,
    (INT8, INT8, INT8, INT8),
)
_UNLISTED = Statement(
    "page of unlisted",
    f"""
    SELECT {NAMED_COLUMNS} FROM edge e JOIN inode i ON i.vol = e.vol AND i.ino = e.ino
    WHERE e.vol = $1 AND (e.parent, e.skey) > ($2, $3) AND NOT e.listed AND NOT e.ghost
    ORDER BY e.parent, e.skey LIMIT $4
    """,
    (INT8, INT8, BYTEA, INT8),
)
_SCANS = Statement(
    "walk",
    # Directories in the order given, each by skey, and no further than $6 rows: a nested loop reads no more than that.
    # The order is checked on arrival; ORDER BY would read every directory to its end first.
    # The upper bound is a place in the index, (parent, skey): "no bound" is the start of the next parent. As one
    # condition it ends the index scan; `upper IS NULL OR skey < upper` would read on to the end of the directory.
    f"""
    SELECT k.ord - 1, s.*
    FROM unnest($2, $3, $4, $5) WITH ORDINALITY AS k (parent, start, upper_parent, upper, ord), LATERAL (
        SELECT {NAMED_COLUMNS} FROM edge e JOIN inode i ON i.vol = e.vol AND i.ino = e.ino
        WHERE e.vol = $1 AND e.parent = k.parent AND e.skey >= k.start
          AND (e.parent, e.skey) < (k.upper_parent, k.upper) AND e.listed AND NOT e.ghost
        ORDER BY e.skey LIMIT $6
    ) AS s
    LIMIT $6
    """,
    (INT8, INT8_ARRAY, BYTEA_ARRAY, INT8_ARRAY, BYTEA_ARRAY, INT8),
)


def _upper_place(parent: int, upper: bytes | None) -> tuple[int, bytes]:
    """Return the place in the index where a scan of *parent* ends."""
    return (parent + 1, b"") if upper is None else (parent, upper)


class PgPages(Parts):
    """`metastore.api.Pages` over PostgreSQL."""

    async def page_by_cookie(self, vol: int, parent: int, after: int, limit: int) -> list[Named]:
        """Return the next entries of *parent*, by cookie."""
        parameters = [bigint(each) for each in (vol, parent, after, limit)]
        (result,) = await self._pool.query([(_BY_COOKIE, parameters)])
        return [named(row) for row in tuples(result)]

    async def page_unlisted(self, vol: int, after: tuple[int, bytes], limit: int) -> list[Named]:
        """Return the next entries that are not listed, by parent and skey."""
        parent, skey = after
        (result,) = await self._pool.query([(_UNLISTED, [bigint(vol), bigint(parent), skey, bigint(limit)])])
        return [named(row) for row in tuples(result)]

    async def walk(
        self, vol: int, top: int, lower: bytes, upper: bytes | None, limit: int, steer: Steer | None = None
    ) -> list[KeyEntry]:
        """Return the listed keys below *top* with lower <= path < upper, in byte order of their paths."""

        async def read(scans: Sequence[Scan], rows: int) -> list[Found]:
            upper_parents, uppers = zip(*(_upper_place(scan.parent, scan.upper) for scan in scans), strict=True)
            parameters = [
                bigint(vol),
                bigint_array([scan.parent for scan in scans]),
                bytes_array([scan.start for scan in scans]),
                bigint_array(upper_parents),
                bytes_array(uppers),
                bigint(rows),
            ]
            (result,) = await self._pool.query([(_SCANS, parameters)])
            return [(row[0], named(row[1:])) for row in tuples(result)]

        return await walk(read, top, lower, upper, limit, steer)
