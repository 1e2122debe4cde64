"""Uploads, parts and drafts of contents: what is told of them, in which order, within which bounds, at which cost."""

from __future__ import annotations

import psycopg
import pytest
from metastore_house import edge, file, houses, new_volume, take  # noqa: F401
from msgspec.structs import replace
from postgres_server import migrated_dsn, postgres  # noqa: F401
from psycopg import sql

from foundation.errors import NoReply
from metastore.postgres import audit, garbage, history, paging, uploading
from metastore.postgres.connector import session_conninfo
from metastore.records import NEWEST, Blob, Change, Extent, Part, Reclaim, Upload


def upload(vol, upload_id, key, **changes):
    fields = {"owner": "me", "initiated": 5, "headers": {}, "user": {}, "tags": {}, "acl": {}, "checksum": ""}
    return Upload(vol, upload_id, key, **{**fields, **changes})


def part(vol, upload_id, number, content, **changes):
    fields = {"size": 7, "etag": b"e", "checksums": {}, "modified": 6, **changes}
    return Part(vol, upload_id, number, content, **fields)


async def committed(store, *rows, **changes):
    vol = rows[0].vol
    await store.wait(vol, store.commit(Change(vol, rows, **changes)))


def test_an_upload_comes_back_as_it_was_put_ended_or_not(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        running = upload(
            vol, b"\x00\xff", b"k/\xc3\xbc", headers={"content-type": "a/b"}, user={"ü": "ß\x00"}, tags={"t": ""},
            acl={"x": "y"}, checksum="CRC32",
        )  # fmt: skip
        ended = upload(vol, b"u2", b"k", ended=2**62)
        await committed(store, running, ended)
        assert await store.load_upload(vol, running.upload_id) == running
        assert await store.load_upload(vol, b"u2") == ended
        assert await store.load_upload(vol, b"u3") is None
        assert await store.load_upload(vol + 1, b"u2") is None
        await committed(store, replace(running, ended=3))
        assert (await store.load_upload(vol, running.upload_id)).ended == 3

    houses.run(work)


def test_parts_come_by_number_after_a_number_and_no_more_than_the_limit(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        parts = [part(vol, b"u", number, 100 + number, checksums={"crc32": "x"}) for number in (1, 2, 3, 10, 10_000)]
        others = [part(vol, b"t", 2, 50), part(vol, b"u\x00", 1, 51), part(vol, b"v", 4, 52)]
        await committed(store, *reversed(parts), *others)
        assert await store.load_parts(vol, b"u", 0, 100) == parts
        assert await store.load_parts(vol, b"u", 0, 2) == parts[:2]
        assert await store.load_parts(vol, b"u", 2, 2) == parts[2:4]
        assert await store.load_parts(vol, b"u", 4, 9) == parts[3:]
        assert await store.load_parts(vol, b"u", 10_000, 9) == []
        assert await store.load_parts(vol, b"w", 0, 9) == []
        again = replace(parts[1], content=300, size=1)
        await committed(store, again)
        assert await store.load_parts(vol, b"u", 1, 1) == [again]

    houses.run(work)


def test_uploads_in_progress_are_paged_by_key_and_then_by_id(houses):
    async def work(house):
        store = await house.gateway()
        vol, other = await new_volume(store, "one"), await new_volume(store, "two")
        places = [(b"a", b"2"), (b"a", b"3"), (b"a-", b"1"), (b"a/b", b"9"), (b"b", b"0"), (b"\xc3\xbc", b"8")]
        running = [upload(vol, number, key) for key, number in places]
        await committed(store, *reversed(running), upload(vol, b"gone", b"a", ended=4))
        await committed(store, upload(other, b"x", b"a"))

        async def page(after, upper, limit):
            return [(each.object_key, each.upload_id) for each in await store.page_uploads(vol, after, upper, limit)]

        assert await page((b"", b""), None, 100) == places
        assert await page((b"", b""), None, 2) == places[:2]
        assert await page((b"a", b"2"), None, 2) == places[1:3]
        assert await page((b"a", b"\xff"), None, 9) == places[2:]
        assert await page((b"a", b""), b"b", 9) == places[:4]
        assert await page((b"a", b"3"), b"a0", 9) == places[2:4]
        assert await page((b"b", b"0"), b"b", 9) == []
        assert await page((b"z", b""), None, 9) == places[5:]

    houses.run(work)


def test_the_parts_of_ended_uploads_are_detached_in_chunks_and_the_upload_goes_last(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        ended, running = upload(vol, b"e", b"k", ended=5), upload(vol, b"r", b"k")
        parts = [part(vol, b"e", number, 10 + number) for number in range(1, 6)]
        extents = [Extent(vol, 10 + number, 0, 7, 1, 0) for number in range(1, 6)]
        await committed(store, ended, running, *parts, part(vol, b"r", 1, 30), *extents, Blob(vol, 1, 9, 5, 1))
        assert await store.reap_uploads(vol, 77, 2) == 2
        assert [each.number for each in await store.load_parts(vol, b"e", 0, 9)] == [3, 4, 5]
        assert await store.load_upload(vol, b"e") == ended
        backlog = await store.backlog(vol)
        assert (backlog.contents, backlog.ended_uploads, backlog.parts, backlog.oldest) == (2, 1, 3, 5)
        steps = []
        while step := await store.reap_uploads(vol, 78, 2):
            steps.append(step)
        assert sum(steps) >= 3
        assert await store.load_upload(vol, b"e") is None
        assert await store.load_parts(vol, b"e", 0, 9) == []
        assert await store.load_upload(vol, b"r") == running
        assert len(await store.load_parts(vol, b"r", 0, 9)) == 1
        while await store.reclaim(vol, 2):
            pass
        assert (await store.load_blob(vol, 1)).refs == 0
        assert await store.reap_uploads(vol, 79, 2) == 0

    houses.run(work)


def test_an_ended_upload_without_parts_goes_at_once_and_uploads_go_one_by_one(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        ids = [b"a", b"b", b"c"]
        await committed(store, *(upload(vol, each, b"k", ended=1) for each in ids), part(vol, b"b", 1, 20))
        left = []
        while await store.reap_uploads(vol, 5, 100):
            left.append([each for each in ids if await store.load_upload(vol, each) is not None])
        assert left == [[b"b", b"c"], [b"c"], []]
        assert (await store.backlog(vol)).contents == 1

    houses.run(work)


def test_drafts_of_the_present_epoch_are_left_alone_and_those_of_closed_ones_are_garbage(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        vol = await new_volume(first)
        extents = [Extent(vol, content, n, 1, 1, n) for content in (7, 8, 9) for n in range(3)]
        rows = (Blob(vol, 1, 9, 9, 1), *extents, Reclaim(vol, 7, 3, epoch=1), Reclaim(vol, 8, 2, epoch=1))
        await committed(first, *rows, Reclaim(vol, 9, 4))
        assert await first.reclaim(vol, 100) == 3
        assert await first.reclaim(vol, 100) == 0
        assert (await first.load_blob(vol, 1)).refs == 6
        # The Change that names a draft takes it off the list.
        await committed(first, file(vol, 2, content=7, extents=3), drops=((Reclaim, (7,)),))
        await take(second, vol)
        assert await second.reclaim(vol, 2) == 2
        assert await second.reclaim(vol, 2) == 1
        assert await second.reclaim(vol, 2) == 0
        assert await second.load_extents(vol, 8, 0, 9) == []
        assert len(await second.load_extents(vol, 7, 0, 9)) == 3
        assert (await second.load_blob(vol, 1)).refs == 3
        await committed(second, Reclaim(vol, 7, 9, epoch=2))
        assert await second.reclaim(vol, 2) == 0

    houses.run(work)


def test_uploads_of_a_volume_that_is_not_held_are_left_alone(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        vol = await new_volume(first)
        await committed(first, upload(vol, b"u", b"k", ended=1), part(vol, b"u", 1, 9))
        await take(second, vol)
        with pytest.raises(NoReply):
            await first.reap_uploads(vol, 5, 10)
        assert len(await second.load_parts(vol, b"u", 0, 9)) == 1
        assert await second.reap_uploads(vol, 5, 10) == 1

    houses.run(work)


# -- at which cost ------------------------------------------------------------------------------------------------

_MANY = 3000
_TYPE_NAMES = {20: "bigint", 17: "bytea", 1016: "bigint[]", 1001: "bytea[]"}


def plan_of(dsn, statement, values, *, analyze):
    """Return the nodes of the plan that a session of the metastore makes for *statement*."""
    types = ", ".join(_TYPE_NAMES[each] for each in statement.types)
    with psycopg.connect(session_conninfo(dsn, "test")) as connection:
        connection.execute(f"PREPARE it ({types}) AS {statement.sql}")
        literals = sql.SQL(", ").join(sql.Literal(value) for value in values)
        explain = sql.SQL("EXPLAIN (FORMAT JSON, ANALYZE {}) EXECUTE it ({})").format(sql.SQL(str(analyze)), literals)
        ((told,),) = connection.execute(explain).fetchall()
        connection.rollback()
    found, todo = [], [told[0]["Plan"]]
    while todo:
        node = todo.pop()
        found.append(node)
        todo += node.get("Plans", ())
    return found


def rows_read(nodes):
    """Return how many rows the scans of tables have looked at."""
    scans = [node for node in nodes if "Relation Name" in node and "Scan" in node["Node Type"]]
    return sum(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) for node in scans)


@pytest.fixture
def crowded_dsn(migrated_dsn):
    """Return a database with a few thousand rows of each kind in volumes 1 and 2."""
    with psycopg.connect(migrated_dsn) as connection:
        connection.execute(f"""
            INSERT INTO upload SELECT v, convert_to('u' || n, 'UTF8'), convert_to('k' || n % 10, 'UTF8'), 'me', 1,
                '{{}}', '{{}}', '{{}}', '{{}}', '', (n % 3) / 2
                FROM generate_series(1, {_MANY}) n, generate_series(1, 2) v;
            INSERT INTO part SELECT v, 'u1', n, n, 1, '', '{{}}', 1
                FROM generate_series(1, {_MANY}) n, generate_series(1, 2) v;
            INSERT INTO edge SELECT v, p, convert_to('n' || n, 'UTF8'), n, n + 3, NULL, true, false
                FROM generate_series(1, {_MANY}) n, generate_series(1, 2) p, generate_series(1, 2) v;
            INSERT INTO inode SELECT v, n, 1, 1, 420, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, NULL, 0, NULL, NULL,
                0, 0, 0, 0, 0, 0 FROM generate_series(1, {_MANY}) n, generate_series(1, 2) v;
            INSERT INTO blob SELECT v, n, 1, CASE WHEN n > 2000 THEN 0 ELSE 500 END, 1, 0, '', 0
                FROM generate_series(1, {_MANY}) n, generate_series(1, 2) v;
            INSERT INTO extent SELECT v, n / 50 + 1, n, 1, n * 7919 % 2000 + 1, 0
                FROM generate_series(1, {_MANY}) n, generate_series(1, 2) v;
            INSERT INTO reclaim SELECT v, n, 1, 0 FROM generate_series(1, {_MANY}) n, generate_series(1, 2) v;
            INSERT INTO version SELECT v, 1, convert_to('n' || n % 1000, 'UTF8'), -1 - n / 1000,
                convert_to('v' || n, 'UTF8'), 0, 1, 0, false
                FROM generate_series(1, {_MANY}) n, generate_series(1, 2) v;
        """)
        connection.execute("ANALYZE")  # as PostgreSQL does by itself a minute after such a change
    return migrated_dsn


#: Statement, its values, how many rows it may look at, and the index by which.
COSTS = [
    (uploading._UPLOAD, (1, b"u7"), 1, "upload_pkey"),
    (uploading._PARTS, (1, b"u1", 500, 10), 10, "part_pkey"),
    (uploading._PAGE, (1, b"k5", b"u1", b"\xff", 10), 20, "upload_key"),
    (uploading._PAGE, (1, b"", b"", b"k3", 10), 20, "upload_key"),
    (paging._BY_COOKIE, (1, 1, 500, 10), 21, "edge_cookie"),
    (history._VERSIONS, ([1], [1], [b"n7"], [NEWEST], [2]), 2, "version_pkey"),
    (history._NULL, (1, 1, b"n7"), 1, "version_null"),
    (history._NAMES, (1, 5, 10), 2, "edge_ino"),
    (history._WALK, (1, [1], [b"n2"], [b"n2"], [NEWEST], [2], [b""], 10), 60, "version_pkey"),
    (audit._EDGES, (1, 1, b"n2", 10), 31, "edge_pkey"),
    (audit._NAMES_OF, (1, 5, 10), 2, "edge_ino"),
    (audit._LIVE, (1, 500, 10), 10, "blob_pkey"),
    (garbage._RECLAIM, (1, 10), 90, "reclaim_pkey"),
    (garbage._DOOM, (1, 5, 10), 30, "blob_unreferenced"),
]


@pytest.mark.parametrize(("statement", "values", "most", "index"), COSTS, ids=lambda each: getattr(each, "name", ""))
def test_a_page_reads_what_it_returns_by_an_index_and_sorts_nothing(crowded_dsn, statement, values, most, index):
    nodes = plan_of(crowded_dsn, statement, values, analyze=True)
    assert index in {node.get("Index Name") for node in nodes}
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
    assert rows_read(nodes) <= most


#: Places inside the tables: what a scan of the audit looks at, 50 rows from there, does not grow with the tables.
PLACES = [
    ("inode", (1, 500)),
    ("edge", (1, 1, b"n2")),
    ("part", (1, b"u1", 500)),
    ("version", (1, 1, b"n2", NEWEST)),
    ("upload", (1, b"u2")),
    ("reclaim", (1, 500)),
    ("blob", (1, 500)),
]


@pytest.mark.parametrize(("table", "before"), PLACES, ids=lambda each: each if isinstance(each, str) else "")
@pytest.mark.parametrize("has_statistics", [True, False])
def test_a_chunk_of_the_audit_reads_what_belongs_to_it(crowded_dsn, table, before, has_statistics):
    with psycopg.connect(crowded_dsn) as connection:
        connection.execute("UPDATE extent SET content = content + 9000")  # not the contents that the parts have
        if not has_statistics:
            connection.execute(
                "DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relkind='r')"
            )
    for each, rules in audit._SCANS:
        if each == table:
            nodes = plan_of(crowded_dsn, rules, (*before, 50, 100), analyze=True)
            assert rows_read(nodes) <= 50 * 40, rules.name
