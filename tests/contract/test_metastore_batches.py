"""Batches at their edges: nearly full ones, refused ones, and two gateways that commit at once."""

from __future__ import annotations

import random

import psycopg
import pytest
from metastore_house import House, edge, file, houses, new_volume, take  # noqa: F401
from msgspec.structs import replace
from postgres_server import migrated_dsn, postgres  # noqa: F401
from reactor_run import run_on_reactor
from test_metastore_fold_model import rows_in_memory, rows_in_postgres

from foundation.aio import gather
from foundation.errors import NoReply
from metastore.grouping import MAX_BATCH_ROWS
from metastore.records import Blob, Change, Cut, Edge, Extent, Inode, ObjectMeta, Reclaim, Reply, Upload


async def committed(store, change):
    await store.wait(change.vol, store.commit(change))


def everything(house, store, vol):
    """Return every row that a batch may write, and the batches and replies themselves."""
    if house.dsn is None:
        return rows_in_memory(store, vol), list(store.database.replies.get(vol, ()))
    with psycopg.connect(house.dsn) as connection:
        kept = [
            connection.execute(f"SELECT * FROM {table} WHERE vol = %s ORDER BY 1, 2, 3", [vol]).fetchall()
            for table in ("batch", "reply_cache")
        ]
    return rows_in_postgres(house.dsn, vol), kept


def test_a_batch_that_is_nearly_full_of_swaps_means_what_its_changes_mean(migrated_dsn):
    """Names of two directories are permuted over and over, until the batch takes no more."""
    draw = random.Random(5)
    places = [(parent, b"n%03d" % n) for parent in (1, 2) for n in range(60)]

    def permutation(vol):
        inos, cookies = draw.sample(range(2, 122), 120), draw.sample(range(3, 123), 120)
        aliases = draw.sample([None] * 60 + [b"a%d" % n for n in range(60)], 120)
        rows = [Edge(vol, *place, *each) for place, *each in zip(places, inos, cookies, aliases, strict=True)]
        return rows, [file(vol, ino, size=draw.randrange(99)) for ino in range(2, 7)]

    async def work(reactor):
        memory_house, database_house = House(reactor, None), House(reactor, migrated_dsn)
        memory, database = await memory_house.gateway(), await database_house.gateway()
        in_memory, in_database = await new_volume(memory), await new_volume(database)
        assert in_memory == in_database
        vol = in_memory
        first = None
        while True:
            edges, files = permutation(vol)
            change = Change(vol, (*edges, *files))
            numbers = memory.commit(change), database.commit(change)
            first = first or numbers
            if numbers != first:
                break
        rows = [batch.rows for batch in database._ledger._queue]
        assert len(rows) == 2
        assert MAX_BATCH_ROWS - len(change.puts) - 1 <= rows[0] <= MAX_BATCH_ROWS
        await gather([memory.wait(vol, numbers[0]), database.wait(vol, numbers[1])])
        assert rows_in_postgres(migrated_dsn, vol) == rows_in_memory(memory, vol)
        for house in (memory_house, database_house):
            await house.close()

    run_on_reactor(work)


def _lose_fence(_house, _store, other, vol):
    return take(other, vol)


#: What is done before the batch, if anything, and the last Change of the batch, by which it is refused.
REFUSALS = [
    pytest.param(_lose_fence, lambda vol: Change(vol, (file(vol, 50),)), id="the fence is lost"),
    pytest.param(
        lambda _house, store, _other, vol: store.doom(vol, 5, 1),
        lambda vol: Change(vol, blob_refs=((2, 1),)),
        id="a blob is doomed",
    ),
    pytest.param(None, lambda vol: Change(vol, (edge(vol, 1, b"new", 9, cookie=21),)), id="a cookie twice"),
    pytest.param(None, lambda vol: Change(vol, (edge(vol, 1, b"new", 9, alias=b"A"),)), id="an alias twice"),
    pytest.param(None, lambda vol: Change(vol, blob_refs=((404, 1),)), id="a blob that is not there"),
    pytest.param(None, lambda vol: Change(vol, (Blob(vol, 1, 1, 1, 1),)), id="a blob put twice"),
]


