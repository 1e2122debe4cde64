"""The metastore's half of `gatefold check`, over the memory database: the same rules by the same names."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from metastore.api import Finding
from metastore.records import FIRST_COOKIE, ROOT_INO, Extent, FileType, ObjectMeta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from metastore.memory.database import MemoryDatabase
    from metastore.records import Blob, Edge, Inode

#: A rule's name, its subject and the detail.
_Fault = tuple[str, str, str]


class MemoryAudit:
    """`metastore.api.Audit` over a memory database."""

    _database: MemoryDatabase

    async def audit(self, vol: int) -> AsyncIterator[Finding]:
        """Yield what is wrong in *vol*."""
        for fault in _Audit(self._database, vol).faults():
            yield Finding(vol, *fault)

    async def live_blobs(self, vol: int) -> AsyncIterator[Blob]:
        """Yield every blob that is not doomed, by id."""
        for blob in list(self._database.blobs(vol)):
            if not blob.doomed:
                yield blob


class _Audit:
    """One look at one volume."""

    def __init__(self, database: MemoryDatabase, vol: int) -> None:
        self._database, self._vol = database, vol
        self._inodes = {row.ino: row for row in database.inodes(vol)}
        self._edges = [row for row in database.edges(vol) if not row.ghost]
        self._blobs = {row.id: row for row in database.blobs(vol)}
        self._reclaimed = {row.content for row in database.reclaims(vol)}
        self._extents: dict[int, list[Extent]] = defaultdict(list)
        for (of, content), rows in database.extents.items():
            if of == vol:
                self._extents[content] = [rows[offset] for offset in sorted(rows)]

    def faults(self) -> Iterator[_Fault]:
        """Yield everything that breaks a rule."""
        root = self._inodes.get(ROOT_INO)
        if root is None or root.type != FileType.DIRECTORY or root.parent != ROOT_INO:
            yield "tree.root", "ino 1", "there is no root directory"
        yield from self._names()
        for inode in self._inodes.values():
            yield from self._directory(inode) if inode.type == FileType.DIRECTORY else self._file(inode)
        for edge in self._edges:
            yield from _broken(f"edge {edge.parent} {edge.skey!r}", self._edge(edge))
        for content, rows in self._extents.items():
            yield from self._content(content, rows)
        yield from self._references()
        for vol, ino in self._database.rows[ObjectMeta]:
            if vol == self._vol and ino not in self._inodes:
                yield "meta.owner", f"ino {ino}", "S3 metadata of a file that does not exist"

    def _names(self) -> Iterator[_Fault]:
        found = Counter(edge.ino for edge in self._edges)
        for ino, inode in self._inodes.items():
            wanted = int(ino != ROOT_INO) if inode.type == FileType.DIRECTORY else inode.nlink
            if found[ino] != wanted:
                rule = "inode.nlink" if found[ino] else "inode.orphan"
                yield rule, f"ino {ino}", f"{wanted} names wanted, found {found[ino]}"

    def _directory(self, inode: Inode) -> Iterator[_Fault]:
        below = [edge for edge in self._edges if edge.parent == inode.ino]
        targets = [self._inodes.get(edge.ino) for edge in below]
        nlink = 2 + sum(each is not None and each.type == FileType.DIRECTORY for each in targets)
        at, seen = inode, {inode.ino}
        while at.parent != ROOT_INO and at.parent in self._inodes and at.parent not in seen:
            at = self._inodes[at.parent]
            seen.add(at.ino)
        rules = [
            ("inode.entries", inode.entries != len(below)),
            ("inode.nlink", inode.nlink != nlink),
            ("tree.cycle", at.parent != ROOT_INO),
        ]
        yield from _broken(f"ino {inode.ino}", rules)

    def _file(self, inode: Inode) -> Iterator[_Fault]:
        if inode.type != FileType.REGULAR:
            return
        rows = self._extents.get(inode.content, []) if inode.content else []
        reach = max((row.offset + row.length for row in rows), default=0)
        inline = inode.x_length > 0
        rules = [
            ("inode.extents", inode.extents != len(rows) or (inline and bool(rows))),
            ("inode.used", inode.used != sum(row.length for row in rows) + inode.x_length),
            ("inode.size", inode.size < max(reach, inode.x_offset + inode.x_length if inline else 0)),
            ("extent.blob", inline and not self._holds(inode.x_blob, inode.x_blob_offset + inode.x_length)),
        ]
        yield from _broken(f"ino {inode.ino}", rules)

    def _edge(self, edge: Edge) -> list[tuple[str, bool]]:
        target, directory = self._inodes.get(edge.ino), self._inodes.get(edge.parent)
        is_directory = target is not None and target.type == FileType.DIRECTORY
        special = target is not None and target.type not in (FileType.REGULAR, FileType.DIRECTORY)
        return [
            ("edge.target", target is None),
            ("edge.parent", directory is None or directory.type != FileType.DIRECTORY),
            ("tree.parent", is_directory and target is not None and target.parent != edge.parent),
            ("edge.form", target is not None and is_directory != edge.skey.endswith(b"/")),
            ("edge.listed", edge.listed and special),
            ("edge.cookie", edge.cookie < FIRST_COOKIE),
        ]

    def _content(self, content: int, rows: list[Extent]) -> Iterator[_Fault]:
        owned = any(inode.content == content and inode.extents for inode in self._inodes.values())
        if owned and content in self._reclaimed:
            yield "reclaim.live", f"content {content}", "a file has what is being freed"
        for row, following in zip(rows, [*rows[1:], None], strict=True):
            rules = [
                ("extent.owner", not owned and content not in self._reclaimed),
                ("extent.overlap", following is not None and row.offset + row.length > following.offset),
                ("extent.blob", not self._holds(row.blob, row.blob_offset + row.length)),
            ]
            yield from _broken(f"extent {content} {row.offset}", rules)

    def _references(self) -> Iterator[_Fault]:
        found = Counter(row.blob for rows in self._extents.values() for row in rows)
        found.update(inode.x_blob for inode in self._inodes.values() if inode.x_length)
        ranges = [each for each in self._database.ranges if each.vol == self._vol]
        for blob in self._blobs.values():
            rules = [
                ("blob.refs", blob.refs != found[blob.id]),
                ("blob.range", not any(each.first <= blob.id <= each.last for each in ranges)),
            ]
            yield from _broken(f"blob {blob.id}", rules)

    def _holds(self, number: int, end: int) -> bool:
        """Return whether a blob lives and has *end* bytes."""
        blob = self._blobs.get(number)
        return blob is not None and not blob.doomed and end <= blob.size


def _broken(subject: str, rules: Iterable[tuple[str, bool]]) -> Iterator[_Fault]:
    """Yield those of *rules* that are broken."""
    for rule, broken in rules:
        if broken:
            yield rule, subject, "the rule does not hold"
