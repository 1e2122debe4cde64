"""ListObjects against the simplest model: all visible keys, sorted, rolled up by S3's rule, cut into pages."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from metastore_house import directory, edge, file, houses  # noqa: F401
from postgres_server import migrated_dsn, postgres  # noqa: F401

from foundation.errors import AccessDenied
from metastore.records import Change, InodeFlag
from namespace.api import Caller, ListRequest, SetAttr
from namespace.service import GatefoldNamespace
from storage_engine.memory import MemoryBodyStore

OWNER = Caller(0, 0, account="owner")
CALLER = Caller(1000, 1000, account="other")
BUCKETS = itertools.count(1)

FILE, HIDDEN = "file", "unlisted"
NAMES = st.sampled_from([b"a", b"b", b"ab", b"ba", b"a-b", b"-", b".", b"..", b"\xc3\xbc", b"~" * 300])


class Dir:
    """A directory of the model: explicit or implied, open to CALLER or closed."""

    def __init__(self, below, *, explicit=False, mode=0o755):
        self.below, self.explicit, self.mode = below, explicit, mode

    def __repr__(self):
        return f"Dir({self.below!r}, explicit={self.explicit}, mode=0o{self.mode:o})"


LEAVES = st.dictionaries(NAMES, st.sampled_from([FILE, FILE, FILE, HIDDEN]), max_size=5)


def directories(below):
    """Return directories: their files, sub-directories (also with empty names) and at times their own body."""
    subs = st.dictionaries(st.one_of(NAMES, st.just(b"")).map(lambda name: name + b"/"), below, max_size=4)
    own = st.sampled_from([{}, {}, {b"": FILE}])
    return st.builds(
        lambda leaves, dirs, body, explicit, mode: Dir({**leaves, **dirs, **body}, explicit=explicit, mode=mode),
        LEAVES,
        subs,
        own,
        st.booleans(),
        # x alone shows no names, r alone no attributes: both close the directory.
        st.sampled_from([0o755, 0o755, 0o755, 0o751, 0o754, 0o700]),
    )


DIRS = st.recursive(st.builds(Dir, LEAVES), directories, max_leaves=12)
TREES = st.builds(
    lambda leaves, dirs: {**leaves, **dirs},
    LEAVES,
    st.dictionaries(st.one_of(NAMES, st.just(b"")).map(lambda name: name + b"/"), DIRS, max_size=4),
)
PIECES = st.lists(st.sampled_from([b"a", b"b", b"-", b"/", b".", b"\xc3\xbc", b"~"]), max_size=4).map(b"".join)
DELIMITERS = st.sampled_from([b"", b"/", b"/", b"b", b"-", b"a/", b"b/a", b"//", b"\xc3", b"\xc3\xbc/", b"~" * 200])
REQUESTS = st.tuples(PIECES, DELIMITERS, PIECES)


def rows_of(vol, tree):
    """Yield the rows that *tree* means below the root."""
    inos = itertools.count(2)

    def below(parent, names):
        for skey, what in names.items():
            ino = next(inos)
            yield edge(vol, parent, skey, ino, listed=what != HIDDEN)
            if isinstance(what, Dir):
                flags = int(InodeFlag.EXPLICIT) if what.explicit else 0
                yield directory(vol, ino, parent, entries=len(what.below), flags=flags, mode=what.mode)
                yield from below(ino, what.below)
            else:
                yield file(vol, ino, size=ino)

    return list(below(1, tree))


def visible(tree, prefix=b""):
    """Return the keys that CALLER may see, and the paths of open directories that are no keys."""
    keys, implied = set(), set()
    for skey, what in tree.items():
        if what == FILE:
            keys.add(prefix + skey)
        elif isinstance(what, Dir) and what.mode & 0o5 == 0o5:
            (keys if what.explicit else implied).add(prefix + skey)
            deeper = visible(what.below, prefix + skey)
            keys |= deeper[0]
            implied |= deeper[1]
    return keys, implied - keys


def rolled_up(tree, prefix, delimiter, after):
    """Return all that a listing shows, in order, as (key or common prefix, whether it is a prefix)."""
    keys, implied = visible(tree)
    if delimiter:
        # A directory counts as a prefix, also where nothing below it is listed.
        keys |= {path for path in implied if path.find(delimiter, len(prefix)) >= 0}
    shown = {}
    for key in sorted(keys):
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        name = key if cut < 0 else key[: cut + len(delimiter)]
        if name > after:
            shown[name] = cut >= 0
    return sorted(shown.items())


async def pages(namespace, bucket, prefix, delimiter, after, limit):
    """Return what the pages of a listing show, put together."""
    shown = []
    while True:
        page = await namespace.list_objects(CALLER, bucket, ListRequest(prefix, delimiter, after, limit))
        contents = [info.key for info in page.contents]
        assert contents == sorted(contents)
        assert list(page.common_prefixes) == sorted(page.common_prefixes)
        found = sorted([(key, False) for key in contents] + [(each, True) for each in page.common_prefixes])
        assert len(found) <= limit
        shown += found
        if page.next_after is None:
            return shown
        assert len(found) == limit
        assert page.next_after == found[-1][0]
        after = page.next_after


async def opened(house):
    """Return a namespace over the house's metastore."""
    store = await house.gateway()
    namespace = GatefoldNamespace(store, MemoryBodyStore(house.clock), house.clock)
    await namespace.open()
    return store, namespace


