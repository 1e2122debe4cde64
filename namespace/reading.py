"""Reading bytes: one content, as one plan saw it, from the body map and the overlay (DESIGN 3.3, D5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from foundation.aio import gather
from foundation.errors import InvalidArgument, IsDirectory
from metastore.records import FileType
from namespace.api import ReadResult
from namespace.attributes import attr_of
from namespace.authority import READ, authorize_io
from namespace.edit import Planned
from namespace.hall import Verbs
from namespace.view import View, is_directory
from storage_engine.api import BlobId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metastore.records import Extent
    from namespace.api import Buffer, Caller, FileId
    from namespace.overlay import Overlay, Run
    from namespace.volume import VolumeState
    from storage_engine.api import BodyStore

#: Holes are answered from this, in slices.
_ZEROS = memoryview(bytes(1 << 20))


class Piece(Struct, frozen=True, gc=False):
    """Some of the answer: bytes in memory, or a part of a blob, or (neither) a hole."""

    length: int
    data: memoryview | None = None
    blob: int = 0
    blob_offset: int = 0


class ReadVerb(Verbs):
    """READ."""

    async def read(self, caller: Caller, file: FileId, offset: int, count: int) -> ReadResult:
        """Read at most *count* bytes (RFC 1813, section 3.3.6)."""
        volume = await self._volumes.numbered(file.vol)

        def plan(view: View) -> Planned[tuple[ReadResult, list[Piece]]]:
            entry, image = view.file(file)
            if is_directory(image):
                raise IsDirectory("a directory is read by readdir")
            if image.type != FileType.REGULAR:
                raise InvalidArgument("only a file is read")
            authorize_io(caller, image, READ)
            attr = attr_of(entry)
            end = min(offset + count, attr.size)
            length = max(0, end - offset)
            extents = view.extents(entry, offset, offset + length)
            first, last = extents.touching(offset, offset + length)
            pieces = committed_pieces(extents.extents[first:last], offset, length)
            if entry.overlay is not None:
                pieces = _overlaid(pieces, entry.overlay, offset, length)
            result = ReadResult(attr, (), length, offset + count >= attr.size)
            return Planned(lambda: (result, pieces))

        token = volume.begin_read(self._clock.now_ns())
        try:
            result, pieces = await self._engine.run(volume, plan, (file,))
            buffers = await fetch(self._bodies, volume, pieces)
        finally:
            volume.end_read(token)
        return ReadResult(result.file, tuple(buffers), result.count, result.eof)


def committed_pieces(extents: Sequence[Extent], offset: int, length: int) -> list[Piece]:
    """Return the bytes [offset, offset + length) as *extents*, in order, hold them."""
    pieces: list[Piece] = []
    position, end = offset, offset + length
    for extent in extents:
        start, stop = max(extent.offset, position), min(extent.offset + extent.length, end)
        if start > position:
            pieces.append(Piece(start - position))
        if stop > start:
            pieces.append(Piece(stop - start, None, extent.blob, extent.blob_offset + start - extent.offset))
            position = stop
    if position < end:
        pieces.append(Piece(end - position))
    return pieces


def _overlaid(below: list[Piece], overlay: Overlay, offset: int, length: int) -> list[Piece]:
    """Lay the overlay's runs over the pieces *below*, which cover exactly [offset, offset + length)."""
    first, last = overlay.touching(offset, offset + length)
    pieces: list[Piece] = []
    position = offset
    for run in overlay.runs[first:last]:
        start, stop = max(run.offset, offset), min(run.end, offset + length)
        pieces += _slice(below, position - offset, start - offset)
        pieces.append(_run_piece(run, start, stop))
        position = stop
    pieces += _slice(below, position - offset, length)
    return pieces


def _run_piece(run: Run, start: int, stop: int) -> Piece:
    shift = start - run.offset
    if run.data is not None:
        return Piece(stop - start, run.data[shift : shift + stop - start])
    assert run.seal is not None
    return Piece(stop - start, None, run.seal.blob, run.seal_offset + shift)


def _slice(pieces: list[Piece], start: int, stop: int) -> list[Piece]:
    """Return the bytes [start, stop) of *pieces*, none of which has bytes in memory."""
    parts: list[Piece] = []
    position = 0
    for piece in pieces:
        first, last = max(start, position), min(stop, position + piece.length)
        if first < last:
            parts.append(Piece(last - first, None, piece.blob, piece.blob_offset + first - position))
        position += piece.length
    return parts


async def fetch(bodies: BodyStore, volume: VolumeState, pieces: Sequence[Piece]) -> list[Buffer]:
    """Return the bytes of *pieces* as buffers; blobs are read side by side, every page verified.

    Raise Unavailable or Corrupt as the body store does.
    """
    wanted = [piece for piece in pieces if piece.blob]
    if len(wanted) == 1:
        read = [await bodies.read(BlobId(volume.vol, wanted[0].blob), wanted[0].blob_offset, wanted[0].length)]
    else:
        read = await gather(
            bodies.read(BlobId(volume.vol, piece.blob), piece.blob_offset, piece.length) for piece in wanted
        )
    arrived = iter(read)
    buffers: list[Buffer] = []
    for piece in pieces:
        if piece.blob:
            buffers.append(next(arrived))
        elif piece.data is not None:
            buffers.append(piece.data)
        else:
            buffers += _zeros(piece.length)
    return buffers


def _zeros(length: int) -> list[Buffer]:
    whole, rest = divmod(length, len(_ZEROS))
    return [*[_ZEROS] * whole, *([_ZEROS[:rest]] if rest else [])]
