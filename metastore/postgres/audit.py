"""`metastore.api.Audit` over PostgreSQL: short read-only statements, chunk by chunk, that change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metastore import schema
from metastore.api import AuditedEdge, Backlog
from metastore.findings import finding
from metastore.postgres.body_rules import (
    BLOB_RULES,
    CONTENT_RULES,
    EXTENT_RULES,
    PART_RULES,
    RECLAIM_RULES,
    UPLOAD_RULES,
)
from metastore.postgres.decoding import BLOB_COLUMNS, EDGE_COLUMNS, blob, tuples
from metastore.postgres.encoding import BYTEA, INT8, bigint, bigint_array
from metastore.postgres.parts import Parts
from metastore.postgres.reach import CUT_OFF, DIRECTORIES, Reach
from metastore.postgres.rows import quoted
from metastore.postgres.rules import bound, chunk, key_types, next_key, scan, together
from metastore.postgres.session import Statement
from metastore.postgres.tree_rules import EDGE_RULES, INODE_RULES, META_RULES, VERSION_RULES, VOLUME_RULES
from metastore.records import Edge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from metastore.api import Finding
    from metastore.postgres.session import Call
    from metastore.records import Blob

    #: A key without the volume, as parameters; and what is before the first one.
    _Key = tuple[bytes, ...]

#: Rows of the driving table in one statement.
_CHUNK = 2000
#: Findings of one rule in one chunk; a broken volume need not be told row by row.
_LIMIT = 100


def _before_first(table: str) -> tuple[bytes, ...]:
    """Return a key of *table* that is before all others: numbers from -1, names from the empty one."""
    return tuple(b"" if each == BYTEA else bigint(-1) for each in key_types(table))


def _encoded(key: tuple[int | bytes, ...]) -> tuple[bytes, ...]:
    """Return *key* as parameters."""
    return tuple(each if isinstance(each, bytes) else bigint(each) for each in key)


_VOLUME = Statement("audit volume", together(VOLUME_RULES, 2), (INT8, INT8))
#: What is looked through: the table, and the rules over a chunk of it.
_SCANS = tuple(
    (table, scan(name, table, rules))
    for name, table, rules in (
        ("inodes", "inode", INODE_RULES),
        ("contents", "inode", CONTENT_RULES),
        ("edges", "edge", EDGE_RULES),
        ("metas", "object_meta", META_RULES),
        ("versions", "version", VERSION_RULES),
        ("extents", "extent", EXTENT_RULES),
        ("parts", "part", PART_RULES),
        ("uploads", "upload", UPLOAD_RULES),
        ("reclaims", "reclaim", RECLAIM_RULES),
        ("blobs", "blob", BLOB_RULES),
    )
)
_INODES, _RECLAIMS = bound("inode"), bound("reclaim")
_LIVE = Statement(
    "live blobs",
    f"SELECT {BLOB_COLUMNS} FROM blob b WHERE b.vol = $1 AND b.id > $2 AND b.doomed = 0 ORDER BY b.id LIMIT $3",
    (INT8, INT8, INT8),
)
_EDGES = Statement(
    "audit names",
    f"""
    SELECT {EDGE_COLUMNS}, coalesce(i.type, 0), {quoted(schema.edge.columns, "d.")}
    FROM edge e LEFT JOIN inode i ON i.vol = e.vol AND i.ino = e.ino
    LEFT JOIN edge d ON d.vol = e.vol AND d.parent = e.parent AND d.skey = e.skey || '\\x2f'::bytea
    WHERE e.vol = $1 AND (e.parent, e.skey) > ($2, $3) ORDER BY e.parent, e.skey LIMIT $4
    """,
    (INT8, INT8, BYTEA, INT8),
)
_NAMES_OF = Statement(
    "names of",
    # OFFSET 0 keeps the order from choosing the index: by that of the order, the whole volume would be read.
    f"SELECT * FROM (SELECT {EDGE_COLUMNS} FROM edge e WHERE e.vol = $1 AND e.ino = $2 OFFSET 0) e"
    " ORDER BY e.parent, e.skey LIMIT $3",
    (INT8, INT8, INT8),
)
_EDGE_WIDTH = len(schema.edge.columns)
_WAITING_CONTENTS = Statement(
    "waiting contents",
    # Drafts of the present epoch are nobody's garbage yet.
    f"""
    SELECT count(*) FILTER (WHERE NOT c.draft), coalesce(sum(c.extents) FILTER (WHERE NOT c.draft), 0)::bigint,
           count(*) FILTER (WHERE c.draft), min(c.since) FILTER (WHERE NOT c.draft)
    FROM (
        SELECT r.since, r.epoch <> 0 AND r.epoch >= v.epoch AS draft,
               (SELECT count(*) FROM extent x WHERE x.vol = r.vol AND x.content = r.content) AS extents
        FROM volume v, reclaim r WHERE v.vol = $1 AND {chunk("reclaim")}
    ) c
    """,
    (INT8, INT8, INT8),
)
_WAITING = Statement(
    "waiting",
    """
    SELECT u.uploads, u.parts, (SELECT count(*) FROM blob b WHERE b.vol = $1 AND b.refs = 0 AND b.doomed = 0),
           d.blobs, least(u.oldest, d.oldest)
    FROM (
        SELECT count(*) AS uploads, min(u.ended) AS oldest, coalesce(sum(
            (SELECT count(*) FROM part p WHERE p.vol = u.vol AND p.upload_id = u.upload_id)), 0)::bigint AS parts
        FROM upload u WHERE u.vol = $1 AND u.ended <> 0
    ) u, (
        SELECT count(*) AS blobs, min(b.doomed) AS oldest FROM blob b WHERE b.vol = $1 AND b.doomed <> 0
    ) d
    """,
    (INT8,),
)


class PgAudit(Parts):
    """The metastore's half of `gatefold check`."""

    async def audit(self, vol: int) -> AsyncIterator[Finding]:
        """Yield what is wrong in *vol*; at most `_LIMIT` findings of a rule in a chunk."""
        for found in await self._rows((_VOLUME, [bigint(vol), bigint(_LIMIT)])):
            yield finding(vol, *found)
        for table, rules in _SCANS:
            after = _before_first(table)
            while rows := await self._rows((rules, [bigint(vol), *after, bigint(_CHUNK), bigint(_LIMIT)])):
                for found in rows[:-1]:
                    yield finding(vol, *found)
                after = _encoded(next_key(table, *rows[-1][1:4]))
        for ino in await self._cut_off(vol):
            yield finding(vol, "tree.reachable", ino, b"", None, "the directory cannot be reached from the root")

    async def _cut_off(self, vol: int) -> list[int]:
        """Return at most `_LIMIT` directories that the root does not reach."""
        reach = Reach()
        async for after, upto in self._chunks(vol, _INODES, _before_first("inode")):
            for ino, parent in await self._rows((DIRECTORIES, [bigint(vol), *after, *upto])):
                reach.add(ino, parent)
        suspects, found = reach.suspects(), list[int]()
        for first in range(0, len(suspects), _LIMIT):
            again = (CUT_OFF, [bigint(vol), bigint_array(suspects[first : first + _LIMIT])])
            found += [ino for (ino,) in await self._rows(again)]
            if len(found) >= _LIMIT:
                break
        return found[:_LIMIT]

    async def _chunks(self, vol: int, bounds: Statement, before: _Key) -> AsyncIterator[tuple[_Key, _Key]]:
        """Yield the chunks of a table: the key before each, and its last."""
        while rows := await self._rows((bounds, [bigint(vol), *before, bigint(_CHUNK)])):
            last = _encoded(rows[0])
            yield before, last
            before = last

    async def live_blobs(self, vol: int) -> AsyncIterator[Blob]:
        """Yield every blob that is not doomed, by id."""
        after = 0
        while page := [blob(row) for row in await self._rows((_LIVE, [bigint(n) for n in (vol, after, _CHUNK)]))]:
            for each in page:
                yield each
            after = page[-1].id

    async def edges(self, vol: int) -> AsyncIterator[AuditedEdge]:
        """Yield every name of *vol*, by directory and skey."""
        after = _before_first("edge")
        while page := await self._rows((_EDGES, [bigint(vol), *after, bigint(_CHUNK)])):
            for row in page:
                edge, kind, twin = Edge(*row[:_EDGE_WIDTH]), row[_EDGE_WIDTH], row[_EDGE_WIDTH + 1 :]
                has_twin = twin[0] is not None and not edge.skey.endswith(b"/")
                yield AuditedEdge(edge, kind, Edge(*twin) if has_twin else None)
            after = (bigint(edge.parent), edge.skey)

    async def names_of(self, vol: int, ino: int, limit: int) -> list[Edge]:
        """Return at most *limit* names of *ino*, by directory and skey."""
        return [Edge(*row) for row in await self._rows((_NAMES_OF, [bigint(n) for n in (vol, ino, limit)]))]

    async def backlog(self, vol: int) -> Backlog:
        """Count what waits to be freed in *vol*."""
        contents = extents = drafts = 0
        ages: list[int] = []
        async for after, upto in self._chunks(vol, _RECLAIMS, _before_first("reclaim")):
            for row in await self._rows((_WAITING_CONTENTS, [bigint(vol), *after, *upto])):
                contents, extents, drafts = contents + row[0], extents + row[1], drafts + row[2]
                ages.append(row[3])
        ((uploads, parts, unreferenced, doomed, oldest),) = await self._rows((_WAITING, [bigint(vol)]))
        began = min((age for age in (*ages, oldest) if age is not None), default=0)
        return Backlog(contents, extents, drafts, uploads, parts, unreferenced, doomed, began)

    async def _rows(self, call: Call) -> list[tuple[Any, ...]]:
        return tuples((await self._maintenance.query([call]))[0])