async def planted(store, namespace, tree):
    """Make a bucket that holds *tree*, and return its name."""
    name = f"bucket{next(BUCKETS)}"
    made = await namespace.create_bucket(OWNER, name)
    rows = rows_of(made.vol, tree)
    await store.wait(made.vol, store.commit(Change(made.vol, tuple(rows))))
    return name


DEEP = {
    b"a": FILE,
    b"a/": Dir({b"": FILE, b"b/": Dir({b"c": FILE, b"": FILE}, explicit=True), b"/": Dir({b"x": FILE})}),
}
CLOSED = {
    b"a/": Dir({b"b/": Dir({b"c": FILE}, mode=0o750), b"d": FILE}),
    b"e/": Dir({b"f": FILE}, explicit=True, mode=0),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(DEEP, [(b"a/", b"/", b""), (b"a//", b"", b""), (b"a/b/", b"", b""), (b"", b"/b", b"")])
@example(CLOSED, [(b"", b"", b""), (b"a/b/", b"", b""), (b"", b"/", b""), (b"e/", b"", b"")])
@example({b"a-%d" % n: FILE for n in range(60)} | {b"b-": FILE}, [(b"", b"-", b""), (b"a", b"1", b"a-2")])
@given(TREES, st.lists(REQUESTS, min_size=1, max_size=6))
def test_every_listing_is_the_sorted_keys_rolled_up(houses, tree, requests):
    async def work(house):
        store, namespace = await opened(house)
        bucket = await planted(store, namespace, tree)
        for prefix, delimiter, after in requests:
            expected = rolled_up(tree, prefix, delimiter, after)
            for limit in (1, 2, 3, 1000):
                assert await pages(namespace, bucket, prefix, delimiter, after, limit) == expected
        await namespace.close()

    houses.run(work)


def test_a_page_of_no_keys_is_not_truncated(houses):
    async def work(house):
        store, namespace = await opened(house)
        bucket = await planted(store, namespace, {b"a": FILE})
        page = await namespace.list_objects(CALLER, bucket, ListRequest(limit=0))
        assert (page.contents, page.common_prefixes, page.next_after) == ((), (), None)
        await namespace.close()

    houses.run(work)


def test_a_listing_goes_on_behind_a_key_that_is_gone(houses):
    async def work(house):
        store, namespace = await opened(house)
        bucket = await planted(store, namespace, {b"%d" % n: FILE for n in range(6)})
        first = await namespace.list_objects(CALLER, bucket, ListRequest(limit=3))
        await namespace.delete_object(OWNER, bucket, first.next_after)
        second = await namespace.list_objects(CALLER, bucket, ListRequest(after=first.next_after))
        assert [info.key for info in second.contents] == [b"3", b"4", b"5"]
        await namespace.close()

    houses.run(work)


def test_a_closed_root_is_refused_and_not_empty(houses):
    async def work(house):
        store, namespace = await opened(house)
        bucket = await planted(store, namespace, {b"a": FILE})
        root = await namespace.root((await namespace.head_bucket(OWNER, bucket)).vol)
        await namespace.setattr(OWNER, root, SetAttr(mode=0o750), None)
        try:
            await namespace.list_objects(CALLER, bucket, ListRequest())
        except AccessDenied:
            await namespace.close()
            return
        raise AssertionError("the listing was answered")

    houses.run(work)


def test_what_is_closed_or_rolls_up_is_not_read(houses):
    """Ten visible keys among directories of hundreds that are closed, or that a delimiter rolls up."""
    closed = {b"c%d/" % n: Dir({b"%04d" % m: FILE for m in range(300)}, mode=0o700) for n in range(5)}
    large = {b"r%d/" % n: Dir({b"%04d" % m: FILE for m in range(300)}) for n in range(5)}

    async def work(house):
        if houses.kind != "postgres":
            return
        store, namespace = await opened(house)
        bucket = await planted(store, namespace, {**closed, **large})
        rows, query = [], store._pool.query

        async def counted(calls):
            results = await query(calls)
            rows.extend(result.ntuples for result in results)
            return results

        store._pool.query = counted
        page = await namespace.list_objects(CALLER, bucket, ListRequest(delimiter=b"/"))
        assert page.common_prefixes == tuple(b"r%d/" % n for n in range(5))
        assert sum(rows) <= 12
        assert len(rows) <= 2
        rows.clear()
        page = await namespace.list_objects(CALLER, bucket, ListRequest(prefix=b"c"))
        assert page.contents == ()
        assert sum(rows) <= 6
        await namespace.close()

    houses.run(work)
