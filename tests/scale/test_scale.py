"""Large directories: the process grows by no more than its cache limit, and pages cost what they cost in small ones.

`make test` runs a small form of each; `make scale` runs them at their full size.
"""

from __future__ import annotations

import gc
from pathlib import Path

import psycopg
import pytest
from postgres_server import migrated_dsn, postgres  # noqa: F401
from reactor_run import run_on_reactor
from seeding import Seeder, analyze

from foundation.aio import gather
from foundation.clock import SystemClock
from foundation.errors import NotFound
from metastore.postgres import PgMetaStore, encoding, paging
from metastore.postgres.connector import session_conninfo
from namespace.api import Caller, Conditions, CreateMode, ListRequest, SetAttr
from namespace.lease import Terms
from namespace.service import GatefoldNamespace
from storage_engine.api import BlobId, Origin
from storage_engine.memory import MemoryBodyStore

ROOT = Caller(0, 0, account="owner")
MIB = 1 << 20
#: What the allocator, the driver and one page in flight may hold beside the cache.
SLACK = 12 * MIB
#: What may come while one sweep gives everything its second chance.
OVERSHOOT = MIB // 4
IN_FLIGHT = 64
SIZES = [
    pytest.param(20_000, 2 * MIB, id="20000"),
    pytest.param(1_000_000, 96 * MIB, marks=pytest.mark.scale, id="1000000"),
]


