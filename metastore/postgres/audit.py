"""`metastore.api.Audit` over PostgreSQL: short read-only statements, chunk by chunk, that change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metastore.api import Finding
from metastore.postgres.decoding import BLOB_COLUMNS, blob, tuples
from metastore.postgres.encoding import INT8, bigint
from metastore.postgres.parts import Parts
from metastore.postgres.rules import (
    BLOB_RULES,
    CONTENT_RULES,
    EDGE_RULES,
    EXTENT_RULES,
    INODE_RULES,
    LIMIT,
    TREE,
    chunk,
    scan,
)
from metastore.postgres.session import Statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from metastore.postgres.session import Call
    from metastore.records import Blob

#: Rows of the driving table in one statement.
_CHUNK = 2000
#: What is looked through: the chunks' bounds, and the rules over a chunk.
_SCANS = (
    (chunk("inodes", "ino", "inode"), scan("inodes", INODE_RULES)),
    (chunk("contents", "ino", "inode"), scan("contents", CONTENT_RULES)),
    (chunk("edges", "parent", "edge"), scan("edges", EDGE_RULES)),
    (chunk("extents", "content", "extent"), scan("extents", EXTENT_RULES)),
    (chunk("blobs", "id", "blob"), scan("blobs", BLOB_RULES)),
)
_LIVE = Statement(
    "live blobs",
    f"SELECT {BLOB_COLUMNS} FROM blob b WHERE b.vol = $1 AND b.id > $2 AND b.doomed = 0 ORDER BY b.id LIMIT $3",
    (INT8, INT8, INT8),
)


class PgAudit(Parts):
    """The metastore's half of `gatefold check`."""

    async def audit(self, vol: int) -> AsyncIterator[Finding]:
        """Yield what is wrong in *vol*; at most `LIMIT` findings of a rule in a chunk."""
        for bounds, rules in _SCANS:
            after = -1
            while (upto := await self._bound(bounds, vol, after)) is not None:
                for rule, subject, detail in await self._rows((rules, [bigint(vol), bigint(after), bigint(upto)])):
                    yield Finding(vol, rule, subject, detail)
                after = upto
        for subject, detail in await self._rows((TREE, [bigint(vol), bigint(LIMIT)])):
            yield Finding(vol, "tree.reachable", subject, detail)

    async def live_blobs(self, vol: int) -> AsyncIterator[Blob]:
        """Yield every blob that is not doomed, by id."""
        after = 0
        while page := [blob(row) for row in await self._rows((_LIVE, [bigint(n) for n in (vol, after, _CHUNK)]))]:
            for each in page:
                yield each
            after = page[-1].id

    async def _bound(self, statement: Statement, vol: int, after: int) -> int | None:
        ((last,),) = await self._rows((statement, [bigint(vol), bigint(after), bigint(_CHUNK)]))
        return None if last is None else int(last)

    async def _rows(self, call: Call) -> list[tuple[Any, ...]]:
        return tuples((await self._maintenance.query([call]))[0])
