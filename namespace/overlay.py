"""The write-back overlay of one inode: UNSTABLE data that NFS sees and nobody has been promised (DESIGN 4).

An interval map of *runs*, each owned by the sequence number of the write it came from. A run begins as bytes in
memory; sealing writes it into a blob (`Seal`), after which the bytes are read from there; a flush makes the sealed
runs extents and takes them out. A later write, a truncation or a PUT cuts runs, so a flush inserts only what the
overlay still owns. All of this is memory and never waits.
"""

from __future__ import annotations

from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

from namespace.spans import SpanList
from storage_engine.api import MAX_BLOB_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from foundation.aio import Promise
    from storage_engine.api import Placement

_offset = attrgetter("offset")
#: About what a run costs beside its bytes, and an overlay beside its runs, in bytes.
RUN_COST = 320
OVERLAY_COST = 1024


class Meter:
    """What overlays hold in memory: one overlay's own, and over all of them."""

    __slots__ = ("bytes", "flying", "held", "overlays", "runs")

    def __init__(self) -> None:
        """Begin at 0."""
        self.bytes = 0  # no seal has been started for them
        self.flying = 0  # on their way into blobs, whatever was cut meanwhile
        self.runs = 0
        self.overlays = 0
        self.held = 0  # about how much memory all that takes

    def count(self, data: int, runs: int) -> None:
        """Count *data* more bytes that no seal was started for, and *runs* more runs."""
        self.bytes += data
        self.runs += runs
        self.held += data + RUN_COST * runs

    def fly(self, delta: int) -> None:
        """Count *delta* more bytes on their way."""
        self.flying += delta
        self.held += delta

    def count_overlay(self, delta: int) -> None:
        """Count an overlay that comes or goes."""
        self.overlays += delta
        self.held += OVERLAY_COST * delta


class Seal:
    """One blob that adjoining runs are being written into. `done` resolves when it is durable or `error` is set."""

    __slots__ = ("blob", "done", "error", "offset", "placement", "recorded", "size")

    def __init__(self, blob: int, offset: int, size: int, done: Promise[None]) -> None:
        """Name the blob, where in the file its first byte belongs, and its size in bytes."""
        self.blob = blob
        self.offset = offset
        self.size = size
        self.done = done
        self.placement: Placement | None = None  # set when the blob is durable
        self.error: Exception | None = None
        self.recorded = False  # a flush has put the blob's row


class Run:
    """Bytes [offset, end) as one write left them."""

    __slots__ = ("data", "end", "offset", "seal", "since")

    def __init__(self, offset: int, end: int, since: int, data: memoryview | None, seal: Seal | None = None) -> None:
        """Hold *data*, for which whoever waits for write *since* or a later one waits."""
        self.offset = offset
        self.end = end
        #: The oldest write of whose bytes these took the place before they were durable, their own if of none. Whoever
        #: waits for that write waits for these bytes: else a crash would show neither.
        self.since = since
        self.data = data  # None once the seal is durable
        self.seal = seal

    @property
    def length(self) -> int:
        """Return how many bytes there are."""
        return self.end - self.offset

    @property
    def seal_offset(self) -> int:
        """Return where in the seal's blob the bytes begin."""
        assert self.seal is not None
        return self.offset - self.seal.offset

    @property
    def is_sealed(self) -> bool:
        """Tell whether a durable blob holds the bytes."""
        return self.seal is not None and self.seal.placement is not None

    def part(self, start: int, end: int) -> Run:
        """Return the bytes [start, end) as a run of their own."""
        data = None if self.data is None else _own(self.data[start - self.offset : end - self.offset])
        return Run(start, end, self.since, data, self.seal)


def _own(data: memoryview) -> memoryview:
    """Return *data* such that it keeps at most twice its length in memory: a slice keeps the whole it is of."""
    return data if 2 * len(data) >= memoryview(data.obj).nbytes else memoryview(bytes(data))


