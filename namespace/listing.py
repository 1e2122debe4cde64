"""ListObjects: keys in exact byte order, a page in O(page + depth) (DESIGN 3.2).

Every page is read from the database after all changes of the volume made so far are durable (ADR 0060): each of its
keys is as new as every answer given before the call, or newer, and nothing of it can be taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import InvalidName, NameTooLong
from metastore.records import ROOT_INO, InodeFlag
from namespace.api import Listing, ListRequest
from namespace.authority import READ, authorize
from namespace.edit import Planned
from namespace.hall import Verbs
from namespace.names import is_directory_skey, key_components, successor
from namespace.objects import object_info

if TYPE_CHECKING:
    from metastore.records import Inode, KeyEntry
    from namespace.api import Caller, ObjectInfo
    from namespace.view import View
    from namespace.volume import VolumeState


class ListVerb(Verbs):
    """ListObjects."""

    async def list_objects(self, caller: Caller, bucket: str, request: ListRequest) -> Listing:
        """Return one page of keys and common prefixes."""
        volume = await self._volumes.named(bucket)
        await self._engine.run(volume, lambda view: _plan_list(view, caller))
        await self._engine.settled(volume)
        if request.limit <= 0:
            return Listing((), (), None)
        page = _Page(request)
        if request.delimiter == b"/":
            await self._level(volume, page)
        else:
            await self._walk(volume, page)
        return page.listing()

    async def _level(self, volume: VolumeState, page: _Page) -> None:
        """Fill *page* from one directory: its sub-directories are the common prefixes."""
        request = page.request
        path, slash, rest = request.prefix.rpartition(b"/")
        base = path + slash
        directory = await self._directory(volume, base)
        if directory is None:
            return
        if slash and not rest and directory.flags & InodeFlag.EXPLICIT and base > request.after:
            page.add(base, directory)
        lower = max(rest, _first_after(request.after, base))
        upper = successor(rest) if rest else None
        while not page.full:
            wanted = page.room + 1
            named = await self._engine.metastore.page_by_skey(volume.vol, directory.ino, lower, upper, wanted)
            for each in named:
                key = base + each.edge.skey
                if is_directory_skey(each.edge.skey):
                    page.add_prefix(key)
                else:
                    page.add(key, each.inode)
            if len(named) < wanted:
                return
            lower = named[-1].edge.skey + b"\0"

    async def _directory(self, volume: VolumeState, base: bytes) -> Inode | None:
        """Return the directory of the path *base* (empty, or ending in `/`); None if no key can begin so."""
        try:
            components = key_components(base) if base else []
        except (InvalidName, NameTooLong):
            return None

        def plan(view: View) -> Planned[Inode | None]:
            found = [view.live(ROOT_INO)[1], *view.path(ROOT_INO, components)]
            image = found[-1] if len(found) == len(components) + 1 else None
            return Planned(lambda: image)

        return await self._engine.run(volume, plan)

    async def _walk(self, volume: VolumeState, page: _Page) -> None:
        """Fill *page* depth first; with a delimiter, skip what rolls up into each common prefix."""
        request = page.request
        lower = max(request.prefix, request.after + b"\0" if request.after else b"")
        upper = successor(request.prefix) if request.prefix else None
        while not page.full:
            wanted = page.room + 1
            entries = await self._engine.metastore.walk(volume.vol, ROOT_INO, lower, upper, wanted)
            skip_to = self._take(page, entries)
            if skip_to is not None:
                if upper is not None and skip_to >= upper:
                    return
                lower = skip_to
            elif len(entries) < wanted:
                return
            else:
                lower = entries[-1].path + b"\0"

    @staticmethod
    def _take(page: _Page, entries: list[KeyEntry]) -> bytes | None:
        """Add *entries*; return where to go on if one rolled up into a common prefix."""
        request = page.request
        for entry in entries:
            if request.delimiter:
                cut = entry.path.find(request.delimiter, len(request.prefix))
                if cut >= 0:
                    prefix = entry.path[: cut + len(request.delimiter)]
                    page.add_prefix(prefix)
                    return successor(prefix) or b"\xff"
            page.add(entry.path, entry.inode)
        return None


class _Page:
    """A page that fills up; one key more than fits tells that another page follows."""

    def __init__(self, request: ListRequest) -> None:
        self.request = request
        self._contents: list[ObjectInfo] = []
        self._prefixes: list[bytes] = []
        self._last = b""
        self._more = False

    @property
    def room(self) -> int:
        """Return how many keys still fit."""
        return self.request.limit - len(self._contents) - len(self._prefixes)

    @property
    def full(self) -> bool:
        """Tell whether the page, and whether another follows, is known."""
        return self._more

    def add(self, key: bytes, image: Inode) -> None:
        """Add a key."""
        if self._last == key and self._contents:
            self._contents[-1] = object_info(key, image, None)  # the body of `dir/`, in an explicit directory
        elif self._takes(key):
            self._contents.append(object_info(key, image, None))

    def add_prefix(self, prefix: bytes) -> None:
        """Add a common prefix, unless it was on an earlier page."""
        if prefix > self.request.after and self._takes(prefix):
            self._prefixes.append(prefix)

    def _takes(self, key: bytes) -> bool:
        if self.room > 0:
            self._last = key
            return True
        self._more = True
        return False

    def listing(self) -> Listing:
        """Return the page."""
        return Listing(tuple(self._contents), tuple(self._prefixes), self._last if self._more else None)


def _plan_list(view: View, caller: Caller) -> Planned[None]:
    _, root = view.live(ROOT_INO)
    authorize(caller, root, READ)
    return Planned(lambda: None)


def _first_after(after: bytes, base: bytes) -> bytes:
    """Return the least skey of the directory at *base* whose key is greater than *after*."""
    if after < base:
        return b""
    if not after.startswith(base):
        return b"\xff"
    name, slash, _ = after[len(base) :].partition(b"/")
    return name + slash + b"\0"
