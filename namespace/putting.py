"""PUT: the body goes into blobs as it arrives, then one Change makes it the object's content (DESIGN 4, D1).

Permission, conflicts and conditions are checked before the body and again, in the plan that commits, after it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from foundation.aio import Promise, spawn
from foundation.crash import crash_point
from foundation.errors import FsError, NoSpace, NotSupported
from metastore.records import Blob, Extent, ObjectMeta
from namespace.attributes import etag_of
from namespace.authority import WRITE, authorize, authorize_entry
from namespace.conditions import check_write
from namespace.edit import Edit, Planned, inline_fields
from namespace.hall import Verbs
from namespace.objects import DIRECTORY_CONTENT_TYPE, object_info
from namespace.paths import KeyPath
from namespace.placing import make_file, put_marker
from storage_engine.api import MAX_BLOB_BYTES, BlobId, Origin

if TYPE_CHECKING:
    from namespace.api import Buffer, Caller, ObjectInfo, PutRequest, PutSession
    from namespace.cache import InodeEntry
    from namespace.engine import Engine
    from namespace.hall import Hall
    from namespace.view import View
    from namespace.volume import VolumeState
    from storage_engine.api import Placement

_body_is_durable = crash_point("put.after_body")
#: Blobs of one body that may be under way at once: one fills while others travel.
BLOBS_IN_FLIGHT = 2


class PutVerb(Verbs):
    """PutObject."""

    def __init__(self, hall: Hall) -> None:
        """Act on *hall*."""
        super().__init__(hall)
        self._hall = hall

    async def begin_put(self, caller: Caller, bucket: str, request: PutRequest) -> PutSession:
        """Check that the object may be put and make ready for its body."""
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[int]:
            _check(view, caller, request)
            content = view.number("content")
            return Planned(lambda: content)

        content = await self._engine.run(volume, plan)
        return BodyUpload(self._hall, volume, caller, request, content)


class _Piece(Struct):
    """One blob of a body on its way."""

    blob: int
    offset: int
    size: int
    placement: Promise[Any]  # of Placement


class BodyUpload:
    """A PUT whose body is on its way."""

    def __init__(self, hall: Hall, volume: VolumeState, caller: Caller, request: PutRequest, content: int) -> None:
        """Gather the bytes of generation *content*."""
        self._engine: Engine = hall.engine
        self._bodies = hall.bodies
        self._clock = hall.clock
        self._volume = volume
        self._caller = caller
        self._request = request
        self._content = content
        self._waiting: list[Buffer] = []  # of the blob that is filling
        self._waiting_bytes = 0
        self._size = 0
        self._pieces: list[_Piece] = []
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
        if (await self._bodies.space()).free < self._waiting_bytes:
            raise NoSpace("the storage nodes are full")
        number = await self._blob_number()
        body, size = self._waiting, self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        piece = _Piece(number, self._size, size, Promise())
        self._size += size
        self._pieces.append(piece)
        self._flying.append(piece)
        spawn("put blob", self._store(piece, body))
        while len(self._flying) > BLOBS_IN_FLIGHT:
            await self._flying.popleft().placement

    async def _blob_number(self) -> int:
        pool = self._volume.numbers["blob"]
        while (number := pool.take()) is None:
            await self._engine.loader.reserve(self._volume, "blob")
        return number

    async def _store(self, piece: _Piece, body: list[Buffer]) -> None:
        origin = Origin(self._volume.epoch, 0, self._content, piece.offset, 0)
        try:
            placement = await self._bodies.put(BlobId(self._volume.vol, piece.blob), body, origin)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the piece, whatever it is
            piece.placement.fail(error)
        else:
            piece.placement.resolve(placement)

    async def finish(self, etag: bytes, checksums: dict[str, str]) -> ObjectInfo:
        """Check again, and make the body the object's content in one Change."""
        if self._waiting_bytes:
            await self._send()
        placements: list[Placement] = [await piece.placement for piece in self._pieces]
        self._flying.clear()
        _body_is_durable()
        blobs = [
            Blob(self._volume.vol, piece.blob, piece.size, 1, where.ring_epoch, where.missing, where.handoff)
            for piece, where in zip(self._pieces, placements, strict=True)
        ]
        extents = [
            Extent(self._volume.vol, self._content, piece.offset, piece.size, piece.blob, 0) for piece in self._pieces
        ]
        body = _Body(self._content, self._size, etag, checksums, tuple(blobs), tuple(extents))
        return await self._engine.run(self._volume, self._plan(body))

    def _plan(self, body: _Body) -> Any:
        def plan(view: View) -> Planned[ObjectInfo]:
            path = _check(view, self._caller, self._request, body.size)
            edit = Edit(view, self._clock.now_ns())
            if path.names_directory and not _has_body(self._request, body.size):
                made = put_marker(edit, self._caller, path)
                return edit.planned(lambda: _info(edit, self._request.key, made.ino))
            return _put_file(edit, self._caller, path, self._request, body)

        return plan

    def abort(self) -> None:
        """Forget the body: its blobs are in no row, so they are garbage."""
        self._waiting, self._waiting_bytes = [], 0
        for piece in self._flying:
            spawn("aborted put", _settle(piece))
        self._flying.clear()


