"""The format of a segment file, its validity rule, and the reader's algorithm.

A segment is one file `segments/<number, 16 hex digits>`, written from front to back and never changed behind its tail.
All numbers are little-endian; every checksum is CRC32C.

    0     segment header, 512 bytes
    512   seal, 512 bytes: zeros until the segment takes no more records
    1024  records, each starting at a multiple of 512, one after the other
    ...   zeros, written or only reserved, up to the size that the header names (a sealed segment may be cut off at
          its end)

Segment header: magic `GFSEGMNT`, format version (2), 6 zero bytes, node uuid (16), number (8), salt (8), size (8),
time of creation in ns (8), checksum of all before (4). The *salt* is random per segment.

Seal: magic `GFSEALED`, number (8), salt (8), end (8), checksum of all before (4). *End* is where the last record,
with its padding, ends.

Record: header, body, zeros up to the next multiple of 512. The header is

    0   magic `GFrc` (4), format version (1), kind (1), length of this header (2)
    8   salt (8), segment number (8), position of this record in the file (8)
    32  volume, blob id, volume epoch, inode, content, offset in the content, write sequence (8 each)
    88  length of the body (4), checksum of the whole body (4)
    96  checksum of each 64 KiB page of the body (4 each)
        checksum of all before (4)

Kinds: a BLOB's body is the blob. TOMBSTONES: (volume, blob id, epoch of the deleting gateway) of 8 bytes each; such a
blob is deleted wherever its record lies, before or behind, for a blob id is never used twice. EPOCHS: (volume, epoch)
of 8 bytes each for *every* volume known; epochs below it write no more; only the newest such record counts.
In records that are no BLOB the seven fields at 32 are zero.

*Validity.* A record is there if its header checksum matches and salt, segment number and position are those of the
place where it is found: so neither bytes left by an earlier use of the disk, nor a body that happens or is made to
look like a record, can be taken for one. A page is sound if its checksum matches; only sound pages are ever served.

*Durability.* A batch of records lies in one segment. It is written, then `fdatasync` returns, then it is answered.
The first batch of a segment is written after the last one of the segment before it is durable.

*Reader's algorithm.* Read the segments by number. In each go from record to record. Where no valid record starts,
look for the next one in steps of 512 bytes up to the end (of the seal, else of the file): if one is found, what lies
between is damaged (it is noted and the segment is never reclaimed); if none is found, the segment ends here: a torn
tail, never answered. In a segment without a seal the bodies are verified as well, because a batch may have been cut
by a crash: a record whose body is not sound is passed over. In a sealed one headers are enough, because all of it
was durable before the seal; there, anything but records before the end is damage.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from storage_engine.api import MAX_BLOB_BYTES, BlobId, Origin
from storage_engine.checksum import crc32c, page_count

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT_VERSION = 1
#: Records start at multiples of this: the smallest sector, so that no write touches the sector of an earlier record.
ALIGN_BYTES = 512
FIRST_RECORD = 1024
SEAL_POSITION = 512

_SEGMENT = struct.Struct("<8sH6x16sQQQQ")
_SEAL = struct.Struct("<8sQQQ")
_RECORD = struct.Struct("<4sBBHQQQQQQQQQQII")
_CHECKSUM = struct.Struct("<I")
_TOMBSTONE = struct.Struct("<QQQ")
_EPOCH = struct.Struct("<QQ")

RECORD_MAGIC = b"GFrc"
MAX_HEADER_BYTES = _RECORD.size + 4 * page_count(MAX_BLOB_BYTES) + _CHECKSUM.size


class Kind(IntEnum):
    """What a record is."""

    BLOB = 1
    TOMBSTONES = 2
    EPOCHS = 3


class SegmentHeader(Struct, frozen=True, gc=False):
    """What stands at the front of a segment."""

    node_uuid: bytes
    number: int
    salt: int
    size: int
    created_ns: int


class Record(Struct, frozen=True, gc=False):
    """A record's header, less where it lies."""

    kind: int
    blob: BlobId
    origin: Origin
    length: int
    whole: int  # checksum of the body
    pages: tuple[int, ...]  # checksum of each page

    @property
    def header_bytes(self) -> int:
        """Return the length of the header."""
        return header_bytes(self.length)

    @property
    def span(self) -> int:
        """Return the bytes the record takes in its segment, padding included."""
        return span_of(self.length)


#: The blob and origin of records that are no BLOB.
NO_BLOB = BlobId(0, 0)
NO_ORIGIN = Origin(0, 0, 0, 0, 0)


class UnknownFormat(Exception):
    """The segment was written by a newer version; it is refused, not repaired."""


def header_bytes(length: int) -> int:
    """Return how long the header of a record with a body of *length* bytes is."""
    return _RECORD.size + 4 * page_count(length) + _CHECKSUM.size


def span_of(length: int) -> int:
    """Return the bytes that a record with a body of *length* bytes takes, padding included."""
    return aligned(header_bytes(length) + length)


