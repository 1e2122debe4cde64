"""The verbs that only look: getattr, lookup, access, readlink, readdir, fsstat (RFC 1813, section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from foundation.errors import InvalidArgument, NotFound, NotSymlink
from metastore.records import FIRST_COOKIE, ROOT_INO, FileType, Inode
from namespace.api import Attr, DirEntry, DirPage, FileId, FsStat, Looked
from namespace.attributes import attr_of, plain_attr
from namespace.authority import LIST, WALK, access_bits
from namespace.edit import Planned
from namespace.hall import Verbs
from namespace.names import nfs_name
from namespace.tree import find, open_directory

if TYPE_CHECKING:
    from metastore.records import Named
    from namespace.api import Caller
    from namespace.cache import Cache
    from namespace.view import View
    from namespace.volume import VolumeState

T = TypeVar("T")

#: File slots that FSSTAT tells of: inode numbers do not run out.
FILES_MAX = 1 << 40


class LookVerbs(Verbs):
    """What callers see of names and attributes."""

    async def root(self, vol: int) -> FileId:
        """Return the root directory of *vol*."""
        volume = await self._volumes.numbered(vol)
        return await self._engine.run(volume, lambda view: _answer(attr_of(view.live(ROOT_INO)[0]).file))

    async def getattr(self, _caller: Caller, file: FileId) -> Attr:
        """Return attributes; they need no right (RFC 1813, section 3.3.1)."""
        volume = await self._volumes.numbered(file.vol)
        return await self._engine.run(volume, lambda view: _answer(attr_of(view.file(file)[0])))

    async def lookup(self, caller: Caller, directory: FileId, name: bytes) -> Looked:
        """Find *name*; `.` and `..` included."""
        volume = await self._volumes.numbered(directory.vol)

        def plan(view: View) -> Planned[Looked]:
            entry, image = open_directory(view, directory)
            found, _ = view.live(_named_ino(view, caller, image, name))
            return _answer(Looked(attr_of(found), attr_of(entry)))

        return await self._engine.run(volume, plan, (directory,))

    async def access(self, caller: Caller, file: FileId, wanted: int) -> tuple[Attr, int]:
        """Return the file and those bits of *wanted* that the caller has."""
        volume = await self._volumes.numbered(file.vol)

        def plan(view: View) -> Planned[tuple[Attr, int]]:
            entry, image = view.file(file)
            return _answer((attr_of(entry), wanted & access_bits(caller, image)))

        return await self._engine.run(volume, plan, (file,))

    async def readlink(self, _caller: Caller, file: FileId) -> tuple[Attr, bytes]:
        """Return a symbolic link's text; raise NotSymlink."""
        volume = await self._volumes.numbered(file.vol)

        def plan(view: View) -> Planned[tuple[Attr, bytes]]:
            entry, image = view.file(file)
            if image.type != FileType.SYMLINK or image.target is None:
                raise NotSymlink("not a symbolic link")
            return _answer((attr_of(entry), image.target))

        return await self._engine.run(volume, plan, (file,))

    async def fsstat(self, caller: Caller, file: FileId) -> tuple[Attr, FsStat]:
        """Return the room that the storage nodes have."""
        attr = await self.getattr(caller, file)
        space = await self._bodies.space()
        return attr, FsStat(space.total, space.free, FILES_MAX, FILES_MAX)

    async def readdir(self, caller: Caller, directory: FileId, after: int, limit: int) -> DirPage:
        """Return at most *limit* entries with a cookie > *after*, by cookie (RFC 1813, section 3.3.16).

        The page is read from the database after all that this directory's view consults is durable, so it shows
        every change that anybody was told of, and nothing that a crash could take back (ADR 0060).
        """
        if limit < 1:
            raise InvalidArgument("a page has room for an entry")
        volume = await self._volumes.numbered(directory.vol)

        def plan(view: View) -> Planned[tuple[Attr, Attr]]:
            entry, image = open_directory(view, directory)
            LIST.require(caller, image)
            return _answer((attr_of(entry), attr_of(view.live(image.parent)[0])))

        here, above = await self._engine.run(volume, plan, (directory,))
        entries = [
            DirEntry(name, cookie, attr.file.ino, attr)
            for name, cookie, attr in ((b".", 1, here), (b"..", 2, above))
            if cookie > after
        ][:limit]
        if len(entries) == limit:
            return DirPage(here, tuple(entries), eof=False)
        room = limit - len(entries)
        page = await self._page(volume, directory.ino, max(after, FIRST_COOKIE - 1), room + 1)
        entries += page[:room]
        return DirPage(here, tuple(entries), eof=len(page) <= room)

    async def _page(self, volume: VolumeState, directory: int, after: int, limit: int) -> list[DirEntry]:
        """Return the next entries; attributes are those of the live inodes, which may be newer than the page."""
        cache = volume.cache
        token = cache.begin_load()
        try:
            page = await self._engine.metastore.page_by_cookie(volume.vol, directory, after, limit)
            batch, entries = _entered(cache, page)
        finally:
            cache.end_load(token)
        cache.make_room()
        await self._engine.release(volume, batch)
        return entries


def _entered(cache: Cache, page: list[Named]) -> tuple[int, list[DirEntry]]:
    """Enter a page's inodes, the first to go; return the highest batch they consult, and the entries."""
    batch, entries, inodes = 0, [], cache.inodes
    for named in page:
        edge = named.edge
        entry = inodes.get(edge.ino)
        if entry is None:
            cache.scanned(named.inode)
            attr: Attr | None = plain_attr(named.inode)
        else:
            batch = max(batch, entry.batch)
            attr = None if entry.image is None else attr_of(entry)
        entries.append(DirEntry(nfs_name(edge.skey, edge.alias), edge.cookie, edge.ino, attr))
    return batch, entries


def _answer(value: T) -> Planned[T]:
    """Return a plan that changes nothing and answers *value*."""
    return Planned(lambda: value)


def _named_ino(view: View, caller: Caller, directory: Inode, name: bytes) -> int:
    if name in (b".", b".."):
        WALK.require(caller, directory)
        return directory.ino if name == b"." else directory.parent
    edge = find(view, caller, directory, name)
    if edge is None:
        raise NotFound("no such name")
    return edge.ino
