"""`gatefold check --repair` over both metastores: each fault that may be repaired is, the others are left alone."""

from __future__ import annotations

import pytest
from metastore_house import directory, edge, file, houses, take  # noqa: F401
from msgspec.structs import replace
from postgres_server import migrated_dsn, postgres  # noqa: F401
from sound_volume import committed, findings, rules, sound_volume

from appliance.home import HomeBusy
from appliance.repair import refuse_if_served, repair
from foundation.aio import pause
from foundation.crash import crash_points
from foundation.errors import NoReply
from metastore.records import (
    ROOT_INO,
    Blob,
    Change,
    Edge,
    Extent,
    FileType,
    Inode,
    InodeFlag,
    Part,
    Reclaim,
    Upload,
    Version,
)
from namespace.aliases import BODY_ALIAS
from namespace.audit import audit_edge

GONE = 60  # an offset to a number that nothing has


def put(*rows):
    return lambda s: Change(s.vol, tuple(make(s) for make in rows))


def drop(kind, key):
    return lambda s: Change(s.vol, drops=((kind, key(s)),))


def new_edge(s, parent, skey, ino, **changes):
    return edge(s.vol, parent, skey, ino, **{"cookie": s.cookie + 50, **changes})


async def repaired(house, store, s):
    (volume,) = [each for each in await store.volumes() if each.vol == s.vol]
    return await repair(store, house.clock, volume)


async def kept_rows(store, s):
    """Return what no repair may change: objects and their sizes, where their bytes lie, metadata."""
    extents = {c: await store.load_extents(s.vol, c, 0, 99) for c in range(s.content, s.content + 9)}
    inodes = await store.load_inodes(s.vol, range(s.ino, s.ino + 100))
    return {
        "extents": extents,
        "files": {i.ino: (i.gen, i.type, i.content, i.x_offset, i.x_length, i.x_blob, i.target) for i in inodes},
        "sizes": {i.ino: i.size for i in inodes if i.type == FileType.REGULAR},
        "meta": await store.load_meta(s.vol, s.one.ino),
    }


#: What is planted, and what the repair says it made right: exactly that, in any order.
REPAIRABLE = [
    ("inode.entries", put(lambda s: replace(s.below, entries=5))),
    ("inode.nlink", put(lambda s: replace(s.two, nlink=3))),
    ("inode.nlink", put(lambda s: replace(s.top, nlink=2))),
    ("inode.history", put(lambda s: replace(s.top, history=9))),
    ("inode.nlink", put(lambda s: replace(s.old, nlink=1))),
    ("inode.named", put(lambda s: file(s.vol, s.ino + 50, nlink=0))),
    ("inode.named inode.entries", drop(Edge, lambda s: s.edges[0].key)),
    ("inode.named inode.entries inode.nlink", drop(Edge, lambda s: s.edges[2].key)),
    ("inode.parent", put(lambda s: replace(s.below, parent=s.below.ino))),
    ("inode.parent", put(lambda s: replace(s.one, parent=1))),
    ("inode.size", put(lambda s: replace(s.link, size=4))),
    ("inode.named inode.unreserved", put(lambda s: file(s.vol, s.ino + 1000, nlink=0))),
    ("content.unreserved", put(lambda s: replace(s.one, content=s.content + 1000))),
    ("edge.parent", put(lambda s: new_edge(s, s.ino + GONE, b"x", s.two.ino), lambda s: replace(s.two, nlink=3))),
    (
        "edge.parent inode.entries",
        lambda s: Change(
            s.vol,
            (replace(s.one, entries=1), new_edge(s, s.one.ino, b"x", s.one.ino)),
            ((Edge, s.edges[0].key),),
        ),
    ),
    ("edge.listed", put(lambda s: replace(s.edges[4], listed=True))),
    ("edge.unlisted", put(lambda s: replace(s.edges[0], listed=False))),
    ("edge.grammar", put(lambda s: replace(s.edges[0], alias=b"a/b"))),
    ("edge.grammar", put(lambda s: replace(s.edges[5], alias=None))),
    ("edge.grammar", put(lambda s: replace(s.edges[0], alias=BODY_ALIAS), lambda s: replace(s.edges[1], alias=b"one"))),
    (
        "edge.grammar",
        put(
            lambda s: new_edge(s, 1, b"two/", s.ino + 50),
            lambda s: directory(s.vol, s.ino + 50),
            lambda s: replace(s.top, entries=4, nlink=4),
        ),
    ),
    ("edge.cookie", put(lambda s: replace(s.edges[0], cookie=2))),
    ("edge.cookie", put(lambda s: replace(s.edges[0], cookie=1 << 40))),
    ("extent.count", put(lambda s: replace(s.two, extents=3))),
    ("extent.count", put(lambda s: replace(s.two, extents=0))),
    ("extent.used", put(lambda s: replace(s.one, used=11))),
    ("content.owner", drop(Reclaim, lambda s: s.gone.key)),
    ("content.reclaimed", put(lambda s: Reclaim(s.vol, s.two.content, 1))),
    ("content.reclaimed", put(lambda s: Reclaim(s.vol, s.two.content, 1, epoch=1))),
    ("part.upload content.owner", drop(Upload, lambda s: s.upload.key)),
    ("part.unreserved", put(lambda s: replace(s.part, number=2, content=s.content + 1000))),
    ("part.reclaimed", put(lambda s: Reclaim(s.vol, s.part.content, 1))),
    ("upload.ended", put(lambda s: replace(s.upload, ended=5))),
    ("reclaim.unreserved", put(lambda s: Reclaim(s.vol, s.content + 1000, 1))),
    ("reclaim.epoch", put(lambda s: replace(s.draft, epoch=9))),
    ("blob.refs", lambda s: Change(s.vol, blob_refs=((s.blob, 3),))),
    ("blob.refs", lambda s: Change(s.vol, blob_refs=((s.blob, -1),))),
    ("blob.unreserved", put(lambda s: Blob(s.vol, s.blob + 1000, 1, 0, 1))),
]  # fmt: skip


