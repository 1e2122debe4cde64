"""A body on its way: bytes go into blobs as they arrive, of a PUT or of a part (DESIGN 4: body first, name second).

Until a Change names them the blobs are garbage by the range their numbers came from.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from foundation.aio import Promise, spawn
from foundation.crash import crash_point
from foundation.errors import FsError
from metastore.records import Blob
from namespace.contents import ContentDraft
from storage_engine.api import MAX_BLOB_BYTES, BlobId, Origin

if TYPE_CHECKING:
    from namespace.api import Buffer
    from namespace.contents import Body
    from namespace.engine import Engine
    from namespace.hall import Hall
    from namespace.volume import VolumeState
    from storage_engine.api import Placement

_body_is_durable = crash_point("put.after_body")
#: Blobs of one body that may be under way at once: one fills while others travel.
BLOBS_IN_FLIGHT = 2


class _Piece(Struct):
    """One blob of a body on its way."""

    blob: int
    offset: int
    size: int
    placement: Promise[Any]  # of Placement


class BodyUpload:
    """Bytes of one new content, on their way. Exactly one of `close` and `abort` ends it."""

    def __init__(self, hall: Hall, volume: VolumeState, content: int) -> None:
        """Gather the bytes of generation *content*."""
        self._engine: Engine = hall.engine
        self._bodies = hall.bodies
        self._room = hall.writeback.room
        self._volume = volume
        self._draft = ContentDraft(hall, volume, content)
        self._waiting: list[Buffer] = []  # of the blob that is filling
        self._waiting_bytes = 0
        self._size = 0
        self._flying: deque[_Piece] = deque()

    async def write(self, data: Buffer) -> None:
        """Take more of the body; return when there is room for the next piece."""
        rest = memoryview(data)
        while self._waiting_bytes + len(rest) >= MAX_BLOB_BYTES:
            room = MAX_BLOB_BYTES - self._waiting_bytes
            self._keep(rest[:room])
            rest = rest[room:]
            await self._send()
        if rest:
            self._keep(rest)

    def _keep(self, data: memoryview) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)

    async def _send(self) -> None:
        """Start the blob that has filled; wait while too many are under way."""
        self._room.check_space(self._waiting_bytes)
        number = await self._blob_number()
        body, size = self._waiting, self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        piece = _Piece(number, self._size, size, Promise())
        self._size += size
        self._flying.append(piece)
        spawn("put blob", self._store(piece, body))
        while len(self._flying) > BLOBS_IN_FLIGHT:
            await self._land()

    async def _blob_number(self) -> int:
        pool = self._volume.numbers["blob"]
        while (number := pool.take()) is None:
            await self._engine.loader.reserve(self._volume, "blob")
        return number

    async def _store(self, piece: _Piece, body: list[Buffer]) -> None:
        origin = Origin(self._volume.epoch, 0, self._draft.content, piece.offset, 0)
        try:
            placement = await self._bodies.put(BlobId(self._volume.vol, piece.blob), body, origin)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the piece, whatever it is
            piece.placement.fail(error)
        else:
            piece.placement.resolve(placement)

    async def _land(self) -> None:
        """Wait for the oldest blob under way and make it a part of the content."""
        piece = self._flying[0]
        where: Placement = await piece.placement
        self._flying.popleft()
        blob = Blob(self._volume.vol, piece.blob, piece.size, 1, where.ring_epoch, where.missing, where.handoff)
        self._draft.add_new(piece.offset, blob)
        if self._draft.is_full:
            await self._draft.store()

    async def close(self) -> Body:
        """Return the content once all of it is durable; one that is not named then must be let go by `abort`."""
        try:
            if self._waiting_bytes:
                await self._send()
            while self._flying:
                await self._land()
        except BaseException:
            self.abort()
            raise
        _body_is_durable()
        return self._draft.body(self._size)

    def abort(self) -> None:
        """Forget the body: its blobs are in no row, or in those of a draft, so they are garbage."""
        self._waiting, self._waiting_bytes = [], 0
        for piece in self._flying:
            spawn("aborted body", _settle(piece))
        self._flying.clear()
        self._draft.give_up()


async def _settle(piece: _Piece) -> None:
    """Wait for a piece nobody wants any more: that it failed is no news."""
    try:
        await piece.placement
    except FsError:
        return
