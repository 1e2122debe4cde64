"""What `gatefold check` finds: nothing in a sound volume, and each rule when it is broken."""

from __future__ import annotations

import pytest
from metastore_house import directory, edge, file, houses, new_volume, take  # noqa: F401
from msgspec.structs import replace
from postgres_server import migrated_dsn, postgres  # noqa: F401
from sound_volume import (
    add_range,
    committed,
    doom_referenced,
    findings,
    lose_holder,
    lose_root,
    rules,
    sound_volume,
)

from metastore.api import AuditedEdge, Backlog
from metastore.postgres import body_rules, tree_rules
from metastore.records import (
    Blob,
    Change,
    Edge,
    Extent,
    Inode,
    Part,
    Reclaim,
    RingRow,
    Upload,
    Version,
)


def test_a_sound_volume_has_no_findings_and_tells_its_live_blobs(houses):
    async def work(house):
        store = await house.gateway()
        sound = await sound_volume(store)
        assert await findings(store, sound.vol) == []
        assert [blob.id async for blob in store.live_blobs(sound.vol)] == [sound.blob, sound.blob + 1, sound.blob + 2]

    houses.run(work)


def put(*rows):
    return lambda s: Change(s.vol, tuple(make(s) for make in rows))


def drop(kind, key):
    return lambda s: Change(s.vol, drops=((kind, key(s)),))


def new_edge(s, parent, skey, ino, **changes):
    return edge(s.vol, parent, skey, ino, **{"cookie": s.cookie + 50, **changes})


