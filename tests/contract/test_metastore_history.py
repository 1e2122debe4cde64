"""Versions of names: look-ups, the walk over history, and what history keeps from going."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metastore_house import directory, edge, file, houses, new_volume  # noqa: F401
from postgres_server import migrated_dsn, postgres  # noqa: F401

from foundation.aio import gather
from foundation.errors import BucketNotEmpty, NoReply
from metastore.records import NEWEST, NULL_VERSION, Change, InodeFlag, Version

BUCKETS = itertools.count(1)


async def committed(store, *rows):
    vol = rows[0].vol
    await store.wait(vol, store.commit(Change(vol, rows)))


def everywhere(_directory):
    return True


def version(vol, parent, skey, seq, ino=0, **changes):
    fields = {"version_id": b"id%d" % seq, "modified": 5, **changes}
    return Version(vol, parent, skey, seq, ino=ino, **fields)


def test_versions_of_a_name_come_newest_first_and_in_pages(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        rows = [version(vol, 1, b"a", seq, retain_until=7, legal_hold=True) for seq in (-1, -2, -3)]
        await committed(store, *rows, version(vol, 1, b"a/", -9), version(vol, 2, b"a", -8))
        newest_first = rows[::-1]
        assert await store.load_versions(vol, 1, b"a", NEWEST, 10) == newest_first
        assert await store.load_versions(vol, 1, b"a", NEWEST, 2) == newest_first[:2]
        assert await store.load_versions(vol, 1, b"a", -2, 2) == newest_first[1:]
        assert await store.load_versions(vol, 1, b"b", NEWEST, 2) == []
        together = [store.load_versions(vol, 1, name, NEWEST, 1) for name in (b"a", b"a/", b"x")]
        assert [[row.seq for row in found] for found in await gather(together)] == [[-3], [-9], []]

    houses.run(work)


def test_a_name_has_one_null_version_and_a_batch_may_replace_it(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        null = version(vol, 1, b"a", -1, ino=5, version_id=NULL_VERSION)
        await committed(store, null, version(vol, 1, b"a", -2), version(vol, 1, b"b", -1, version_id=NULL_VERSION))
        assert await store.load_null_version(vol, 1, b"a") == null
        assert await store.load_null_version(vol, 1, b"c") is None
        newer = version(vol, 1, b"a", -3, version_id=NULL_VERSION)
        await store.wait(vol, store.commit(Change(vol, (newer,), ((Version, null.key),))))
        assert await store.load_null_version(vol, 1, b"a") == newer
        with pytest.raises(NoReply):
            await committed(store, version(vol, 1, b"a", -4, version_id=NULL_VERSION))

    houses.run(work)


def test_the_names_of_an_inode_are_found_without_ghosts(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        names = [edge(vol, 1, b"a", 5, cookie=10), edge(vol, 1, b"b", 5, cookie=11)]
        await committed(store, *names, edge(vol, 1, b"c/", 5, cookie=12, ghost=True))
        found = await store.load_names(vol, 5, 10)
        assert sorted(found, key=lambda each: each.skey) == names
        assert len(await store.load_names(vol, 5, 1)) == 1
        assert await store.load_names(vol, 6, 10) == []

    houses.run(work)


def test_history_below_the_root_keeps_a_volume(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        marker = version(vol, 1, b"a", -1)
        await committed(store, marker)
        with pytest.raises(BucketNotEmpty):
            await store.drop_volume(vol)
        ghost = edge(vol, 1, b"d/", 2, ghost=True)
        await store.wait(vol, store.commit(Change(vol, (ghost,), ((Version, marker.key),))))
        with pytest.raises(BucketNotEmpty):
            await store.drop_volume(vol)
        await store.wait(vol, store.commit(Change(vol, drops=((type(ghost), ghost.key),))))
        await store.drop_volume(vol)

    houses.run(work)


def test_settings_change_one_by_one_and_only_for_the_holder(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        vol = await new_volume(first, strict="yes")
        changed = await first.change_settings(vol, {"versioning": "enabled"})
        assert changed.settings == {"strict": "yes", "versioning": "enabled"}
        await first.change_settings(vol, {"versioning": "suspended"})
        taken = (await second.take_volume(vol, changed.holder, changed.epoch)).volume
        assert taken.settings == {"strict": "yes", "versioning": "suspended"}
        with pytest.raises(NoReply):
            await first.change_settings(vol, {"versioning": "enabled"})
        assert (await second.volumes())[0].settings == taken.settings

    houses.run(work)


# -- the walk -----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from([b"a", b"a-", b"a0", b"b", b"\xc3\xbc"])
#: A file: is it live, and how many versions it has. A directory: explicit, and what is in it.
FILES = st.tuples(st.booleans(), st.integers(0, 3))
TREES = st.recursive(
    st.dictionaries(NAMES, FILES, max_size=4),
    lambda below: st.dictionaries(
        st.one_of(NAMES, NAMES.map(lambda name: name + b"/")), st.one_of(FILES, st.tuples(st.booleans(), below))
    ),
    max_leaves=20,
)


class Planted:
    """Rows of a random tree with history, and the (path, seq) that a walk must tell."""

    def __init__(self, vol, tree):
        self.vol = vol
        self.inos = itertools.count(2)
        self.rows = []
        self.told = {}
        self.plant(1, b"", tree)

    def plant(self, parent, prefix, names):
        """Plant *names* in a directory; return whether anything there is live."""
        live = False
        for name, what in names.items():
            ino = next(self.inos)
            if name.endswith(b"/") and isinstance(what[1], dict):
                live |= self.directory(parent, prefix, name, ino, what)
            elif not name.endswith(b"/") and isinstance(what[1], int):
                live |= self.file(parent, prefix, name, ino, what)
        return live

    def directory(self, parent, prefix, name, ino, what):
        explicit, below = what
        live = self.plant(ino, prefix + name, below)
        flags = InodeFlag.EXPLICIT if explicit else 0
        self.rows += [
            directory(self.vol, ino, parent, flags=flags),
            edge(self.vol, parent, name, ino, ghost=not live),
        ]
        if live and explicit:
            self.told.setdefault((prefix + name, 0), ino)
        return live

    def file(self, parent, prefix, name, ino, what):
        live, versions = what
        if live:
            self.rows += [file(self.vol, ino), edge(self.vol, parent, name, ino)]
            if not versions:
                self.told[prefix + name, 0] = ino
        for seq in range(-versions, 0):
            kept = ino if live and seq == -versions else 0
            self.rows.append(version(self.vol, parent, name, seq, kept))
            self.told[prefix + name, seq] = kept
        return live


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES)
def test_pages_of_a_walk_over_history_put_together_are_all_versions(houses, tree):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store, f"bucket{next(BUCKETS)}")
        planted = Planted(vol, tree)
        if planted.rows:
            await committed(store, *planted.rows)
        wanted = sorted(planted.told)
        whole = await store.walk_versions(vol, 1, (b"", NEWEST), None, 1000, everywhere)
        assert [(entry.path, entry.version.seq) for entry in whole] == wanted
        for entry in whole:
            assert entry.version.ino == planted.told[entry.path, entry.version.seq]
            assert (entry.inode.ino if entry.inode else 0) == entry.version.ino
        for limit in (1, 2, 5):
            found, lower, seq = [], b"", NEWEST
            while page := await store.walk_versions(vol, 1, (lower, seq), None, limit, everywhere):
                found += page
                last = page[-1]
                lower, seq = last.path, (last.version.seq or NEWEST) + 1
            assert found == whole
        for lower, upper in ((b"a/", b"a0"), (b"a-", None), (b"", b"a/b"), (b"a/a", b"b")):
            page = await store.walk_versions(vol, 1, (lower, NEWEST), upper, 3, everywhere)
            inside = [each for each in whole if each.path >= lower and (upper is None or each.path < upper)]
            assert page == inside[:3]

    houses.run(work)


@pytest.mark.parametrize("dead", [False, True])
def test_the_object_with_the_name_of_its_directory_stands_for_it(houses, dead):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        rows = [directory(vol, 2, flags=InodeFlag.EXPLICIT), edge(vol, 1, b"d/", 2), version(vol, 2, b"", -1, 3)]
        body = [file(vol, 3), edge(vol, 2, b"", 3)]
        await committed(store, *rows, *([version(vol, 2, b"", -2)] if dead else body))
        found = await store.walk_versions(vol, 1, (b"", NEWEST), None, 10, everywhere)
        wanted = [(b"d/", 0), (b"d/", -2), (b"d/", -1)] if dead else [(b"d/", -1)]
        assert [(e.path, e.version.seq) for e in found] == wanted
        again = await store.walk_versions(vol, 1, (b"d/", (found[0].version.seq or NEWEST) + 1), None, 10, everywhere)
        assert again == found[1:]

    houses.run(work)


def test_a_closed_directory_is_left_out_with_its_key_and_its_history(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        rows = [directory(vol, 2, flags=InodeFlag.EXPLICIT), edge(vol, 1, b"c/", 2), version(vol, 2, b"f", -1)]
        rows += [directory(vol, 3), edge(vol, 2, b"g/", 3, ghost=True), version(vol, 3, b"f", -1)]
        rows += [directory(vol, 4), edge(vol, 1, b"o/", 4), version(vol, 4, b"f", -1)]
        await committed(store, *rows)
        for closed, wanted in ((2, [b"o/f"]), (3, [b"c/", b"c/f", b"o/f"]), (4, [b"c/", b"c/f", b"c/g/f"])):
            found = await store.walk_versions(
                vol, 1, (b"", NEWEST), None, 10, lambda image, closed=closed: image.ino != closed
            )
            assert [entry.path for entry in found] == wanted

    houses.run(work)


@pytest.mark.parametrize("shape", ["one name of many versions", "names of one version", "many ghosts"])
def test_a_page_of_history_takes_few_queries_whatever_the_shape(houses, shape):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        many = range(1500)
        if shape == "one name of many versions":
            rows = [version(vol, 1, b"a", -1 - n) for n in many]
        elif shape == "names of one version":
            rows = [version(vol, 1, b"f%04d" % n, -1, n + 2) for n in many]
            rows += [row for n in many for row in (edge(vol, 1, b"f%04d" % n, n + 2), file(vol, n + 2))]
        else:
            rows = [
                row for n in many for row in (edge(vol, 1, b"d%04d/" % n, n + 2, ghost=True), directory(vol, n + 2))
            ]
            rows += [version(vol, n + 2, b"f", -1) for n in many]
        for first in range(0, len(rows), 1000):
            await committed(store, *rows[first : first + 1000])
        made, query = [], getattr(getattr(store, "_pool", None), "query", None)

        async def counted(calls):
            made.append(calls)
            return await query(calls)

        if query is not None:
            store._pool.query = counted
        assert len(await store.walk_versions(vol, 1, (b"", NEWEST), None, 1000, everywhere)) == 1000
        assert len(made) <= 8

    houses.run(work)
