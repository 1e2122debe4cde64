"""Resolve: bring into memory what a plan misses. Loaded rows never replace what is present (the late-load rule)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.aio import spawn
from namespace.view import (
    MAX_SIZE,
    NeedAlias,
    NeedEdges,
    NeedExtents,
    NeedFetch,
    NeedInode,
    NeedMeta,
    NeedNumbers,
    NeedPath,
)
from namespace.volume import BLOCK, LOW_WATER

if TYPE_CHECKING:
    from metastore.api import MetaStore
    from metastore.records import Named
    from namespace.view import Need
    from namespace.volume import VolumeState

#: Extents fetched by one query: a 1 GiB file of whole blobs has 256.
EXTENT_PAGE = 1024


class Loader:
    """Loads for all volumes of one gateway."""

    def __init__(self, metastore: MetaStore) -> None:
        """Load from *metastore*, which joins concurrent calls into one query."""
        self._metastore = metastore

    async def load(self, volume: VolumeState, need: Need) -> None:
        """Bring *need* into *volume*'s memory; raise what the metastore raises."""
        if isinstance(need, NeedNumbers):
            await self.reserve(volume, need.kind)
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
        """Load the body map from the start of the range on, a page at a time, until the range is known."""
        entry, start = need.entry, need.start
        extents = entry.extents
        while extents is not None and start < need.end:
            page = await self._metastore.load_extents(volume.vol, extents.content, start, EXTENT_PAGE)
            if entry.extents is not extents:
                return  # the content was replaced meanwhile; the plan looks again
            upto = page[-1].offset + page[-1].length if len(page) == EXTENT_PAGE else MAX_SIZE
            extents.learn(page, start, upto)
            volume.cache.recount(entry)
            start = upto

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


def learn_names(volume: VolumeState, found: list[Named]) -> None:
    """Enter loaded entries and their inodes."""
    for named in found:
        volume.cache.learn_inode(named.inode)
        volume.cache.learn_edge(named.edge.parent, named.edge.skey, named.edge)
