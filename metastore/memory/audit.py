"""`metastore.api.Audit` over memory: the same rules as `metastore.postgres.rules`, counted naively."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from metastore.api import Finding
from metastore.records import FIRST_COOKIE, ROOT_INO, Blob, Extent, FileType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from metastore.memory.database import MemoryDatabase
    from metastore.records import Inode


class MemoryAudit:
    """The metastore's half of `gatefold check`, over a memory database."""

    _database: MemoryDatabase

    async def audit(self, vol: int) -> AsyncIterator[Finding]:
        """Yield what is wrong in *vol*."""
        for rules in (self._inodes, self._edges, self._contents, self._owners, self._blobs, self._tree):
            for rule, subject, detail in rules(vol):
                yield Finding(vol, rule, subject, detail)

    async def live_blobs(self, vol: int) -> AsyncIterator[Blob]:
        """Yield every blob that is not doomed, by id."""
        for blob in sorted(self._database.blobs(vol), key=lambda each: each.id):
            if not blob.doomed:
                yield blob

    def _inodes(self, vol: int) -> Iterator[tuple[str, str, str]]:
        edges = [edge for edge in self._database.edges(vol) if not edge.ghost]
        entries = Counter(edge.parent for edge in edges)
        directories = Counter(edge.parent for edge in edges if edge.skey.endswith(b"/"))
        names = Counter(edge.ino for edge in edges)
        places = {(edge.parent, edge.ino) for edge in edges}
        marks = self._database.marks
        for inode in self._database.inodes(vol):
            subject = f"ino {inode.ino}"
            is_directory = inode.type == FileType.DIRECTORY
            if inode.entries != entries[inode.ino]:
                yield "inode.entries", subject, f"entries {inode.entries}, counted {entries[inode.ino]}"
            links = 2 + directories[inode.ino] if is_directory else names[inode.ino]
            if inode.nlink != links:
                yield "inode.nlink", subject, f"nlink {inode.nlink}, counted {links}"
            wanted = 0 if inode.ino == ROOT_INO else 1
            if names[inode.ino] != wanted if is_directory else not names[inode.ino]:
                yield "inode.named", subject, f"{names[inode.ino]} names"
            if not _parent_fits(inode, places):
                yield "inode.parent", subject, f"parent {inode.parent}"
            if (inode.type == FileType.SYMLINK) != (inode.target is not None):
                yield "inode.target", subject, "a link without text, or text without a link"
            if inode.ino >= marks[vol, "ino"] > ROOT_INO + 1 or inode.content >= marks[vol, "content"]:
                yield "inode.unreserved", subject, "its numbers were never reserved"

    def _edges(self, vol: int) -> Iterator[tuple[str, str, str]]:
        inodes = {inode.ino: inode for inode in self._database.inodes(vol)}
        for edge in self._database.edges(vol):
            subject = f"name {edge.skey!r} in {edge.parent}"
            parent, inode = inodes.get(edge.parent), inodes.get(edge.ino)
            if parent is None or parent.type != FileType.DIRECTORY:
                yield "edge.parent", subject, "its parent is no directory"
            if not FIRST_COOKIE <= edge.cookie < self._database.marks[vol, "cookie"]:
                yield "edge.cookie", subject, f"cookie {edge.cookie}"
            if inode is None:
                yield "edge.inode", subject, f"no inode {edge.ino}"
                continue
            if (inode.type == FileType.DIRECTORY) != edge.skey.endswith(b"/"):
                yield "edge.form", subject, "the form does not fit the type"
            if edge.listed and inode.type not in (FileType.REGULAR, FileType.DIRECTORY):
                yield "edge.listed", subject, "S3 cannot show what it is"

    def _contents(self, vol: int) -> Iterator[tuple[str, str, str]]:
        reclaimed = {row.content for row in self._database.reclaims(vol)}
        for inode in self._database.inodes(vol):
            if inode.type != FileType.REGULAR:
                continue
            if inode.content in reclaimed:
                yield "content.reclaimed", f"ino {inode.ino}", f"content {inode.content} is being reclaimed"
            for rule, detail in self._content(inode):
                yield rule, f"ino {inode.ino}", detail

    def _content(self, inode: Inode) -> Iterator[tuple[str, str]]:
        rows = self._rows_of(inode.vol, inode.content)
        if inode.extents != len(rows):
            yield "extent.count", f"extents {inode.extents}, counted {len(rows)}"
        inline = inode.x_length > 0
        if (inline and (inode.extents or not inode.x_blob)) or (not inline and (inode.x_blob or inode.extents == 1)):
            yield "extent.inline", f"inline of {inode.x_length} bytes, {inode.extents} rows"
        extents = [*rows, *_inline(inode)]
        if inode.used != sum(extent.length for extent in extents):
            yield "extent.used", f"used {inode.used}"
        if any(extent.offset + extent.length > inode.size for extent in extents):
            yield "extent.end", f"size {inode.size}"
        if any(one.offset + one.length > two.offset for one, two in pairwise(rows)):
            yield "extent.overlap", "two extents hold one byte"
        for extent in extents:
            if not self._is_held(extent):
                yield "extent.blob", f"blob {extent.blob} does not hold its bytes"

    def _rows_of(self, vol: int, content: int) -> list[Extent]:
        rows = self._database.extents.get((vol, content), {})
        return [rows[offset] for offset in sorted(rows)]

    def _is_held(self, extent: Extent) -> bool:
        blob = self._database.rows[Blob].get((extent.vol, extent.blob))
        return blob is not None and not blob.doomed and 0 <= extent.blob_offset <= blob.size - extent.length

    def _owners(self, vol: int) -> Iterator[tuple[str, str, str]]:
        owned = {inode.content for inode in self._database.inodes(vol) if inode.extents}
        owned |= {row.content for row in self._database.reclaims(vol)}
        owned |= {part.content for part in self._database.parts(vol)}
        for (of_vol, content), rows in self._database.extents.items():
            if of_vol == vol and rows and content not in owned:
                yield "extent.owner", f"content {content}", "no inode has it"

    def _blobs(self, vol: int) -> Iterator[tuple[str, str, str]]:
        refs = Counter(inode.x_blob for inode in self._database.inodes(vol) if inode.x_length)
        for (of_vol, _), rows in self._database.extents.items():
            if of_vol == vol:
                refs.update(extent.blob for extent in rows.values())
        for blob in self._database.blobs(vol):
            subject = f"blob {blob.id}"
            if blob.refs != refs[blob.id]:
                yield "blob.refs", subject, f"refs {blob.refs}, counted {refs[blob.id]}"
            if blob.doomed and blob.refs:
                yield "blob.doomed", subject, f"doomed with refs {blob.refs}"
            if not any(r.vol == vol and r.first <= blob.id <= r.last for r in self._database.ranges):
                yield "blob.unreserved", subject, "its number was never reserved"

    def _tree(self, vol: int) -> Iterator[tuple[str, str, str]]:
        directories = {inode.ino for inode in self._database.inodes(vol) if inode.type == FileType.DIRECTORY}
        below: dict[int, list[int]] = {}
        for edge in self._database.edges(vol):
            if edge.ino in directories:
                below.setdefault(edge.parent, []).append(edge.ino)
        reached, fresh = {ROOT_INO}, [ROOT_INO]
        while fresh:
            fresh = [ino for parent in fresh for ino in below.get(parent, ()) if ino not in reached]
            reached.update(fresh)
        for ino in sorted(directories - reached):
            yield "tree.reachable", f"ino {ino}", "the directory cannot be reached from the root"


def _parent_fits(inode: Inode, places: set[tuple[int, int]]) -> bool:
    if inode.type != FileType.DIRECTORY:
        return inode.parent == 0
    if inode.ino == ROOT_INO:
        return inode.parent == ROOT_INO
    return (inode.parent, inode.ino) in places


def _inline(inode: Inode) -> list[Extent]:
    if not inode.x_length:
        return []
    return [Extent(inode.vol, inode.content, inode.x_offset, inode.x_length, inode.x_blob, inode.x_blob_offset)]
