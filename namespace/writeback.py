"""Write-back: overlays, sealing them into blobs, and flushing these into the body maps (DESIGN 4).

A write is laid on the overlay at once. Sealing writes runs into blobs (*body first*), early when a blob's worth is
there; a flush then makes the sealed runs that the overlay still owns extents, in one Change (*name second*). A COMMIT
flushes the writes at or before its arrival; a stable WRITE is a write and a flush.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from foundation.aio import Promise, gather, spawn
from foundation.crash import crash_point
from foundation.errors import FsError, NoReply, NoSpace
from metastore.records import Blob, Extent
from namespace.attributes import next_ctime
from namespace.edit import Edit, Planned
from namespace.extents import Draft
from namespace.lineage import amend
from namespace.overlay import Meter, Overlay, Run, Seal
from namespace.view import MAX_SIZE, View
from storage_engine.api import MAX_BLOB_BYTES, BlobId, Origin

if TYPE_CHECKING:
    from foundation.clock import Clock
    from metastore.records import Inode
    from namespace.cache import InodeEntry
    from namespace.engine import Engine
    from namespace.volume import VolumeState
    from storage_engine.api import BodyStore

_sealed = crash_point("seal.after_put")
_before_flush = crash_point("flush.before_commit")
#: UNSTABLE bytes that may be in memory, over all files; above it a WRITE waits for a seal.
MEMORY_LIMIT_BYTES = 128 << 20
#: A file whose writes left so much behind in small pieces is sealed as it is.
SCATTERED_BYTES = 4 * MAX_BLOB_BYTES
#: UNSTABLE data that nobody touched for so long is flushed, and so shown to S3.
IDLE_SECONDS = 5.0


class Laid(Struct, frozen=True):
    """All writes of one overlay up to a sequence number."""

    overlay: Overlay
    seq: int


class WriteBack:
    """Every overlay of this gateway: lays writes on them, seals them, flushes them."""

    def __init__(self, engine: Engine, bodies: BodyStore, clock: Clock) -> None:
        """Write bodies into *bodies* and rows through *engine*."""
        self._engine = engine
        self._bodies = bodies
        self._clock = clock
        self._meter = Meter()
        self._flying = 0  # bytes being sealed
        self._sealed: Promise[None] = Promise()  # resolves at the next seal's end
        self._dirty: dict[InodeEntry, VolumeState] = {}

    def lay(self, volume: VolumeState, entry: InodeEntry, offset: int, data: memoryview) -> Laid:
        """Put *data* into the overlay."""
        overlay = entry.overlay
        ctime = next_ctime(entry, self._clock.now_ns())
        if overlay is None:
            overlay = entry.overlay = Overlay(self._meter)
            self._dirty[entry] = volume
        overlay.ctime = overlay.mtime = ctime
        overlay.touched = self._clock.boottime_seconds()
        entry.attr = None
        return Laid(overlay, overlay.write(offset, data))

    async def admit(self, size: int) -> None:
        """Wait while too many bytes are in memory; raise NoSpace when the nodes are full."""
        space = await self._bodies.space()
        if space.free < size:
            raise NoSpace("the storage nodes are full")
        while self._meter.bytes + self._flying + size > MEMORY_LIMIT_BYTES:
            for entry, volume in list(self._dirty.items()):
                if entry.overlay is not None:
                    await self._start_seals(volume, entry, entry.overlay, entry.overlay.seq)
            await self._sealed

    # ------------------------------------------------------------------ sealing

    async def seal_early(self, volume: VolumeState, entry: InodeEntry, overlay: Overlay) -> None:
        """Start seals for what fills blobs, so that a COMMIT finds little left to do."""
        if overlay.unsealed >= SCATTERED_BYTES:
            await self._start_seals(volume, entry, overlay, overlay.seq)
        elif (pool := volume.numbers["blob"]).left >= len(groups := overlay.full_groups(MAX_BLOB_BYTES)):
            for group in groups:
                self._start_seal(volume, entry, overlay, group, pool.take())

    async def _start_seals(self, volume: VolumeState, entry: InodeEntry, overlay: Overlay, upto_seq: int) -> None:
        """Start a seal for every run of a write at or before *upto_seq* that has none."""
        pool = volume.numbers["blob"]
        while pool.left < len(overlay.sealable(upto_seq, MAX_BLOB_BYTES)):
            await self._engine.loader.reserve(volume, "blob")
        for group in overlay.sealable(upto_seq, MAX_BLOB_BYTES):
            self._start_seal(volume, entry, overlay, group, pool.take())

    def _start_seal(
        self, volume: VolumeState, entry: InodeEntry, overlay: Overlay, group: list[Run], blob: int | None
    ) -> None:
        assert blob is not None
        seal = Seal(blob, sum(run.length for run in group), Promise())
        body = [run.data for run in group if run.data is not None]
        image = entry.image
        assert image is not None  # an overlay goes with its inode
        origin = Origin(volume.epoch, image.ino, image.content, group[0].offset, image.write_seq + 1)
        overlay.started(group, seal)
        self._flying += seal.size
        self._engine.loader.top_up(volume)
        spawn("seal", self._seal(volume, overlay, seal, body, origin))

    async def _seal(
        self, volume: VolumeState, overlay: Overlay, seal: Seal, body: list[memoryview], origin: Origin
    ) -> None:
        """Write one blob; what became of it is told by the seal, and `done` resolves in any case."""
        try:
            placement = await self._bodies.put(BlobId(volume.vol, seal.blob), body, origin)
        except Exception as error:  # noqa: BLE001 - kept for the COMMIT that waits for it, whatever it is
            overlay.failed(seal, error)
        else:
            _sealed()
            overlay.sealed(seal, placement)
        self._flying -= seal.size
        ended, self._sealed = self._sealed, Promise()
        ended.resolve(None)
        seal.done.resolve(None)

    # ------------------------------------------------------------------ flushing

    async def flush(self, volume: VolumeState, entry: InodeEntry, laid: Laid, start: int, end: int) -> None:
        """Make those writes of *laid* that touch [start, end) part of the file, durably.

        Raise what a seal failed with; the data stays in memory then. What another flush, a truncation or a PUT took
        out meanwhile is no concern any more.
        """
        overlay = laid.overlay
        while entry.overlay is overlay and not volume.dead and overlay.pending(start, end, laid.seq):
            await self._start_seals(volume, entry, overlay, laid.seq)
            seals = {run.seal for run in overlay.pending(start, end, laid.seq) if run.seal is not None}
            for seal in seals:
                await seal.done
                if seal.error is not None:
                    raise seal.error
            _before_flush()
            await self._engine.run(volume, lambda view: self._plan_flush(view, entry, overlay))

    def _plan_flush(self, view: View, entry: InodeEntry, overlay: Overlay) -> Planned[None]:
        """Plan to make every sealed run of *overlay* an extent."""
        runs = [run for run in overlay.runs if run.is_sealed]
        if entry.overlay is not overlay or entry.image is None or not runs:
            view.entry(entry.ino)
            return Planned(lambda: None)
        view.entry(entry.ino)
        image = entry.image
        draft = Draft(view.extents(entry, runs[0].offset, runs[-1].end))
        for extent in _extents(image, runs):
            draft.replace(extent.offset, extent.offset + extent.length, [extent])
        edit = Edit(view, self._clock.now_ns())
        if view.volume.versioning:
            amend(edit, entry, whole=False)
        seals = {run.seal for run in runs if run.seal is not None}
        edit.redraw(entry, draft, [_blob_row(image.vol, seal) for seal in seals if not seal.recorded])
        edit.set(
            entry,
            size=max(image.size, runs[-1].end),
            mtime=image.mtime if overlay.mtime is None else overlay.mtime,
            ctime=max(image.ctime, overlay.ctime),
            content_time=edit.now_ns,
            write_seq=image.write_seq + 1,
            etag=None,
        )
        edit.then(lambda: self._flushed(entry, overlay, runs, seals))
        return edit.planned(lambda: None)

    def _flushed(self, entry: InodeEntry, overlay: Overlay, runs: list[Run], seals: set[Seal]) -> None:
        for seal in seals:
            seal.recorded = True
        overlay.remove(runs)
        entry.attr = None
        if not overlay.runs:
            self._forget(entry)

    def _forget(self, entry: InodeEntry) -> None:
        entry.overlay = None
        entry.attr = None
        self._dirty.pop(entry, None)

    # ------------------------------------------------------------------ background

    def flush_idle(self) -> None:
        """Start a flush of every file whose UNSTABLE data nobody touched for a while."""
        now = self._clock.boottime_seconds()
        for entry, volume in list(self._dirty.items()):
            if entry.overlay is None:
                self._dirty.pop(entry, None)
            elif volume.dead:
                entry.overlay.discard()  # the incarnation is over, and its verifier with it
                self._forget(entry)
            elif now - entry.overlay.touched >= IDLE_SECONDS:
                entry.overlay.touched = now
                spawn("idle flush", self._flush_all(volume, entry))

    async def flush_everything(self) -> None:
        """Flush all UNSTABLE data: the gateway is stopping."""
        await gather(self._flush_all(volume, entry) for entry, volume in list(self._dirty.items()))

    async def _flush_all(self, volume: VolumeState, entry: InodeEntry) -> None:
        """Flush one file; what cannot be written now stays in memory, and its client still has it."""
        try:
            if entry.overlay is not None:
                await self.flush(volume, entry, Laid(entry.overlay, entry.overlay.seq), 0, MAX_SIZE)
        except (FsError, NoReply):
            return


def _extents(image: Inode, runs: list[Run]) -> list[Extent]:
    """Return *runs*, which are sealed and in order, as extents; what adjoins in file and blob becomes one."""
    extents: list[Extent] = []
    for run in runs:
        assert run.seal is not None
        last = extents[-1] if extents else None
        if (
            last is not None
            and last.blob == run.seal.blob
            and last.offset + last.length == run.offset
            and last.blob_offset + last.length == run.seal_offset
        ):
            extents[-1] = replace(last, length=last.length + run.length)
        else:
            extents.append(Extent(image.vol, image.content, run.offset, run.length, run.seal.blob, run.seal_offset))
    return extents


def _blob_row(vol: int, seal: Seal) -> Blob:
    placement = seal.placement
    assert placement is not None
    return Blob(vol, seal.blob, seal.size, 0, placement.ring_epoch, placement.missing, placement.handoff)