@pytest.mark.parametrize(("told", "change"), REPAIRABLE)
def test_what_may_be_repaired_is_and_the_data_stays(houses, told, change):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        await committed(store, change(s))
        before = await kept_rows(store, s)
        done = await repaired(house, store, s)
        assert await findings(store, s.vol) == []
        assert [audited async for audited in store.edges(s.vol) if audit_edge(audited)] == []
        assert set(told.split()) <= {each.rule for each in done} <= {*told.split(), "inode.entries", "inode.nlink"}
        after = await kept_rows(store, s)
        for kind, rows in before.items():
            assert after[kind] == rows or (kind == "files" and rows.items() <= after[kind].items())
        assert await repaired(house, store, s) == []

    houses.run(work)


#: Faults of which nothing says what was there before: they are told and left as they are.
UNREPAIRABLE = [
    ("edge.inode", drop(Inode, lambda s: s.link.key)),
    # The lost file's bytes are all that is left of it: they are not given away, and no reference is taken from them.
    ("blob.refs edge.inode meta.inode", drop(Inode, lambda s: s.one.key)),
    ("content.owner edge.inode", drop(Inode, lambda s: s.two.key)),
    # A row of a file's map is lost: counting what is left would call its bytes zeros, and free the blob they lie in.
    ("blob.refs extent.count extent.used", drop(Extent, lambda s: (s.two.content, 20))),
    ("inode.target", put(lambda s: replace(s.link, target=None))),
    ("inode.range", put(lambda s: replace(s.one, uid=1 << 32))),
    ("inode.body", put(lambda s: replace(s.link, content=s.content + 9))),
    ("inode.etag", put(lambda s: replace(s.body, etag_seq=3))),
    (
        "inode.named",
        put(lambda s: new_edge(s, 1, b"b2/", s.below.ino), lambda s: replace(s.top, entries=4, nlink=4)),
    ),
    (
        "edge.form",
        put(
            lambda s: new_edge(s, 1, b"o/", s.one.ino),
            lambda s: replace(s.top, entries=4, nlink=4),
            lambda s: replace(s.one, nlink=2),
        ),
    ),
    (
        "edge.ghost",
        put(
            lambda s: replace(s.edges[3], ghost=True),
            lambda s: replace(s.two, nlink=1),
            lambda s: replace(s.below, entries=2, history=1),
        ),
    ),
    ("meta.inode", put(lambda s: replace(s.meta, ino=s.below.ino))),
    ("meta.parts", put(lambda s: replace(s.meta, parts={"sizes": f"2x{s.one.size}"}))),
    ("inode.named version.inode version.kept", put(lambda s: replace(s.version, ino=s.below.ino))),
    (
        "version.parent",
        put(lambda s: replace(s.version, parent=s.one.ino, ino=0), lambda s: replace(s.one, history=1)),
    ),
    ("extent.end", put(lambda s: replace(s.two, size=29))),
    ("extent.inline", put(lambda s: replace(s.two, x_blob=s.blob))),
    (
        "extent.overlap",
        put(lambda s: Extent(s.vol, s.two.content, 0, 21, s.blob, 0), lambda s: replace(s.two, used=31)),
    ),
    ("extent.blob", drop(Blob, lambda s: (s.blob + 1,))),
    ("content.shared", put(lambda s: replace(s.two, ino=s.old.ino, nlink=0))),
    ("part.number", put(lambda s: replace(s.part, number=10001, content=0))),
    ("part.size", put(lambda s: replace(s.part, size=6))),
    ("part.shared", put(lambda s: replace(s.part, number=2))),
    ("upload.key", put(lambda s: replace(s.upload, object_key=b""))),
    ("inode.named inode.unreserved", put(lambda s: file(s.vol, 1 << 61, gen=1, nlink=0))),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "change"), UNREPAIRABLE)
