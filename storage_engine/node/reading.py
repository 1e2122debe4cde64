"""Reading a record from its segment: only the touched pages, each verified before a byte of it is used."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from msgspec import Struct

from storage_engine.checksum import PAGE_BYTES, crc32c, first_unsound, pieces
from storage_engine.node.records import Kind, Record, decode_record, header_bytes

if TYPE_CHECKING:
    from storage_engine.api import BlobId
    from storage_engine.node.index import Location
    from storage_engine.node.records import SegmentHeader


class NotCached(Exception):
    """The bytes are not in memory: read them in a thread."""


class Damaged(Exception):
    """The record, or a touched page of it, does not match its checksum, or the disk cannot read it."""


class Sound(Struct, frozen=True, gc=False):
    """Verified bytes of a blob."""

    record: Record
    data: memoryview  # the range that was asked for
    sums: tuple[int, ...]  # of the pieces of the range, cut at page boundaries


class Place(Struct, frozen=True, gc=False):
    """Where a record is to be read from."""

    fd: int
    segment: SegmentHeader
    location: Location
    blob: BlobId


def read_range(place: Place, offset: int, length: int, *, wait: bool) -> Sound:
    """Return *length* bytes from *offset* of the blob at *place*, which lie inside it.

    Raise Damaged, or NotCached when not to *wait* and the page cache lacks some of it.
    """
    location = place.location
    first = offset // PAGE_BYTES * PAGE_BYTES
    stop = min(location.length, -(-(offset + length) // PAGE_BYTES) * PAGE_BYTES)
    front = header_bytes(location.length)
    if first == 0:
        whole = _read(place.fd, location.position, front + stop, wait=wait)
        header, pages = whole[:front], whole[front:]
    else:
        header = _read(place.fd, location.position, front, wait=wait)
        pages = _read(place.fd, location.position + front + first, stop - first, wait=wait)
    record = _check_header(place, header)
    bad = first_unsound(pages, first, record.pages[first // PAGE_BYTES :])
    if bad is not None:
        raise Damaged(f"page {first // PAGE_BYTES + bad} does not match its checksum")
    data = pages[offset - first : offset - first + length]
    return Sound(record, data, _sums(record, data, offset))


def _check_header(place: Place, header: memoryview) -> Record:
    record = decode_record(header, 0, place.segment, place.location.position)
    if record is None:
        raise Damaged("the header does not match its checksum")
    if record.kind != Kind.BLOB or record.blob != place.blob or record.length != place.location.length:
        raise Damaged("another record lies there")
    return record


def _sums(record: Record, data: memoryview, offset: int) -> tuple[int, ...]:
    """Return the checksums of the pieces of *data*: as stored for whole pages, so that they span the whole way."""
    sums = []
    for start, stop in pieces(offset, len(data)):
        if start % PAGE_BYTES == 0 and (stop % PAGE_BYTES == 0 or stop == record.length):
            sums.append(record.pages[start // PAGE_BYTES])
        else:
            sums.append(crc32c(data[start - offset : stop - offset]))
    return tuple(sums)


def _read(fd: int, position: int, length: int, *, wait: bool) -> memoryview:
    buffer = bytearray(length)
    view = memoryview(buffer)
    filled = 0
    while filled < length:
        try:
            count = os.preadv(fd, [view[filled:]], position + filled, 0 if wait else os.RWF_NOWAIT)
        except OSError as error:
            if not wait and error.errno in {errno.EAGAIN, errno.EOPNOTSUPP}:
                raise NotCached from error
            raise Damaged(f"the disk cannot read it: {error.strerror}") from error
        if not wait and count < length:
            raise NotCached
        if count == 0:
            raise Damaged("the segment ends before it")
        filled += count
    return view
