"""Write-back: overlays, sealing them into blobs, and flushing these into the body maps (DESIGN 4).

A write is laid on the overlay at once. Sealing writes runs into blobs (*body first*), early when a blob's worth is
there; a flush then makes the sealed runs that the overlay still owns extents, in Changes of bounded size (*name
second*). A COMMIT flushes the writes at or before its arrival; a stable WRITE is a write and a flush.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from foundation.aio import Promise, Semaphore, gather, spawn
from foundation.crash import crash_point
from foundation.errors import FsError, NoReply, Unavailable
from foundation.log import Logger
from metastore.records import Blob, Extent
from namespace.attributes import next_ctime
from namespace.edit import Edit, Planned
from namespace.extents import Draft
from namespace.overlay import Overlay, Run, Seal
from namespace.room import Room, Turn, file_fits
from namespace.view import MAX_SIZE, View
from storage_engine.api import MAX_BLOB_BYTES, BlobId, Origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from foundation.clock import Clock
    from metastore.records import Inode
    from namespace.cache import InodeEntry
    from namespace.engine import Engine
    from namespace.volume import VolumeState
    from storage_engine.api import BodyStore

_log = Logger()
_sealed = crash_point("seal.after_put")
_before_flush = crash_point("flush.before_commit")
#: A file whose writes left so much behind in small pieces is sealed as it is.
SCATTERED_BYTES = 4 * MAX_BLOB_BYTES
#: UNSTABLE data that nobody touched for so long is flushed, and so shown to S3.
IDLE_SECONDS = 5.0
#: Files that are flushed at once with nobody asking.
IDLE_FILES = 256
#: Blobs that are on their way at once; further seals wait in order.
SEALS_IN_FLIGHT = 64
#: Runs that one Change makes extents, and about how many rows it may then have; the rest comes in further ones.
FLUSH_RUNS = 512
FLUSH_ROWS = 4096


class Laid(Struct, frozen=True):
    """All writes of one overlay up to a sequence number."""

    overlay: Overlay
    seq: int


class Lost(Struct, frozen=True):
    """UNSTABLE data that could not be flushed when the gateway stopped."""

    bucket: str
    ino: int
    size: int


class WriteBack:
    """Every overlay of this gateway: lays writes on them, seals them, flushes them."""

    def __init__(self, engine: Engine, bodies: BodyStore, clock: Clock) -> None:
        """Write bodies into *bodies* and rows through *engine*."""
        self._engine = engine
        self._bodies = bodies
        self._clock = clock
        self.room = Room(bodies)
        self._dirty: dict[InodeEntry, VolumeState] = {}  # by last write, the oldest first
        self._busy: set[InodeEntry] = set()  # files that a flush nobody asked for is working on
        self._seals = Semaphore(SEALS_IN_FLIGHT)
        #: Called with the volume and the file as each flush leaves it.
        self.flushed: Callable[[VolumeState, Inode], object] = lambda _volume, _image: None
        self._closing = False

    # ------------------------------------------------------------------ writing

    def admits(self, entry: InodeEntry, size: int) -> bool:
        """Tell whether *size* bytes may be laid on *entry* now; raise NoSpace, or Unavailable when stopping."""
        if self._closing:
            raise Unavailable("the gateway is stopping")
        self.room.check_space(size)
        return self.room.has_room(entry, size)

    async def wait_for_room(self, turn: Turn) -> None:
        """Wait until *turn* is granted, or its volume is dead; raise why the data in memory cannot be written."""
        turn.volume.at_end(self.drop)
        self.room.queue(turn)
        self._press()
        await turn.over

    def give_back(self, turn: Turn) -> None:
        """Take back what *turn* was granted and has not used, for others who wait."""
        if turn.granted:
            self.room.use(turn)
            self._relieved()

    def lay(self, volume: VolumeState, entry: InodeEntry, offset: int, data: memoryview) -> Laid:
        """Put *data* into the overlay."""
        ctime = next_ctime(entry, self._clock.now_ns())
        overlay = entry.overlay
        if overlay is None:
            overlay = entry.overlay = Overlay(self.room.meter)
            volume.at_end(self.drop)
        overlay.ctime = overlay.mtime = ctime
        self._touch(volume, entry, overlay)
        entry.attr = None
        return Laid(overlay, overlay.write(offset, data))

    def _touch(self, volume: VolumeState, entry: InodeEntry, overlay: Overlay) -> None:
        overlay.touched = self._clock.boottime_seconds()
        self._dirty.pop(entry, None)
        self._dirty[entry] = volume

    def drop(self, volume: VolumeState) -> None:
        """Forget what *volume*'s dead incarnation had; its verifier is gone too."""
        for entry in [entry for entry, its in self._dirty.items() if its is volume]:
            self._forget(entry)
        self.room.end_waits(volume)
        self._relieved()

    def _forget(self, entry: InodeEntry) -> None:
        self._dirty.pop(entry, None)
        if entry.overlay is not None:
            entry.overlay.discard()
            entry.overlay = entry.attr = None

    # ------------------------------------------------------------------ sealing

    async def seal_early(self, volume: VolumeState, entry: InodeEntry, overlay: Overlay) -> None:
        """Start seals for what fills blobs, so that a COMMIT finds little left to do.

        To be called once per blob's worth of writes (`grown`): it costs as much as there are runs without a seal.
        """
        overlay.grown = 0
        if overlay.unsealed >= SCATTERED_BYTES:
            await self._start_seals(volume, entry, overlay, overlay.seq, 0, MAX_SIZE)
        elif volume.numbers["blob"].left >= len(groups := overlay.full_groups(MAX_BLOB_BYTES)):
            self._start(volume, entry, overlay, groups)

    async def _start_seals(
        self, volume: VolumeState, entry: InodeEntry, overlay: Overlay, upto_seq: int, start: int, end: int
    ) -> list[Seal]:
        """Start a seal for every run of a write at or before *upto_seq* in [start, end) that has none."""
        pool = volume.numbers["blob"]
        groups = overlay.sealable(upto_seq, MAX_BLOB_BYTES, start, end)
        while pool.left < len(groups):
            await self._engine.loader.reserve(volume, "blob")
            groups = overlay.sealable(upto_seq, MAX_BLOB_BYTES, start, end)
        return self._start(volume, entry, overlay, groups)

    def _start(self, volume: VolumeState, entry: InodeEntry, overlay: Overlay, groups: list[list[Run]]) -> list[Seal]:
        """Start a seal for each of *groups*: all are marked before any begins, as its end may wake a WRITE."""
        image = entry.image
        if not groups or image is None:
            return []
        works = []
        seals = []
        for group in groups:
            number = volume.numbers["blob"].take()
            assert number is not None  # the caller has counted
            seal = Seal(number, group[0].offset, sum(run.length for run in group), Promise())
            body = [run.data for run in group if run.data is not None]
            origin = Origin(volume.epoch, image.ino, image.content, seal.offset, image.write_seq + 1)
            overlay.started(group, seal)
            seals.append(seal)
            works.append(self._seal(volume, overlay, seal, body, origin))
        self._engine.loader.top_up(volume)
        for work in works:
            spawn("seal", work)
        return seals

    async def _seal(
        self, volume: VolumeState, overlay: Overlay, seal: Seal, body: list[memoryview], origin: Origin
    ) -> None:
        """Write one blob; what became of it is told by the seal, and `done` resolves in any case."""
        async with self._seals:
            try:
                placement = await self._bodies.put(BlobId(volume.vol, seal.blob), body, origin)
            except Exception as error:  # noqa: BLE001 - kept for the COMMIT that waits for it, whatever it is
                overlay.failed(seal, error)
            else:
                _sealed()
                overlay.sealed(seal, placement)
        body.clear()
        seal.done.resolve(None)
        self._relieved()

    # ------------------------------------------------------------------ flushing

    async def flush(
        self, volume: VolumeState, entry: InodeEntry, laid: Laid, start: int = 0, end: int = MAX_SIZE
    ) -> None:
        """Make those writes of *laid* that touch [start, end) part of the file, durably.

        Raise what a seal failed with; the data stays in memory then. What another flush, a truncation or a PUT took
        out meanwhile is no concern any more, but its Change may not be durable yet: who answers a client consults the
        file once more.
        """
        overlay = laid.overlay
        while entry.overlay is overlay and not volume.dead:
            seals = dict.fromkeys(await self._start_seals(volume, entry, overlay, laid.seq, start, end))
            chunk = overlay.pending(start, end, laid.seq, FLUSH_RUNS)
            if not chunk:
                break
            seals.update(dict.fromkeys(run.seal for run in chunk if run.seal is not None))
            for seal in seals:
                await seal.done
                if seal.error is not None and not volume.dead:
                    raise _again(seal.error)
            if volume.dead:
                break
            _before_flush()
            plan = partial(self._plan_flush, volume, entry, overlay, (chunk[0].offset, chunk[-1].end))
            await self._engine.run(volume, plan)
        if volume.dead:
            raise NoReply("the volume's incarnation ended")

    def _plan_flush(
        self, volume: VolumeState, entry: InodeEntry, overlay: Overlay, where: tuple[int, int], view: View
    ) -> Planned[None]:
        """Plan to make sealed runs of *overlay* extents, from the first on, as many as one Change takes."""
        runs = overlay.flushable(*where, FLUSH_RUNS)
        image = entry.image
        if entry.overlay is not overlay or image is None or not runs:
            return _consulted(view, entry)
        view.entry(entry.ino)
        draft = Draft(view.extents_in(entry, [(run.offset, run.end) for run in runs]))
        taken = _draw(draft, image, runs)
        edit = Edit(view, self._clock.now_ns())
        seals = dict.fromkeys(run.seal for run in taken if run.seal is not None)
        edit.redraw(entry, draft, [_blob_row(image.vol, seal) for seal in seals if not seal.recorded])
        edit.set(
            entry,
            size=max(image.size, taken[-1].end),
            mtime=image.mtime if overlay.mtime is None else overlay.mtime,
            ctime=max(image.ctime, overlay.ctime),
            content_time=edit.now_ns,
            write_seq=image.write_seq + 1,
            etag=None,
        )
        edit.then(lambda: self._flushed(volume, entry, overlay, taken, seals))
        return edit.planned(lambda: None)

    def _flushed(
        self, volume: VolumeState, entry: InodeEntry, overlay: Overlay, runs: list[Run], seals: dict[Seal, None]
    ) -> None:
        for seal in seals:
            seal.recorded = True
        overlay.remove(runs)
        entry.attr = None
        if not overlay.runs:
            self._forget(entry)
        assert entry.image is not None  # it was planned for
        self.flushed(volume, entry.image)

    # ------------------------------------------------------------------ with nobody asking

    def _relieved(self) -> None:
        """Hand out room that has come free; see to it that more does, while anybody waits. Not from an install."""
        if self.room.is_sought:
            self.room.hand_out()
            self._press()

    def _press(self) -> None:
        """Flush what keeps WRITEs waiting, unless blobs are on their way, whose ends come here again."""
        victims: dict[InodeEntry, VolumeState] = {}
        for turn in self.room.waiting():
            if not file_fits(turn.entry, turn.size):
                victims[turn.entry] = turn.volume
            else:
                victims.update(self._oldest(turn.size))
                break
        for entry, volume in victims.items():
            overlay = entry.overlay
            if overlay is not None and not overlay.meter.flying and entry not in self._busy:
                spawn("flush for room", self._relieve(volume, entry))

    def _oldest(self, size: int) -> dict[InodeEntry, VolumeState]:
        """Return the files that nobody has written to for longest and that together hold *size* bytes."""
        found: dict[InodeEntry, VolumeState] = {}
        for entry, volume in self._dirty.items():
            if entry.overlay is not None:
                found[entry] = volume
                size -= entry.overlay.meter.held
                if size <= 0:
                    break
        return found

    async def _relieve(self, volume: VolumeState, entry: InodeEntry) -> None:
        error = await self._flush_all(volume, entry)
        if error is not None:
            self.room.refuse(error, entry)
        self._relieved()

    def flush_idle(self) -> None:
        """Start a flush of every file whose UNSTABLE data nobody touched for a while."""
        now = self._clock.boottime_seconds()
        due: list[tuple[InodeEntry, VolumeState]] = []
        gone: list[InodeEntry] = []
        for entry, volume in self._dirty.items():
            if entry.overlay is None:
                gone.append(entry)
            elif now - entry.overlay.touched < IDLE_SECONDS or len(due) + len(self._busy) >= IDLE_FILES:
                break
            elif entry not in self._busy:
                due.append((entry, volume))
        for entry in gone:
            self._dirty.pop(entry, None)
        for entry, volume in due:
            spawn("idle flush", self._flush_all(volume, entry))

    async def flush_everything(self) -> list[Lost]:
        """Flush all UNSTABLE data, as the gateway is stopping, and return what could not be; refuse further WRITEs."""
        self._closing = True
        self.room.refuse(Unavailable("the gateway is stopping"))
        await gather(self._flush_all(volume, entry) for entry, volume in list(self._dirty.items()))
        lost = [
            Lost(volume.row.name, entry.ino, sum(run.length for run in entry.overlay.runs))
            for entry, volume in self._dirty.items()
            if entry.overlay is not None and entry.overlay.runs
        ]
        for each in lost:
            _log.error("{lost.size} bytes of inode {lost.ino} in {lost.bucket} could not be flushed", lost=each)
        return lost

    async def _flush_all(self, volume: VolumeState, entry: InodeEntry) -> Exception | None:
        """Flush one file; return why it could not be: the data stays in memory then, and its client still has it."""
        overlay = entry.overlay
        if overlay is None:
            return None
        self._touch(volume, entry, overlay)  # so the next attempt is not at once
        self._busy.add(entry)
        try:
            await self.flush(volume, entry, Laid(overlay, overlay.seq))
        except (FsError, NoReply) as error:
            return error
        finally:
            self._busy.discard(entry)
        return None


def _consulted(view: View, entry: InodeEntry) -> Planned[None]:
    """Consult the file, so that the answer waits for what others have changed."""
    view.entry(entry.ino)
    return Planned(lambda: None)


def _draw(draft: Draft, image: Inode, runs: list[Run]) -> list[Run]:
    """Put *runs* into *draft* until the Change has rows enough; return those that it took."""
    for count, run in enumerate(runs, 1):
        assert run.seal is not None  # they are sealed
        extent = Extent(image.vol, image.content, run.offset, run.length, run.seal.blob, run.seal_offset)
        draft.replace(run.offset, run.end, [extent])
        if len(draft.added) + len(draft.removed) >= FLUSH_ROWS:
            return runs[:count]
    return runs


def _again(error: Exception) -> Exception:
    """Return *error* for one of many who get it: each notes on its own what it saw."""
    return type(error)(*error.args) if isinstance(error, FsError) else error


def _blob_row(vol: int, seal: Seal) -> Blob:
    placement = seal.placement
    assert placement is not None
    return Blob(vol, seal.blob, seal.size, 0, placement.ring_epoch, placement.missing, placement.handoff)
