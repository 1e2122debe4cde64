"""Start: rebuild the index from the segments, and leave the disk in a state that new records may follow.

What a crash cut is settled here once: unsealed segments are synced first (a record that is only in the page cache
must not be answered for), then their pages are dropped from the cache (after a failed fdatasync the cache may hold
what the disk does not), then they are read and verified. The last of them goes on as the active segment when nothing
but zeros follows its tail; any other gets its seal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.logger import Logger

from storage_engine.node.identity import WrongDisk
from storage_engine.node.index import Index, Location
from storage_engine.node.records import SEAL_POSITION
from storage_engine.node.scan import scan_segment
from storage_engine.node.segments import SegmentFile, is_zero

if TYPE_CHECKING:
    from foundation.clock import Clock
    from storage_engine.node.quarantine import Quarantine
    from storage_engine.node.records import Tombstone
    from storage_engine.node.room import Room
    from storage_engine.node.scan import Scan
    from storage_engine.node.segments import SegmentFolder

_log = Logger()


class Recovery:
    """One reading of a node's folder."""

    def __init__(self, folder: SegmentFolder, room: Room, quarantine: Quarantine, clock: Clock) -> None:
        """Fill *room* and a new index from *folder*."""
        self.index = Index()
        self._folder = folder
        self._room = room
        self._quarantine = quarantine
        self._clock = clock
        self._tombstones: list[tuple[Tombstone, int]] = []

    def run(self, node_uuid: bytes) -> Index:
        """Return the index; raise WrongDisk for another node's segment, UnknownFormat for a newer one."""
        numbers = self._folder.numbers()
        for number in numbers:
            self._read_segment(number, node_uuid, is_last=number == numbers[-1])
        now_seconds = self._clock.boottime_seconds()
        for tombstone, home in self._tombstones:
            self.index.bury(tombstone, home, now_seconds)
        self.index.prune(now_seconds)
        for number in self._quarantine.segments:
            if number in self.index.uses:
                self.index.use(number).pinned = "holds damage"
        _log.info(
            "{segments} segments hold {blobs} blobs in {bytes} bytes",
            segments=len(numbers),
            blobs=self.index.blobs,
            bytes=self.index.live_bytes,
        )
        return self.index

    def _read_segment(self, number: int, node_uuid: bytes, *, is_last: bool) -> None:
        path = self._folder.path_of(number)
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            scan = self._scan(fd)
            self._room.skip(number)
            if scan.header is None or scan.header.number != number:
                self._quarantine.note((number, 0), "the segment header is damaged", self._clock.now_ns())
                return
            if scan.header.node_uuid != node_uuid:
                raise WrongDisk(f"{path} was written by another node")
            segment = SegmentFile(scan.header, path)
            segment.tail = scan.tail if scan.end is None else scan.end
            segment.sealed = scan.end is not None
            if not segment.sealed and not (is_last and self._may_go_on(fd, scan)):
                segment.sealed = True
                self._folder.seal(segment, fd)
        finally:
            os.close(fd)
        self._room.adopt(segment)
        self._enter(number, scan)

    def _scan(self, fd: int) -> Scan:
        if not any(os.pread(fd, 8, SEAL_POSITION)):
            self._folder.disk.sync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return scan_segment(fd)

    def _may_go_on(self, fd: int, scan: Scan) -> bool:
        """Return whether records may be appended: behind the tail lies what a new segment has there."""
        assert scan.header is not None
        return scan.file_bytes == scan.header.size and not scan.damage and is_zero(fd, scan.tail)

    def _enter(self, number: int, scan: Scan) -> None:
        index = self.index
        index.use(number)
        for position, record in scan.blobs:
            index.add(record.blob, Location(number, position, record.length))
        self._tombstones.extend((each, number) for each in scan.tombstones)
        if scan.epochs is not None:
            index.close_epochs(scan.epochs, number)
        for start, stop in scan.damage:
            detail = f"{stop - start} bytes where records should be"
            self._quarantine.note((number, start), detail, self._clock.now_ns())
