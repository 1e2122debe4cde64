"""The books of group commit: which Change is in which batch, who waits for it, and what a refusal takes with it.

Both implementations of the metastore keep these books and differ only in how a batch is made durable. Nothing here
waits and nothing does I/O.

Numbers are given when a batch is opened and grow by one. A batch is *settled* when it is durable or refused; they
settle in order. A refused batch counts as settled for the volumes that had nothing in it, because all that those ever
said is durable; the volumes that had something in it are crashed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.logger import Logger

from foundation.aio import Promise
from foundation.errors import NoReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from metastore.records import Change

_log = Logger()

#: A batch takes no further Change once it has this many rows: it bounds the time of one transaction, and with it the
#: wait of everything queued behind.
MAX_BATCH_ROWS = 4096
#: The same for its weight in bytes.
MAX_BATCH_BYTES = 8 << 20
#: What a row is taken to weigh before its variable parts are counted.
_ROW_BYTES = 256


class BatchRefused(Exception):
    """The database did not take a batch: what this process holds in memory is wrong."""


class Fenced(BatchRefused):
    """Another gateway, or another epoch, serves a volume of the batch."""


class DurabilityLost(BatchRefused):
    """A batch that was durable is missing: the database went back in time. Nothing may be served from it."""


class Batch:
    """Changes that become durable together."""

    __slots__ = ("changes", "epochs", "number", "rows", "size_bytes")

    def __init__(self, number: int) -> None:
        """Open batch *number*."""
        self.number = number
        self.changes: list[Change] = []
        self.epochs: dict[int, int] = {}  # volume -> the epoch at which it was served when the Change came
        self.rows = 0
        self.size_bytes = 0

    def add(self, change: Change, epoch: int, rows: int, size_bytes: int) -> None:
        """Take one more Change."""
        self.changes.append(change)
        self.epochs[change.vol] = epoch
        self.rows += rows
        self.size_bytes += size_bytes

    def fits(self, change: Change, epoch: int, rows: int, size_bytes: int) -> bool:
        """Say whether *change* may join: there is room, and the batch has its volume at no other epoch."""
        return (
            self.rows + rows <= MAX_BATCH_ROWS
            and self.size_bytes + size_bytes <= MAX_BATCH_BYTES
            and self.epochs.get(change.vol, epoch) == epoch
        )

    def drop_volume(self, vol: int) -> int:
        """Forget the Changes of *vol*; return how many bytes they weighed."""
        if self.epochs.pop(vol, None) is None:
            return 0
        dropped = sum(_weigh(change)[1] for change in self.changes if change.vol == vol)
        self.changes = [change for change in self.changes if change.vol != vol]
        self.size_bytes -= dropped
        return dropped


def _weigh(change: Change) -> tuple[int, int]:
    """Return how many rows *change* has, and about how many bytes."""
    rows = len(change.puts) + len(change.drops) + len(change.cuts) + len(change.blob_refs) + 1
    return rows, rows * _ROW_BYTES + (len(change.reply.reply) if change.reply else 0)


class Ledger:
    """The queue of batches, their waiters, and the volumes that are served."""

    def __init__(self) -> None:
        """Start with no volume and no batch; `refused` is called once per volume that a refusal crashed."""
        self.refused: Callable[[int, BaseException], object] = lambda _vol, _error: None
        self.durable = 0
        self.pending_bytes = 0
        self.epochs: dict[int, int] = {}  # volumes served now
        self._last = 0
        self._queue: deque[Batch] = deque()
        self._open: Batch | None = None
        self._waiters: dict[int, dict[int, Promise[None]]] = {}
        self._lost: dict[int, list[tuple[int, int]]] = {}  # volume -> first..last batch numbers that a crash took

    @property
    def last(self) -> int:
        """Return the highest number given to a batch."""
        return self._last

    @property
    def has_queued(self) -> bool:
        """Say whether a batch waits to be sent."""
        return bool(self._queue)

    def serve(self, vol: int, epoch: int) -> None:
        """Take Changes of *vol* from now on, under *epoch*."""
        self.epochs[vol] = epoch

    def leave(self, vol: int) -> None:
        """Take no more Changes of *vol*; those that are queued are lost, as are the replies that wait for them."""
        for promise in self._crash(vol):
            promise.fail(NoReply(f"volume {vol} is no longer served"))

    def add(self, change: Change) -> int:
        """Queue *change* and return its batch's number; raise NoReply if its volume is not served."""
        epoch = self.epochs.get(change.vol)
        if epoch is None:
            raise NoReply(f"volume {change.vol} is not served")
        rows, size_bytes = _weigh(change)
        batch = self._open
        if batch is None or not batch.fits(change, epoch, rows, size_bytes):
            self._last += 1
            batch = self._open = Batch(self._last)
            self._queue.append(batch)
        batch.add(change, epoch, rows, size_bytes)
        self.pending_bytes += size_bytes
        return batch.number

    def next_batch(self) -> Batch | None:
        """Take the oldest queued batch to be sent; one that a crash has emptied is settled here."""
        while self._queue:
            batch = self._queue.popleft()
            if batch is self._open:
                self._open = None
            if batch.changes:
                return batch
            self.settle(batch)
        return None

    def settle(self, batch: Batch) -> None:
        """Record that *batch* is durable, and wake who waits for it."""
        for promise in self._close(batch):
            promise.resolve(None)

    def refuse(self, batch: Batch, error: BaseException) -> None:
        """Crash the volumes of *batch* that are still served as they were when it was gathered."""
        crashed = [vol for vol, epoch in batch.epochs.items() if self.epochs.get(vol) == epoch]
        lost = [promise for vol in crashed for promise in self._crash(vol)]
        kept = self._close(batch)
        self._tell(crashed, lost, error)
        for promise in kept:
            promise.resolve(None)

    def crash_all(self, error: BaseException) -> None:
        """Crash every volume that is served."""
        crashed = list(self.epochs)
        lost = [promise for vol in crashed for promise in self._crash(vol)]
        self._tell(crashed, lost, error)

    def _close(self, batch: Batch) -> list[Promise[None]]:
        """Note that *batch* is settled; return the promises that are kept now.

        They are taken out of the books before any of them is fired: a woken coroutine runs at once and may commit
        and wait again.
        """
        self.durable = batch.number
        self.pending_bytes -= batch.size_bytes
        return list(self._waiters.pop(batch.number, {}).values())

    def _tell(self, crashed: list[int], lost: list[Promise[None]], error: BaseException) -> None:
        """Call `refused`, so that memory is dropped before anyone whose reply is lost runs again."""
        for vol in crashed:
            try:
                self.refused(vol, error)
            except Exception:  # noqa: BLE001 - the other volumes, and those who wait, must hear of it all the same
                _log.failure("could not tell that volume {vol} crashed", vol=vol)
        for promise in lost:
            promise.fail(NoReply(f"batch refused: {error}"))

    def _crash(self, vol: int) -> list[Promise[None]]:
        """Stop serving *vol*, drop what it has queued, and return the promises that will not be kept."""
        self.epochs.pop(vol, None)
        if self._last > self.durable:
            self._lost.setdefault(vol, []).append((self.durable + 1, self._last))
        for batch in self._queue:
            self.pending_bytes -= batch.drop_volume(vol)
        # What the volume says after it is taken again must not share a number with what was lost.
        self._open = None
        waiting = (self._waiters[number].pop(vol, None) for number in sorted(self._waiters))
        return [promise for promise in waiting if promise is not None]

    async def wait(self, vol: int, batch: int) -> None:
        """Return when *batch* is durable; raise NoReply if it was lost with *vol*."""
        for first, last in self._lost.get(vol, ()):
            if first <= batch <= last:
                raise NoReply(f"batch {batch} of volume {vol} was lost")
        if batch <= self.durable:
            return
        if batch > self._last:
            raise ValueError(f"batch {batch} was never opened")
        await self._waiters.setdefault(batch, {}).setdefault(vol, Promise())


class CommitBooks:
    """What a metastore tells of its ledger (`metastore.api.Commits`)."""

    _ledger: Ledger

    @property
    def refused(self) -> Callable[[int, BaseException], object]:
        """Return what is called once per volume that a refusal crashed."""
        return self._ledger.refused

    @refused.setter
    def refused(self, call: Callable[[int, BaseException], object]) -> None:
        self._ledger.refused = call

    @property
    def durable(self) -> int:
        """Return the number of the last batch known to be durable."""
        return self._ledger.durable

    @property
    def pending_bytes(self) -> int:
        """Return about how many bytes of Changes are not durable yet."""
        return self._ledger.pending_bytes
