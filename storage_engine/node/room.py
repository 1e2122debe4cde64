"""Where the next records go: the active segment, the spare one made ahead, and the head-room kept before full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from foundation.aio import Promise, spawn
from foundation.errors import NoSpace

if TYPE_CHECKING:
    from foundation.clock import Clock
    from storage_engine.node.segments import SegmentFile, SegmentFolder
    from storage_engine.node.threads import Runner

_log = Logger()


class Room:
    """The supply of segments with room in them."""

    def __init__(
        self, folder: SegmentFolder, run: Runner, clock: Clock, headroom_bytes: int, capacity_bytes: int
    ) -> None:
        """Leave *headroom_bytes* of the disk to tombstones and compaction; use at most *capacity_bytes* (0 = all)."""
        self.segments: dict[int, SegmentFile] = {}
        self.active: SegmentFile | None = None
        self._folder = folder
        self._run = run
        self._clock = clock
        self._headroom_bytes = headroom_bytes
        self._capacity_bytes = capacity_bytes
        self._spare: SegmentFile | None = None
        self._making: Promise[None] | None = None
        self._last = 0

    def adopt(self, segment: SegmentFile) -> None:
        """Take in a segment found on the disk; one that is not sealed becomes the active one."""
        self.segments[segment.number] = segment
        if not segment.sealed:
            self.active = segment

    def skip(self, number: int) -> None:
        """Never use *number* for a new segment: a file of that name exists."""
        self._last = max(self._last, number)

    @property
    def file_bytes(self) -> int:
        """Return what the segments take of the disk, the spare one included."""
        used = sum(each.tail if each.sealed else each.header.size for each in self.segments.values())
        return used + (self._folder.segment_bytes if self._spare is not None or self._making is not None else 0)

    def available_bytes(self) -> int:
        """Return what may still be made into segments for blobs: without head-room, and not below 0."""
        available = self._folder.disk.available_bytes(self._folder.folder) - self._headroom_bytes
        if self._capacity_bytes:
            available = min(available, self._capacity_bytes - self.file_bytes)
        return max(0, available)

    def has(self, span: int) -> bool:
        """Return whether a record of *span* bytes finds room without using the head-room."""
        if self.active is not None and self.active.fits(span):
            return True
        return self._spare is not None or self._making is not None or self._may_make(essential=False)

    def _may_make(self, *, essential: bool) -> bool:
        if essential:
            return self._folder.disk.available_bytes(self._folder.folder) >= self._folder.segment_bytes
        return self.available_bytes() >= self._folder.segment_bytes

    async def segment_for(self, span: int, *, essential: bool) -> SegmentFile:
        """Return the active segment, a new one when *span* bytes do not fit; raise NoSpace."""
        while self.active is None or not self.active.fits(span):
            if self._spare is None and self._making is None:
                if not self._may_make(essential=essential):
                    raise NoSpace("the disk is full up to its head-room")
                self._make()
            if self._making is not None:
                await self._making
            if self._spare is not None:
                await self._roll()
        return self.active

    async def _roll(self) -> None:
        """Make the spare segment the active one. All of the old one is durable: batches end before they roll."""
        old, self.active, self._spare = self.active, self._spare, None
        assert self.active is not None
        self.segments[self.active.number] = self.active
        if old is not None:
            await self.seal(old)

    async def seal(self, segment: SegmentFile) -> None:
        """Let *segment* take no more records."""
        segment.sealed = True
        fd = self._folder.hold(segment)
        try:
            await self._run(lambda: self._folder.seal(segment, fd))
        finally:
            self._folder.release(segment)

    def prepare(self) -> None:
        """Make the spare segment ahead, when the active one is half full and the disk has room for it."""
        active = self.active
        if active is None or self._spare is not None or self._making is not None:
            return
        if active.tail * 2 > active.header.size and self._may_make(essential=False):
            self._make()

    def _make(self) -> None:
        """Start to make the spare segment; an error ends the wait of those who need it."""
        self._last += 1
        number, making = self._last, Promise[None]()
        self._making = making

        async def make() -> None:
            try:
                self._spare = await self._run(lambda: self._folder.create(number, self._clock.now_ns()))
            except (OSError, NoSpace) as error:
                _log.error("segment {number:016x} could not be made: {error}", number=number, error=error)
                self._making = None
                making.fail(error)
            else:
                self._making = None
                making.resolve(None)

        spawn("make a segment", make())

    def drop(self, segment: SegmentFile) -> None:
        """Forget a segment that has left the disk."""
        del self.segments[segment.number]