def test_what_nothing_proves_is_told_and_left_alone(houses, broken, change):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        await committed(store, change(s))
        before, names = await kept_rows(store, s), [each.edge async for each in store.edges(s.vol)]
        done = await repaired(house, store, s)
        assert {each.rule for each in done} <= {"inode.named"}
        assert {*await rules(store, s.vol)} == {*broken.split()} - {each.rule for each in done}
        after = [each.edge async for each in store.edges(s.vol)]
        assert await kept_rows(store, s) == before or done
        assert after == names or done

    houses.run(work)


def test_nothing_is_done_to_a_sound_volume(houses):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        assert await repaired(house, store, s) == []
        assert await store.load_edges(s.vol, [(ROOT_INO, b"lost+found/")]) == []

    houses.run(work)


async def many_faults(store, s):
    """Plant one fault of nearly every kind that can be repaired, two orphans, a lost tree and a cycle among them."""
    vol, ino = s.vol, s.ino + 40
    rows = (
        replace(s.two, nlink=9, extents=0),
        replace(s.one, used=1),
        replace(s.edges[0], cookie=1),
        replace(s.edges[4], listed=True),
        Reclaim(vol, s.two.content, 1),
        file(vol, ino, nlink=0),
        file(vol, ino + 1, nlink=4, type=FileType.FIFO),
        directory(vol, ino + 2, parent=7, entries=5),  # without a name, with a directory and a file in it
        directory(vol, ino + 3, parent=ino + 2),
        new_edge(s, ino + 2, b"in/", ino + 3, cookie=s.cookie + 60),
        file(vol, ino + 4),
        new_edge(s, ino + 3, b"deep", ino + 4, cookie=s.cookie + 61),
        directory(vol, ino + 5, parent=ino + 6, entries=1, nlink=3),  # a cycle of two
        directory(vol, ino + 6, parent=ino + 5, entries=1, nlink=3),
        new_edge(s, ino + 5, b"two/", ino + 6, cookie=s.cookie + 62),
        new_edge(s, ino + 6, b"one/", ino + 5, cookie=s.cookie + 63),
        file(vol, ino + 7),
        new_edge(s, s.ino + GONE, b"stray", ino + 7, cookie=s.cookie + 64),
        replace(s.upload, ended=3),
        Part(vol, b"nobody", 1, s.content + 20, 2, b"", {}, 5),
        Extent(vol, s.content + 20, 0, 2, s.blob + 1, 1),
        replace(s.draft, epoch=77),
    )
    await committed(store, Change(vol, rows, ((Reclaim, s.gone.key),), (), ((s.blob, 5), (s.blob + 1, 4))))
    return ino


def test_many_faults_at_once_are_repaired_and_lost_trees_found_again(houses):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        ino = await many_faults(store, s)
        before = await kept_rows(store, s)
        done = await repaired(house, store, s)
        assert await findings(store, s.vol) == []
        assert (await kept_rows(store, s))["extents"] == before["extents"]
        (place,) = await store.load_edges(s.vol, [(ROOT_INO, b"lost+found/")])
        assert (place.inode.mode, place.inode.uid, place.inode.flags) == (0o700, 0, InodeFlag.EXPLICIT)
        edges = [each.edge for each in await store.page_by_cookie(s.vol, place.inode.ino, 0, 99)]
        found = {edge.skey for edge in edges}
        assert found == {b"%d" % ino, b"%d" % (ino + 1), b"%d/" % (ino + 2), b"%d/" % (ino + 5), b"%d" % (ino + 7)}
        assert {edge.skey for edge in edges if not edge.listed} == {b"%d" % (ino + 1)}
        deep = await store.resolve_path(s.vol, ROOT_INO, [b"lost+found/", b"%d/" % (ino + 2), b"in/", b"deep"])
        assert len(deep) == 4
        assert len(await store.resolve_path(s.vol, ROOT_INO, [b"lost+found/", b"%d/" % (ino + 5), b"two/"])) == 3
        assert ("inode.named", f"ino {ino}", "no name", f"/lost+found/{ino}") in [
            (each.rule, each.subject, each.was, each.now) for each in done
        ]
        assert await repaired(house, store, s) == []

    houses.run(work)


