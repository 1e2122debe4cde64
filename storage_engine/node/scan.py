"""Reading a segment at start: the reader's algorithm of `records.py`. It never raises for what a disk may do."""

from __future__ import annotations

import os

from msgspec import Struct

from storage_engine.checksum import first_unsound
from storage_engine.node.records import (
    ALIGN_BYTES,
    FIRST_RECORD,
    MAX_HEADER_BYTES,
    RECORD_MAGIC,
    SEAL_POSITION,
    Kind,
    Record,
    SegmentHeader,
    Tombstone,
    decode_epochs,
    decode_record,
    decode_seal,
    decode_segment_header,
    decode_tombstones,
)

_WINDOW_BYTES = 64 << 10
#: Where no record is, mostly zeros follow.
_GAP_BYTES = 1 << 20
_SECTOR_BYTES = 4096


class Scan(Struct):
    """What a segment holds."""

    header: SegmentHeader | None  # None: this is no segment file, or its header is damaged
    file_bytes: int = 0
    end: int | None = None  # of the seal; None = not sealed
    tail: int = FIRST_RECORD  # behind the last valid record
    blobs: list[tuple[int, Record]] = []  # (position, record)
    tombstones: list[Tombstone] = []
    epochs: dict[int, int] | None = None
    damage: list[tuple[int, int]] = []  # [start, stop) ranges that should hold records and do not


class _Reader:
    """Reads of one file through a window, with zeros in place of what the disk cannot read."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.file_bytes = os.fstat(fd).st_size
        self._start, self._window = 0, b""
        self.unreadable: list[tuple[int, int]] = []

    def at(self, position: int, length: int, ahead: int = _WINDOW_BYTES) -> tuple[bytes, int]:
        """Return a buffer and the offset in it of *position*, with *length* bytes behind it if the file has them."""
        offset = position - self._start
        if offset < 0 or offset + length > len(self._window):
            self._start, offset = position, 0
            self._window = self.read(position, max(length, ahead))
        return self._window, offset

    def read(self, position: int, length: int) -> bytes:
        """Return *length* bytes from *position* on, fewer at the end of the file."""
        try:
            return os.pread(self._fd, length, position)
        except OSError:
            return b"".join(
                self._read_sector(at, min(_SECTOR_BYTES, position + length - at))
                for at in range(position, min(position + length, self.file_bytes), _SECTOR_BYTES)
            )

    def _read_sector(self, position: int, length: int) -> bytes:
        try:
            return os.pread(self._fd, length, position)
        except OSError:
            self.unreadable.append((position, position + length))
            return bytes(length)


def scan_segment(fd: int) -> Scan:
    """Return what the segment file *fd* holds; raise UnknownFormat for one of a newer version."""
    reader = _Reader(fd)
    front = reader.read(0, FIRST_RECORD)
    header = decode_segment_header(front[:SEAL_POSITION])
    scan = Scan(header, reader.file_bytes)
    if header is None:
        return scan
    scan.end = decode_seal(front[SEAL_POSITION:], header)
    limit = min(reader.file_bytes, scan.end if scan.end is not None else header.size)
    _scan_records(reader, scan, header, limit)
    if scan.end is not None and scan.tail < scan.end:
        scan.damage.append((scan.tail, scan.end))
    scan.damage.extend(reader.unreadable)
    return scan


def _scan_records(reader: _Reader, scan: Scan, header: SegmentHeader, limit: int) -> None:
    position = FIRST_RECORD
    while position < limit:
        buffer, offset = reader.at(position, MAX_HEADER_BYTES)
        record = decode_record(buffer, offset, header, position)
        if record is None or position + record.header_bytes + record.length > limit:
            position = _next_candidate(reader, position + ALIGN_BYTES, limit)
        elif _take(reader, scan, position, record):
            if position > scan.tail:
                scan.damage.append((scan.tail, position))
            scan.tail = position = position + record.span
        else:
            position += ALIGN_BYTES


def _next_candidate(reader: _Reader, position: int, limit: int) -> int:
    """Return the next place, from *position* on, where a record's magic stands where a record may start."""
    while position < limit:
        buffer, offset = reader.at(position, len(RECORD_MAGIC), _GAP_BYTES)
        found = buffer.find(RECORD_MAGIC, offset)
        while found >= 0 and (position + found - offset) % ALIGN_BYTES:
            found = buffer.find(RECORD_MAGIC, found + 1)
        if found >= 0:
            return position + found - offset
        # The next multiple: a magic never lies across two aligned blocks.
        behind = position + len(buffer) - offset
        position = max(position + ALIGN_BYTES, behind // ALIGN_BYTES * ALIGN_BYTES)
    return limit


def _take(reader: _Reader, scan: Scan, position: int, record: Record) -> bool:
    """Add *record* to *scan*; return False for one whose body must be sound and is not."""
    is_blob = record.kind == Kind.BLOB
    if is_blob and scan.end is not None:
        scan.blobs.append((position, record))
        return True
    body = reader.read(position + record.header_bytes, record.length)
    if len(body) != record.length or first_unsound(memoryview(body), 0, record.pages) is not None:
        return False
    if is_blob:
        scan.blobs.append((position, record))
    elif record.kind == Kind.TOMBSTONES:
        scan.tombstones.extend(decode_tombstones(body))
    elif record.kind == Kind.EPOCHS:
        scan.epochs = decode_epochs(body)
    return True
