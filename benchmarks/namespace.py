"""`python -m benchmarks.namespace`: the namespace alone, no door before it.

What a plan and its installation cost (over a metastore that keeps nothing), durable creates over PostgreSQL, and what
size does to a page and to a rename: those figures stand beside the same work on a small directory, and a ratio below
0.67 means that it took more than 1.5 times as long.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks import limits, report
from benchmarks.measure import Figure, Run
from foundation.aio import gather, start
from foundation.clock import SystemClock
from metastore.memory import MemoryMetaStore
from metastore.postgres import PgMetaStore
from namespace.api import Caller, Conditions, CreateMode, ListRequest, PutRequest, SetAttr, Stability
from namespace.lease import Terms
from namespace.service import GatefoldNamespace
from storage_engine.memory import MemoryBodyStore
from tests.postgres_server import PostgresServer, make_server, remove_server
from tests.reactor_run import run_on_reactor
from tests.seeding import Seeder, analyze

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import TypeAlias

    from metastore.records import Change
    from namespace.api import FileId, PutSession

    #: A figure, what measures one run of it, and its limit in the same run.
    Line: TypeAlias = "tuple[Figure, Callable[[], Awaitable[Timed]], Callable[[], Awaitable[float]]]"

_CALLER = Caller(0, 0, account="owner")
_SECONDS = 1.0
_OPERATIONS = 4000
_PAGE = 1000
_PAGES = 20
_RENAMES = 200
_BELOW = 200_000
_SIZES = (1000, 100_000, 1_000_000)
_IN_FLIGHT = (1, 8, 32, 64, 128)


class Timed:
    """How much was done, in how many seconds of time and of CPU."""

    __slots__ = ("cpu", "done", "seconds")

    def __init__(self, done: float, seconds: float, cpu: float) -> None:
        self.done, self.seconds, self.cpu = done, seconds, cpu


class NullMetaStore(MemoryMetaStore):
    """A metastore whose commits are durable at once and kept nowhere: what is left is plan and installation."""

    def commit(self, change: Change) -> int:  # noqa: ARG002 - kept nowhere
        """Forget *change*."""
        return 1

    @property
    def durable(self) -> int:
        """Return a number that every batch is below."""
        return 1 << 60

    @property
    def pending_bytes(self) -> int:
        """Return that nothing waits."""
        return 0


class Costs:
    """What plans and installations cost, one kind of operation after the other."""

    def __init__(self, ns: GatefoldNamespace, root: FileId) -> None:
        self._ns = ns
        self._root = root
        self._names = (b"n%07d" % number for number in itertools.count())

    def lines(self) -> Iterator[Line]:
        """Yield a figure for each operation."""
        works = (
            ("GETATTR", self._getattr),
            ("LOOKUP", self._lookup),
            ("CREATE", self._create),
            ("REMOVE", self._remove),
            ("RENAME", self._rename),
            ("WRITE 4 KiB UNSTABLE", self._write),
            ("S3 PUT 4 KiB", self._put),
            ("S3 HEAD", self._head),
        )
        for name, work in works:
            yield Figure(f"plan + install: {name}", "op/s", "coroutine that does nothing"), work, _empty_coroutines

    async def _directory(self) -> FileId:
        made = await self._ns.mkdir(_CALLER, self._root, next(self._names), SetAttr(mode=0o755))
        return made.file.file

    async def _file(self, directory: FileId, name: bytes) -> FileId:
        made = await self._ns.create(_CALLER, directory, name, CreateMode.GUARDED, SetAttr(mode=0o644), b"")
        return made.file.file

    async def _files(self) -> tuple[FileId, list[bytes]]:
        directory = await self._directory()
        names = [b"f%06d" % number for number in range(_OPERATIONS)]
        for name in names:
            await self._file(directory, name)
        return directory, names

    async def _getattr(self) -> Timed:
        file = await self._file(self._root, next(self._names))
        return await _timed(lambda _: self._ns.getattr(_CALLER, file))

    async def _lookup(self) -> Timed:
        directory, names = await self._files()
        return await _timed(lambda n: self._ns.lookup(_CALLER, directory, names[n]))

    async def _create(self) -> Timed:
        directory = await self._directory()
        return await _timed(lambda n: self._file(directory, b"f%06d" % n))

    async def _remove(self) -> Timed:
        directory, names = await self._files()
        return await _timed(lambda n: self._ns.remove(_CALLER, directory, names[n]))

    async def _rename(self) -> Timed:
        directory, names = await self._files()
        return await _timed(lambda n: self._ns.rename(_CALLER, directory, names[n], directory, names[n] + b"-"))

    async def _write(self) -> Timed:
        file, data = await self._file(self._root, next(self._names)), bytes(4096)
        return await _timed(lambda n: self._ns.write(_CALLER, file, 4096 * n, data, Stability.UNSTABLE))

    async def _put(self) -> Timed:
        prefix, data = next(self._names), bytes(4096)

        async def put(number: int) -> object:
            request = PutRequest(b"%s/k%06d" % (prefix, number), {}, {})
            session: PutSession = await self._ns.begin_put(_CALLER, "bucket", request)
            await session.write(data)
            return await session.finish(b"0" * 32, {})

        return await _timed(put)

    async def _head(self) -> Timed:
        directory = next(self._names)
        session = await self._ns.begin_put(_CALLER, "bucket", PutRequest(directory + b"/k", {}, {}))
        await session.finish(b"0" * 32, {})
        return await _timed(lambda _: self._ns.head_object(_CALLER, "bucket", directory + b"/k", Conditions()))


async def _timed(work: Callable[[int], Awaitable[object]], count: int = _OPERATIONS) -> Timed:
    """Do *work* with each number below *count*, one after the other."""
    started, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        await work(number)
    return Timed(count, time.perf_counter() - started, time.process_time() - cpu)


async def _empty_coroutines() -> float:
    async def nothing() -> None:
        pass

    started = time.perf_counter()
    for _ in range(20_000):
        start(nothing())
    return 20_000 / (time.perf_counter() - started)


class Durable:
    """The namespace over PostgreSQL, with directories of every size."""

    def __init__(self, store: PgMetaStore, ns: GatefoldNamespace, dsn: str) -> None:
        self._store, self._ns, self._dsn = store, ns, dsn
        self._names = (b"n%07d" % number for number in itertools.count())
        self._tops: dict[int, tuple[bytes, FileId]] = {}  # by how many entries they have
        self._cookies: dict[int, int] = {}  # of their first entries
        self._random = random.Random(1)

    async def seed(self) -> None:
        """Make the directories that pages are read from, and those that are renamed."""
        made = await self._ns.create_bucket(_CALLER, "durable")
        self._vol = made.vol
        self._root = await self._ns.root(made.vol)
        seeder = Seeder(self._store, self._dsn, made.vol)
        for count in (*_SIZES, _BELOW, 0):
            await seeder.directories(1, 1, f"of{count}-")
            name = b"of%d-0000000" % count
            directory = (await self._ns.lookup(_CALLER, self._root, name)).file.file
            self._tops[count] = name, directory
            if count:
                await seeder.files(directory.ino, count)
                (first,) = await self._store.page_by_cookie(made.vol, directory.ino, 0, 1)
                self._cookies[count] = first.edge.cookie
        analyze(self._dsn)

    def lines(self) -> Iterator[Line]:
        """Yield every figure."""
        for window in _IN_FLIGHT:
            creates = Figure(f"durable CREATE, {window} in flight", "op/s", "one-row commit, 1 connection")
            yield creates, partial(self._creates, window), self._one_row
        rename = Figure(f"RENAME of a directory, {_BELOW:,} below", "op/s", "the same, of an empty one")
        yield rename, partial(self._renames, _BELOW), lambda: _rate(self._renames(0))
        yield from self._pages("READDIR", self._readdir, self._cookie_page)
        yield from self._pages("ListObjects", self._list, self._walk)

    @staticmethod
    def _pages(
        kind: str, page: Callable[[int], Awaitable[None]], alone: Callable[[int], Awaitable[None]]
    ) -> Iterator[Line]:
        """Yield pages in directories of every size; *alone* is the metastore's part of one in the smallest."""
        small, *large = _SIZES
        figure = Figure(f"{kind} page of {_PAGE:,} in {small:,}", "page/s", "the metastore's query alone")
        yield figure, *_beside(partial(page, small), partial(alone, small))
        for count in large:
            figure = Figure(f"{kind} page of {_PAGE:,} in {count:,}", "page/s", f"the same, in {small:,}")
            yield figure, *_beside(partial(page, count), partial(page, small))

    async def _one_row(self) -> float:
        return limits.one_row_commit(self._dsn)

    async def _creates(self, window: int) -> Timed:
        made = await self._ns.mkdir(_CALLER, self._root, next(self._names), SetAttr(mode=0o755))
        directory, numbers, attrs = made.file.file, itertools.count(), SetAttr(mode=0o644)
        started, cpu = time.perf_counter(), time.process_time()

        async def worker() -> int:
            done = 0
            while time.perf_counter() < started + _SECONDS:
                name = b"f%07d" % next(numbers)
                await self._ns.create(_CALLER, directory, name, CreateMode.GUARDED, attrs, b"")
                done += 1
            return done

        done = sum(await gather(worker() for _ in range(window)))
        return Timed(done, time.perf_counter() - started, time.process_time() - cpu)

    async def _renames(self, below: int) -> Timed:
        name, _ = self._tops[below]

        async def there_and_back(number: int) -> None:
            names = (name, name + b"-moved")[:: -1 if number % 2 else 1]
            await self._ns.rename(_CALLER, self._root, names[0], self._root, names[1])

        return await _timed(there_and_back, _RENAMES)

    def _place(self, count: int) -> int:
        return self._random.randrange(count - _PAGE + 1)

    async def _readdir(self, count: int) -> None:
        _, directory = self._tops[count]
        after = self._cookies[count] - 1 + self._place(count)
        page = await self._ns.readdir(_CALLER, directory, after, _PAGE)
        assert len(page.entries) == _PAGE

    async def _list(self, count: int) -> None:
        name, _ = self._tops[count]
        place = self._place(count)
        after = b"%s/f%07d" % (name, place - 1) if place else b""
        request = ListRequest(prefix=name + b"/f", after=after, limit=_PAGE)
        page = await self._ns.list_objects(_CALLER, "durable", request)
        assert len(page.contents) == _PAGE

    async def _cookie_page(self, count: int) -> None:
        _, directory = self._tops[count]
        assert len(await self._store.page_by_cookie(self._vol, directory.ino, 0, _PAGE)) == _PAGE

    async def _walk(self, count: int) -> None:
        _, directory = self._tops[count]
        assert len(await self._store.walk(self._vol, directory.ino, b"", None, _PAGE)) == _PAGE