def test_a_repair_that_dies_between_any_two_steps_is_finished_by_the_next(houses):
    class Died(Exception):
        pass

    def die():
        raise Died

    async def work(house):
        point = crash_points()["repair.after_step"]
        first = await house.gateway()
        whole = await sound_volume(first, "whole")
        await many_faults(first, whole)
        steps = await repaired(house, first, whole)
        for nth in range(1, 1 + len(steps)):
            store = await house.gateway()
            s = await sound_volume(store, f"bucket{nth}")
            await many_faults(store, s)
            before = await kept_rows(store, s)
            point.arm(die, nth)
            try:
                with pytest.raises(Died):
                    await repaired(house, store, s)
            finally:
                point.disarm()
            assert point.passes == nth
            other = await house.gateway()
            await repaired(house, other, s)
            assert await findings(other, s.vol) == []
            assert (await kept_rows(other, s))["extents"] == before["extents"]
            await store.close()
            await other.close()

    houses.run(work, 120)


def test_names_that_are_taken_are_left_to_who_has_them(houses):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        orphans = [file(s.vol, s.ino + n, nlink=0) for n in (40, 41, 42)]
        taken = [
            file(s.vol, s.ino + 30),
            new_edge(s, 1, b"lost+found", s.ino + 30),
            directory(s.vol, s.ino + 31, entries=3),
            new_edge(s, 1, b"lost+found.1/", s.ino + 31, cookie=s.cookie + 51),
            replace(s.top, entries=5, nlink=4),
            *(file(s.vol, s.ino + n) for n in (32, 33, 34)),
            new_edge(s, s.ino + 31, b"%d" % orphans[0].ino, s.ino + 32, cookie=s.cookie + 52),
            new_edge(s, s.ino + 31, b"x", s.ino + 33, cookie=s.cookie + 53, alias=b"%d" % orphans[1].ino),
            new_edge(s, s.ino + 31, b"y", s.ino + 34, cookie=s.cookie + 54),
        ]
        await committed(store, Change(s.vol, (*taken, *orphans)))
        done = await repaired(house, store, s)
        assert await findings(store, s.vol) == []
        places = {each.now for each in done if each.rule == "inode.named"}
        one, two, three = (each.ino for each in orphans)
        assert places == {f"/lost+found.1/{one}.1", f"/lost+found.1/{two}.1", f"/lost+found.1/{three}"}

    houses.run(work)


def test_the_one_row_of_a_content_moves_into_its_inode(houses):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        row = Extent(s.vol, s.one.content, 3, 7, s.blob, 5)
        await committed(
            store,
            Change(s.vol, (replace(s.one, extents=1, used=7, x_offset=0, x_length=0, x_blob=0, x_blob_offset=0), row)),
        )
        (done,) = await repaired(house, store, s)
        assert done.rule == "extent.inline"
        assert await findings(store, s.vol) == []
        (inode,) = await store.load_inodes(s.vol, [s.one.ino])
        assert (inode.x_offset, inode.x_length, inode.x_blob, inode.x_blob_offset, inode.extents) == (
            3,
            7,
            s.blob,
            5,
            0,
        )
        assert await store.load_extents(s.vol, s.one.content, 0, 9) == []

    houses.run(work)


def test_a_version_without_a_name_is_no_orphan_and_one_without_a_row_is(houses):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        await committed(store, Change(s.vol, drops=((Version, s.version.key),)))
        (done,) = [each for each in await repaired(house, store, s) if each.rule == "inode.named"]
        assert done.now == f"/lost+found/{s.old.ino}"

    houses.run(work)


def test_nothing_is_repaired_beside_a_gateway_that_is_connected(houses):
    async def work(house):
        store, other = await house.gateway(), await house.gateway()
        with pytest.raises(HomeBusy, match=f"test \\({other.gateway.id}\\)"):
            await refuse_if_served(store)
        await other.close()
        await wait_until_alone(house, store)
        await refuse_if_served(store)

    houses.run(work)


async def wait_until_alone(house, store):
    """Wait until the server process of a closed connection has ended, which it does by itself."""
    for _ in range(200):
        if not await store.connected_gateways():
            return
        await pause(house.clock, 0.01)


def test_a_gateway_that_takes_the_volume_back_ends_the_repair(houses):
    async def work(house):
        store, other = await house.gateway(), await house.gateway()
        s = await sound_volume(store)
        await committed(store, Change(s.vol, (replace(s.two, nlink=9), replace(s.below, entries=9))))
        audit = store.audit

        async def audited(vol):
            found = [each async for each in audit(vol)]
            await take(other, vol)
            for each in found:
                yield each

        store.audit = audited
        with pytest.raises(HomeBusy):
            await repaired(house, store, s)
        store.audit = audit
        with pytest.raises(NoReply):
            store.commit(Change(s.vol))
        assert await rules(store, s.vol) == ["inode.entries", "inode.nlink"]

    houses.run(work)
