"""`metastore.api.Audit` over memory: the same rules as PostgreSQL's, counted naively."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.api import AuditedEdge, Backlog
from metastore.findings import finding
from metastore.memory.body_rules import broken_bodies
from metastore.memory.tree_rules import broken_tree
from metastore.records import Edge, Inode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from metastore.api import Finding
    from metastore.memory.database import MemoryDatabase
    from metastore.records import Blob


class MemoryAudit:
    """The metastore's half of `gatefold check`, over a memory database."""

    _database: MemoryDatabase

    async def audit(self, vol: int) -> AsyncIterator[Finding]:
        """Yield what is wrong in *vol*."""
        for broken in (broken_tree, broken_bodies):
            for rule, number, name, right, detail in broken(self._database, vol):
                yield finding(vol, rule, number, name, right, detail)

    async def live_blobs(self, vol: int) -> AsyncIterator[Blob]:
        """Yield every blob that is not doomed, by id."""
        for blob in self._database.blobs(vol):
            if not blob.doomed:
                yield blob

    async def edges(self, vol: int) -> AsyncIterator[AuditedEdge]:
        """Yield every name of *vol*, by directory and skey."""
        edges, inodes = self._database.rows[Edge], self._database.rows[Inode]
        for edge in self._database.edges(vol):
            inode = inodes.get((vol, edge.ino))
            twin = None if edge.skey.endswith(b"/") else edges.get((vol, edge.parent, edge.skey + b"/"))
            yield AuditedEdge(edge, 0 if inode is None else inode.type, twin)

    async def names_of(self, vol: int, ino: int, limit: int) -> list[Edge]:
        """Return at most *limit* names of *ino*, by directory and skey."""
        return [edge for edge in self._database.edges(vol) if edge.ino == ino][:limit]

    async def backlog(self, vol: int) -> Backlog:
        """Count what waits to be freed in *vol*."""
        database = self._database
        epoch = database.volumes[vol].epoch
        garbage = [row for row in database.reclaims(vol) if row.epoch == 0 or row.epoch < epoch]
        ended = {upload.upload_id: upload.ended for upload in database.uploads(vol) if upload.ended}
        doomed = [blob.doomed for blob in database.blobs(vol) if blob.doomed]
        return Backlog(
            contents=len(garbage),
            extents=sum(len(database.extents.get((vol, row.content), ())) for row in garbage),
            drafts=sum(1 for _ in database.reclaims(vol)) - len(garbage),
            ended_uploads=len(ended),
            parts=sum(part.upload_id in ended for part in database.parts(vol)),
            unreferenced_blobs=sum(not blob.refs and not blob.doomed for blob in database.blobs(vol)),
            doomed_blobs=len(doomed),
            oldest=min([*(row.since for row in garbage), *ended.values(), *doomed], default=0),
        )
