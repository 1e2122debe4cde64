"""Background duties of the namespace: idle flush, garbage, what clients left behind (DESIGN 3.2, 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.aio import spawn
from foundation.crash import crash_point
from foundation.errors import FsError, NoReply
from foundation.log import Logger
from namespace.atime import write_read_times
from namespace.remains import Remains
from namespace.rewriting import Rewriter

if TYPE_CHECKING:
    from foundation.clock import Timer
    from namespace.hall import Hall
    from namespace.volume import VolumeState

_log = Logger()
_after_reclaim = crash_point("garbage.after_reclaim")
_after_reap = crash_point("reap.after_chunk")
_after_doom = crash_point("garbage.after_doom")
_after_delete = crash_point("garbage.after_delete")
#: How often the duties look round, in seconds.
ROUND_SECONDS = 1.0
#: A doomed blob stays this long, for reads that began before (and no read under way may be older).
GRACE_NS = 10_000_000_000
#: A dropped volume is closed to every gateway that ever held it: by an epoch that none reaches.
DROPPED_EPOCH = 1 << 31
#: Rows freed by one transaction.
CHUNK = 1000
#: Access times that reads have moved are written this often.
READ_TIMES_SECONDS = 60.0
#: A volume with nothing new is looked at for this long after its last change.
QUIET_NS = 6 * GRACE_NS


class Duties:
    """What the namespace does with nobody asking."""

    def __init__(self, hall: Hall) -> None:
        """Look after *hall*."""
        self._hall = hall
        self._remains = Remains(hall)
        self._timer: Timer | None = None
        self._running = False
        self._rewriter = Rewriter(hall)
        self._rewriting = False
        self._read_times_due = 0.0  # boot time at which access times are written again
        self._active: dict[int, tuple[int, int]] = {}  # vol -> (last batch seen, ns until which to look)

    def start(self) -> None:
        """Begin the rounds."""
        self._timer = self._hall.clock.call_later(ROUND_SECONDS, self._round)

    def stop(self) -> None:
        """End the rounds; one under way finishes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _round(self) -> None:
        self.start()
        self._hall.writeback.flush_idle()
        if not self._running:
            self._running = True
            spawn("garbage", self._collect_all())
        now = self._hall.clock.boottime_seconds()
        if not self._rewriting and (self._rewriter.has_work or now >= self._read_times_due):
            self._rewriting = True
            spawn("rewrite", self._rewrite())

    async def _rewrite(self) -> None:
        """Make fragmented files whole, and write access times, a little in each round."""
        try:
            await self._rewriter.rewrite_some()
            if self._hall.clock.boottime_seconds() >= self._read_times_due:
                self._read_times_due = self._hall.clock.boottime_seconds() + READ_TIMES_SECONDS
                await self.write_read_times()
        except (FsError, NoReply) as error:
            _log.warn("rewriting waits: {error}", error=error)
        finally:
            self._rewriting = False

    async def write_read_times(self) -> None:
        """Write the access times that reads have moved; those that cannot be now are lost, which is no harm."""
        for volume in self._hall.volumes.every():
            try:
                await write_read_times(self._hall.engine, volume, self._hall.clock.now_ns())
            except (FsError, NoReply) as error:
                _log.warn("access times of {name} are not written: {error}", name=volume.row.name, error=error)

    async def _collect_all(self) -> None:
        try:
            for volume in self._hall.volumes.every():
                if self._is_due(volume):
                    await self.collect(volume)
                await self._remains.turn(volume)
            await self._collect_dropped()
        except (FsError, NoReply) as error:
            _log.warn("garbage collection waits: {error}", error=error)
        finally:
            self._running = False

    async def _collect_dropped(self) -> None:
        """Delete the blobs that dropped volumes left; the nodes take no further write for such a volume."""
        metastore, bodies = self._hall.engine.metastore, self._hall.bodies
        for vol in await metastore.dropped_volumes():
            await bodies.close_epochs(vol, DROPPED_EPOCH)
            doomed = await metastore.doomed(vol, self._hall.clock.now_ns() - GRACE_NS, CHUNK)
            gone = await bodies.delete(vol, [blob.id for blob in doomed]) if doomed else []
            if gone:
                await metastore.forget_blobs(vol, gone)

    def _is_due(self, volume: VolumeState) -> bool:
        now = self._hall.clock.now_ns()
        seen, until = self._active.get(volume.vol, (-1, 0))
        if volume.last_batch != seen or volume.readers:  # what a read keeps goes after it
            self._active[volume.vol] = (volume.last_batch, now + QUIET_NS)
            return True
        return now < until

    async def collect(self, volume: VolumeState) -> None:
        """Free ended uploads and detached contents, doom what nothing references, delete what was doomed long ago."""
        metastore, bodies = self._hall.engine.metastore, self._hall.bodies
        while not volume.dead and await metastore.reap_uploads(volume.vol, self._hall.clock.now_ns(), CHUNK):
            _after_reap()
        while not volume.dead and await metastore.reclaim(volume.vol, CHUNK):
            _after_reclaim()
        while not volume.dead and await self._doom(volume) == CHUNK:
            pass
        _after_doom()
        now = self._hall.clock.now_ns()
        before = min(now - GRACE_NS, volume.oldest_read(now))
        while not volume.dead:
            doomed = await metastore.doomed(volume.vol, before, CHUNK)
            # Read under a lease in force, the list names nothing that a successor gave up: its readers may need that.
            self._hall.engine.confirm(volume)
            gone = await bodies.delete(volume.vol, [blob.id for blob in doomed]) if doomed else []
            _after_delete()
            if gone:
                await metastore.forget_blobs(volume.vol, gone)
            if len(doomed) < CHUNK or not gone:
                return

    async def _doom(self, volume: VolumeState) -> int:
        """Give up some blobs that nothing references; return how many."""
        at_ns = volume.begin_dooming(self._hall.clock.now_ns())
        try:
            return await self._hall.engine.metastore.doom(volume.vol, at_ns, CHUNK)
        finally:
            volume.end_dooming()

    async def reconcile(self, volume: VolumeState) -> int:
        """Delete from the nodes what ranges of closed epochs left with no row; return how many blobs."""
        held: set[int] = set()
        swept = 0
        async for copy in self._hall.bodies.inventory(volume.vol, verify=False):
            held.add(copy.blob.id)
            if len(held) >= CHUNK:
                swept += await self._sweep(volume, sorted(held))
                held.clear()
        if held:
            swept += await self._sweep(volume, sorted(held))
        if swept:
            _log.info("{count} orphaned blobs of {name} deleted", count=swept, name=volume.row.name)
        return swept

    async def _sweep(self, volume: VolumeState, ids: list[int]) -> int:
        orphans = await self._hall.engine.metastore.unreferenced(volume.vol, ids)
        if not orphans:
            return 0
        return len(await self._hall.bodies.delete(volume.vol, orphans))
