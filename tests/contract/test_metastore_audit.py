"""What `gatefold check` finds: nothing in a sound volume, and each rule when it is broken."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from metastore_house import directory, edge, file, houses, new_volume, root  # noqa: F401
from msgspec.structs import replace
from postgres_server import migrated_dsn, postgres  # noqa: F401

from metastore.records import Blob, Change, Edge, Extent, FileType, Inode, Reclaim


async def sound_volume(store):
    """Make a volume with a file of one extent, one of two, a link of a link, and a directory; return its rows."""
    vol = await new_volume(store)
    ino = (await store.reserve(vol, "ino", 100)).first
    cookie = (await store.reserve(vol, "cookie", 100)).first
    content = (await store.reserve(vol, "content", 100)).first
    blob = (await store.reserve_blobs(vol, 100)).first
    one = file(vol, ino, size=10, used=10, content=content, x_length=10, x_blob=blob, x_blob_offset=5)
    two = file(vol, ino + 1, size=30, used=20, content=content + 1, extents=2, nlink=2)
    below = directory(vol, ino + 2, entries=2)
    link = file(vol, ino + 3, type=FileType.SYMLINK, target=b"two", size=3)
    top = replace(root(), vol=vol, entries=3, nlink=3)
    extents = [
        Extent(vol, content + 1, 0, 10, blob, 20),
        Extent(vol, content + 1, 20, 10, blob + 1, 0),
    ]
    edges = [
        edge(vol, 1, b"one", one.ino, cookie=cookie),
        edge(vol, 1, b"two", two.ino, cookie=cookie + 1),
        edge(vol, 1, b"below/", below.ino, cookie=cookie + 2),
        edge(vol, below.ino, b"again", two.ino, cookie=cookie + 3),
        edge(vol, below.ino, b"link", link.ino, cookie=cookie + 4, listed=False),
    ]
    blobs = [Blob(vol, blob, 30, 2, 1), Blob(vol, blob + 1, 10, 1, 1)]
    rows = (top, one, two, below, link, *extents, *edges, *blobs)
    await store.wait(vol, store.commit(Change(vol, rows)))
    return SimpleNamespace(vol=vol, top=top, one=one, two=two, below=below, link=link, blob=blob, edges=edges)


async def findings(store, vol):
    return sorted({finding.rule async for finding in store.audit(vol)})


def test_a_sound_volume_has_no_findings_and_tells_its_live_blobs(houses):
    async def work(house):
        store = await house.gateway()
        sound = await sound_volume(store)
        assert await findings(store, sound.vol) == []
        assert [blob.id async for blob in store.live_blobs(sound.vol)] == [sound.blob, sound.blob + 1]

    houses.run(work)


def put(*rows):
    return lambda s: Change(s.vol, tuple(make(s) for make in rows))


def drop(kind, key):
    return lambda s: Change(s.vol, drops=((kind, key(s)),))


BREAKS = [
    ("inode.entries", put(lambda s: replace(s.below, entries=5))),
    ("inode.nlink", put(lambda s: replace(s.two, nlink=3))),
    ("inode.nlink", put(lambda s: replace(s.top, nlink=2))),
    ("inode.named", put(lambda s: file(s.vol, s.link.ino + 1, nlink=0))),
    ("inode.named", put(lambda s: edge(s.vol, 1, b"b2/", s.below.ino, cookie=s.edges[0].cookie + 9))),
    ("inode.parent", put(lambda s: replace(s.below, parent=s.below.ino))),
    ("inode.target", put(lambda s: replace(s.link, target=None))),
    ("inode.unreserved", put(lambda s: replace(s.one, content=s.one.content + 1000))),
    ("edge.inode", drop(Inode, lambda s: (s.link.ino,))),
    ("edge.parent", put(lambda s: edge(s.vol, s.one.ino, b"x", s.one.ino, cookie=s.edges[0].cookie + 9))),
    ("edge.form", put(lambda s: replace(s.edges[0], skey=b"one/", cookie=s.edges[0].cookie + 9))),
    ("edge.listed", put(lambda s: replace(s.edges[4], listed=True))),
    ("edge.cookie", put(lambda s: replace(s.edges[0], cookie=2))),
    ("edge.cookie", put(lambda s: replace(s.edges[0], cookie=1 << 40))),
    ("extent.count", put(lambda s: replace(s.two, extents=3))),
    ("extent.inline", put(lambda s: replace(s.one, x_length=0, used=0))),
    ("extent.used", put(lambda s: replace(s.one, used=11))),
    ("extent.end", put(lambda s: replace(s.two, size=29))),
    ("extent.overlap", put(lambda s: Extent(s.vol, s.two.content, 0, 21, s.blob, 0))),
    ("extent.blob", put(lambda s: replace(s.one, x_blob_offset=21))),
    ("extent.blob", drop(Blob, lambda s: (s.blob + 1,))),
    ("extent.owner", put(lambda s: Extent(s.vol, s.two.content + 5, 0, 5, s.blob, 0))),
    ("content.reclaimed", put(lambda s: Reclaim(s.vol, s.two.content, 1))),
    ("blob.refs", lambda s: Change(s.vol, blob_refs=((s.blob, 1),))),
    ("blob.unreserved", put(lambda s: Blob(s.vol, s.blob + 1000, 1, 0, 1))),
    ("tree.reachable", drop(Edge, lambda s: (1, b"below/"))),
]


@pytest.mark.parametrize(("rule", "change"), BREAKS)
def test_a_broken_rule_is_found(houses, rule, change):
    async def work(house):
        store = await house.gateway()
        sound = await sound_volume(store)
        await store.wait(sound.vol, store.commit(change(sound)))
        assert rule in await findings(store, sound.vol)

    houses.run(work)


def test_directories_in_a_cycle_are_found_though_each_has_its_name(houses):
    async def work(house):
        store = await house.gateway()
        sound = await sound_volume(store)
        ino, cookie = sound.link.ino + 1, sound.edges[0].cookie + 20
        one = directory(sound.vol, ino, parent=ino + 1, entries=1, nlink=3)
        two = directory(sound.vol, ino + 1, parent=ino, entries=1, nlink=3)
        edges = [
            edge(sound.vol, ino, b"two/", ino + 1, cookie=cookie),
            edge(sound.vol, ino + 1, b"one/", ino, cookie=cookie),
        ]
        await store.wait(sound.vol, store.commit(Change(sound.vol, (one, two, *edges))))
        assert await findings(store, sound.vol) == ["tree.reachable"]

    houses.run(work)
