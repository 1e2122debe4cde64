"""Segment files on the disk: made, opened, written, sealed, unlinked. `records.py` tells their format.

Everything here blocks. What touches the disk for long (`create`, `write_batch`, `seal`, `unlink`) runs in a thread;
descriptors are opened and evicted on the reactor's thread only.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING

from foundation.crash import crash_point
from foundation.errors import NoSpace
from storage_engine.node.records import (
    FIRST_RECORD,
    SEAL_POSITION,
    SegmentHeader,
    aligned,
    encode_seal,
    encode_segment_header,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_AFTER_CREATE = crash_point("node.segment.after_create")
_SUFFIX = ".seg"
#: A segment that is still being made; one found at start was cut by a crash and holds nothing.
_UNBORN = ".new"
_MAX_VECTOR = 1024
_MAX_OPEN = 256
#: How far ahead of small appends blocks are written with zeros. In space that was only reserved every fdatasync
#: must also commit a change of the file's extents, which for small appends costs more than their bytes.
_AHEAD_BYTES = 1 << 20
#: Longer batches go straight into reserved space: zeros first would write everything twice.
_LARGE_BYTES = 256 << 10
_ZEROS = bytes(_AHEAD_BYTES)


class SegmentFile:
    """One segment file."""

    __slots__ = ("fd", "header", "path", "sealed", "tail", "unlinked", "users", "written")

    def __init__(self, header: SegmentHeader, path: Path) -> None:
        """Describe the file at *path*, not open yet."""
        self.header = header
        self.path = path
        self.tail = FIRST_RECORD  # where the next record goes
        self.written = 0  # blocks below this were written before, with zeros at least
        self.sealed = False
        self.fd = -1
        self.users = 0  # reads under way in threads: the descriptor stays open until they end
        self.unlinked = False

    @property
    def number(self) -> int:
        """Return the segment's number."""
        return self.header.number

    def fits(self, span: int) -> bool:
        """Return whether a record of *span* bytes still goes in."""
        return not self.sealed and self.tail + span <= self.header.size


class Disk:
    """The calls to the operating system that a test may make fail."""

    def write(self, fd: int, buffers: Sequence[bytes | memoryview], position: int) -> None:
        """Write all of *buffers* from *position* on."""
        rest = list(buffers)
        while rest:
            written = os.pwritev(fd, list(islice(rest, _MAX_VECTOR)), position)
            position += written
            rest = _after(rest, written)

    def sync(self, fd: int) -> None:
        """Make what was written durable (fdatasync)."""
        os.fdatasync(fd)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in *folder* durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def available_bytes(self, folder: Path) -> int:
        """Return what an ordinary user may still write to the file system of *folder*."""
        stat = os.statvfs(folder)
        return stat.f_bavail * stat.f_frsize


def _after(buffers: list[bytes | memoryview], written: int) -> list[bytes | memoryview]:
    for index, buffer in enumerate(buffers):
        if written < len(buffer):
            return [memoryview(buffer)[written:], *buffers[index + 1 :]]
        written -= len(buffer)
    return []


class SegmentFolder:
    """The folder of a node's segment files, and their open descriptors."""

    def __init__(self, folder: Path, node_uuid: bytes, segment_bytes: int, disk: Disk) -> None:
        """Keep segments of *segment_bytes* in *folder*, which exists."""
        self.folder = folder
        self.segment_bytes = aligned(segment_bytes)
        self.disk = disk
        self._node_uuid = node_uuid
        self._open: OrderedDict[int, SegmentFile] = OrderedDict()

    def numbers(self) -> list[int]:
        """Return the numbers of the segments that exist, ascending; drop those that were never finished."""
        for unborn in self.folder.glob("*" + _UNBORN):
            unborn.unlink()
        return sorted(int(path.stem, 16) for path in self.folder.glob("*" + _SUFFIX))

    def path_of(self, number: int) -> Path:
        """Return where segment *number* lies."""
        return self.folder / f"{number:016x}{_SUFFIX}"

    def create(self, number: int, now_ns: int) -> SegmentFile:
        """Make and name a new segment, durably; raise NoSpace when the disk is full, OSError when it fails."""
        header = SegmentHeader(self._node_uuid, number, secrets.randbits(64), self.segment_bytes, now_ns)
        path = self.path_of(number)
        unborn = path.with_suffix(_UNBORN)
        try:
            self._reserve(unborn, encode_segment_header(header))
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            unborn.unlink(missing_ok=True)
            raise NoSpace(f"cannot make a segment: {error.strerror}") from error
        unborn.rename(path)
        self.disk.sync_folder(self.folder)
        _AFTER_CREATE()
        return SegmentFile(header, path)

    def _reserve(self, path: Path, header: bytes) -> None:
        """Give *path* its whole size, so that no append finds the disk full, and its header."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, self.segment_bytes)
            self.disk.write(fd, [header], 0)
            self.disk.sync(fd)
        finally:
            os.close(fd)

    def fd(self, segment: SegmentFile) -> int:
        """Return an open descriptor of *segment*, good until the next call for another one."""
        if segment.fd < 0:
            segment.fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
            self._open[segment.number] = segment
            self._evict()
        else:
            self._open.move_to_end(segment.number)
        return segment.fd

    def write_batch(
        self, segment: SegmentFile, fd: int, buffers: Sequence[bytes | memoryview], start: int, stop: int
    ) -> None:
        """Write *buffers* to [*start*, *stop*) of *segment*, not durable yet, with zeros ahead where they pay."""
        if stop - start >= _LARGE_BYTES or stop <= segment.written:
            self.disk.write(fd, buffers, start)
            segment.written = max(segment.written, stop)
        else:
            ahead = _ZEROS[: segment.header.size - stop]
            self.disk.write(fd, [*buffers, ahead], start)
            segment.written = stop + len(ahead)

    def hold(self, segment: SegmentFile) -> int:
        """Return a descriptor that stays open until `release`."""
        fd = self.fd(segment)
        segment.users += 1
        return fd

    def release(self, segment: SegmentFile) -> None:
        """End a `hold`."""
        segment.users -= 1
        if segment.unlinked:
            self._close(segment)

    def _evict(self) -> None:
        if len(self._open) > _MAX_OPEN:
            for segment in list(islice(self._open.values(), len(self._open) - _MAX_OPEN)):
                self._close(segment)

    def _close(self, segment: SegmentFile) -> None:
        if segment.fd >= 0 and not segment.users:
            os.close(segment.fd)
            segment.fd = -1
            self._open.pop(segment.number, None)

    def seal(self, segment: SegmentFile, fd: int) -> None:
        """Write durably that *segment* takes no more records, and give back what it did not use."""
        self.disk.write(fd, [encode_seal(segment.header, segment.tail)], SEAL_POSITION)
        if is_zero(fd, segment.tail):
            os.ftruncate(fd, segment.tail)
        self.disk.sync(fd)

    def unlink(self, segment: SegmentFile) -> None:
        """Remove the file, durably; reads that hold it go on."""
        segment.path.unlink()
        self.disk.sync_folder(self.folder)

    def forget(self, segment: SegmentFile) -> None:
        """Close an unlinked segment as soon as nobody reads it."""
        segment.unlinked = True
        self._close(segment)

    def close(self) -> None:
        """Close every descriptor that no thread uses."""
        for segment in list(self._open.values()):
            self._close(segment)


def is_zero(fd: int, position: int) -> bool:
    """Return whether the file holds nothing but zeros from *position* on."""
    while chunk := os.pread(fd, len(_ZEROS), position):
        if chunk != _ZEROS[: len(chunk)]:
            return False
        position += len(chunk)
    return True