def aligned(position: int) -> int:
    """Return the next position, from *position* on, at which a record may start."""
    return -(-position // ALIGN_BYTES) * ALIGN_BYTES


def encode_segment_header(header: SegmentHeader) -> bytes:
    """Return the 512 bytes at the front of a segment."""
    fields = _SEGMENT.pack(
        b"GFSEGMNT", FORMAT_VERSION, header.node_uuid, header.number, header.salt, header.size, header.created_ns
    )
    return (fields + _CHECKSUM.pack(crc32c(fields))).ljust(SEAL_POSITION, b"\0")


def decode_segment_header(data: bytes) -> SegmentHeader | None:
    """Return the segment header in *data*, or None when there is no valid one; raise UnknownFormat."""
    if len(data) < _SEGMENT.size + 4 or crc32c(data[: _SEGMENT.size]) != _CHECKSUM.unpack_from(data, _SEGMENT.size)[0]:
        return None
    magic, version, node_uuid, number, salt, size, created_ns = _SEGMENT.unpack_from(data)
    if magic != b"GFSEGMNT":
        return None
    if version > FORMAT_VERSION:
        raise UnknownFormat(f"segment {number:016x} has format {version}; this program knows {FORMAT_VERSION}")
    return SegmentHeader(node_uuid, number, salt, size, created_ns)


def encode_seal(header: SegmentHeader, end: int) -> bytes:
    """Return the seal of a segment whose records end at *end*."""
    fields = _SEAL.pack(b"GFSEALED", header.number, header.salt, end)
    return fields + _CHECKSUM.pack(crc32c(fields))


def decode_seal(data: bytes, header: SegmentHeader) -> int | None:
    """Return the end of the records that the seal in *data* names, or None when there is no valid seal."""
    if len(data) < _SEAL.size + 4 or crc32c(data[: _SEAL.size]) != _CHECKSUM.unpack_from(data, _SEAL.size)[0]:
        return None
    magic, number, salt, end = _SEAL.unpack_from(data)
    return int(end) if (magic, number, salt) == (b"GFSEALED", header.number, header.salt) else None


def encode_record(record: Record, segment: SegmentHeader, position: int) -> bytes:
    """Return the header of *record* for its place in *segment*."""
    blob, origin = record.blob, record.origin
    size = header_bytes(record.length)
    fields = _RECORD.pack(
        RECORD_MAGIC,
        FORMAT_VERSION,
        record.kind,
        size,
        segment.salt,
        segment.number,
        position,
        blob.vol,
        blob.id,
        origin.epoch,
        origin.ino,
        origin.content,
        origin.offset,
        origin.write_seq,
        record.length,
        record.whole,
    ) + struct.pack(f"<{len(record.pages)}I", *record.pages)
    return fields + _CHECKSUM.pack(crc32c(fields))


def decode_record(data: bytes | memoryview, at: int, segment: SegmentHeader, position: int) -> Record | None:
    """Return the record whose header starts at *at* of *data*, or None when no valid one for *position* does.

    *data* must reach MAX_HEADER_BYTES behind *at*, or to the end of the segment. Raise UnknownFormat.
    """
    if len(data) < at + _RECORD.size or bytes(data[at : at + 4]) != RECORD_MAGIC:
        return None
    fields = _RECORD.unpack_from(data, at)
    size, length = fields[3], fields[14]
    if not _RECORD.size < size <= MAX_HEADER_BYTES or len(data) < at + size:
        return None
    if crc32c(data[at : at + size - 4]) != _CHECKSUM.unpack_from(data, at + size - 4)[0]:
        return None
    if fields[4:7] != (segment.salt, segment.number, position):
        return None
    if fields[1] > FORMAT_VERSION:
        raise UnknownFormat(f"a record of segment {segment.number:016x} has format {fields[1]}")
    if not 0 < length <= MAX_BLOB_BYTES or size != header_bytes(length):
        return None
    pages = struct.unpack_from(f"<{page_count(length)}I", data, at + _RECORD.size)
    return Record(fields[2], BlobId(*fields[7:9]), Origin(*fields[9:14]), length, fields[15], pages)


class Tombstone(Struct, frozen=True, gc=False):
    """One deleted blob."""

    blob: BlobId
    epoch: int  # of the gateway that deleted it: the blob's own is not above it


def encode_tombstones(tombstones: Iterable[Tombstone]) -> bytes:
    """Return the body of a TOMBSTONES record."""
    return b"".join(_TOMBSTONE.pack(each.blob.vol, each.blob.id, each.epoch) for each in tombstones)


def decode_tombstones(body: bytes) -> list[Tombstone]:
    """Return the tombstones in the body of a TOMBSTONES record."""
    return [Tombstone(BlobId(vol, number), epoch) for vol, number, epoch in _TOMBSTONE.iter_unpack(body)]


def encode_epochs(closed: dict[int, int]) -> bytes:
    """Return the body of an EPOCHS record: by volume, the epoch below which all are closed."""
    return b"".join(_EPOCH.pack(vol, epoch) for vol, epoch in sorted(closed.items()))


def decode_epochs(body: bytes) -> dict[int, int]:
    """Return what the body of an EPOCHS record says."""
    return dict(_EPOCH.iter_unpack(body))
