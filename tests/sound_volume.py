"""A volume with a row of every kind in which no rule is broken, for tests that break one."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg
from metastore_house import directory, edge, file, new_volume, root
from msgspec.structs import replace

from metastore.memory.database import BlobRange
from metastore.records import (
    Blob,
    Change,
    Extent,
    FileType,
    Inode,
    InodeFlag,
    ObjectMeta,
    Part,
    Reclaim,
    Upload,
    Version,
)
from namespace.aliases import BODY_ALIAS


async def committed(store, change):
    await store.wait(change.vol, store.commit(change))


async def sound_volume(store, name="bucket"):
    """Make it; return its rows.

    The files `one` (one extent), `two` (two, also named below/again), `old` (a version of `gone`, without a name); the
    directory `below/` with the link `link` and the directory's own body; the ghost `dead/` with a delete marker; an
    upload with a part, a detached content, a draft.
    """
    vol = await new_volume(store, name)
    ino = (await store.reserve(vol, "ino", 100)).first
    cookie = (await store.reserve(vol, "cookie", 100)).first
    content = (await store.reserve(vol, "content", 100)).first
    blob = (await store.reserve_blobs(vol, 100)).first
    s = SimpleNamespace(vol=vol, ino=ino, cookie=cookie, content=content, blob=blob)
    s.top = replace(root(), vol=vol, entries=3, nlink=3, history=3)
    s.one = file(vol, ino, size=10, used=10, content=content, x_length=10, x_blob=blob, x_blob_offset=5)
    s.two = file(vol, ino + 1, size=30, used=20, content=content + 1, extents=2, nlink=2)
    s.below = directory(vol, ino + 2, entries=3, flags=InodeFlag.EXPLICIT)
    s.link = file(vol, ino + 3, type=FileType.SYMLINK, target=b"two", size=3)
    s.old = file(vol, ino + 4, nlink=0, content=content + 2)
    s.body = file(vol, ino + 5, content=content + 6, write_seq=2, etag=b"e", etag_seq=2)
    s.dead = directory(vol, ino + 6, nlink=0, history=1)
    s.extents = [
        Extent(vol, content + 1, 0, 10, blob, 20),
        Extent(vol, content + 1, 20, 10, blob + 1, 0),
        Extent(vol, content + 3, 0, 7, blob + 2, 0),
        Extent(vol, content + 4, 0, 5, blob + 2, 2),
    ]
    s.edges = [
        edge(vol, 1, b"one", s.one.ino, cookie=cookie),
        edge(vol, 1, b"two", s.two.ino, cookie=cookie + 1),
        edge(vol, 1, b"below/", s.below.ino, cookie=cookie + 2),
        edge(vol, s.below.ino, b"again", s.two.ino, cookie=cookie + 3),
        edge(vol, s.below.ino, b"link", s.link.ino, cookie=cookie + 4, listed=False),
        edge(vol, s.below.ino, b"", s.body.ino, cookie=cookie + 5, alias=BODY_ALIAS),
        edge(vol, 1, b"dead/", s.dead.ino, cookie=cookie + 6, ghost=True),
    ]
    s.blobs = [Blob(vol, blob, 30, 2, 1), Blob(vol, blob + 1, 10, 1, 1), Blob(vol, blob + 2, 7, 2, 1)]
    s.upload = Upload(vol, b"upload", b"dir/key", "me", 5, {}, {}, {}, {}, "")
    s.part = Part(vol, b"upload", 1, content + 3, 7, b"e", {}, 6)
    s.version = Version(vol, 1, b"gone", -1, b"v1", s.old.ino, 7)
    s.newest = Version(vol, 1, b"gone", -2, b"v2", 0, 8)
    s.marker = Version(vol, s.dead.ino, b"x", -1, b"v3", 0, 9)
    versions = (s.version, s.newest, s.marker)
    s.gone = Reclaim(vol, content + 4, 8)
    s.draft = Reclaim(vol, content + 5, 9, epoch=1)
    s.meta = ObjectMeta(vol, s.one.ino, {}, {"k": "v"}, parts={"sizes": f"1x{s.one.size - 1} 1x1"})
    inodes = (s.top, s.one, s.two, s.below, s.link, s.old, s.body, s.dead)
    rows = (*inodes, *s.extents, *s.edges, *s.blobs, s.upload, s.part, *versions, s.gone, s.draft, s.meta)
    await committed(store, Change(vol, rows))
    return s


async def findings(store, vol):
    """Return the audit's findings by rule and subject."""
    return sorted({(finding.rule, finding.subject) async for finding in store.audit(vol)})


async def rules(store, vol):
    return [rule for rule, _ in await findings(store, vol)]


# -- faults that no Change can make -------------------------------------------------------------------------------


def damage(house, store, sql, in_memory):
    """Do *sql* (a list of statements) to the database, or *in_memory* to the one in memory."""
    if house.dsn is None:
        in_memory(store.database)
        return
    with psycopg.connect(house.dsn) as connection:
        for statement in sql:
            connection.execute(statement)


def lose_holder(house, store, vol):
    def change(database):
        database.volumes[vol] = replace(database.volumes[vol], holder=404)

    damage(house, store, [f"UPDATE volume SET holder = 404 WHERE vol = {vol}"], change)


def lose_root(house, store, vol):
    statement = f"DELETE FROM inode WHERE vol = {vol} AND ino = 1"
    damage(house, store, [statement], lambda database: database.drop(Inode, (vol, 1)))


def add_range(house, store, vol, first, last, epoch):
    statement = f"INSERT INTO blob_range (vol, first, last, gateway, epoch) VALUES ({vol}, {first}, {last}, 1, {epoch})"
    made = BlobRange(vol, first, last, 1, epoch)
    damage(house, store, [statement], lambda database: database.ranges.append(made))


def doom_referenced(house, store, vol, number):
    def change(database):
        database.put(replace(database.rows[Blob][vol, number], doomed=5))

    unconstrained = "ALTER TABLE blob DROP CONSTRAINT blob_doomed"
    damage(house, store, [unconstrained, f"UPDATE blob SET doomed = 5 WHERE vol = {vol} AND id = {number}"], change)
