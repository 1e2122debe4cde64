"""How an operation runs: resolve, plan, install, commit, release (DESIGN 2).

A *plan* is a function of a `View`: it checks everything, changes nothing, never waits, and returns a `Planned` or
raises an `FsError`; what it misses in memory it says by `Missing`, and is called again once that is loaded. Plan and
install run back to back with no wait between them, so no lock and no half-done change can exist. The answer, success
or refusal, leaves when the highest batch of all that was consulted is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from foundation.aio import within
from foundation.crash import crash_point
from foundation.errors import FsError, NoReply, Unavailable
from metastore.records import Edge, Extent, Inode, ObjectMeta, Reclaim, Version
from namespace.attributes import attr_of
from namespace.edit import Planned
from namespace.loader import Loader
from namespace.view import Missing, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from foundation.clock import Clock
    from metastore.api import MetaStore
    from metastore.records import RowType
    from namespace.api import Attr, FileId
    from namespace.cache import Cache
    from namespace.lease import Lease
    from namespace.view import Need
    from namespace.volume import VolumeState

T = TypeVar("T")
_after_install = crash_point("engine.after_install")
_before_answer = crash_point("engine.before_answer")

#: Changes that are not durable yet may take this much memory; above it mutating requests wait, then are refused.
PENDING_LIMIT_BYTES = 64 << 20
PAUSE_SECONDS = 10.0
#: A plan that misses the same thing after so many loads of it is a bug, not a cold cache.
MAX_LOADS = 64
#: As a volume's number for `MetaStore.wait`: no volume's Changes in particular.
NO_VOLUME = 0


class Engine:
    """Runs operations on the volumes of one gateway."""

    def __init__(self, metastore: MetaStore, clock: Clock, lease: Lease) -> None:
        """Commit to and load from *metastore*, and answer while *lease* is in force."""
        self.metastore = metastore
        self.clock = clock
        self._lease = lease
        self.loader = Loader(metastore)
        #: Called with (volume, error) when an installation failed; `Volumes` takes the volume anew.
        self.crashed: Callable[[int, BaseException], object] = lambda _vol, _error: None

    async def run(
        self,
        volume: VolumeState,
        plan: Callable[[View], Planned[T]],
        subjects: tuple[FileId, ...] = (),
        request: bytes = b"",
        again: Callable[[View, bytes], T] | None = None,
    ) -> T:
        """Run one operation and return its answer; *again* answers a *request* that an earlier incarnation has done.

        Raise the FsError it was refused with, `seen` set from *subjects*; NoReply if the volume crashed meanwhile.
        """
        record = volume.replies.get(request)  # no request has no record
        if record is not None and again is not None:
            plan = _answered(again, record)
        stamp = volume.cache.begin_operation()
        view = View(volume, stamp, request)
        try:
            planned = await self._plan(volume, view, plan)
            batch, result = self._finish(volume, view, planned)
        except Unavailable as error:
            if record is not None:
                raise NoReply(
                    "it was done: a client that comes again with another request would do it twice"
                ) from error
            raise  # it says nothing of what was consulted, and must not wait for a database that stalls
        except FsError as error:
            await self._refuse(volume, view, error, subjects)
            raise
        finally:
            volume.cache.end_operation(stamp)
        if batch > self.metastore.durable:
            await self.metastore.wait(volume.vol, batch)
        self.confirm(volume)
        _before_answer()
        return result

    async def _plan(self, volume: VolumeState, view: View, plan: Callable[[View], Planned[T]]) -> Planned[T]:
        loads: dict[Need, int] = {}
        patience: float | None = None  # the boot time at which a mutating request gives up
        while True:
            if volume.dead:
                raise Unavailable("the volume's incarnation ended")  # nothing was planned, so nothing happened
            try:
                planned = plan(view)
            except Missing as missing:
                loads[missing.need] = loads.get(missing.need, 0) + 1
                if loads[missing.need] > MAX_LOADS:
                    raise RuntimeError(f"a plan never had enough of {missing.need}") from None
                await self.loader.load(volume, missing.need)
                continue
            if planned.change is None or self.metastore.pending_bytes <= PENDING_LIMIT_BYTES:
                return planned
            if patience is None:
                patience = self.clock.boottime_seconds() + PAUSE_SECONDS
            await self._pause(patience)

    async def _pause(self, until: float) -> None:
        """Wait for the next batch, of whatever volume, to be settled; raise Unavailable at the boot time *until*."""
        settled = self.metastore.wait(NO_VOLUME, self.metastore.durable + 1)
        if not await within(self.clock, until - self.clock.boottime_seconds(), settled):
            raise Unavailable("the database is behind")

    async def _refuse(self, volume: VolumeState, view: View, error: FsError, subjects: tuple[FileId, ...]) -> None:
        """Return when a refusal may leave: it, too, rests on what was consulted."""
        if error.seen is None:
            error.seen = tuple(_seen(view, subject) for subject in subjects)
        await self.release(volume, view.batch)

    def _finish(self, volume: VolumeState, view: View, planned: Planned[T]) -> tuple[int, T]:
        """Install what was planned and return the batch to wait for, and the answer.

        This cannot fail. If it does all the same, memory no longer shows what was committed: the volume is crashed,
        and nobody knows whether the change will be durable, so nothing is answered (DESIGN 8, D4).
        """
        try:
            batch = view.batch if planned.change is None else self._install(volume, planned)
            for effect in planned.effects:
                effect()
            _after_install()
            return batch, planned.answer()
        except NoReply:
            raise
        except Exception as error:
            if planned.change is None and not planned.effects:
                raise  # nothing was touched
            self.crashed(volume.vol, error)
            raise NoReply("an installation failed") from error

    def _install(self, volume: VolumeState, planned: Planned[Any]) -> int:
        """Queue the change and make its rows what memory shows; return its batch. Nothing here waits."""
        change = planned.change
        assert change is not None
        batch = self.metastore.commit(change)
        volume.last_batch = batch
        cache = volume.cache
        for row in change.puts:
            if type(row) is Inode:
                cache.put_inode(row, batch)
            elif type(row) is Edge:
                cache.put_edge(row.parent, row.skey, row, batch)
            elif type(row) is ObjectMeta:
                cache.put_meta(row.ino, row)
            elif type(row) is Version:
                cache.history(row.parent, row.skey).put(row.seq, row, batch)
        for kind, key in change.drops:
            _drop(cache, kind, key, batch)
        self.loader.top_up(volume)
        return batch

    async def settled(self, volume: VolumeState) -> None:
        """Return when every change of *volume* so far is durable; raise NoReply if the volume crashed."""
        await self.release(volume, volume.last_batch)

    async def release(self, volume: VolumeState, batch: int) -> None:
        """Return when *batch* is durable; raise NoReply if the volume crashed or the lease ran out."""
        if batch > self.metastore.durable:
            await self.metastore.wait(volume.vol, batch)
        self.confirm(volume)

    def confirm(self, volume: VolumeState) -> None:
        """Raise NoReply unless what was read of *volume* before this call was true when it was read.

        The lease that is in force now was in force then, so nobody else can have changed anything. That is enough: a
        process that is stopped from here on sends an answer that is as old as one that the network held up.
        """
        if self.clock.boottime_seconds() >= self._lease.deadline:
            self._lease.look()
        if volume.dead:
            raise NoReply("the volume's incarnation ended")


def _answered(again: Callable[[View, bytes], T], record: bytes) -> Callable[[View], Planned[T]]:
    """Return the plan that changes nothing and answers from *record*."""

    def plan(view: View) -> Planned[T]:
        answer = again(view, record)
        return Planned(lambda: answer)

    return plan


def _drop(cache: Cache, kind: RowType, key: tuple[int | bytes, ...], batch: int) -> None:
    """Leave in memory that a row is gone."""
    if kind is Inode:
        cache.drop_inode(int(key[0]), batch)
    elif kind is Edge:
        cache.put_edge(int(key[0]), bytes(key[1]), None, batch)
    elif kind is Version:
        cache.history(int(key[0]), bytes(key[1])).put(int(key[2]), None, batch)
    elif kind is ObjectMeta:
        cache.put_meta(int(key[0]), None)
    else:
        assert kind in (Extent, Reclaim)  # the body map changes by the plan's effects


def _seen(view: View, file: FileId) -> Attr | None:
    """Return the attributes of *file* as the refusing plan saw them."""
    entry = view.volume.cache.inodes.get(file.ino)
    if entry is None or entry.image is None or entry.image.gen != file.gen:
        return None
    view.consult(entry)
    return attr_of(entry)
