"""`lost+found` of a volume: the directory in its root where a repair puts what has no name any more."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from metastore.records import ROOT_INO, Change, Edge, FileType, Inode, InodeFlag
from namespace.names import directory_skey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foundation.clock import Clock
    from metastore.api import MetaStore
    from metastore.records import Row, RowType

_NAME = b"lost+found"
#: For its owner, root, alone: what lies in it may have been private.
_MODE = 0o700
_LISTED = (FileType.REGULAR, FileType.DIRECTORY)


class LostFound:
    """Makes the Changes that link objects into `lost+found`, which is made with the first of them."""

    def __init__(self, metastore: MetaStore, clock: Clock, vol: int) -> None:
        """Work on *vol*, which this gateway holds and nobody else changes."""
        self._metastore = metastore
        self._clock = clock
        self._vol = vol

    async def link(self, inode: Inode, instead_of: Edge | None = None) -> tuple[Change, str]:
        """Return the Change that gives *inode* a name here (in place of another one), and its path.

        Counters of what it touches are kept as well as they were: a recount comes after it.
        """
        rows: list[Row] = []
        drops: list[tuple[RowType, tuple[int | bytes, ...]]] = []
        is_directory = inode.type == FileType.DIRECTORY
        links = int(is_directory)
        place, path = await self._place(rows)
        if place.ino == inode.ino:
            raise ValueError("lost+found cannot be put into itself")
        name = await self._free_name(place.ino, b"%d" % inode.ino)
        now = self._clock.now_ns()
        rows.append(replace(place, entries=place.entries + 1, nlink=place.nlink + links, mtime=now, ctime=now))
        skey = directory_skey(name) if is_directory else name
        rows.append(Edge(self._vol, place.ino, skey, inode.ino, await self._cookie(), listed=inode.type in _LISTED))
        if is_directory:
            rows.append(replace(inode, parent=place.ino))
        elif instead_of is None:
            rows.append(replace(inode, nlink=1))
        if instead_of is not None:
            drops.append((Edge, instead_of.key))
        return Change(self._vol, tuple(rows), tuple(drops)), f"{path}/{name.decode()}"

    async def _place(self, rows: list[Row]) -> tuple[Inode, str]:
        """Return the directory and its path; what makes it, if it must be made, is added to *rows*."""
        for name in _numbered(_NAME):
            skey = directory_skey(name)
            found = await self._metastore.load_edges(self._vol, [(ROOT_INO, skey)])
            if found and found[0].inode.type == FileType.DIRECTORY and not found[0].edge.ghost:
                return found[0].inode, f"/{name.decode()}"
            if await self._is_free(ROOT_INO, name):
                return await self._make(skey, rows), f"/{name.decode()}"
        raise AssertionError("there is always a further name")

    async def _make(self, skey: bytes, rows: list[Row]) -> Inode:
        (top,) = await self._metastore.load_inodes(self._vol, [ROOT_INO])
        now = self._clock.now_ns()
        made = Inode(
            self._vol,
            (await self._metastore.reserve(self._vol, "ino", 1)).first,
            random.SystemRandom().getrandbits(32),
            int(FileType.DIRECTORY),
            _MODE,
            0,
            0,
            2,
            atime=now,
            mtime=now,
            ctime=now,
            content_time=now,
            parent=ROOT_INO,
            flags=int(InodeFlag.EXPLICIT),
        )
        rows.append(replace(top, entries=top.entries + 1, nlink=top.nlink + 1, mtime=now, ctime=now))
        rows.append(Edge(self._vol, ROOT_INO, skey, made.ino, await self._cookie()))
        return made

    async def _free_name(self, parent: int, wanted: bytes) -> bytes:
        """Return *wanted*, or it with a number behind if somebody has that name."""
        for name in _numbered(wanted):
            if await self._is_free(parent, name):
                return name
        raise AssertionError("there is always a further name")

    async def _is_free(self, parent: int, name: bytes) -> bool:
        taken = await self._metastore.load_edges(self._vol, [(parent, name), (parent, directory_skey(name))])
        return not taken and await self._metastore.load_alias(self._vol, parent, name) is None

    async def _cookie(self) -> int:
        return (await self._metastore.reserve(self._vol, "cookie", 1)).first


def _numbered(name: bytes) -> Iterator[bytes]:
    """Yield *name*, then it with 1, 2 and so on behind."""
    yield name
    number = 1
    while True:
        yield b"%s.%d" % (name, number)
        number += 1
