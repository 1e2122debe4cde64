"""Getting the space of deleted blobs back: sealed segments that hold little are copied forward and unlinked.

One segment at a time, in this order, so that a crash at any point leaves every live blob, every needed tombstone and
the closed epochs in at least one segment, and copies of a blob are equal:

1. read the headers of the segment (in a thread);
2. append its live blobs, verified, its needed tombstones and its EPOCHS, if it is the newest, to the end of the log;
3. when they are durable, check that nothing live or needed is left in it;
4. unlink it and sync the folder; only then are its records gone, and tombstones that waited for that are let go.

A segment that holds damage is never reclaimed. Reads and writes go on: reads of an unlinked segment keep its
descriptor, copies are appends like any other, and at most `_CHUNK` of them wait at a time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.logger import Logger

from foundation.aio import gather
from foundation.crash import crash_point
from storage_engine.node.index import TOMBSTONE_BYTES, Location
from storage_engine.node.scan import scan_segment
from storage_engine.wire.frames import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foundation.clock import Clock
    from storage_engine.api import BlobId
    from storage_engine.node.records import Record
    from storage_engine.node.scan import Scan
    from storage_engine.node.segments import SegmentFile, SegmentFolder
    from storage_engine.node.store import Store
    from storage_engine.node.threads import Runner

_log = Logger()
_AFTER_COPY = crash_point("node.reclaim.after_copy")
_AFTER_UNLINK = crash_point("node.reclaim.after_unlink")
#: A sealed segment is copied forward when less than this part of it is worth keeping: each byte freed costs at most
#: one byte copied.
_WORTH_KEEPING = 0.5
_CHUNK = 8
_TOMBSTONES_AT_ONCE = 4096


class Reclaim:
    """The background duty of one node."""

    def __init__(self, store: Store, folder: SegmentFolder, run: Runner, clock: Clock) -> None:
        """Reclaim what *store* does not need; *run* does what blocks."""
        self._store = store
        self._folder = folder
        self._run = run
        self._clock = clock

    async def step(self) -> bool:
        """Reclaim the segment that is worth least; return False when none is worth the work."""
        self._store.index.prune(self._clock.boottime_seconds())
        segment = self._candidate()
        if segment is None or self._store.log.error is not None:
            return False
        try:
            return await self._reclaim(segment)
        except Refusal as refusal:
            # Damage was found on the way (and pins the segment now), or there is no room: it stays as it is.
            _log.warn("segment {number:016x} stays: {refusal}", number=segment.number, refusal=refusal)
            return False

    def _candidate(self) -> SegmentFile | None:
        best: tuple[float, int] | None = None
        for number, segment in self._store.room.segments.items():
            use = self._store.index.use(number)
            if not segment.sealed or use.pinned:
                continue
            worth = (use.live_bytes + TOMBSTONE_BYTES * use.tombs) / segment.tail
            if worth < _WORTH_KEEPING and (best is None or (worth, number) < best):
                best = (worth, number)
        return None if best is None else self._store.room.segments[best[1]]

    async def _reclaim(self, segment: SegmentFile) -> bool:
        scan = await self._run(lambda: _scan(segment))
        if scan.header != segment.header or scan.damage:
            self._store.note_damage(segment.number, "it does not read as it was written")
            return False
        await self._copy_blobs(segment, scan.blobs)
        await self._copy_rest(segment)
        _AFTER_COPY()
        use = self._store.index.use(segment.number)
        if use.blobs or use.tombs or use.pinned or self._store.index.epochs_home == segment.number:
            return False
        await self._run(lambda: self._folder.unlink(segment))
        _AFTER_UNLINK()
        self._store.room.drop(segment)
        self._folder.forget(segment)
        self._store.index.segment_gone(segment.number)
        for _, record in scan.blobs:
            self._store.index.record_gone(record.blob)
        _log.info("segment {number:016x} is reclaimed", number=segment.number)
        return True

    async def _copy_blobs(self, segment: SegmentFile, records: Sequence[tuple[int, Record]]) -> None:
        live = [
            (record.blob, location)
            for position, record in records
            if self._store.index.find(record.blob) == (location := Location(segment.number, position, record.length))
        ]
        for start in range(0, len(live), _CHUNK):
            await gather(self._copy_blob(blob, location) for blob, location in live[start : start + _CHUNK])

    async def _copy_blob(self, blob: BlobId, location: Location) -> None:
        if self._store.index.find(blob) == location:  # not deleted meanwhile
            put = await self._store.fetch_at(blob, location)
            await self._store.move(put, location)

    async def _copy_rest(self, segment: SegmentFile) -> None:
        index = self._store.index
        tombstones = list(index.tombstones(segment.number))
        for start in range(0, len(tombstones), _TOMBSTONES_AT_ONCE):
            await self._store.rebury(tombstones[start : start + _TOMBSTONES_AT_ONCE])
        if index.epochs_home == segment.number:
            await self._store.write_epochs(dict(index.closed))


def _scan(segment: SegmentFile) -> Scan:
    fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return scan_segment(fd)
    finally:
        os.close(fd)
