"""What the metastore costs, beside what the machine and PostgreSQL can do in the same run (ADR 0001 and 0002).

`PYTHONPATH=.:tests python tests/contract/metastore_bench.py [commits] [seams]` prints the durable creates per second (a
Change of a new inode, its directory and an edge) at 1, 8, 32 and 64 in flight beside a bare one-row commit, and one
short look-up through three seams between the reactor and PostgreSQL. Medians of five runs.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import threading
import time

import psycopg
from metastore_house import House, directory, edge, file, new_volume
from postgres_server import make_server, remove_server
from psycopg import pq
from reactor_run import run_on_reactor
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from foundation.aio import gather
from foundation.clock import SystemClock
from metastore.postgres.connector import open_session, session_conninfo
from metastore.postgres.encoding import INT8, bigint
from metastore.postgres.session import Statement
from metastore.records import Change

SECONDS = 1.0
RUNS = 5


class BareCommits:
    """The limit: one row per commit, one after the other, by libpq alone."""

    def __init__(self, dsn):
        self._connection = pq.PGconn.connect(dsn.encode())
        self._connection.exec_(b"CREATE TABLE IF NOT EXISTS bare (id bigint PRIMARY KEY, v bigint)")
        self._connection.prepare(b"bare", b"INSERT INTO bare VALUES ($1, $2)", [20, 20])
        self._last = 0

    def rate(self):
        started, before = time.perf_counter(), self._last
        while time.perf_counter() - started < SECONDS:
            self._last += 1
            self._connection.exec_prepared(b"bare", [bigint(self._last)] * 2, [1, 1], 1)
        return (self._last - before) / (time.perf_counter() - started)


async def creates(store, vol, depth, numbers):
    """Return creates per second, batches per second, and CPU us of this process per create."""

    async def worker():
        done = 0
        while time.perf_counter() < end:
            ino, now = next(numbers), time.time_ns()
            top = directory(vol, 1, entries=ino, mtime=now, ctime=now)
            made = file(vol, ino, atime=now, mtime=now, ctime=now)
            await store.wait(vol, store.commit(Change(vol, (top, made, edge(vol, 1, b"file%09d" % ino, ino)))))
            done += 1
        return done

    started, cpu, batch = time.perf_counter(), time.process_time(), store.durable
    end = started + SECONDS
    done = sum(await gather(worker() for _ in range(depth)))
    seconds = time.perf_counter() - started
    return done / seconds, (store.durable - batch) / seconds, (time.process_time() - cpu) / done * 1e6


def measure_commits(dsn):
    bare = BareCommits(dsn)

    async def work(reactor):
        house = House(reactor, dsn)
        store = await house.gateway()
        vol = await new_volume(store)
        numbers = iter(range(2, 1 << 40))
        for depth in (1, 8, 32, 64):
            runs = [(*(await creates(store, vol, depth, numbers)), bare.rate()) for _ in range(RUNS)]
            made, batches, cpu, limit = map(statistics.median, zip(*runs, strict=True))
            print(
                f"{depth:3} in flight: {made:7.0f} creates/s in {batches:5.0f} batches/s, {cpu:4.0f} us of CPU each;"
                f" bare commit {limit:5.0f}/s, ratio {made / limit:5.2f}"
            )
        await house.close()

    run_on_reactor(work, seconds=300)


ONE_ROW = "SELECT $1::bigint"


async def look_ups(ask, depth):
    """Return look-ups per second, and CPU us of this process for each."""

    async def worker():
        done = 0
        while time.perf_counter() < end:
            assert await ask(done) == done
            done += 1
        return done

    started, cpu = time.perf_counter(), time.process_time()
    end = started + SECONDS
    done = sum(await gather(worker() for _ in range(depth)))
    return done / (time.perf_counter() - started), (time.process_time() - cpu) / done * 1e6


async def medians(name, ask):
    for depth in (1, 16):
        runs = [await look_ups(ask, depth) for _ in range(RUNS)]
        rate, cpu = map(statistics.median, zip(*runs, strict=True))
        print(f"{name}, {depth:2} in flight: {rate:6.0f} look-ups/s, {cpu:4.0f} us of CPU each")


def measure_seams(dsn):
    run_on_reactor(lambda reactor: _libpq(reactor, dsn), seconds=120)
    run_on_reactor(lambda reactor: _threads(reactor, dsn), seconds=120)
    _asyncio(dsn)


async def _libpq(reactor, dsn):
    session = await open_session(reactor, SystemClock(reactor), session_conninfo(dsn, "bench"))
    statement = Statement("one row", ONE_ROW, (INT8,))

    async def ask(value):
        (result,) = await session.run([(statement, [bigint(value)])])
        return int.from_bytes(result.get_value(0, 0))

    await medians("libpq on the epoll reactor", ask)
    session.abandon("done")


async def _threads(reactor, dsn):
    pool, local = ThreadPool(1, 4), threading.local()
    pool.start()

    def in_thread(value):
        if not hasattr(local, "connection"):
            local.connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=0)
        return local.connection.execute("SELECT %s::bigint", [value], binary=True).fetchone()[0]

    await medians("psycopg in threads", lambda value: deferToThreadPool(reactor, pool, in_thread, value))
    pool.stop()


def _asyncio(dsn):
    """Measure psycopg's AsyncConnection under Twisted's asyncio reactor, the way a Deferred would wait for it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    reactor = AsyncioSelectorReactor(loop)

    async def run():
        connecting = psycopg.AsyncConnection.connect(dsn, autocommit=True, prepare_threshold=0)
        connections = [await Deferred.fromFuture(loop.create_task(connecting))]
        turn = asyncio.Lock()

        async def query(value):
            async with turn:
                cursor = await connections[0].execute("SELECT %s::bigint", [value], binary=True)
                return (await cursor.fetchone())[0]

        await medians(
            "psycopg AsyncConnection on the asyncio reactor",
            lambda value: Deferred.fromFuture(loop.create_task(query(value))),
        )
        await Deferred.fromFuture(loop.create_task(connections[0].close()))

    reactor.callWhenRunning(
        lambda: Deferred.fromCoroutine(run()).addErrback(lambda f: f.printTraceback()).addBoth(lambda _: reactor.stop())
    )
    reactor.run(installSignalHandlers=False)
    loop.close()


def main():
    server = make_server()
    try:
        dsn = server.new_migrated_database()
        for name, measure in (("commits", measure_commits), ("seams", measure_seams)):
            if name in sys.argv[1:] or len(sys.argv) == 1:
                measure(dsn)
    finally:
        remove_server(server)


if __name__ == "__main__":
    main()
