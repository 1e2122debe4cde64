"""`python -m benchmarks.metastore`: what the seam to PostgreSQL costs, and what group commit makes of it.

The seam: one-row commits, one after the other, by libpq on the reactor (ours), by psycopg's AsyncConnection on
asyncio, and by a psycopg connection in a thread that the reactor hands work to. Each with the CPU this process spends.
Group commit: creates (a new inode, its directory's inode, an edge) through `PgMetaStore` at several depths. All on one
throw-away PostgreSQL, in rounds that take turns; the median counts.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import psycopg
from postgres_server import PostgresServer
from reactor_run import run_on_reactor
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from foundation.aio import gather
from foundation.clock import SystemClock
from metastore.postgres import PgMetaStore
from metastore.postgres.connector import open_session, session_conninfo
from metastore.postgres.encoding import INT8, bigint
from metastore.postgres.session import Statement
from metastore.records import Change, Edge, FileType, Inode, Volume

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COMMITS, ROUNDS, CREATES = 1500, 5, 4000
INSERT = "INSERT INTO bench_seam (n) VALUES ({})"


async def timed(one: Callable[[int], Awaitable[Any]]) -> tuple[float, float]:
    """Return commits a second and this process's CPU per commit in us."""
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(COMMITS):
        await one(number)
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    return COMMITS / seconds, spent / COMMITS * 1e6


def by_libpq(dsn: str) -> tuple[float, float]:
    insert = Statement("bench", INSERT.format("$1"), (INT8,))

    async def work(reactor: Any) -> tuple[float, float]:
        session = await open_session(reactor, SystemClock(reactor), session_conninfo(dsn, "bench"))
        try:
            return await timed(lambda n: session.run([(insert, [bigint(n)])]))
        finally:
            session.abandon("done")

    return run_on_reactor(work, 60)


def by_asyncio(dsn: str) -> tuple[float, float]:
    async def work() -> tuple[float, float]:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
            return await timed(lambda n: connection.execute(INSERT.format("%s"), (n,)))

    return asyncio.run(work())


def by_thread(dsn: str) -> tuple[float, float]:
    async def work(reactor: Any) -> tuple[float, float]:
        pool = ThreadPool(1, 1)
        pool.start()
        connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=0)
        try:
            return await timed(
                lambda n: deferToThreadPool(reactor, pool, connection.execute, INSERT.format("%s"), (n,))
            )
        finally:
            connection.close()
            pool.stop()

    return run_on_reactor(work, 60)


def creates(dsn: str, depth: int, name: str) -> tuple[float, float]:
    """Return creates a second with *depth* in flight, and CPU of this process per create in us."""

    async def work(reactor: Any) -> tuple[float, float]:
        store = PgMetaStore(reactor, dsn, SystemClock(reactor), "bench")
        await store.open()
        await store.register_gateway("bench")
        top = Inode(0, 1, 1, int(FileType.DIRECTORY), 0o755, 0, 0, 2, parent=1, flags=1)
        vol = (await store.create_volume(Volume(0, name, "o", 1, 0, 0, {}), top)).vol
        numbers = iter(range(2, CREATES + 2))

        async def client() -> None:
            for ino in numbers:
                file = Inode(vol, ino, ino, int(FileType.REGULAR), 0o644, 0, 0, 1, mtime=ino, ctime=ino, content=ino)
                parent = Inode(vol, 1, 1, int(FileType.DIRECTORY), 0o755, 0, 0, 2, entries=ino, parent=1, mtime=ino)
                batch = store.commit(Change(vol, (parent, file, Edge(vol, 1, b"name%d" % ino, ino, ino + 1))))
                await store.wait(vol, batch)

        began, cpu = time.perf_counter(), time.process_time()
        await gather([client() for _ in range(depth)])
        seconds, spent = time.perf_counter() - began, time.process_time() - cpu
        await store.close()
        return CREATES / seconds, spent / CREATES * 1e6

    return run_on_reactor(work, 120)


def main() -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp(prefix="gatefold-bench-"))
    server = PostgresServer(folder)
    server.create()
    server.start()
    try:
        dsn = server.new_migrated_database()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE bench_seam (n bigint)")
        ways: dict[str, Callable[[int], tuple[float, float]]] = {
            "one-row commit, libpq on the reactor": lambda _: by_libpq(dsn),
            "one-row commit, AsyncConnection on asyncio": lambda _: by_asyncio(dsn),
            "one-row commit, connection in a thread": lambda _: by_thread(dsn),
        }
        for depth in (1, 8, 32, 64):
            ways[f"create, {depth} in flight"] = lambda n, depth=depth: creates(dsn, depth, f"d{depth}-{n}")
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for number in range(ROUNDS):
            for name, way in ways.items():
                results[name].append(way(number))
        for name, rounds in results.items():
            rates, costs = zip(*rounds, strict=True)
            print(f"{name:44} {statistics.median(rates):8.0f}/s {statistics.median(costs):8.0f} us CPU")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