def _beside(
    page: Callable[[], Awaitable[None]], limit: Callable[[], Awaitable[None]]
) -> tuple[Callable[[], Awaitable[Timed]], Callable[[], Awaitable[float]]]:
    """Return what measures *page*, in turns with *limit*, and what tells the rate of that: both meet the same noise."""
    beside: list[float] = []

    async def measured() -> Timed:
        done, other = Timed(0, 0, 0), Timed(0, 0, 0)
        for _ in range(_PAGES):
            for sum_, work in ((done, page), (other, limit)):
                one = await _timed(lambda _, work=work: work(), 1)
                sum_.done, sum_.seconds, sum_.cpu = sum_.done + 1, sum_.seconds + one.seconds, sum_.cpu + one.cpu
        beside[:] = [other.done / other.seconds]
        return done

    async def rate() -> float:
        return beside[0]

    return measured, rate


async def _rate(work: Awaitable[Timed]) -> float:
    timed = await work
    return timed.done / timed.seconds


def measure(runs: int, only: str) -> list[Figure]:
    """Measure everything whose name contains *only*, *runs* times, and return the figures."""
    server = make_server()
    try:
        figures: list[Figure] = run_on_reactor(partial(_measure, server, runs, only), seconds=3600)
    finally:
        remove_server(server)
    return figures