#: What is planted, and every rule that it breaks.
BREAKS = [
    ("inode.entries", put(lambda s: replace(s.below, entries=5))),
    ("inode.nlink", put(lambda s: replace(s.two, nlink=3))),
    ("inode.nlink", put(lambda s: replace(s.top, nlink=2))),
    ("inode.nlink", put(lambda s: replace(s.old, nlink=1))),
    ("inode.named", put(lambda s: file(s.vol, s.ino + 50, nlink=0))),
    ("inode.history inode.named", drop(Version, lambda s: s.version.key)),
    ("inode.history", put(lambda s: replace(s.top, history=9))),
    (
        "inode.entries inode.named inode.nlink",
        put(lambda s: new_edge(s, 1, b"b2/", s.below.ino)),
    ),
    ("inode.parent", put(lambda s: replace(s.below, parent=s.below.ino))),
    ("inode.parent", put(lambda s: replace(s.one, parent=1))),
    ("inode.target", put(lambda s: replace(s.link, target=None))),
    ("inode.size", put(lambda s: replace(s.link, size=4))),
    ("inode.range", put(lambda s: replace(s.one, mode=0o10000))),
    ("inode.range", put(lambda s: replace(s.one, uid=1 << 32))),
    ("inode.range", put(lambda s: replace(s.one, gen=-1))),
    ("inode.range", put(lambda s: replace(s.one, flags=1))),
    ("inode.range", put(lambda s: replace(s.one, rdev=1))),
    ("inode.range", put(lambda s: replace(s.old, size=-1))),
    ("edge.listed edge.marker inode.range", put(lambda s: replace(s.body, type=8, content=0, etag=None))),
    ("inode.body", put(lambda s: replace(s.link, content=s.content + 9))),
    ("inode.body", put(lambda s: replace(s.below, used=1))),
    ("inode.etag", put(lambda s: replace(s.body, etag_seq=3))),
    ("inode.etag", put(lambda s: replace(s.link, etag=b"e"))),
    ("inode.named inode.unreserved", put(lambda s: file(s.vol, s.ino + 1000, nlink=0))),
    ("content.unreserved", put(lambda s: replace(s.one, content=s.content + 1000))),
    ("edge.inode", drop(Inode, lambda s: s.link.key)),
    ("edge.parent inode.entries inode.nlink", put(lambda s: new_edge(s, s.one.ino, b"x", s.one.ino))),
    (
        "edge.form inode.entries inode.nlink",
        put(lambda s: new_edge(s, 1, b"one/", s.one.ino)),
    ),
    ("edge.marker inode.entries inode.nlink", put(lambda s: new_edge(s, 1, b"", s.one.ino, alias=b"x"))),
    (
        "edge.marker inode.named inode.nlink",
        put(lambda s: replace(s.edges[5], ino=s.link.ino, listed=False), lambda s: replace(s.link, nlink=2)),
    ),
    ("edge.listed", put(lambda s: replace(s.edges[4], listed=True))),
    ("edge.cookie", put(lambda s: replace(s.edges[0], cookie=2))),
    ("edge.cookie", put(lambda s: replace(s.edges[0], cookie=1 << 40))),
    ("edge.alias", put(lambda s: replace(s.edges[0], alias=b""))),
    ("edge.alias", put(lambda s: replace(s.edges[0], alias=b"a/b"))),
    ("edge.alias", put(lambda s: replace(s.edges[0], alias=b"a\x00"))),
    ("edge.alias", put(lambda s: replace(s.edges[0], alias=b"a" * 256))),
    ("edge.ghost inode.entries inode.history inode.nlink", put(lambda s: replace(s.edges[2], ghost=True))),
    ("edge.ghost inode.entries inode.history inode.nlink", put(lambda s: replace(s.edges[3], ghost=True))),
    ("edge.ghost", put(lambda s: replace(s.edges[6], alias=b"x"))),
    ("edge.ghost inode.history", put(lambda s: replace(s.dead, history=0))),
    ("inode.nlink", put(lambda s: replace(s.dead, nlink=2))),
    ("meta.inode", put(lambda s: replace(s.meta, ino=s.below.ino))),
    ("meta.inode", put(lambda s: replace(s.meta, ino=s.ino + 60))),
    ("meta.parts", put(lambda s: replace(s.meta, parts={"sizes": f"2x{s.one.size}"}))),
    ("meta.parts", put(lambda s: replace(s.meta, parts={"sizes": "many"}))),
    ("inode.named version.inode version.kept", put(lambda s: replace(s.version, ino=s.below.ino))),
    ("inode.history version.parent", put(lambda s: replace(s.version, parent=s.one.ino, ino=0))),
    ("version.current", put(lambda s: replace(s.newest, ino=s.one.ino))),
    ("inode.named version.kept", put(lambda s: replace(s.version, ino=s.two.ino))),
    (
        "version.current version.kept",
        put(lambda s: replace(s.newest, ino=s.old.ino, seq=-3), lambda s: replace(s.top, history=4)),
    ),
    ("extent.count", put(lambda s: replace(s.two, extents=3))),
    ("blob.refs extent.inline", put(lambda s: replace(s.one, x_length=0, used=0))),
    ("extent.used", put(lambda s: replace(s.one, used=11))),
    ("extent.end", put(lambda s: replace(s.two, size=29))),
    ("extent.overlap extent.used", put(lambda s: Extent(s.vol, s.two.content, 0, 21, s.blob, 0))),
    ("extent.blob", put(lambda s: replace(s.one, x_blob_offset=21))),
    ("extent.blob", drop(Blob, lambda s: (s.blob + 1,))),
    ("blob.refs content.owner", put(lambda s: Extent(s.vol, s.content + 20, 0, 5, s.blob, 0))),
    ("content.owner", drop(Reclaim, lambda s: s.gone.key)),
    ("content.reclaimed", put(lambda s: Reclaim(s.vol, s.two.content, 1))),
    ("content.reclaimed", put(lambda s: Reclaim(s.vol, s.two.content, 1, epoch=1))),
    ("content.shared content.shared", put(lambda s: replace(s.two, ino=s.old.ino, nlink=0))),
    ("content.shared part.size", put(lambda s: Part(s.vol, b"upload", 2, s.two.content, 7, b"", {}, 6))),
    ("part.upload", drop(Upload, lambda s: s.upload.key)),
    ("part.number", put(lambda s: replace(s.part, number=10001, content=0))),
    ("part.unreserved", put(lambda s: replace(s.part, number=2, content=s.content + 1000))),
    ("part.size", put(lambda s: replace(s.part, size=6))),
    ("blob.refs part.overlap", put(lambda s: Extent(s.vol, s.part.content, 3, 1, s.blob + 2, 0))),
    ("blob.refs part.blob part.size", put(lambda s: Extent(s.vol, s.part.content, 7, 1, s.blob + 2, 7))),
    ("part.reclaimed", put(lambda s: Reclaim(s.vol, s.part.content, 1))),
    ("part.shared part.shared", put(lambda s: replace(s.part, number=2))),
    ("upload.key", put(lambda s: replace(s.upload, object_key=b""))),
    ("upload.key", put(lambda s: replace(s.upload, object_key=b"k" * 1025))),
    ("reclaim.unreserved", put(lambda s: Reclaim(s.vol, s.content + 1000, 1))),
    ("reclaim.epoch", put(lambda s: replace(s.draft, epoch=2))),
    ("blob.refs", lambda s: Change(s.vol, blob_refs=((s.blob, 1),))),
    ("blob.unreserved", put(lambda s: Blob(s.vol, s.blob + 1000, 1, 0, 1))),
    ("tree.reachable inode.entries inode.named inode.nlink inode.parent", drop(Edge, lambda s: (1, b"below/"))),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "change"), BREAKS)
