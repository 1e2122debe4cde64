"""The payloads of requests and answers. Decoders raise BrokenStream for anything that is not one of theirs."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from storage_engine.api import MAX_BLOB_BYTES, BlobId, Origin
from storage_engine.checksum import page_count, pieces
from storage_engine.wire.frames import BrokenStream

if TYPE_CHECKING:
    from collections.abc import Sequence

_PUT = struct.Struct(">QQQQQQQQII")
_READ = struct.Struct(">QQII")
_BLOB = struct.Struct(">QQ")
_DELETE = struct.Struct(">QQI")
_CLOSE = struct.Struct(">QQ")
_INVENTORY = struct.Struct(">QQIB")
_PAGE = struct.Struct(">BI")
_HELD = struct.Struct(">QIB")

#: The most blob ids in one DELETE.
MAX_DELETE = 4096
#: The most blobs in one page of an INVENTORY.
MAX_INVENTORY = 4096


class Put(Struct, frozen=True, gc=False):
    """A blob on its way to a node, or (FETCH's answer) back from one."""

    blob: BlobId
    origin: Origin
    fence: int  # the epoch of the gateway that sends it: the origin's own, except when a copy is repaired
    length: int
    whole: int  # CRC32C of the body
    pages: tuple[int, ...]  # CRC32C of each page
    body: Sequence[bytes | memoryview]


class Read(Struct, frozen=True, gc=False):
    """A range of a blob."""

    blob: BlobId
    offset: int
    length: int


class Delete(Struct, frozen=True, gc=False):
    """Doomed blobs of a volume."""

    vol: int
    fence: int
    ids: tuple[int, ...]


class CloseEpochs(Struct, frozen=True, gc=False):
    """Epochs of *vol* below *epoch* write no more."""

    vol: int
    epoch: int


class Inventory(Struct, frozen=True, gc=False):
    """The next page of what a node holds of a volume."""

    vol: int
    first: int  # the lowest id of the page
    limit: int
    verify: bool


class HeldHere(Struct, frozen=True, gc=False):
    """One blob in an inventory page."""

    id: int
    size: int
    sound: bool


class NodeStat(Struct, frozen=True):
    """A node's report. JSON on the wire: fields may be added."""

    blobs: int
    live_bytes: int  # what live blobs take
    held_bytes: int  # what the segments take: live, free inside, and garbage that will be reclaimed
    available_bytes: int  # what may still be made into segments on this file system
    filesystem: str  # equal for nodes that share one
    taking_writes: bool
    detail: str = ""


def encode_put(put: Put) -> list[bytes | memoryview]:
    """Return the payload of PUT."""
    blob, origin = put.blob, put.origin
    head = _PUT.pack(
        blob.vol,
        blob.id,
        origin.epoch,
        origin.ino,
        origin.content,
        origin.offset,
        origin.write_seq,
        put.fence,
        put.length,
        put.whole,
    )
    return [head + struct.pack(f">{len(put.pages)}I", *put.pages), *put.body]


def decode_put(payload: memoryview) -> Put:
    """Return the blob in *payload*; its checksums are not verified here."""
    fields = _unpack(_PUT, payload)
    length = fields[8]
    if not 0 < length <= MAX_BLOB_BYTES:
        raise BrokenStream(f"a blob of {length} bytes")
    count = page_count(length)
    start = _PUT.size + 4 * count
    if len(payload) != start + length:
        raise BrokenStream("a blob's length is not that of its frame")
    pages = struct.unpack_from(f">{count}I", payload, _PUT.size)
    return Put(BlobId(*fields[:2]), Origin(*fields[2:7]), fields[7], length, fields[9], pages, (payload[start:],))


def encode_read(read: Read) -> bytes:
    """Return the payload of READ."""
    return _READ.pack(read.blob.vol, read.blob.id, read.offset, read.length)


def decode_read(payload: memoryview) -> Read:
    """Return the range in *payload*."""
    vol, number, offset, length = _unpack(_READ, payload, exact=True)
    if not 0 < length <= MAX_BLOB_BYTES:
        raise BrokenStream(f"a read of {length} bytes")
    return Read(BlobId(vol, number), offset, length)


def encode_range(sums: Sequence[int], data: memoryview) -> list[bytes | memoryview]:
    """Return the payload of READ's answer: the checksums of the pieces (cut at page boundaries), then the bytes."""
    return [struct.pack(f">{len(sums)}I", *sums), data]


def decode_range(payload: memoryview, read: Read) -> tuple[tuple[int, ...], memoryview]:
    """Return the checksums and the bytes of the answer to *read*; they are not verified here."""
    count = len(pieces(read.offset, read.length))
    if len(payload) != 4 * count + read.length:
        raise BrokenStream("an answer to READ of another length")
    return struct.unpack_from(f">{count}I", payload), payload[4 * count :]


def encode_blob(blob: BlobId) -> bytes:
    """Return the payload of FETCH."""
    return _BLOB.pack(blob.vol, blob.id)


def decode_blob(payload: memoryview) -> BlobId:
    """Return the blob in *payload*."""
    return BlobId(*_unpack(_BLOB, payload, exact=True))


def encode_delete(delete: Delete) -> bytes:
    """Return the payload of DELETE."""
    return _DELETE.pack(delete.vol, delete.fence, len(delete.ids)) + struct.pack(f">{len(delete.ids)}Q", *delete.ids)


def decode_delete(payload: memoryview) -> Delete:
    """Return the ids in *payload*."""
    vol, fence, count = _unpack(_DELETE, payload)
    if not 0 < count <= MAX_DELETE or len(payload) != _DELETE.size + 8 * count:
        raise BrokenStream("a DELETE of another length")
    return Delete(vol, fence, struct.unpack_from(f">{count}Q", payload, _DELETE.size))


def encode_close_epochs(close: CloseEpochs) -> bytes:
    """Return the payload of CLOSE_EPOCHS."""
    return _CLOSE.pack(close.vol, close.epoch)


def decode_close_epochs(payload: memoryview) -> CloseEpochs:
    """Return what *payload* closes."""
    return CloseEpochs(*_unpack(_CLOSE, payload, exact=True))


def encode_inventory(inventory: Inventory) -> bytes:
    """Return the payload of INVENTORY."""
    return _INVENTORY.pack(inventory.vol, inventory.first, inventory.limit, inventory.verify)


def decode_inventory(payload: memoryview) -> Inventory:
    """Return the page that *payload* asks for."""
    vol, first, limit, verify = _unpack(_INVENTORY, payload, exact=True)
    if not 0 < limit <= MAX_INVENTORY:
        raise BrokenStream(f"an inventory page of {limit}")
    return Inventory(vol, first, limit, bool(verify))


def encode_page(held: Sequence[HeldHere], *, eof: bool) -> bytes:
    """Return the payload of INVENTORY's answer."""
    return _PAGE.pack(eof, len(held)) + b"".join(_HELD.pack(each.id, each.size, each.sound) for each in held)


def decode_page(payload: memoryview) -> tuple[list[HeldHere], bool]:
    """Return the blobs of an inventory page and whether it is the last."""
    eof, count = _unpack(_PAGE, payload)
    if count > MAX_INVENTORY or len(payload) != _PAGE.size + count * _HELD.size:
        raise BrokenStream("an inventory page of another length")
    entries = _HELD.iter_unpack(payload[_PAGE.size :])
    return [HeldHere(number, size, bool(sound)) for number, size, sound in entries], bool(eof)


def encode_stat(stat: NodeStat) -> bytes:
    """Return the payload of STAT's answer."""
    return msgspec.json.encode(stat)


def decode_stat(payload: memoryview) -> NodeStat:
    """Return the report in *payload*."""
    try:
        return msgspec.json.decode(payload, type=NodeStat)
    except msgspec.MsgspecError as error:
        raise BrokenStream(f"a report that is none: {error}") from error


def _unpack(form: struct.Struct, payload: memoryview, *, exact: bool = False) -> tuple[int, ...]:
    if len(payload) < form.size or (exact and len(payload) != form.size):
        raise BrokenStream(f"a payload of {len(payload)} bytes where {form.size} belong")
    return form.unpack_from(payload)
