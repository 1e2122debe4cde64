"""Random batches on PostgreSQL against the plain meaning of a Change: the memory metastore applies them one by one."""

import itertools

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metastore_house import House, new_volume, take
from msgspec.structs import astuple, replace
from postgres_server import migrated_dsn, postgres  # noqa: F401
from reactor_run import run_on_reactor

from foundation.errors import NoReply
from metastore.postgres.rows import ROW_TABLES
from metastore.records import Blob, Change, Cut, Edge, Extent, Inode, ObjectMeta, Reclaim, Reply

VOL = 0  # replaced by the volume that an example runs in
NAMES = [b"a", b"b", b"c", b"d"]
STORED_BLOBS = [1, 2, 3]
BUCKETS = itertools.count(1)

inodes = st.builds(
    lambda ino, size: Inode(VOL, ino, 1, 1, 0o644, 0, 0, 1, size=size), st.integers(2, 5), st.integers(0, 99)
)
extents = st.builds(
    lambda content, offset, length, blob: Extent(VOL, content, 10 * offset, length, blob, 0),
    st.integers(7, 8),
    st.integers(0, 4),
    st.integers(1, 10),
    st.sampled_from(STORED_BLOBS),
)
metas = st.builds(lambda ino, value: ObjectMeta(VOL, ino, {"k": value}, {}), st.integers(2, 4), st.text(max_size=3))
reclaims = st.builds(lambda content: Reclaim(VOL, content, 5), st.integers(7, 9))
new_blobs = st.builds(lambda number, refs: Blob(VOL, number, 100, refs, 1), st.integers(4, 9), st.integers(0, 2))


@st.composite
def renamed(draw):
    """Return edges whose cookies and aliases are a random permutation: a rename of everything to everything."""
    parent = draw(st.integers(1, 2))
    cookies, aliases = draw(st.permutations(range(3, 7))), draw(st.permutations([None, None, b"x", b"y"]))
    rows = [Edge(VOL, parent, *each) for each in zip(NAMES, range(2, 6), cookies, aliases, strict=True)]
    return draw(st.permutations(rows))


keys = st.one_of(
    st.tuples(st.just(Inode), st.tuples(st.integers(2, 5))),
    st.tuples(st.just(Edge), st.tuples(st.integers(1, 2), st.sampled_from(NAMES))),
    st.tuples(st.just(Extent), st.tuples(st.integers(7, 8), st.integers(0, 4).map(lambda n: 10 * n))),
    st.tuples(st.just(ObjectMeta), st.tuples(st.integers(2, 4))),
    st.tuples(st.just(Reclaim), st.tuples(st.integers(7, 9))),
)


@st.composite
def changes(draw):
    puts = draw(st.lists(st.one_of(inodes, extents, extents, metas, reclaims), max_size=4))
    if draw(st.booleans()):
        puts += draw(renamed())
    if draw(st.integers(0, 9)) == 0:
        puts.append(draw(new_blobs))
    unique = {(type(row), row.key): row for row in puts}
    drops = [drop for drop in draw(st.lists(keys, max_size=3)) if drop not in unique]
    cuts = draw(st.lists(st.builds(Cut, st.integers(7, 8), st.integers(0, 45)), max_size=2))
    refs = draw(st.lists(st.tuples(st.sampled_from([*STORED_BLOBS, *STORED_BLOBS, 4]), st.integers(-2, 3)), max_size=2))
    reply = Reply(draw(st.binary(max_size=2)), b"r") if draw(st.booleans()) else None
    return Change(VOL, tuple(unique.values()), tuple(drops), tuple(cuts), tuple(refs), reply)


def placed(change, vol):
    return replace(change, vol=vol, puts=tuple(replace(row, vol=vol) for row in change.puts))


async def apply_batches(store, vol, batches):
    """Commit each of *batches* as one batch; return which were refused."""
    refused = []
    for batch in batches:
        numbers = {store.commit(placed(change, vol)) for change in batch}
        assert len(numbers) == 1
        try:
            await store.wait(vol, numbers.pop())
        except NoReply:
            refused.append(True)
            await take(store, vol)
        else:
            refused.append(False)
    return refused


def rows_in_memory(store, vol):
    """Return every row by its table, without the volume."""
    return {
        kind.__name__: sorted(astuple(row)[1:] for key, row in table.items() if key[0] == vol)
        for kind, table in store.database.rows.items()
    }


def rows_in_postgres(dsn, vol):
    found = {}
    with psycopg.connect(dsn) as connection:
        for kind, table in ROW_TABLES.items():
            rows = connection.execute(f"SELECT * FROM {table.table.name} WHERE vol = %s", [vol]).fetchall()
            found[kind.__name__] = sorted(row[1:] for row in rows)
    return found


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(changes(), min_size=1, max_size=6), min_size=1, max_size=5))
def test_a_batch_leaves_what_its_changes_would_leave_one_by_one(migrated_dsn, batches):
    name = f"bucket{next(BUCKETS)}"
    base = Change(VOL, tuple(Blob(VOL, number, 100, 1000, 1) for number in STORED_BLOBS))

    async def work(reactor):
        houses = House(reactor, None), House(reactor, migrated_dsn)
        try:
            memory, database = [await house.gateway() for house in houses]
            in_memory, in_database = await new_volume(memory, name), await new_volume(database, name)
            plan = [[base], *batches]
            assert await apply_batches(memory, in_memory, plan) == await apply_batches(database, in_database, plan)
            assert rows_in_postgres(migrated_dsn, in_database) == rows_in_memory(memory, in_memory)
            sides = ((memory, in_memory), (database, in_database))
            replies = [(await take(store, vol)).replies for store, vol in sides]
            assert replies[0] == replies[1]
        finally:
            for house in houses:
                await house.close()

    run_on_reactor(work)
