"""ListObjects: keys in exact byte order, a page in O(page + depth) (DESIGN 3.2).

Every page is read from the database, and waits only for what its rights rest on, the directories of the prefix
(ADR 0060): whatever anybody was told before the call is durable, hence in it, and nothing of it can be taken back.

A page is one walk that is steered: past directories whose names the caller may not see, and over those of which every
key rolls up into one common prefix. What lies in either costs nothing. With the delimiter `/` that is a scan of one
directory, with others a walk for each group of keys that is larger than what was read ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.api import Step
from metastore.records import ROOT_INO, FileType, InodeFlag
from namespace.api import Listing, ListRequest, ObjectInfo
from namespace.authority import LIST_KEYS, may_list
from namespace.edit import Planned
from namespace.hall import Verbs
from namespace.metadata import validators
from namespace.names import successor

if TYPE_CHECKING:
    from metastore.api import Steer
    from metastore.records import Inode, KeyEntry
    from namespace.api import Caller
    from namespace.view import View
    from namespace.volume import VolumeState

#: What a listing does not tell of its objects.
_UNTOLD: dict[str, str] = {}
#: Keys read ahead when the last walk ended in a group much larger than the page.
_FEWEST_AHEAD = 16


class ListVerb(Verbs):
    """ListObjects."""

    async def list_objects(self, caller: Caller, bucket: str, request: ListRequest) -> Listing:
        """Return one page of keys and common prefixes that *caller* may see; raise AccessDenied for a closed root."""
        volume = await self._volumes.named(bucket)
        base = request.prefix[: request.prefix.rfind(b"/") + 1]
        top = await self._engine.run(volume, lambda view: _plan_list(view, caller, base))
        if top is None or request.limit <= 0:
            return Listing((), (), None, volume.row.owner)
        page = _Page(request, len(base))
        # The directory of the prefix is a key itself, where the prefix is no more than its path.
        if base and base == request.prefix == page.lower and top.flags & InodeFlag.EXPLICIT:
            page.add(base, top)
        await self._fill(volume, caller, top.ino, page)
        return page.listing(volume.row.owner)

    async def _fill(self, volume: VolumeState, caller: Caller, top: int, page: _Page) -> None:
        """Walk below the directory *top* of the prefix until *page* and whether another follows are known."""
        request, base = page.request, page.request.prefix[: page.base]
        name = request.prefix[page.base :]
        upper = successor(name) if name else None
        steer = _steering(caller, request, base)
        ahead = page.room + 1
        while not page.more and page.lower is not None and page.lower.startswith(base):
            wanted = min(page.room + 1, ahead)
            lower = page.lower[page.base :]
            if upper is not None and lower >= upper:
                return
            entries = await self._engine.metastore.walk(volume.vol, top, lower, upper, wanted, steer)
            before = page.room
            page.take(base, entries)
            if len(entries) < wanted:
                return
            ahead = max(_FEWEST_AHEAD, 4 * (before - page.room))


def _plan_list(view: View, caller: Caller, base: bytes) -> Planned[Inode | None]:
    """Return the directory with the path *base* (empty, or ending in `/`); None if the caller sees nothing below it."""
    _, root = view.live(ROOT_INO)
    LIST_KEYS.require(caller, root, acl=view.volume.acl)
    skeys = [name + b"/" for name in base.split(b"/")[:-1]]
    found = view.path(ROOT_INO, skeys)
    seen = len(found) == len(skeys) and all(may_list(caller, image) for image in found)
    top = [root, *found][-1] if seen else None
    return Planned(lambda: top)


def _steering(caller: Caller, request: ListRequest, base: bytes) -> Steer:
    """Return how the walk below *base* goes: paths it is asked about are relative to *base*."""
    delimiter, start = request.delimiter, len(request.prefix) - len(base)

    def steer(path: bytes, inode: Inode) -> Step:
        if not may_list(caller, inode):
            return Step.PAST
        if delimiter and path.find(delimiter, start) >= 0:
            return Step.OVER
        return Step.INTO

    return steer


class _Page:
    """A page that fills up; one key more than fits tells that another page follows."""

    def __init__(self, request: ListRequest, base: int) -> None:
        self.request = request
        self.base = base  # how much of the prefix is the path of a directory
        self.room = request.limit  # how many keys and common prefixes still fit
        self.more = False  # another page follows
        self.lower = _first_key(request)  # the least key that may come next; None: there is none
        self._contents: list[ObjectInfo] = []
        self._prefixes: list[bytes] = []
        self._last = b""

    def take(self, base: bytes, entries: list[KeyEntry]) -> None:
        """Add the next keys in order, rolled up into common prefixes by the delimiter."""
        group = None
        if self.request.delimiter:
            group = self._roll_up(base, entries)
        else:
            self._add_all(base, entries)
        if entries and not self.more:
            self.lower = base + entries[-1].path + b"\0" if group is None else successor(group)

    def _add_all(self, base: bytes, entries: list[KeyEntry]) -> None:
        """Add *entries* as they are."""
        first = 0
        if entries and self._last == base + entries[0].path and self._contents:
            # The object `dir/` with a body, in an explicit directory: the key is listed once.
            self._contents[-1] = _listed(self._last, entries[0].inode)
            first = 1
        self.more = len(entries) - first > self.room
        new = [_listed(base + entry.path, entry.inode) for entry in entries[first : first + self.room]]
        if new:
            self._contents += new
            self.room -= len(new)
            self._last = new[-1].key

    def _roll_up(self, base: bytes, entries: list[KeyEntry]) -> bytes | None:
        """Add *entries* or their common prefixes; return the common prefix of the last."""
        delimiter, start, group = self.request.delimiter, len(self.request.prefix), None
        for entry in entries:
            key = base + entry.path
            if group is not None and key.startswith(group):
                continue
            cut = key.find(delimiter, start)
            group = key[: cut + len(delimiter)] if cut >= 0 else None
            if group is None:
                self.add(key, entry.inode)
            elif self._takes(group):
                self._prefixes.append(group)
            if self.more:
                break
        return group

    def add(self, key: bytes, image: Inode) -> None:
        """Add a key."""
        if self._last == key and self._contents:
            self._contents[-1] = _listed(key, image)
        elif self._takes(key):
            self._contents.append(_listed(key, image))

    def _takes(self, key: bytes) -> bool:
        if self.room:
            self.room -= 1
            self._last = key
            return True
        self.more = True
        return False

    def listing(self, account: str) -> Listing:
        """Return the page of a bucket of *account*."""
        return Listing(tuple(self._contents), tuple(self._prefixes), self._last if self.more else None, account)


def _first_key(request: ListRequest) -> bytes | None:
    """Return the least key that may be listed; None if there can be none.

    A key after `after` is not listed if its common prefix is not: one that was the last thing of the former page, or
    lies before a key given as start-after.
    """
    prefix, after, delimiter = request.prefix, request.after, request.delimiter
    if after < prefix:
        return prefix
    if not after.startswith(prefix):
        return None
    cut = after.find(delimiter, len(prefix)) if delimiter else -1
    if cut >= 0:
        return successor(after[: cut + len(delimiter)])
    return after + b"\0" if after else b""


def _listed(key: bytes, image: Inode) -> ObjectInfo:
    """Return what a listing tells of an object: what stands in the inode. Headers and metadata would be loads."""
    size = 0 if image.type == FileType.DIRECTORY else image.size
    return ObjectInfo(key, size, *validators(image), _UNTOLD, _UNTOLD, _UNTOLD, uid=image.uid)
