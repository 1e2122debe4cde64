"""Versions of names over the memory database, and the walk over all of them, ghosts entered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from metastore.history import is_key, without_row
from metastore.records import NEWEST, NULL_VERSION, FileType, Inode, VersionEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metastore.api import Enters
    from metastore.memory.database import MemoryDatabase
    from metastore.records import Edge, Version

T = TypeVar("T")


class MemoryHistories(ABC):
    """`metastore.api.Histories` over a memory database."""

    _database: MemoryDatabase

    @abstractmethod
    async def _after_hold(self, seen: T) -> T:
        """Return what was *seen*, when loads are let through."""

    async def load_versions(self, vol: int, parent: int, skey: bytes, start: int, limit: int) -> list[Version]:
        """Return the next versions of a name."""
        rows = self._database.history(vol, parent, skey)
        return await self._after_hold([row for row in rows if row.seq >= start][:limit])

    async def load_null_version(self, vol: int, parent: int, skey: bytes) -> Version | None:
        """Return the `null` version of a name."""
        rows = self._database.history(vol, parent, skey)
        return await self._after_hold(next((row for row in rows if row.version_id == NULL_VERSION), None))

    async def load_names(self, vol: int, ino: int, limit: int) -> list[Edge]:
        """Return the entries that name *ino*."""
        named = [edge for edge in self._database.edges(vol) if edge.ino == ino and not edge.ghost]
        return await self._after_hold(named[:limit])

    async def walk_versions(
        self, vol: int, top: int, lower: tuple[bytes, int], upper: bytes | None, limit: int, enters: Enters
    ) -> list[VersionEntry]:
        """Return the versions of all keys below *top*, by path and seq."""
        return await self._after_hold(walk(self._database, (vol, top), lower, upper, enters)[:limit])


def walk(
    database: MemoryDatabase, top: tuple[int, int], lower: tuple[bytes, int], upper: bytes | None, enters: Enters
) -> list[VersionEntry]:
    """Return the versions below *top* (volume, inode) with lower <= (path, seq) and path < upper, by path and seq."""
    vol, first = top
    found: dict[tuple[bytes, int], VersionEntry] = {}
    below: list[tuple[int, bytes]] = [(first, b"")]
    while below:
        parent, prefix = below.pop()
        for edge in database.children.get((vol, parent), {}).values():
            inode = database.rows[Inode].get((vol, edge.ino))
            if inode is not None and inode.type == FileType.DIRECTORY and enters(inode):
                below.append((inode.ino, prefix + edge.skey))
        for entry in _of_directory(database, vol, parent, prefix):
            if entry.inode is None or entry.inode.type != FileType.DIRECTORY or enters(entry.inode):
                found[entry.path, entry.version.seq] = entry
    # The object `dir/` with a body stands for the explicit directory.
    newest = {path: entry.version for (path, seq), entry in sorted(found.items(), reverse=True) if seq}
    own = {path for path, version in newest.items() if version.ino}
    return [
        found[path, seq]
        for path, seq in sorted(found, key=lambda place: (place[0], place[1] or NEWEST))
        if (path, seq or NEWEST) >= lower and (upper is None or path < upper) and (seq or path not in own)
    ]


def _of_directory(database: MemoryDatabase, vol: int, parent: int, prefix: bytes) -> Iterator[VersionEntry]:
    """Yield the versions of the names in one directory, the object `dir/` with a body after the directory `dir/`."""
    inodes = database.rows[Inode]
    histories = database.histories.get((vol, parent), {})
    for edge in sorted(database.children.get((vol, parent), {}).values(), key=lambda each: each.skey):
        inode = inodes.get((vol, edge.ino))
        if inode is not None and edge.listed and not edge.ghost and edge.skey not in histories and is_key(inode):
            yield VersionEntry(prefix + edge.skey, without_row(parent, edge.skey, inode), inode)
    for skey in histories:
        for row in database.history(vol, parent, skey):
            yield VersionEntry(prefix + skey, row, inodes.get((vol, row.ino)))
