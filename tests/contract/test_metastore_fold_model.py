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
from metastore.records import (
    Blob,
    Change,
    Cut,
    Edge,
    Extent,
    Inode,
    ObjectMeta,
    Part,
    Reclaim,
    Reply,
    Upload,
    Version,
)

VOL = 0  # replaced by the volume that an example runs in
NAMES = [b"a", b"b", b"c", b"d"]
ALIASES = [None, None, b"x", b"y", b"x2", b"y2", None, b"z"]
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
reclaims = st.builds(lambda content, epoch: Reclaim(VOL, content, 5, epoch), st.integers(7, 9), st.integers(0, 3))
uploads = st.builds(
    lambda number, ended, value: Upload(
        VOL, b"u%d" % number, b"key", "me", 5, {"h": value}, {}, {"t": value}, {}, "", ended
    ),
    st.integers(1, 3),
    st.sampled_from([0, 9]),
    st.text(max_size=3),
)
parts = st.builds(
    lambda upload, number, content: Part(VOL, b"u%d" % upload, number, content, 10 * content, b"e", {"c": "x"}, 6),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(7, 9),
)
versions = st.builds(
    lambda parent, skey, seq, ino, hold: Version(
        VOL, parent, skey, seq, b"%d.%s.%d" % (parent, skey, seq), ino, 7, legal_hold=hold
    ),
    st.integers(1, 2),
    st.sampled_from(NAMES),
    st.integers(1, 2),
    st.integers(0, 3),
    st.booleans(),
)
new_blobs = st.builds(lambda number, refs: Blob(VOL, number, 100, refs, 1), st.integers(4, 9), st.integers(0, 2))


@st.composite
def renamed(draw):
    """Return edges that are a random permutation of what they name, of cookies and of aliases.

    In one directory or over two: a rename of everything to everything, or of some of it, in any order.
    """
    parents = draw(st.sampled_from([(1,), (2,), (1, 2)]))
    places = [(parent, name) for parent in parents for name in NAMES]
    inos = draw(st.permutations(range(2, 2 + len(places))))
    cookies = draw(st.permutations(range(3, 3 + len(places))))
    aliases = draw(st.permutations(ALIASES[: len(places)]))
    rows = [Edge(VOL, *place, *each) for place, *each in zip(places, inos, cookies, aliases, strict=True)]
    return draw(st.permutations(rows))[: draw(st.sampled_from([1, 2, 3, 8]))]


keys = st.one_of(
    st.tuples(st.just(Inode), st.tuples(st.integers(2, 5))),
    st.tuples(st.just(Edge), st.tuples(st.integers(1, 2), st.sampled_from(NAMES))),
    st.tuples(st.just(Extent), st.tuples(st.integers(7, 8), st.integers(0, 4).map(lambda n: 10 * n))),
    st.tuples(st.just(ObjectMeta), st.tuples(st.integers(2, 4))),
    st.tuples(st.just(Reclaim), st.tuples(st.integers(7, 9))),
    st.tuples(st.just(Upload), st.tuples(st.integers(1, 3).map(lambda n: b"u%d" % n))),
    st.tuples(st.just(Part), st.tuples(st.integers(1, 3).map(lambda n: b"u%d" % n), st.integers(1, 2))),
    st.tuples(st.just(Version), st.tuples(st.integers(1, 2), st.sampled_from(NAMES), st.integers(1, 2))),
)
rows = st.one_of(inodes, extents, extents, metas, reclaims, uploads, parts, versions)


@st.composite
def changes(draw):
    puts = draw(st.lists(rows, max_size=4))
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


@st.composite
def chains(draw):
    """Return Changes that put and drop one key, or a few of them, again and again."""
    chosen = {(type(row), row.key): row for row in [*draw(renamed()), *draw(st.lists(rows, min_size=1, max_size=2))]}
    chain = []
    for _ in range(draw(st.integers(2, 6))):
        some = draw(st.lists(st.sampled_from(list(chosen)), min_size=1, max_size=4, unique=True))
        if draw(st.booleans()):
            chain.append(Change(VOL, tuple(chosen[key] for key in some)))
        else:
            chain.append(Change(VOL, drops=tuple(some)))
    return chain


batches_of_changes = st.lists(
    st.one_of(st.lists(changes(), min_size=1, max_size=6), chains(), st.builds(list.__add__, chains(), chains())),
    min_size=1,
    max_size=5,
)


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
@given(batches_of_changes)
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
