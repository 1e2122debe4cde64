"""Open objects: one content, kept readable to the end, in memory that does not grow with it (DESIGN 3.3).

A body map of a few rows is copied when the object is opened. A longer one stays in the table and is read window by
window: a content's rows change only by a plan of this gateway, and a plan that is about to change or detach a content
with open readers first lets them keep it (`View.settle_readers`): the rest of the map is then loaded once, for all its
readers, into four arrays (32 bytes per extent; the 1.3 million of a 5 TiB object take 42 MB). Before that no row has
changed, after it no reader looks at the table, so all bytes are of one content.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

from foundation.aio import Promise
from metastore.records import Extent
from namespace.reading import committed_pieces, fetch

if TYPE_CHECKING:
    from metastore.api import MetaStore
    from metastore.records import Inode
    from namespace.api import Buffer, ObjectInfo
    from namespace.cache import InodeEntry
    from namespace.engine import Engine
    from namespace.view import View
    from namespace.volume import VolumeState
    from storage_engine.api import BodyStore

#: Extents in memory for one open object; a body map with no more rows is copied at once.
WINDOW = 1024
_offset = attrgetter("offset")


class Frozen:
    """A whole body map, packed."""

    __slots__ = ("_blob_offsets", "_blobs", "_lengths", "_offsets")

    def __init__(self) -> None:
        """Begin with no extent."""
        self._offsets, self._lengths, self._blobs, self._blob_offsets = (array("q") for _ in range(4))

    def append(self, extents: Sequence[Extent]) -> None:
        """Add the next *extents*, by offset."""
        for extent in extents:
            self._offsets.append(extent.offset)
            self._lengths.append(extent.length)
            self._blobs.append(extent.blob)
            self._blob_offsets.append(extent.blob_offset)

    def touching(self, volume: VolumeState, content: int, start: int, end: int) -> list[Extent]:
        """Return the extents that may have a byte in [start, end)."""
        first = max(0, bisect_right(self._offsets, start) - 1)
        last = bisect_right(self._offsets, end)
        columns = (each[first:last] for each in (self._offsets, self._lengths, self._blobs, self._blob_offsets))
        return [Extent(volume.vol, content, *row) for row in zip(*columns, strict=True)]


class Snapshot:
    """A long body map as its open readers see it: the rows in the table, or, once they change, a frozen copy."""

    def __init__(self, volume: VolumeState, content: int) -> None:
        """Keep *content*, which no change may touch from now on without a call of `freeze`."""
        self.volume = volume
        self.content = content
        self.frozen: Frozen | None = None
        self._readers = 0
        self._freezing: Promise[None] | None = None
        self._confirmed = False

    def open(self) -> None:
        """Count one more reader."""
        self._readers += 1
        self.volume.snapshots[self.content] = self

    def close(self) -> None:
        """Count one reader less; after the last nobody needs the rows."""
        self._readers -= 1
        if not self._readers:
            self._leave_table()

    def _leave_table(self) -> None:
        if self.volume.snapshots.get(self.content) is self:
            del self.volume.snapshots[self.content]

    async def freeze(self, metastore: MetaStore) -> None:
        """Load the whole map, once for all who ask; readers use it from then on."""
        if self._freezing is None:
            self._freezing = Promise()
            try:
                frozen = await self._load(metastore)
            except BaseException as error:
                failed, self._freezing = self._freezing, None
                failed.fail(error)
                raise
            self.frozen = frozen
            self._leave_table()
            self._freezing.resolve(None)
        await self._freezing

    def confirm(self, engine: Engine) -> None:
        """Raise NoReply unless the frozen copy was loaded while nobody else could change the rows."""
        if not self._confirmed:
            engine.confirm(self.volume)
            self._confirmed = True

    async def _load(self, metastore: MetaStore) -> Frozen:
        # What the readers saw may be queued still; the table shows it once that is durable.
        if self.volume.last_batch > metastore.durable:
            await metastore.wait(self.volume.vol, self.volume.last_batch)
        frozen, start = Frozen(), 0
        while self._readers:
            page = await metastore.load_extents(self.volume.vol, self.content, start, WINDOW)
            frozen.append(page)
            if len(page) < WINDOW:
                break
            start = page[-1].offset + page[-1].length
        return frozen


#: What an object's reader reads: a short body map, copied, or a long one.
Pinned: TypeAlias = Sequence[Extent] | Snapshot


def pin(view: View, entry: InodeEntry, image: Inode) -> Pinned:
    """Return *image*'s content as it is to be read; for a Snapshot call `open` when the plan is installed."""
    if image.extents <= WINDOW:
        return list(view.extents(entry, 0, image.size).extents)
    return view.volume.snapshots.get(image.content) or Snapshot(view.volume, image.content)


class ObjectReader:
    """One content of an object, kept readable until `close`."""

    def __init__(
        self,
        info: ObjectInfo,
        pinned: Pinned,
        volume: VolumeState,
        rooms: tuple[Engine, BodyStore],
        token: object,
    ) -> None:
        """Read the bytes of *pinned*; *token* keeps their blobs."""
        self.info = info
        self._extents: Sequence[Extent] = () if isinstance(pinned, Snapshot) else pinned
        self._snapshot = pinned if isinstance(pinned, Snapshot) else None
        self._known = (0, 0) if self._snapshot is not None else (0, info.size)
        self._volume = volume
        self._engine, self._bodies = rooms
        self._token = token

    async def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """Return exactly *length* bytes, which must lie inside the object."""
        extents = await self._touching(offset, offset + length)
        return await fetch(self._bodies, self._volume, committed_pieces(extents, offset, length))

    async def _touching(self, start: int, end: int) -> Sequence[Extent]:
        """Return the extents that have a byte in [start, end)."""
        if self._snapshot is not None and not self._known[0] <= start <= end <= self._known[1]:
            extents = await self._window(self._snapshot, start, end)
            if self._snapshot.frozen is not None:
                self._snapshot.confirm(self._engine)
                return self._snapshot.frozen.touching(self._volume, self._snapshot.content, start, end)
        else:
            extents = self._extents
        first = max(0, bisect_right(extents, start, key=_offset) - 1)
        last = bisect_right(extents, end, key=_offset)
        return extents[first:last]

    async def _window(self, snapshot: Snapshot, start: int, end: int) -> Sequence[Extent]:
        """Load the extents from *start* on, at least to *end*; frozen meanwhile, they are of no use."""
        extents: list[Extent] = []
        position = start
        while position < end and snapshot.frozen is None:
            page = await self._engine.metastore.load_extents(self._volume.vol, snapshot.content, position, WINDOW)
            await self._engine.release(self._volume, 0)  # a successor may have changed the rows
            extents += page
            position = page[-1].offset + page[-1].length if len(page) == WINDOW else self.info.size
        if snapshot.frozen is None:
            self._extents, self._known = extents, (start, position)
        return extents

    def close(self) -> None:
        """Let the content go."""
        if self._snapshot is not None:
            self._snapshot.close()
        self._volume.end_read(self._token)