def resident():
    """Return the bytes of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Scene:
    """A namespace over PostgreSQL with one bucket, and a cache of *limit* bytes."""

    def __init__(self, reactor, dsn, limit):
        self.clock = SystemClock(reactor)
        self.dsn = dsn
        self.bodies = MemoryBodyStore(self.clock)
        self.store = PgMetaStore(reactor, dsn, self.clock, "scale")
        # Seeding blocks the reactor for longer than a lease lasts.
        terms = Terms(lease_seconds=3600.0)
        self.ns = GatefoldNamespace(self.store, self.bodies, self.clock, cache_bytes=limit, terms=terms)
        self.limit = limit
        self.queries = []

    async def open(self):
        await self.store.open()
        await self.store.register_gateway("scale")
        await self.ns.open()
        made = await self.ns.create_bucket(ROOT, "bucket")
        self.vol = made.vol
        self.root = await self.ns.root(made.vol)
        self.seeder = Seeder(self.store, self.dsn, made.vol)
        self.cache = (await self.ns._volumes.named("bucket")).cache
        query = self.store._pool.query

        async def counted(calls):
            self.queries.append(calls[0][0].name)
            return await query(calls)

        self.store._pool.query = counted

    async def directory(self, name):
        return (await self.ns.mkdir(ROOT, self.root, name, SetAttr(mode=0o755))).file.file

    async def seeded(self, name):
        """Make a directory by SQL, so that nothing is known of it, and return its handle."""
        await self.seeder.directories(1, 1, name)
        return (await self.ns.lookup(ROOT, self.root, name.encode() + b"0000000")).file.file

    async def each(self, count, work):
        """Run *work* for each number below *count*, some at a time."""
        numbers = iter(range(count))

        async def worker():
            for number in numbers:
                await work(number)

        await gather(worker() for _ in range(IN_FLIGHT))

    def check_bounded(self, before):
        """Fail if the cache is over its limit, or the process has grown by more than that since *before*."""
        assert self.cache.bytes <= self.cache._limit + OVERSHOOT
        grown = resident() - before
        print(f"grown by {grown / MIB:.1f} MiB, cache {self.cache.bytes / MIB:.1f} MiB of {self.limit / MIB:.0f}")
        assert grown <= self.limit + SLACK


@pytest.fixture
def scene(migrated_dsn):
    """Return a function that runs a coroutine function with a Scene."""

    def run(work, limit=96 * MIB, seconds=1800.0):
        async def in_scene(reactor):
            scene = Scene(reactor, migrated_dsn, limit)
            await scene.open()
            try:
                await work(scene)
            finally:
                await scene.ns.close()
                await scene.store.close()

        run_on_reactor(in_scene, seconds)

    return run


async def read_directory(scene, directory):
    """READDIR all of *directory* and return its names without `.` and `..`."""
    names, cookie = 0, 0
    while True:
        page = await scene.ns.readdir(ROOT, directory, cookie, 1000)
        names += len(page.entries)
        cookie = page.entries[-1].cookie
        if page.eof:
            return names - 2


async def list_all(scene, request):
    """List all pages and return how many keys there are."""
    keys, after = 0, b""
    while True:
        page = await scene.ns.list_objects(ROOT, "bucket", ListRequest(request.prefix, request.delimiter, after))
        keys += len(page.contents)
        if page.next_after is None:
            return keys
        after = page.next_after


@pytest.mark.parametrize(("count", "limit"), SIZES)
def test_scans_of_a_large_directory_stay_within_the_cache_limit(scene, count, limit):
    async def work(scene):
        large = await scene.seeded("large")
        hot = [(await scene.ns.create(ROOT, scene.root, b"h%d" % n, CreateMode.GUARDED, SetAttr(), b"")).file.file
               for n in range(20)]  # fmt: skip
        await scene.seeder.files(large.ino, count)
        analyze(scene.dsn)
        before = resident()
        for file in hot:
            await scene.ns.getattr(ROOT, file)
        assert await read_directory(scene, large) == count
        scene.check_bounded(before)
        scene.queries.clear()
        for file in hot:
            await scene.ns.getattr(ROOT, file)
        assert scene.queries == []  # the scan has not flushed what is in use
        assert await list_all(scene, ListRequest(prefix=b"large0000000/")) == count + 1
        scene.check_bounded(before)

    scene(work, limit)


@pytest.mark.parametrize(("count", "limit"), SIZES)
def test_looking_up_many_names_stays_within_the_cache_limit(scene, count, limit):
    async def work(scene):
        large = await scene.seeded("large")
        await scene.seeder.files(large.ino, count)
        analyze(scene.dsn)
        before = resident()

        async def present(number):
            found = await scene.ns.lookup(ROOT, large, b"f%07d" % number)
            assert found.file.nlink == 1

        async def absent(number):
            with pytest.raises(NotFound):
                await scene.ns.lookup(ROOT, large, b"g%07d" % number)

        await scene.each(count // 2, present)
        scene.check_bounded(before)
        await scene.each(count // 2, absent)
        scene.check_bounded(before)

    scene(work, limit)


@pytest.mark.parametrize(("count", "limit"), SIZES)
def test_walking_many_directories_stays_within_the_cache_limit(scene, count, limit):
    async def work(scene):
        directories = count // 10
        first = await scene.seeder.directories(1, directories)
        await scene.seeder.one_file_in_each(first, directories)
        analyze(scene.dsn)
        before = resident()

        async def head(number):
            info = await scene.ns.head_object(ROOT, "bucket", b"d%07d/f" % number, Conditions())
            assert info.size == 0

        await scene.each(directories, head)
        scene.check_bounded(before)
        assert await list_all(scene, ListRequest()) == 2 * directories

    scene(work, limit)


@pytest.mark.parametrize(("count", "limit"), SIZES)
def test_reading_a_file_of_many_extents_stays_within_the_cache_limit(scene, count, limit):
    async def work(scene):
        await scene.seeder.files(1, 1)
        blob = (await scene.store.reserve_blobs(scene.vol, 1)).first
        content = (await scene.store.reserve(scene.vol, "content", 1)).first
        (named,) = await scene.store.page_by_cookie(scene.vol, 1, 0, 9)
        await scene.bodies.put(BlobId(scene.vol, blob), [bytes(512)], Origin(1, named.edge.ino, content, 0, 1))
        extents = count
        scene.seeder.extents(named.edge.ino, content, extents, 512, blob)
        analyze(scene.dsn)
        file = (await scene.ns.lookup(ROOT, scene.root, named.edge.skey)).file.file
        before = resident()
        for offset in range(0, extents * 512, MIB):
            found = await scene.ns.read(ROOT, file, offset, MIB)
            assert found.count == min(MIB, extents * 512 - offset)
        scene.check_bounded(before)

    scene(work, limit)


@pytest.mark.parametrize(("count", "limit"), SIZES)
def test_creates_in_a_directory_made_here_need_no_look_up(scene, count, limit):
    async def work(scene):
        made = await scene.directory(b"made")
        before = resident()
        scene.queries.clear()

        async def create(number):
            await scene.ns.create(ROOT, made, b"f%07d" % number, CreateMode.GUARDED, SetAttr(), b"")

        await scene.each(count, create)
        scene.check_bounded(before)
        assert scene.queries.count("load edges") == 0
        assert len(scene.cache.inodes) < count

    scene(work, limit)


def test_unlisted_entries_cost_a_listing_nothing(scene):
    async def work(scene):
        await scene.seeder.files(1, 100_000, "a-unlisted", listed=False)
        await scene.seeder.files(1, 10, "listed")
        await scene.seeder.files(1, 100_000, "z-unlisted", listed=False)
        analyze(scene.dsn)
        page = await scene.ns.list_objects(ROOT, "bucket", ListRequest())
        assert len(page.contents) == 10
        assert page.next_after is None
        assert blocks_read(scene, paging._SCANS, scan_of(scene.vol, 1)) < 100

    scene(work)


def test_a_page_touches_as_much_of_a_large_directory_as_of_a_small_one(scene):
    async def work(scene):
        touched = {"readdir": [], "listing": []}
        for count in (1000, 100_000):
            top = await scene.seeded(f"of{count}-")
            await scene.seeder.files(top.ino, count)
            analyze(scene.dsn)
            page = await scene.store.page_by_cookie(scene.vol, top.ino, 0, 1)
            for position in (0, count - 100):
                after = page[0].edge.cookie + position - 1
                name = b"f%07d" % position
                touched["readdir"].append(
                    blocks_read(scene, paging._BY_COOKIE, f"{scene.vol}, {top.ino}, {after}, 100")
                )
                touched["listing"].append(blocks_read(scene, paging._SCANS, scan_of(scene.vol, top.ino, name, 100)))
        for read in touched.values():
            assert max(read) <= 1.5 * min(read), touched
            assert max(read) <= 800, touched

    scene(work)


def scan_of(vol, parent, lower=b"", limit=1000):
    """Return the parameters of one scan of a walk, as SQL."""
    start, none = f"'\\x{lower.hex()}'::bytea", "''::bytea"
    return f"{vol}, ARRAY[{parent}]::bigint[], ARRAY[{start}], ARRAY[{parent + 1}]::bigint[], ARRAY[{none}], {limit}"


def blocks_read(scene, statement, parameters):
    """Return how many blocks of tables and indexes *statement* touches, run as the metastore's sessions run it."""
    types = {encoding.INT8: "bigint", encoding.INT8_ARRAY: "bigint[]", encoding.BYTEA_ARRAY: "bytea[]"}
    with psycopg.connect(session_conninfo(scene.dsn, "explain"), autocommit=True) as connection:
        connection.execute(f"PREPARE it ({', '.join(types[each] for each in statement.types)}) AS {statement.sql}")
        connection.execute(f"EXECUTE it ({parameters})")
        rows = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE it ({parameters})").fetchone()
    plan = rows[0][0]["Plan"]
    assert "Seq Scan" not in str(plan)
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
