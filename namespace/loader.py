"""Resolve: bring into memory what a plan misses. Loaded rows never replace what is present (the late-load rule)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.aio import spawn
from namespace.extents import ExtentMap
from namespace.view import (
    MAX_SIZE,
    NeedAlias,
    NeedCopy,
    NeedEdges,
    NeedExtents,
    NeedFetch,
    NeedInode,
    NeedMeta,
    NeedName,
    NeedNullVersion,
    NeedNumbers,
    NeedPath,
    NeedRoom,
    NeedVersions,
)
from namespace.volume import BLOCK, LOW_WATER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from metastore.api import MetaStore
    from metastore.records import Inode, Named
    from namespace.cache import InodeEntry
    from namespace.view import Need
    from namespace.volume import VolumeState

#: Extents fetched by one query: a 1 GiB file of whole blobs has 256.
EXTENT_PAGE = 1024
#: Versions of one name fetched by one query: a change needs the newest one or two.
VERSION_PAGE = 4
#: Extents fetched for each of many ranges: what a flush of scattered writes needs lies around each.
SCATTERED_PAGE = 32
#: A map with more extents than this forgets them when the next ones are needed.
MAP_EXTENTS = 1 << 16


class Loader:
    """Loads for all volumes of one gateway."""

    def __init__(self, metastore: MetaStore) -> None:
        """Load from *metastore*, which joins concurrent calls into one query."""
        self._metastore = metastore
        #: Copies a body map that is too long for one Change.
        self.copy: Callable[[VolumeState, InodeEntry], Awaitable[None]] = _no_copy
        #: Called with the volume and the file whose body map a load has shown.
        self.mapped: Callable[[VolumeState, Inode], object] = lambda _volume, _image: None

    async def load(self, volume: VolumeState, need: Need) -> None:
        """Bring *need* into *volume*'s memory; raise what the metastore raises."""
        if isinstance(need, NeedNumbers):
            await self.reserve(volume, need.kind)
            return
        if isinstance(need, NeedRoom):
            await need.wait()  # no load: nothing is kept from eviction meanwhile
            return
        if isinstance(need, NeedCopy):
            await self.copy(volume, need.entry)  # no load either, but many
            return
        token = volume.cache.begin_load()
        try:
            await self._load_rows(volume, need)
        finally:
            volume.cache.end_load(token)

    async def _load_rows(self, volume: VolumeState, need: Need) -> None:
        match need:
            case NeedInode(ino):
                await self._inode(volume, ino)
            case NeedEdges(parent, skeys):
                await self._edges(volume, parent, skeys)
            case NeedAlias(parent, alias):
                await self._alias(volume, parent, alias)
            case NeedPath(top, components):
                await self._path(volume, top, components)
            case NeedExtents():
                await self._extents(volume, need)
            case NeedFetch(fetch, arguments):
                await fetch(self._metastore, *arguments)
            case NeedMeta(entry):
                volume.cache.learn_meta(entry, await self._metastore.load_meta(volume.vol, entry.ino))
            case NeedVersions() | NeedNullVersion() | NeedName():
                await self._history(volume, need)

    async def _history(self, volume: VolumeState, need: NeedVersions | NeedNullVersion | NeedName) -> None:
        match need:
            case NeedVersions(parent, skey, start):
                page = await self._metastore.load_versions(volume.vol, parent, skey, start, VERSION_PAGE)
                volume.cache.history(parent, skey).learn(page, start, whole=len(page) < VERSION_PAGE)
            case NeedNullVersion(parent, skey):
                row = await self._metastore.load_null_version(volume.vol, parent, skey)
                volume.cache.history(parent, skey).learn_null(row)
            case NeedName(entry):
                await self._name(volume, entry)

    async def _name(self, volume: VolumeState, entry: InodeEntry) -> None:
        """Ask which name the inode has once all that may have changed it is durable; the plan looks at it again."""
        await self._metastore.wait(volume.vol, volume.last_batch)
        for edge in await self._metastore.load_names(volume.vol, entry.ino, 1):
            entry.name = (edge.parent, edge.skey)
            volume.cache.learn_edge(edge.parent, edge.skey, edge)

    async def _inode(self, volume: VolumeState, ino: int) -> None:
        for image in await self._metastore.load_inodes(volume.vol, [ino]):
            volume.cache.learn_inode(image)
        volume.cache.learn_no_inode(ino)

    async def _edges(self, volume: VolumeState, parent: int, skeys: tuple[bytes, ...]) -> None:
        found = await self._metastore.load_edges(volume.vol, [(parent, skey) for skey in skeys])
        learn_names(volume, found)
        for skey in skeys:
            volume.cache.learn_edge(parent, skey, None)

    async def _alias(self, volume: VolumeState, parent: int, alias: bytes) -> None:
        found = await self._metastore.load_alias(volume.vol, parent, alias)
        learn_names(volume, [] if found is None else [found])
        volume.cache.learn_alias(parent, alias, None if found is None else found.edge)

    async def _path(self, volume: VolumeState, top: int, components: tuple[bytes, ...]) -> None:
        found = await self._metastore.resolve_path(volume.vol, top, components)
        learn_names(volume, found)
        if top not in volume.cache.inodes:
            await self._inode(volume, top)
        if len(found) < len(components):
            parent = found[-1].inode.ino if found else top
            volume.cache.learn_edge(parent, components[len(found)], None)

    async def _extents(self, volume: VolumeState, need: NeedExtents) -> None:
        """Load the parts of the body map that are needed, each a page at a time, until it is known.

        A map that has grown very long gives way to a new one, which knows only what this operation needs. That is
        eviction, and needs what eviction needs: the map's last change is durable before the load begins. Loads
        under way into the old map see that it is not the file's any more.
        """
        entry = need.entry
        extents = entry.extents
        if extents is None:
            return
        if len(extents.extents) > MAP_EXTENTS and entry.batch <= self._metastore.durable:
            extents = entry.extents = ExtentMap(extents.content)
            volume.cache.recount(entry)
        page_size = EXTENT_PAGE if len(need.ranges) == 1 else SCATTERED_PAGE
        for start, end in need.ranges:
            if not await self._extent_range(volume, entry, extents, (start, end), page_size):
                return
        if entry.image is not None:
            self.mapped(volume, entry.image)

    async def _extent_range(
        self, volume: VolumeState, entry: InodeEntry, extents: ExtentMap, wanted: tuple[int, int], page_size: int
    ) -> bool:
        """Make one range known; tell whether *extents* is still the file's map."""
        start, end = wanted
        while start < end and not extents.known.covers_range(start, end):
            page = await self._metastore.load_extents(volume.vol, extents.content, start, page_size)
            if entry.extents is not extents:
                return False  # the content was replaced meanwhile; the plan looks again
            upto = page[-1].end if len(page) == page_size else MAX_SIZE
            extents.learn(page, start, upto)
            volume.cache.recount(entry)
            start = upto
        return True

    async def reserve(self, volume: VolumeState, kind: str) -> None:
        """Add a block of numbers to the pool of *kind*."""
        if kind == "blob":
            block = await self._metastore.reserve_blobs(volume.vol, BLOCK)
        else:
            block = await self._metastore.reserve(volume.vol, kind, BLOCK)
        volume.numbers[kind].add(block)

    def top_up(self, volume: VolumeState) -> None:
        """Fetch further blocks, in the background, for pools that run low."""
        for kind, pool in volume.numbers.items():
            if pool.left < LOW_WATER and not pool.fetching:
                pool.fetching = True
                spawn(f"reserve {kind}", self._top_up(volume, kind))

    async def _top_up(self, volume: VolumeState, kind: str) -> None:
        try:
            await self.reserve(volume, kind)
        finally:
            volume.numbers[kind].fetching = False


async def _no_copy(_volume: VolumeState, _entry: InodeEntry) -> None:
    raise RuntimeError("nobody copies body maps")


def learn_names(volume: VolumeState, found: list[Named]) -> None:
    """Enter loaded entries and their inodes."""
    for named in found:
        volume.cache.learn_inode(named.inode)
        volume.cache.learn_edge(named.edge.parent, named.edge.skey, named.edge)
