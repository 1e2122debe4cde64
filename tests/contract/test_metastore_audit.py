"""What `gatefold check` asks of the metastore: nothing is wrong in a sound volume, and each broken rule is named."""

import pytest
from metastore_house import directory, edge, file, houses, new_volume  # noqa: F401
from postgres_server import migrated_dsn, postgres  # noqa: F401

from metastore.records import Blob, Change, Extent, FileType, ObjectMeta, Reclaim


def sound(vol, blob):
    """Return the rows of a volume with a directory, hard links, both kinds of bodies and something to reclaim."""
    return {
        "root": directory(vol, 1, entries=3, nlink=3),
        "dir": directory(vol, 2, entries=2),
        "dir edge": edge(vol, 1, b"d/", 2),
        "inline": file(vol, 3, size=50, used=40, content=1, x_length=40, x_blob=blob, nlink=2),
        "inline edge": edge(vol, 1, b"a", 3),
        "link edge": edge(vol, 2, b"link", 3, cookie=99),
        "many": file(vol, 4, size=100, used=30, content=2, extents=2),
        "many edge": edge(vol, 2, b"m", 4),
        "extent 1": Extent(vol, 2, 0, 10, blob, 0),
        "extent 2": Extent(vol, 2, 80, 20, blob + 1, 5),
        "symlink": file(vol, 5, type=FileType.SYMLINK, target=b"x"),
        "symlink edge": edge(vol, 1, b"s", 5, listed=False),
        "meta": ObjectMeta(vol, 3, {}, {}),
        "reclaim": Reclaim(vol, 9, 1),
        "reclaimed": Extent(vol, 9, 0, 5, blob, 40),
        "blob": Blob(vol, blob, 45, 3, 1),
        "blob 2": Blob(vol, blob + 1, 25, 1, 1),
    }


BROKEN = {
    "inode.entries": lambda vol, blob: {"dir": directory(vol, 2, entries=7)},
    "inode.nlink": lambda vol, blob: {"root": directory(vol, 1, entries=3, nlink=2)},
    "inode.nlink of a file": lambda vol, blob: {"link edge": None, "dir": directory(vol, 2, entries=1)},
    "inode.orphan": lambda vol, blob: {"orphan": file(vol, 30)},
    "tree.root": lambda vol, blob: {"root": directory(vol, 1, parent=2, entries=3, nlink=3)},
    "tree.parent": lambda vol, blob: {"dir": directory(vol, 2, parent=77, entries=2)},
    "tree.cycle": lambda vol, blob: {
        "one": directory(vol, 40, parent=41, entries=1, nlink=3),
        "two": directory(vol, 41, parent=40, entries=1, nlink=3),
        "one edge": edge(vol, 41, b"o/", 40),
        "two edge": edge(vol, 40, b"t/", 41),
    },
    "edge.target": lambda vol, blob: {"lost": edge(vol, 2, b"lost", 70), "dir": directory(vol, 2, entries=3)},
    "edge.parent": lambda vol, blob: {"astray": edge(vol, 3, b"x", 4)},
    "edge.form": lambda vol, blob: {"inline edge": None, "wrong": edge(vol, 1, b"a/", 3)},
    "edge.listed": lambda vol, blob: {"symlink edge": edge(vol, 1, b"s", 5)},
    "edge.cookie": lambda vol, blob: {"many edge": edge(vol, 2, b"m", 4, cookie=2)},
    "inode.extents": lambda vol, blob: {"many": file(vol, 4, size=100, used=30, content=2, extents=3)},
    "inode.used": lambda vol, blob: {"many": file(vol, 4, size=100, used=31, content=2, extents=2)},
    "inode.size": lambda vol, blob: {"many": file(vol, 4, size=99, used=30, content=2, extents=2)},
    "extent.blob": lambda vol, blob: {"extent 2": Extent(vol, 2, 80, 20, blob + 1, 6)},
    "extent.blob inline": lambda vol, blob: {"blob": Blob(vol, blob, 39, 3, 1)},
    "extent.owner": lambda vol, blob: {"reclaim": None},
    "extent.overlap": lambda vol, blob: {"between": Extent(vol, 2, 9, 2, blob + 1, 0)},
    "blob.refs": lambda vol, blob: {"blob": Blob(vol, blob, 45, 4, 1)},
    "blob.range": lambda vol, blob: {"far": Blob(vol, 1 << 40, 1, 0, 1)},
    "meta.owner": lambda vol, blob: {"more": ObjectMeta(vol, 80, {}, {})},
    "reclaim.live": lambda vol, blob: {"again": Reclaim(vol, 2, 1)},
}


async def found(house, changes):
    store = await house.gateway()
    vol = await new_volume(store)
    blob = (await store.reserve_blobs(vol, 4)).first
    rows = {**sound(vol, blob), **changes(vol, blob)}
    puts = tuple(row for row in rows.values() if row is not None)
    await store.wait(vol, store.commit(Change(vol, puts)))
    findings = [finding async for finding in store.audit(vol)]
    assert all(finding.vol == vol for finding in findings)
    return {finding.rule for finding in findings}


def test_a_sound_volume_has_no_finding(houses):
    async def work(house):
        assert await found(house, lambda vol, blob: {}) == set()

    houses.run(work)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_named(houses, case):
    async def work(house):
        assert case.split()[0] in await found(house, BROKEN[case])

    houses.run(work)


def test_live_blobs_are_those_not_given_up(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        first = (await store.reserve_blobs(vol, 9)).first
        blobs = [Blob(vol, first + n, 1, n % 2, 1) for n in range(5)]
        await store.wait(vol, store.commit(Change(vol, tuple(blobs))))
        assert [each async for each in store.live_blobs(vol)] == blobs
        await store.doom(vol, 5, 100)
        assert [each async for each in store.live_blobs(vol)] == [each for each in blobs if each.refs]

    houses.run(work)