@pytest.mark.parametrize(("before", "bad"), REFUSALS)
def test_a_refused_batch_leaves_nothing_behind(houses, before, bad):
    async def work(house):
        store, other = await house.gateway(), await house.gateway()
        vol = await new_volume(store)
        stored = [Blob(vol, 1, 99, 2, 1), Blob(vol, 2, 9, 0, 1), Extent(vol, 7, 0, 5, 1, 0), Extent(vol, 7, 5, 5, 1, 5)]
        names = [edge(vol, 1, b"a", 2, cookie=20, alias=b"A"), edge(vol, 1, b"b", 3, cookie=21)]
        await committed(store, Change(vol, (*stored, *names, file(vol, 2), file(vol, 3), Reclaim(vol, 9, 1))))
        if before is not None:
            await before(house, store, other, vol)
        as_it_was = everything(house, store, vol)
        good = [
            Change(vol, (file(vol, 4), edge(vol, 1, b"c", 4, cookie=30)), reply=Reply(b"k", b"r")),
            Change(vol, (replace(names[0], cookie=22, alias=b"B"),), ((Inode, (3,)), (Reclaim, (9,)))),
            Change(vol, (Blob(vol, 3, 9, 1, 1), ObjectMeta(vol, 2, {}, {})), (), (Cut(7, 5),), ((1, 1),)),
            Change(vol, (Upload(vol, b"u", b"k", "me", 1, {}, {}, {}, {}, ""),), ((Edge, (1, b"b")),)),
        ]
        numbers = {store.commit(each) for each in good}
        # The cookie of `b` is free again by now, so a second use of it needs the name back.
        numbers.add(store.commit(Change(vol, (names[1], names[0]))))
        numbers.add(store.commit(bad(vol)))
        assert len(numbers) == 1
        with pytest.raises(NoReply):
            await store.wait(vol, numbers.pop())
        assert everything(house, store, vol) == as_it_was

    houses.run(work)


def deadlocks(dsn):
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return connection.execute(counted).fetchone()


def test_gateways_that_commit_and_free_at_once_never_wait_for_each_other_in_a_circle(migrated_dsn):
    """Each writes volumes of its own, with the same keys in opposite orders, while it frees what it detached."""

    async def work(reactor):
        house = House(reactor, migrated_dsn)
        stores = [await house.gateway() for _ in range(2)]
        vols = {store: [await new_volume(store, f"{index}{n}") for n in range(2)] for index, store in enumerate(stores)}
        draw = random.Random(3)
        for store, own in vols.items():
            for vol in own:
                blobs = [Blob(vol, number, 10_000, 0, 1) for number in range(1, 41)]
                await committed(store, Change(vol, tuple(blobs)))

        def change(vol, turn):
            inos = draw.sample(range(2, 40), 20)
            names = [edge(vol, 1, b"n%d" % ino, ino, cookie=1000 + ino) for ino in inos]
            extents = [Extent(vol, turn, n, 1, number, 0) for n, number in enumerate(inos)]
            refs = tuple((number, 1) for number in inos)
            rows = (*(file(vol, ino, size=turn) for ino in inos), *names, *extents, Reclaim(vol, turn, 1))
            cuts = (Cut(turn - 1, 5),) if turn % 3 == 0 else ()
            return Change(vol, tuple(draw.sample(rows, len(rows))), (), cuts, refs)

        async def writer(store, first):
            for turn in range(first, first + 25):
                waits = [(vol, store.commit(change(vol, turn))) for vol in draw.sample(vols[store], 2)]
                for vol, number in waits:
                    await store.wait(vol, number)

        async def collector(store):
            for _ in range(60):
                for vol in vols[store]:
                    await store.reclaim(vol, 7)

        before = deadlocks(migrated_dsn)
        tasks = [writer(store, 100 * n) for store in stores for n in (1, 2, 3)]
        await gather([*tasks, *(collector(store) for store in stores)])
        assert deadlocks(migrated_dsn) == before
        for store, own in vols.items():
            for vol in own:
                while await store.reclaim(vol, 1000):
                    pass
                assert [blob.refs async for blob in store.live_blobs(vol)] == [0] * 40
        await house.close()

    run_on_reactor(work, 60)