class _Body(Struct, frozen=True):
    """A body that is durable, ready to be named."""

    content: int
    size: int
    etag: bytes
    checksums: dict[str, str]
    blobs: tuple[Blob, ...]
    extents: tuple[Extent, ...]


async def _settle(piece: _Piece) -> None:
    """Wait for a piece nobody wants any more: that it failed is no news."""
    try:
        await piece.placement
    except FsError:
        return


def _check(view: View, caller: Caller, request: PutRequest, size: int = 0) -> KeyPath:
    """Raise unless *caller* may put the object, of which *size* bytes are known, now."""
    path = KeyPath(view, caller, request.key)
    path.check_room(view)
    if path.names_directory and view.volume.strict and _has_body(request, size):
        raise NotSupported("a directory's key with a body, in a strict bucket")
    seen = path.object(view)
    check_write(request.conditions, None if seen is None else etag_of(seen), 0 if seen is None else seen.content_time)
    if path.target is None:
        authorize_entry(caller, path.parent(len(path.found)))
    elif path.file is not None:
        authorize(caller, path.file, WRITE)
    elif _has_body(request, size):
        authorize_entry(caller, path.target)
    else:
        authorize(caller, path.target, WRITE)
    return path


def _has_body(request: PutRequest, size: int) -> bool:
    """Tell whether a directory's key gets more than the plain marker that an explicit directory is."""
    kind, _, _ = request.headers.get("content-type", DIRECTORY_CONTENT_TYPE).partition(";")
    return bool(size or request.user or request.headers.keys() - {"content-type"} or kind != DIRECTORY_CONTENT_TYPE)


def _put_file(edit: Edit, caller: Caller, path: KeyPath, request: PutRequest, body: _Body) -> Planned[ObjectInfo]:
    """Give the object its new content; make it, and the directories its key needs, where they are missing."""
    for blob in body.blobs:
        edit.put(blob)
    inline = body.extents[0] if len(body.extents) == 1 else None
    rows = () if inline is not None else body.extents
    for extent in rows:
        edit.put(extent)
    fields = {
        "content": body.content,
        "size": body.size,
        "used": body.size,
        "extents": len(rows),
        "etag": body.etag,
        **inline_fields(inline),
    }
    target = path.file
    if target is not None and target.nlink == 1:
        ino = _overwrite(edit, edit.view.entry(target.ino), fields)
        if path.names_directory:
            edit.make_explicit(path.found[-1].ino)
    else:
        ino = make_file(edit, caller, path, {"write_seq": 1, "etag_seq": 1, **fields}).ino
    has_meta = bool(request.headers or request.user or body.checksums)
    if has_meta:
        edit.put(ObjectMeta(edit.view.volume.vol, ino, request.headers, request.user, body.checksums))
    elif target is not None and target.nlink == 1:
        edit.drop_meta(ino)
    return edit.planned(lambda: _info(edit, request.key, ino))


def _overwrite(edit: Edit, entry: InodeEntry, fields: dict[str, Any]) -> int:
    """Replace the content of a file: its handle, owner and mode stay, UNSTABLE data of its writers goes."""
    image = edit.image(entry)
    edit.detach_content(image)
    seq = image.write_seq + 1
    now = edit.now_ns
    edit.touch(entry, mtime=now, content_time=now, write_seq=seq, etag_seq=seq, **fields)
    edit.then(lambda: _drop_overlay(edit, entry))
    return image.ino


def _drop_overlay(edit: Edit, entry: InodeEntry) -> None:
    overlay = entry.overlay
    if overlay is not None:
        entry.overlay = entry.attr = None
        if overlay.runs:
            overlay.discard()
            edit.view.volume.new_verifier()


def _info(edit: Edit, key: bytes, ino: int) -> ObjectInfo:
    entry = edit.view.volume.cache.inodes[ino]
    assert entry.image is not None
    return object_info(key, entry.image, entry.meta)
