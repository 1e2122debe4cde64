"""Reading bytes: one content, as one plan saw it, from the body map and the overlay (DESIGN 3.3, D5)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from foundation.aio import gather
from foundation.errors import FsError, InvalidArgument, IsDirectory
from metastore.records import FileType
from namespace.api import ReadResult
from namespace.atime import is_atime_due
from namespace.attributes import attr_of
from namespace.authority import READ_FILE
from namespace.edit import Planned
from namespace.hall import Verbs
from namespace.view import View, is_directory
from storage_engine.api import BlobId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metastore.records import Extent
    from namespace.api import Attr, Buffer, Caller, FileId
    from namespace.extents import ExtentMap
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
            READ_FILE.require(caller, image)
            attr = attr_of(entry)
            end = min(offset + count, attr.size)
            length = max(0, end - offset)
            extents = view.extents(entry, offset, offset + length)
            pieces = _pieces(extents, entry.overlay, offset, length)
            eof = offset + count >= attr.size
            if not length or caller.read_only or not is_atime_due(attr, now_ns):
                result = ReadResult(attr, (), length, eof)
                return Planned(lambda: (result, pieces))
            mark = partial(volume.read_times.mark, entry, now_ns)
            return Planned(lambda: (ReadResult(attr_of(entry), (), length, eof), pieces), None, (mark,))

        now_ns = self._clock.now_ns()
        token = volume.begin_read(now_ns)
        try:
            result, pieces = await self._engine.run(volume, plan, (file,))
            buffers = await self._fetch(volume, result.file, pieces)
        finally:
            volume.end_read(token)
        return ReadResult(result.file, tuple(buffers), result.count, result.eof)

    async def _fetch(self, volume: VolumeState, attr: Attr, pieces: list[Piece]) -> list[Buffer]:
        """Return the bytes of *pieces*; an error has seen the file whose they are."""
        try:
            return await fetch(self._bodies, volume, pieces)
        except FsError as error:
            error.seen = (attr,)
            raise


def committed_pieces(extents: Sequence[Extent], offset: int, length: int) -> list[Piece]:
    """Return the bytes [offset, offset + length) as *extents*, in order, hold them."""
    pieces: list[Piece] = []
    position, end = offset, offset + length
    for extent in extents:
        start, stop = max(extent.offset, position), min(extent.end, end)
        if start > position:
            pieces.append(Piece(start - position))
        if stop > start:
            pieces.append(Piece(stop - start, None, extent.blob, extent.blob_offset + start - extent.offset))
            position = stop
    if position < end:
        pieces.append(Piece(end - position))
    return pieces


def _pieces(extents: ExtentMap, overlay: Overlay | None, offset: int, length: int) -> list[Piece]:
    """Return the bytes [offset, offset + length): the overlay's runs, and between them what is committed."""
    end = offset + length
    if overlay is None:
        return committed_pieces(extents.touching(offset, end), offset, length)
    pieces: list[Piece] = []
    position = offset
    for run in overlay.runs.touching(offset, end):
        start, stop = max(run.offset, offset), min(run.end, end)
        if start > position:
            pieces += committed_pieces(extents.touching(position, start), position, start - position)
        pieces.append(_run_piece(run, start, stop))
        position = stop
    if position < end:
        pieces += committed_pieces(extents.touching(position, end), position, end - position)
    return pieces


def _run_piece(run: Run, start: int, stop: int) -> Piece:
    shift = start - run.offset
    if run.data is not None:
        return Piece(stop - start, run.data[shift : shift + stop - start])
    assert run.seal is not None
    return Piece(stop - start, None, run.seal.blob, run.seal_offset + shift)


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
