"""The walk over history, over the memory database: every version of every key, ghosts entered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.history import is_key, without_row
from metastore.records import NEWEST, FileType, Inode, VersionEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metastore.memory.database import MemoryDatabase


def walk(
    database: MemoryDatabase, vol: int, top: int, lower: tuple[bytes, int], upper: bytes | None
) -> list[VersionEntry]:
    """Return the versions below *top* with lower <= (path, seq) and path < upper, by path and seq."""
    found: dict[tuple[bytes, int], VersionEntry] = {}
    below: list[tuple[int, bytes]] = [(top, b"")]
    while below:
        parent, prefix = below.pop()
        for edge in database.children.get((vol, parent), {}).values():
            inode = database.rows[Inode].get((vol, edge.ino))
            if inode is not None and inode.type == FileType.DIRECTORY:
                below.append((inode.ino, prefix + edge.skey))
        for entry in _of_directory(database, vol, parent, prefix):
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
