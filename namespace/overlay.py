"""The write-back overlay of one inode: UNSTABLE data that NFS sees and nobody has been promised (DESIGN 4).

An interval map of *runs*, each owned by the sequence number of the write it came from. A run begins as bytes in
memory; sealing writes it into a blob (`Seal`), after which the bytes are read from there; a flush makes the sealed
runs extents and takes them out. A later write, a truncation or a PUT cuts runs, so a flush inserts only what the
overlay still owns. All of this is memory and never waits.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foundation.aio import Promise
    from storage_engine.api import Placement

_offset = attrgetter("offset")


class Meter:
    """How many bytes of UNSTABLE data are in memory with no seal started, over all overlays."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        """Begin at 0."""
        self.bytes = 0


class Seal:
    """One blob that runs are being written into. `done` resolves when it is durable or `error` says why not."""

    __slots__ = ("blob", "done", "error", "placement", "recorded", "size")

    def __init__(self, blob: int, size: int, done: Promise[None]) -> None:
        """Name the blob and its size in bytes."""
        self.blob = blob
        self.size = size
        self.done = done
        self.placement: Placement | None = None  # set when the blob is durable
        self.error: Exception | None = None
        self.recorded = False  # a flush has put the blob's row


class Run:
    """Bytes [offset, end) as one write left them."""

    __slots__ = ("data", "length", "offset", "seal", "seal_offset", "seq", "since")

    def __init__(self, offset: int, length: int, seq: int, data: memoryview | None) -> None:
        """Hold *data* of *length* bytes, owned by write *seq*."""
        self.offset = offset
        self.length = length
        self.seq = seq
        #: The oldest write of whose bytes this one took the place before they were durable. Whoever waits for that
        #: write waits for these bytes: else a crash would show neither.
        self.since = seq
        self.data = data  # None once the seal is durable
        self.seal: Seal | None = None
        self.seal_offset = 0

    @property
    def end(self) -> int:
        """Return the offset behind the last byte."""
        return self.offset + self.length

    @property
    def is_sealed(self) -> bool:
        """Tell whether a durable blob holds the bytes."""
        return self.seal is not None and self.seal.placement is not None

    def part(self, start: int, end: int) -> Run:
        """Return the bytes [start, end) as a run of the same write."""
        shift = start - self.offset
        part = Run(start, end - start, self.seq, None if self.data is None else self.data[shift : shift + end - start])
        part.seal, part.seal_offset, part.since = self.seal, self.seal_offset + shift, self.since
        return part


class Overlay:
    """The runs of one inode, in order and never overlapping, and the times that NFS shows meanwhile."""

    __slots__ = ("_meter", "ctime", "mtime", "runs", "seq", "touched", "unsealed")

    def __init__(self, meter: Meter) -> None:
        """Begin with nothing written; count bytes in memory on *meter* too."""
        self._meter = meter
        self.runs: list[Run] = []
        self.seq = 0  # of the last write
        self.mtime: int | None = None  # None: the inode's own holds (it was set since the last write)
        self.ctime = 0
        self.unsealed = 0  # bytes in memory that no seal has been started for
        self.touched = 0.0  # boot time of the last write, for the idle flush

    @property
    def end(self) -> int:
        """Return the offset behind the last byte."""
        return self.runs[-1].end if self.runs else 0

    def write(self, offset: int, data: memoryview) -> int:
        """Lay *data* over what is there and return the write's sequence number."""
        self.seq += 1
        run = Run(offset, len(data), self.seq, data)
        first, last = self.touching(offset, run.end)
        run.since = min((each.since for each in self.runs[first:last]), default=self.seq)
        self.runs.insert(self._cut(offset, run.end), run)
        self._count(len(data))
        return self.seq

    def _count(self, delta: int) -> None:
        self.unsealed += delta
        self._meter.bytes += delta

    def discard(self) -> None:
        """Forget all runs."""
        self._count(-self.unsealed)
        self.runs = []

    def truncate(self, size: int) -> None:
        """Forget every byte at or behind *size*."""
        self._cut(size, max(size, self.end))

    def _cut(self, start: int, end: int) -> int:
        """Take [start, end) out; return where in the list a run for it belongs."""
        first, last = self.touching(start, end)
        kept: list[Run] = []
        index = first
        for run in self.runs[first:last]:
            if run.seal is None:
                self._count(max(run.offset, start) - min(run.end, end))
            if run.offset < start:
                kept.append(run.part(run.offset, start))
                index += 1
            if run.end > end:
                kept.append(run.part(end, run.end))
        self.runs[first:last] = kept
        return index

    def touching(self, start: int, end: int) -> tuple[int, int]:
        """Return the slice [i, j) of runs that have a byte in [start, end)."""
        first = bisect_right(self.runs, start, key=_offset)
        if first and self.runs[first - 1].end > start:
            first -= 1
        last = first
        while last < len(self.runs) and self.runs[last].offset < end:
            last += 1
        return first, last

    def sealable(self, upto_seq: int, most_bytes: int) -> list[list[Run]]:
        """Return groups of adjoining runs that no seal was started for, each of at most *most_bytes* bytes.

        Each has at least one run that a write at or before *upto_seq* waits for. A run longer than *most_bytes* is
        split.
        """
        return [group for group, _ in self._groups(most_bytes) if any(run.since <= upto_seq for run in group)]

    def full_groups(self, most_bytes: int) -> list[list[Run]]:
        """Return the groups that the next byte written behind them could not join."""
        return [group for group, full in self._groups(most_bytes) if full]

    def _groups(self, most_bytes: int) -> Iterator[tuple[list[Run], bool]]:
        """Yield each group, and whether it is full."""
        group: list[Run] = []
        size = 0
        for run in self._split_long(most_bytes):
            adjoins = bool(group) and group[-1].end == run.offset and run.seal is None
            if group and (not adjoins or size + run.length > most_bytes):
                yield group, adjoins or size == most_bytes
                group, size = [], 0
            if run.seal is None:
                group.append(run)
                size += run.length
        if group:
            yield group, size == most_bytes

    def _split_long(self, most_bytes: int) -> list[Run]:
        if any(run.length > most_bytes for run in self.runs):
            self.runs = [
                run.part(start, min(start + most_bytes, run.end))
                for run in self.runs
                for start in range(run.offset, run.end, most_bytes)
            ]
        return list(self.runs)

    def started(self, group: list[Run], seal: Seal) -> None:
        """Note that *group* is being written into *seal*'s blob, one run behind the other."""
        position = 0
        for run in group:
            run.seal, run.seal_offset = seal, position
            position += run.length
        self._count(-position)

    def sealed(self, seal: Seal, placement: Placement) -> None:
        """Note that *seal*'s blob is durable: its bytes need no memory any more."""
        seal.placement = placement
        for run in self.runs:
            if run.seal is seal:
                run.data = None

    def failed(self, seal: Seal, error: Exception) -> None:
        """Note that *seal*'s blob could not be written: its runs wait for another."""
        seal.error = error
        for run in self.runs:
            if run.seal is seal:
                run.seal = None
                self._count(run.length)

    def pending(self, start: int, end: int, upto_seq: int) -> list[Run]:
        """Return the runs in [start, end) that must be durable before writes at or before *upto_seq* are."""
        first, last = self.touching(start, end)
        return [run for run in self.runs[first:last] if run.since <= upto_seq]

    def remove(self, runs: list[Run]) -> None:
        """Take *runs* out: a flush has made them extents."""
        gone = set(map(id, runs))
        self.runs = [run for run in self.runs if id(run) not in gone]
