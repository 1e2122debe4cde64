"""`metastore.api.Audit` over PostgreSQL: short read-only statements, chunk by chunk, that change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metastore.api import Finding
from metastore.postgres.decoding import BLOB_COLUMNS, blob, tuples
from metastore.postgres.encoding import INT8, bigint, bigint_array
from metastore.postgres.parts import Parts
from metastore.postgres.reach import CUT_OFF, DIRECTORIES, Reach
from metastore.postgres.rules import (
    BLOB_RULES,
    CONTENT_RULES,
    EDGE_RULES,
    EXTENT_RULES,
    INODE_RULES,
    LIMIT,
    bound,
    scan,
)
from metastore.postgres.session import Statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from metastore.postgres.session import Call
    from metastore.records import Blob

    #: A key without the volume, as parameters; and what is before the first one.
    _Key = tuple[bytes, ...]

#: Rows of the driving table in one statement.
_CHUNK = 2000
_NUMBER_BEFORE: tuple[bytes, ...] = (bigint(-1),)
_NAME_BEFORE = (bigint(-1), b"")
_INODES = bound("inode")
#: What is looked through: the chunks' bounds, the rules over a chunk, and where to begin.
_SCANS = (
    (_INODES, scan("inodes", "inode", INODE_RULES), _NUMBER_BEFORE),
    (_INODES, scan("contents", "inode", CONTENT_RULES), _NUMBER_BEFORE),
    (bound("edge"), scan("edges", "edge", EDGE_RULES), _NAME_BEFORE),
    (bound("extent"), scan("extents", "extent", EXTENT_RULES), _NUMBER_BEFORE),
    (bound("blob"), scan("blobs", "blob", BLOB_RULES), _NUMBER_BEFORE),
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
        for bounds, rules, before in _SCANS:
            async for after, upto in self._chunks(vol, bounds, before):
                for rule, subject, detail in await self._rows((rules, [bigint(vol), *after, *upto])):
                    yield Finding(vol, rule, subject, detail)
        for ino in await self._cut_off(vol):
            yield Finding(vol, "tree.reachable", f"ino {ino}", "the directory cannot be reached from the root")

    async def _cut_off(self, vol: int) -> list[int]:
        """Return at most `LIMIT` directories that the root does not reach."""
        reach = Reach()
        async for after, upto in self._chunks(vol, _INODES, _NUMBER_BEFORE):
            for ino, parent in await self._rows((DIRECTORIES, [bigint(vol), *after, *upto])):
                reach.add(ino, parent)
        suspects, found = reach.suspects(), list[int]()
        for first in range(0, len(suspects), LIMIT):
            again = (CUT_OFF, [bigint(vol), bigint_array(suspects[first : first + LIMIT])])
            found += [ino for (ino,) in await self._rows(again)]
            if len(found) >= LIMIT:
                break
        return found[:LIMIT]

    async def _chunks(self, vol: int, bounds: Statement, before: _Key) -> AsyncIterator[tuple[_Key, _Key]]:
        """Yield the chunks of a table: the key before each, and its last."""
        while rows := await self._rows((bounds, [bigint(vol), *before, bigint(_CHUNK)])):
            last = tuple(each if isinstance(each, bytes) else bigint(each) for each in rows[0])
            yield before, last
            before = last

    async def live_blobs(self, vol: int) -> AsyncIterator[Blob]:
        """Yield every blob that is not doomed, by id."""
        after = 0
        while page := [blob(row) for row in await self._rows((_LIVE, [bigint(n) for n in (vol, after, _CHUNK)]))]:
            for each in page:
                yield each
            after = page[-1].id

    async def _rows(self, call: Call) -> list[tuple[Any, ...]]:
        return tuples((await self._maintenance.query([call]))[0])
