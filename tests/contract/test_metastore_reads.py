"""Look-ups, pages and the walk over all keys."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metastore_house import directory, edge, file, houses, new_volume  # noqa: F401
from postgres_server import migrated_dsn, postgres  # noqa: F401

from foundation.aio import gather
from metastore.records import Change, Extent, InodeFlag


async def committed(store, *rows):
    vol = rows[0].vol
    await store.wait(vol, store.commit(Change(vol, rows)))


async def plant(store, vol, tree):
    """Make *tree*: names to None (a file) or to a dict; `name/!` is an explicit directory."""
    inos = itertools.count(2)

    def rows_of(parent, names):
        for name, below in names.items():
            ino = next(inos)
            if below is None:
                yield from (file(vol, ino), edge(vol, parent, name, ino))
                continue
            flags = InodeFlag.EXPLICIT if name.endswith(b"!") else 0
            yield directory(vol, ino, parent, entries=len(below), flags=flags)
            yield edge(vol, parent, name.removesuffix(b"!"), ino)
            yield from rows_of(ino, below)

    rows = list(rows_of(1, tree))
    for first in range(0, len(rows), 1000):
        await committed(store, *rows[first : first + 1000])


def keys_of(tree, prefix=b""):
    """Return the keys that *tree* means, in byte order."""
    keys = []
    for name, below in tree.items():
        if below is None:
            keys.append(prefix + name)
            continue
        path = prefix + name.removesuffix(b"!")
        if name.endswith(b"!"):
            keys.append(path)
        keys += keys_of(below, path)
    return sorted(set(keys))


def test_look_ups_find_what_exists_and_leave_out_the_rest(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        await committed(store, file(vol, 2), edge(vol, 1, b"a", 2, alias=b"A"), file(vol, 3), edge(vol, 1, b"b/", 3))
        assert {i.ino for i in await store.load_inodes(vol, [3, 1, 99, 3])} == {1, 3}
        found = await store.load_edges(vol, [(1, b"b/"), (1, b"zz"), (2, b"a"), (1, b"a")])
        assert {(n.edge.skey, n.inode.ino) for n in found} == {(b"a", 2), (b"b/", 3)}
        assert (await store.load_alias(vol, 1, b"A")).edge.skey == b"a"
        assert await store.load_alias(vol, 1, b"a") is None
        assert await store.load_inodes(vol, []) == []
        assert await store.load_blob(vol, 1) is None
        assert await store.load_meta(vol, 1) is None
        assert await store.load_inodes(vol + 1, [1]) == []

    houses.run(work)


def test_look_ups_made_together_each_get_their_own(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        await committed(store, *(file(vol, ino) for ino in range(2, 3000)))

        async def one(first):
            inos = list(range(first, first + 40))
            return [i.ino for i in await store.load_inodes(vol, inos)] == inos

        assert all(await gather(one(first) for first in range(2, 2900, 40)))
        assert len(await store.load_inodes(vol, range(2, 3000))) == 2998

    houses.run(work)


def test_a_look_up_sees_what_was_durable_when_it_was_made(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)

        async def writer(ino):
            for size in range(1, 30):
                await committed(store, file(vol, ino, size=size))
                (inode,) = await store.load_inodes(vol, [ino])
                assert inode.size >= size

        await gather(writer(ino) for ino in range(2, 10))

    houses.run(work)


def test_a_path_is_resolved_as_far_as_it_exists(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        await plant(store, vol, {b"a/": {b"b/": {b"c": None}}, b"d": None})
        for path, found in [
            ([b"a/", b"b/", b"c"], 3),
            ([b"a/", b"b/"], 2),
            ([b"a/", b"x/", b"c"], 1),
            ([b"c"], 0),
            ([b"d", b"c"], 1),
            ([], 0),
        ]:
            steps = await store.resolve_path(vol, 1, path)
            assert [step.edge.skey for step in steps] == path[:found]
        together = await gather(store.resolve_path(vol, 1, [b"a/", b"b/", skey]) for skey in (b"c", b"no", b"c"))
        assert [len(steps) for steps in together] == [3, 2, 3]

    houses.run(work)


def test_a_very_deep_path_is_resolved_and_walked(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        tree = {b"leaf": None}
        for _ in range(400):
            tree = {b"d/": tree}
        await plant(store, vol, tree)
        assert len(await store.resolve_path(vol, 1, [b"d/"] * 400 + [b"leaf"])) == 401
        assert [entry.path for entry in await store.walk(vol, 1, b"", None, 10)] == [b"d/" * 400 + b"leaf"]

    houses.run(work)


def test_extents_are_those_that_end_after_the_start(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        extents = [Extent(vol, 7, offset, 10, 1, 0) for offset in (0, 10, 30, 40)]
        await committed(store, *extents, Extent(vol, 8, 0, 100, 1, 0))
        for start_at, expected in [(0, extents), (9, extents), (10, extents[1:]), (25, extents[2:]), (50, [])]:
            assert await store.load_extents(vol, 7, start_at, 10) == expected
        assert await store.load_extents(vol, 7, 0, 2) == extents[:2]
        both = await gather([store.load_extents(vol, 7, 5, 1), store.load_extents(vol, 8, 99, 9)])
        assert [len(each) for each in both] == [1, 1]

    houses.run(work)


def test_pages_go_by_cookie_and_keys_by_skey_and_neither_shows_ghosts(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        names = [b"a", b"a-", b"a/", b"a0", b"b", b"\x01", b"\xff"]
        rows = [edge(vol, 1, name, 50 - n, cookie=100 - n) for n, name in enumerate(names)]
        await committed(store, *rows, *(file(vol, 50 - n) for n in range(len(names))))
        await committed(
            store,
            edge(vol, 1, b"ghost/", 70, ghost=True),
            edge(vol, 1, b"hidden", 71, listed=False),
            *(file(vol, ino) for ino in (70, 71)),
        )

        def skeys(page):
            return [named.edge.skey for named in page]

        everything = skeys(await store.page_by_cookie(vol, 1, 0, 100))
        assert everything == [b"hidden", *reversed(names)]
        assert skeys(await store.page_by_cookie(vol, 1, 96, 2)) == [b"a0", b"a/"]
        listed = sorted(names)
        assert skeys(await store.walk(vol, 1, b"", None, 100)) == listed
        assert skeys(await store.walk(vol, 1, b"a", b"b", 100)) == [b"a", b"a-", b"a/", b"a0"]
        assert skeys(await store.walk(vol, 1, b"a-", b"b", 2)) == [b"a-", b"a/"]
        assert skeys(await store.walk(vol, 1, b"b", b"b", 9)) == []
        assert await store.walk(vol, 2, b"", None, 9) == []
        await committed(store, edge(vol, 80, b"z", 70, listed=False), edge(vol, 80, b"y", 71, listed=False))
        assert skeys(await store.page_unlisted(vol, (0, b""), 2)) == [b"hidden", b"y"]
        assert skeys(await store.page_unlisted(vol, (80, b"y"), 9)) == [b"z"]

    houses.run(work)


TREE = {
    b"a": None,
    b"a/": {b"": None, b"x": None, b"y/": {b"1": None, b"2": None}},
    b"a-b": None,
    b"a0": None,
    b"empty/!": {},
    b"implied/": {},
    b"made/!": {b"": None, b"deep/!": {b"deeper/": {b"leaf": None}}},
    b"z/": {b"q": None},
    b"\xc3\xbc/": {b"\xc3\xa9": None},
}


def test_the_walk_is_the_byte_order_of_full_keys(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        await plant(store, vol, TREE)
        keys = keys_of(TREE)
        walked = [entry.path for entry in await store.walk(vol, 1, b"", None, 100)]
        assert walked == keys
        bounds = sorted({*keys, *(key + b"\x00" for key in keys), b"a/", b"a/y", b"m", b"made/deep", b"\xff"})
        for lower in bounds:
            for upper in (None, *bounds):
                expected = [key for key in keys if key >= lower and (upper is None or key < upper)]
                for limit in (1, 3, 100):
                    page = await store.walk(vol, 1, lower, upper, limit)
                    assert [entry.path for entry in page] == expected[:limit]

    houses.run(work)


def test_the_object_with_the_name_of_its_directory_is_listed_once_and_is_the_object(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        await plant(store, vol, {b"made/!": {b"": None}})
        (entry,) = await store.walk(vol, 1, b"", None, 1)
        assert (entry.path, entry.edge.skey) == (b"made/", b"")

    houses.run(work)


NAMES = st.sampled_from([b"a", b"a-", b"a0", b"b", b"ab", b"\xc3\xbc", b"~"])
TREES = st.recursive(
    st.dictionaries(NAMES, st.none(), max_size=5),
    lambda below: st.dictionaries(
        st.one_of(NAMES, NAMES.map(lambda n: n + b"/"), NAMES.map(lambda n: n + b"/!")), below, max_size=5
    ),
    max_leaves=30,
)


def made_sound(tree):
    """Return *tree* with None for files and a dict for directories, and no directory both explicit and implied."""
    sound = {}
    for name, below in tree.items():
        if not name.rstrip(b"!").endswith(b"/"):
            sound[name] = None
        elif name.removesuffix(b"!") not in sound and name.removesuffix(b"!") + b"!" not in sound:
            sound[name] = made_sound(below or {})
    return sound


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES, st.lists(st.binary(max_size=6).map(lambda b: bytes(c % 4 + 0x2D for c in b)), max_size=4))
def test_pages_of_a_walk_put_together_are_all_keys(houses, tree, lowers):
    tree = made_sound(tree)
    keys = keys_of(tree)

    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store, f"bucket{next(BUCKETS)}")
        if tree:
            await plant(store, vol, tree)
        for limit in (1, 2, 7):
            walked, after = [], b""
            while page := await store.walk(vol, 1, after, None, limit):
                walked += [entry.path for entry in page]
                after = walked[-1] + b"\x00"
            assert walked == keys
        for lower in lowers:
            page = await store.walk(vol, 1, lower, b"b/", 5)
            assert [entry.path for entry in page] == [key for key in keys if lower <= key < b"b/"][:5]

    houses.run(work)


BUCKETS = itertools.count(1)


@pytest.mark.parametrize("shape", ["flat", "one key in each of many directories", "wide"])
def test_a_page_of_the_walk_takes_few_queries_whatever_the_shape(houses, shape):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        files = {b"f%04d" % n: None for n in range(1200)}
        tree = {
            "flat": files,
            "one key in each of many directories": {b"d%04d/" % n: {b"f": None} for n in range(1200)},
            "wide": {b"d%04d/" % n: {b"e%d/" % m: {b"f": None} for m in range(3)} for n in range(400)},
        }[shape]
        await plant(store, vol, tree)
        queries = count_queries(store) if houses.kind == "postgres" else []
        page = await store.walk(vol, 1, b"", None, 1000)
        assert [entry.path for entry in page] == keys_of(tree)[:1000]
        assert len(queries) <= 12

    houses.run(work)


def count_queries(store):
    made, query = [], store._pool.query

    async def counted(calls):
        made.append(calls)
        return await query(calls)

    store._pool.query = counted
    return made