async def _measure(server: PostgresServer, runs: int, only: str, reactor: Any) -> list[Figure]:
    clock = SystemClock(reactor)
    null = NullMetaStore(clock)
    await null.register_gateway("bench")
    costs_ns = await _namespace(null, clock)
    await costs_ns.create_bucket(_CALLER, "bucket")
    root = await costs_ns.root((await costs_ns.head_bucket(_CALLER, "bucket")).vol)
    dsn = server.new_migrated_database()
    store = PgMetaStore(reactor, dsn, clock, "bench")
    await store.open()
    await store.register_gateway("bench")
    durable = Durable(store, await _namespace(store, clock), dsn)
    lines = [line for line in (*Costs(costs_ns, root).lines(), *durable.lines()) if only in line[0].name]
    if any("plan" not in line[0].name for line in lines):
        await durable.seed()
    for number in range(runs):
        for figure, work, limit in lines:
            timed = await work()
            figure.runs.append(Run(timed.done, timed.seconds, 0.0, timed.cpu, 0.0))
            figure.limits.append(await limit())
            rate = timed.done / timed.seconds
            sys.stderr.write(f"run {number + 1}: {figure.name}: {rate:.0f} {figure.unit}\n")
    await store.close()
    return [line[0] for line in lines]


async def _namespace(store: Any, clock: SystemClock) -> GatefoldNamespace:
    # A loop that is timed turns no reactor, so it would renew no lease.
    ns = GatefoldNamespace(store, MemoryBodyStore(clock), clock, terms=Terms(lease_seconds=3600.0))
    await ns.open()
    return ns


def main() -> int:
    """Measure and print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.namespace", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each measurement; the median counts (default 5)")
    parser.add_argument("--only", default="", help="measure only the names that contain this")
    wanted = parser.parse_args()
    sys.stdout.write(report.table(measure(wanted.runs, wanted.only)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