def test_a_broken_rule_is_found_and_nothing_else(houses, broken, change):
    async def work(house):
        store = await house.gateway()
        sound = await sound_volume(store)
        await committed(store, change(sound))
        found = await findings(store, sound.vol)
        assert sorted(set(broken.split())) == sorted({rule for rule, _ in found})

    houses.run(work)


#: Faults that no Change can make: it is refused, or the row is no batch's.
DAMAGES = [
    ("volume.holder", lambda house, store, s: lose_holder(house, store, s.vol)),
    ("edge.parent version.parent volume.root", None),
    ("range.unreserved", lambda house, store, s: add_range(house, store, s.vol, s.blob + 2000, s.blob + 2001, 1)),
    ("range.epoch range.overlap", lambda house, store, s: add_range(house, store, s.vol, s.blob + 50, s.blob + 60, 9)),
    ("blob.doomed extent.blob extent.blob", lambda house, store, s: doom_referenced(house, store, s.vol, s.blob)),
]


@pytest.mark.parametrize(("broken", "damaged"), DAMAGES)
def test_damage_to_the_rows_that_no_batch_writes_is_found(houses, broken, damaged):
    async def work(house):
        store = await house.gateway()
        sound = await sound_volume(store)
        if damaged is None:
            lose_root(house, store, sound.vol)
        else:
            damaged(house, store, sound)
        assert set(broken.split()) <= set(await rules(store, sound.vol)) <= {*broken.split(), "tree.reachable"}

    houses.run(work)


def test_a_blob_of_a_ring_to_come_is_found(houses):
    async def work(house):
        store = await house.gateway()
        sound = await sound_volume(store)
        await store.put_ring(RingRow(1, 1, 1, ((1,),), "x"))
        assert await findings(store, sound.vol) == []
        await committed(store, Change(sound.vol, (Blob(sound.vol, sound.blob + 9, 1, 0, 2),)))
        assert await findings(store, sound.vol) == [("blob.ring", f"blob {sound.blob + 9}")]

    houses.run(work)


def test_every_rule_has_a_test():
    modules = (tree_rules, body_rules)
    asked = {
        rule
        for module in modules
        for name in dir(module)
        if name.endswith("_RULES")
        for rule, _ in getattr(module, name)
    }
    planted = {rule for broken, _ in [*BREAKS, *DAMAGES] for rule in broken.split()}
    assert asked - planted == {"blob.ring"}