class Overlay:
    """The runs of one inode, in order and never overlapping, and the times that NFS shows meanwhile."""

    __slots__ = ("_fresh", "_longest", "_over", "_total", "ctime", "grown", "meter", "mtime", "runs", "seq", "touched")

    def __init__(self, total: Meter, longest: int = MAX_BLOB_BYTES) -> None:
        """Begin with nothing written; count on *total* too. No run is longer than *longest* bytes."""
        self._total = total
        self._longest = longest
        self.meter = Meter()
        self.runs: SpanList[Run] = SpanList()
        self._fresh: dict[Run, None] = {}  # runs that no seal was started for
        self.seq = 0  # of the last write
        self.mtime: int | None = None  # None: the inode's own holds (it was set since the last write)
        self.ctime = 0
        self.touched = 0.0  # boot time of the last write, for the idle flush
        self.grown = 0  # what writes have added since full groups were last looked for
        self._over = False
        self.meter.count_overlay(1)
        total.count_overlay(1)

    @property
    def end(self) -> int:
        """Return the offset behind the last byte."""
        return self.runs.end

    @property
    def unsealed(self) -> int:
        """Return how many bytes no seal was started for."""
        return self.meter.bytes

    def write(self, offset: int, data: memoryview) -> int:
        """Lay *data* over what is there and return the write's sequence number."""
        self.seq += 1
        self.grown += len(data) + RUN_COST
        data = _own(data)
        end = offset + len(data)
        if offset >= self.runs.end and len(data) <= self._longest:
            run = Run(offset, end, self.seq, data)
            self.runs.append(run)
            self._fresh[run] = None
            self._count(len(data), 1)
            return self.seq
        since = min((run.since for run in self.runs.touching(offset, end)), default=self.seq)
        if len(data) <= self._longest:
            self._put(offset, end, [Run(offset, end, since, data)])
        else:
            starts = range(offset, end, self._longest)
            stops = (min(start + self._longest, end) for start in starts)
            parts = zip(starts, stops, strict=True)
            self._put(offset, end, [Run(at, to, since, data[at - offset : to - offset]) for at, to in parts])
        return self.seq

    def discard(self) -> None:
        """Forget all runs; nothing is written here any more."""
        if not self._over:
            self._over = True
            self._total.count_overlay(-1)
        self._count(-self.meter.bytes, -len(self.runs))
        self.runs.clear()
        self._fresh.clear()

    def truncate(self, size: int) -> None:
        """Forget every byte at or behind *size*."""
        if size < self.end:
            self._put(size, self.end, [])

    def _put(self, start: int, end: int, by: list[Run]) -> None:
        """Give [start, end) to *by*; what a run there has before or behind stays its own."""
        before: list[Run] = []
        after: list[Run] = []
        runs = self.runs
        for run in runs.touching(start, end):
            if run.offset < start:
                before.append(run.part(run.offset, start))
            if run.end > end:
                after.append(run.part(end, run.end))
        now = [*before, *by, *after]
        gone = runs.replace(start, end, now)
        data = 0
        for run in gone:
            if run.seal is None:
                del self._fresh[run]
                data -= run.length
        for run in now:
            if run.seal is None:
                self._fresh[run] = None
                data += run.length
        self._count(data, len(now) - len(gone))

    def _count(self, data: int, runs: int) -> None:
        self.meter.count(data, runs)
        self._total.count(data, runs)

    # ------------------------------------------------------------------ sealing

    def sealable(self, upto_seq: int, most_bytes: int, start: int = 0, end: int | None = None) -> list[list[Run]]:
        """Return groups of adjoining runs that no seal was started for, each of at most *most_bytes* bytes.

        Each has at least one run that a write at or before *upto_seq* waits for, with a byte in [start, end).
        """

        def wanted(run: Run) -> bool:
            return run.since <= upto_seq and run.end > start and (end is None or run.offset < end)

        if not any(map(wanted, self._fresh)):
            return []
        return [group for group, _ in self._groups(most_bytes) if any(map(wanted, group))]

    def full_groups(self, most_bytes: int) -> list[list[Run]]:
        """Return the groups that the next byte written behind them could not join."""
        return [group for group, full in self._groups(most_bytes) if full]

    def _groups(self, most_bytes: int) -> Iterator[tuple[list[Run], bool]]:
        """Yield each group, and whether it is full."""
        group: list[Run] = []
        size = 0
        for run in sorted(self._fresh, key=_offset):
            adjoins = bool(group) and group[-1].end == run.offset
            if group and (not adjoins or size + run.length > most_bytes):
                yield group, adjoins or size == most_bytes
                group, size = [], 0
            group.append(run)
            size += run.length
        if group:
            yield group, size == most_bytes

    def started(self, group: Iterable[Run], seal: Seal) -> None:
        """Note that *group*, all of it and nothing else, is being written into *seal*'s blob."""
        for run in group:
            run.seal = seal
            del self._fresh[run]
        self._count(-seal.size, 0)
        self._fly(seal.size)

    def _fly(self, delta: int) -> None:
        self.meter.fly(delta)
        self._total.fly(delta)

    def sealed(self, seal: Seal, placement: Placement) -> None:
        """Note that *seal*'s blob is durable: its bytes need no memory any more, and what adjoins is one run."""
        seal.placement = placement
        self._fly(-seal.size)
        joined: list[Run] = []
        left = self._left_of(seal)
        for run in left:
            if joined and joined[-1].end == run.offset:
                joined[-1] = Run(joined[-1].offset, run.end, min(joined[-1].since, run.since), None, seal)
            else:
                joined.append(Run(run.offset, run.end, run.since, None, seal))
        for run in joined:
            self.runs.replace(run.offset, run.end, [run])
        self._count(0, len(joined) - len(left))

    def failed(self, seal: Seal, error: Exception) -> None:
        """Note that *seal*'s blob could not be written: its runs wait for another."""
        seal.error = error
        self._fly(-seal.size)
        for run in self._left_of(seal):
            run.seal = None
            self._fresh[run] = None
            self._count(run.length, 0)

    def _left_of(self, seal: Seal) -> list[Run]:
        """Return the runs that *seal* still has."""
        return [run for run in self.runs.touching(seal.offset, seal.offset + seal.size) if run.seal is seal]

    # ------------------------------------------------------------------ flushing

    def pending(self, start: int, end: int, upto_seq: int, most: int) -> list[Run]:
        """Return the first runs, at most *most*, in [start, end) that writes at or before *upto_seq* wait for."""
        return list(islice((run for run in self._in(start, end) if run.since <= upto_seq), most))

    def flushable(self, start: int, end: int, most: int) -> list[Run]:
        """Return the first runs, at most *most*, with a byte in [start, end) that are sealed."""
        return list(islice((run for run in self._in(start, end) if run.is_sealed), most))

    def _in(self, start: int, end: int) -> Iterator[Run]:
        for run in self.runs.starting(start):
            if run.offset >= end:
                return
            yield run

    def remove(self, runs: Iterable[Run]) -> None:
        """Take *runs* out: a flush has made them extents."""
        for run in runs:
            self.runs.replace(run.offset, run.end)
            self._count(0, -1)
