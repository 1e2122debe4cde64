"""The metastore's half of `gatefold check`, over PostgreSQL.

Each rule is a SELECT of what breaks it, in a range of one table's first key column. A statement sees one snapshot, and
every Change is one transaction: what it finds was wrong, whatever the gateway did meanwhile. A directory, or a
content's extents, always lie in one range. Only the count of a file's names takes one statement for the volume: an
index of edges by what they name would cost every create.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from metastore.api import Finding
from metastore.postgres.decoding import BLOB_COLUMNS, blob, tuples
from metastore.postgres.encoding import INT8, bigint
from metastore.postgres.parts import Parts
from metastore.postgres.session import Statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from metastore.postgres.session import Call
    from metastore.records import Blob

_PAGE_ROWS = 2000
#: Findings of one rule in one range; whoever reads more has understood.
_MAX_FINDINGS = 100
_END = (1 << 63) - 1


class _Rule(Struct, frozen=True):
    """What to look for in a table, range by range."""

    table: str
    key: str
    found: Statement


def _rule(table: str, key: str, name: str, sql: str) -> _Rule:
    """Describe a rule whose *sql* selects (rule, subject, detail) for $1 = vol and $2 < key <= $3."""
    statement = f"SELECT found.* FROM ({sql}) AS found LIMIT {_MAX_FINDINGS}"
    return _Rule(table, key, Statement(f"audit {name}", statement, (INT8, INT8, INT8)))


_RULES = (
    _rule(
        "inode",
        "ino",
        "directories",
        """
        SELECT CASE WHEN i.entries <> n.entries THEN 'inode.entries' ELSE 'inode.nlink' END, 'ino ' || i.ino,
            format('entries %s, nlink %s, found %s and %s', i.entries, i.nlink, n.entries, 2 + n.directories)
        FROM inode i CROSS JOIN LATERAL (
            SELECT count(*) AS entries, count(*) FILTER (WHERE c.type = 2) AS directories
            FROM edge e LEFT JOIN inode c ON c.vol = e.vol AND c.ino = e.ino
            WHERE e.vol = $1 AND e.parent = i.ino AND NOT e.ghost
        ) AS n
        WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.type = 2
          AND (i.entries <> n.entries OR i.nlink <> 2 + n.directories)
        """,
    ),
    _rule(
        "inode",
        "ino",
        "cycles",
        """
        WITH RECURSIVE up AS (
            SELECT i.ino AS start, i.parent AS at FROM inode i
            WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.type = 2
            UNION
            SELECT up.start, p.parent FROM up JOIN inode p ON p.vol = $1 AND p.ino = up.at WHERE up.at <> 1
        )
        SELECT 'tree.cycle', 'ino ' || start, 'its parents do not lead to the root'
        FROM up GROUP BY start HAVING NOT bool_or(at = 1)
        """,
    ),
    _rule(
        "inode",
        "ino",
        "files",
        """
        SELECT r.rule, 'ino ' || i.ino,
            format('size %s, used %s, extents %s and %s bytes inline; found %s of %s bytes up to %s',
                i.size, i.used, i.extents, i.x_length, x.n, x.bytes, x.reach)
        FROM inode i CROSS JOIN LATERAL (
            SELECT count(*) AS n, coalesce(sum(x.length), 0)::bigint AS bytes,
                coalesce(max(x."offset" + x.length), 0) AS reach
            FROM extent x WHERE x.vol = $1 AND x.content = i.content AND i.content <> 0
        ) AS x
        LEFT JOIN blob b ON b.vol = $1 AND b.id = i.x_blob
        CROSS JOIN LATERAL (VALUES
            ('inode.extents', i.extents <> x.n OR (i.x_length > 0 AND x.n > 0)),
            ('inode.used', i.used <> x.bytes + i.x_length),
            ('inode.size', i.size < greatest(x.reach, CASE WHEN i.x_length > 0 THEN i.x_offset + i.x_length END)),
            ('extent.blob', i.x_length > 0
                AND (b.id IS NULL OR b.doomed <> 0 OR i.x_blob_offset + i.x_length > b.size))
        ) AS r (rule, broken)
        WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.type = 1 AND r.broken
        """,
    ),
    _rule(
        "edge",
        "parent",
        "edges",
        r"""
        SELECT r.rule, format('edge %s %s', e.parent, encode(e.skey, 'escape')),
            format('ino %s of type %s with parent %s, cookie %s', e.ino, i.type, i.parent, e.cookie)
        FROM edge e LEFT JOIN inode i ON i.vol = e.vol AND i.ino = e.ino
        LEFT JOIN inode d ON d.vol = e.vol AND d.ino = e.parent
        CROSS JOIN LATERAL (VALUES
            ('edge.target', i.ino IS NULL),
            ('edge.parent', d.type IS DISTINCT FROM 2),
            ('tree.parent', i.type = 2 AND i.parent <> e.parent),
            ('edge.form', (i.type = 2) <> (substring(e.skey from length(e.skey)) = '\x2f'::bytea)),
            ('edge.listed', e.listed AND i.type NOT IN (1, 2)),
            ('edge.cookie', e.cookie < 3)
        ) AS r (rule, broken)
        WHERE e.vol = $1 AND e.parent > $2 AND e.parent <= $3 AND NOT e.ghost AND r.broken
        """,
    ),
    _rule(
        "extent",
        "content",
        "extents",
        """
        SELECT r.rule, format('extent %s %s', x.content, x."offset"), format('%s bytes in blob %s', x.length, x.blob)
        FROM extent x LEFT JOIN blob b ON b.vol = x.vol AND b.id = x.blob
        CROSS JOIN LATERAL (VALUES
            ('extent.owner', NOT EXISTS (
                    SELECT FROM inode i WHERE i.vol = $1 AND i.content = x.content AND i.extents > 0)
                AND NOT EXISTS (SELECT FROM part p WHERE p.vol = $1 AND p.content = x.content)
                AND NOT EXISTS (SELECT FROM reclaim g WHERE g.vol = $1 AND g.content = x.content)),
            ('extent.overlap', EXISTS (
                SELECT FROM extent y WHERE y.vol = $1 AND y.content = x.content
                  AND y."offset" > x."offset" AND y."offset" < x."offset" + x.length)),
            ('extent.blob', b.id IS NULL OR b.doomed <> 0 OR x.blob_offset + x.length > b.size)
        ) AS r (rule, broken)
        WHERE x.vol = $1 AND x.content > $2 AND x.content <= $3 AND r.broken
        """,
    ),
    _rule(
        "blob",
        "id",
        "blobs",
        """
        SELECT r.rule, 'blob ' || b.id, format('refs %s, found %s', b.refs, f.refs)
        FROM blob b CROSS JOIN LATERAL (
            SELECT (SELECT count(*) FROM extent x WHERE x.vol = $1 AND x.blob = b.id)
                + (SELECT count(*) FROM inode i WHERE i.vol = $1 AND i.x_blob = b.id AND i.x_length > 0) AS refs
        ) AS f
        LEFT JOIN LATERAL (
            SELECT g.last FROM blob_range g WHERE g.vol = $1 AND g.first <= b.id ORDER BY g.first DESC LIMIT 1
        ) AS g ON true
        CROSS JOIN LATERAL (VALUES
            ('blob.refs', b.refs <> f.refs),
            ('blob.range', g.last IS NULL OR g.last < b.id)
        ) AS r (rule, broken)
        WHERE b.vol = $1 AND b.id > $2 AND b.id <= $3 AND r.broken
        """,
    ),
    _rule(
        "object_meta",
        "ino",
        "metadata",
        """
        SELECT 'meta.owner', 'ino ' || m.ino, 'S3 metadata of a file that does not exist' FROM object_meta m
        WHERE m.vol = $1 AND m.ino > $2 AND m.ino <= $3
          AND NOT EXISTS (SELECT FROM inode i WHERE i.vol = $1 AND i.ino = m.ino)
        """,
    ),
    _rule(
        "reclaim",
        "content",
        "reclaims",
        """
        SELECT 'reclaim.live', 'content ' || g.content, 'a file has what is being freed' FROM reclaim g
        WHERE g.vol = $1 AND g.content > $2 AND g.content <= $3
          AND EXISTS (SELECT FROM inode i WHERE i.vol = $1 AND i.content = g.content AND i.extents > 0)
        """,
    ),
)
_ROOT = Statement(
    "audit root", "SELECT count(*) FROM inode WHERE vol = $1 AND ino = 1 AND type = 2 AND parent = 1", (INT8,)
)
_NAMES = Statement(
    "audit names",
    # Every directory but the root has one name. No join: an inode without names, and names without an inode (which
    # `edge.target` reports), are found by the same sum.
    f"""
    SELECT CASE WHEN sum(found) = 0 THEN 'inode.orphan' ELSE 'inode.nlink' END, 'ino ' || ino,
        format('%s names wanted, found %s', sum(wanted), sum(found))
    FROM (
        SELECT ino, CASE WHEN type = 2 THEN (ino <> 1)::int ELSE nlink END AS wanted, 0 AS found, 1 AS known
        FROM inode WHERE vol = $1
        UNION ALL
        SELECT ino, 0, 1, 0 FROM edge WHERE vol = $1 AND NOT ghost
    ) AS both_sides GROUP BY ino HAVING sum(wanted) <> sum(found) AND sum(known) > 0 LIMIT {_MAX_FINDINGS}
    """,
    (INT8,),
)
_LIVE = Statement(
    "live blobs",
    f"SELECT {BLOB_COLUMNS} FROM blob b WHERE b.vol = $1 AND b.id > $2 AND b.doomed = 0 ORDER BY b.id LIMIT $3",
    (INT8, INT8, INT8),
)


class PgAudit(Parts):
    """`metastore.api.Audit` over PostgreSQL."""

    async def audit(self, vol: int) -> AsyncIterator[Finding]:
        """Yield what is wrong in *vol*."""
        if await self._select((_ROOT, [bigint(vol)])) != [(1,)]:
            yield Finding(vol, "tree.root", "ino 1", "there is no root directory")
        for row in await self._select((_NAMES, [bigint(vol)])):
            yield Finding(vol, *row)
        for rule in _RULES:
            after = 0
            while after < _END:
                last = await self._range_end(rule, vol, after)
                for row in await self._select((rule.found, [bigint(vol), bigint(after), bigint(last)])):
                    yield Finding(vol, *row)
                after = last

    async def live_blobs(self, vol: int) -> AsyncIterator[Blob]:
        """Yield every blob that is not doomed, by id."""
        after = 0
        while rows := await self._select((_LIVE, [bigint(vol), bigint(after), bigint(_PAGE_ROWS)])):
            for row in rows:
                live = blob(row)
                after = live.id
                yield live

    async def _range_end(self, rule: _Rule, vol: int, after: int) -> int:
        """Return the key at which a range of about `_PAGE_ROWS` rows after *after* ends."""
        sql = (
            f"SELECT {rule.key} FROM {rule.table} WHERE vol = $1 AND {rule.key} > $2"
            f" ORDER BY {rule.key} OFFSET {_PAGE_ROWS} LIMIT 1"
        )
        rows = await self._select(
            (Statement(f"audit {rule.table} range", sql, (INT8, INT8)), [bigint(vol), bigint(after)])
        )
        return int(rows[0][0]) if rows else _END

    async def _select(self, call: Call) -> list[tuple[Any, ...]]:
        return tuples((await self._maintenance.query([call]))[0])