def test_what_is_told_of_a_fault_is_the_same_in_both_twins(houses):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        rows = (
            replace(s.two, nlink=7, used=5),
            replace(s.below, parent=s.one.ino, entries=9),
            replace(s.edges[0], cookie=2),
            replace(s.part, size=6),
            Reclaim(s.vol, s.content + 1000, 1),
        )
        await committed(store, Change(s.vol, rows, blob_refs=((s.blob, 2),)))
        found = sorted([(f.rule, f.subject, f.number, f.name, f.right) async for f in store.audit(s.vol)])
        assert found == [
            ("blob.refs", f"blob {s.blob}", s.blob, b"", 2),
            ("edge.cookie", "name b'one' in 1", 1, b"one", None),
            ("extent.used", f"ino {s.two.ino}", s.two.ino, b"", 20),
            ("inode.entries", f"ino {s.below.ino}", s.below.ino, b"", 3),
            ("inode.nlink", f"ino {s.two.ino}", s.two.ino, b"", 2),
            ("inode.parent", f"ino {s.below.ino}", s.below.ino, b"", 1),
            ("part.size", "part 1 of upload b'upload'", 1, b"upload", None),
            ("reclaim.unreserved", f"content {s.content + 1000}", s.content + 1000, b"", s.content + 1000),
        ]

    houses.run(work)


def test_directories_in_a_cycle_are_found_though_each_has_its_name(houses):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        ino = s.ino + 50
        one = directory(s.vol, ino, parent=ino + 1, entries=1, nlink=3)
        two = directory(s.vol, ino + 1, parent=ino, entries=1, nlink=3)
        edges = [new_edge(s, ino, b"two/", ino + 1), new_edge(s, ino + 1, b"one/", ino)]
        await committed(store, Change(s.vol, (one, two, *edges)))
        assert await findings(store, s.vol) == [("tree.reachable", f"ino {ino}"), ("tree.reachable", f"ino {ino + 1}")]

    houses.run(work)


def test_a_ghost_directory_with_nothing_in_it_but_history_is_sound(houses):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        ino = s.ino + 50
        ghost = new_edge(s, 1, b"past/", ino, ghost=True)
        history = Version(s.vol, ino, b"x", -1, b"v9", 0, 7)
        rows = (replace(s.top, history=4), directory(s.vol, ino, nlink=0, history=1), ghost, history)
        await committed(store, Change(s.vol, rows))
        assert await findings(store, s.vol) == []

    houses.run(work)


def test_every_name_is_told_with_its_type_and_its_twin(houses):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        twin = new_edge(s, 1, b"below", s.one.ino, alias=b"x")
        lost = new_edge(s, 1, b"lost", s.ino + 70, cookie=s.cookie + 51)
        await committed(store, Change(s.vol, (twin, lost)))
        told = [each async for each in store.edges(s.vol)]
        types = {s.one.ino: 1, s.two.ino: 1, s.below.ino: 2, s.link.ino: 5, s.body.ino: 1, s.dead.ino: 2}
        wanted = sorted([*s.edges, twin, lost], key=lambda each: each.key)
        assert told == [
            AuditedEdge(each, types.get(each.ino, 0), s.edges[2] if each is twin else None) for each in wanted
        ]
        assert await store.names_of(s.vol, s.two.ino, 9) == [s.edges[1], s.edges[3]]
        assert await store.names_of(s.vol, s.two.ino, 1) == [s.edges[1]]
        assert await store.names_of(s.vol, s.ino + 90, 9) == []

    houses.run(work)


def test_what_waits_to_be_freed_is_counted(houses):
    async def work(house):
        store = await house.gateway()
        s = await sound_volume(store)
        assert await store.backlog(s.vol) == Backlog(contents=1, extents=1, drafts=1, oldest=8)
        rows = (replace(s.upload, ended=4), Blob(s.vol, s.blob + 8, 1, 0, 1), Blob(s.vol, s.blob + 9, 1, 0, 1))
        await committed(store, Change(s.vol, rows))
        assert await store.doom(s.vol, 3, 1) == 1
        assert await store.backlog(s.vol) == Backlog(1, 1, 1, 1, 1, 1, 1, 3)
        await take(store, s.vol)
        assert await store.backlog(s.vol) == Backlog(2, 1, 0, 1, 1, 1, 1, 3)
        empty = await new_volume(store, "empty")
        assert await store.backlog(empty) == Backlog()

    houses.run(work)
