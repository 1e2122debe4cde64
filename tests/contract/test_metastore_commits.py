"""Group commit: order, fence, refusal, and what a reader sees. DESIGN 2."""

import pytest
from metastore_house import directory, edge, file, houses, new_volume, take  # noqa: F401
from postgres_server import migrated_dsn, postgres  # noqa: F401

from foundation.aio import pause, start
from foundation.errors import NoReply
from metastore.records import (
    Blob,
    Change,
    Cut,
    Edge,
    Extent,
    Inode,
    ObjectMeta,
    Reclaim,
    Reply,
)


async def committed(store, change):
    await store.wait(change.vol, store.commit(change))


def test_every_kind_of_row_comes_back_as_it_was_put(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        inode = Inode(
            vol, 5, 2**32 - 1, 3, 0o7777, 2**32 - 1, 2**32 - 2, 9, 8, 2**62, 2**61, 2**64 - 1, 1, -2, 3, 4, 6, 1, 7, 10,
            b"etag", 10, b"\x00" * 8, b"target\xff", 1, 2, 3, 4, 5,
        )  # fmt: skip
        checksums, tags, acl, parts = {"crc32": "x"}, {"t": ""}, {"acl": "y"}, {"sizes": "1x9"}
        meta = ObjectMeta(vol, 5, {"content-type": "a/b\x00"}, {"ü": "ß€"}, checksums, tags, acl, parts)
        extent, blob = Extent(vol, 7, 2**40, 1, 3, 2**30), Blob(vol, 3, 2**31, 2, 4, 5, b"\x00\x01", 0)
        name = Edge(vol, 1, b"\x00\xff/", 5, 2**50, b"\xfe\x00", listed=False, ghost=True)
        await committed(store, Change(vol, (inode, meta, extent, blob, name)))
        assert await store.load_inodes(vol, [5]) == [inode]
        assert await store.load_meta(vol, 5) == meta
        assert await store.load_extents(vol, 7, 0, 10) == [extent]
        assert await store.load_blob(vol, 3) == blob
        (named,) = await store.load_edges(vol, [(1, b"\x00\xff/")])
        assert (named.edge, named.inode) == (name, inode)

    houses.run(work)


def test_a_batch_number_grows_and_is_durable_when_wait_returns(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        assert (store.durable, store.pending_bytes) == (0, 0)
        first = store.commit(Change(vol, (file(vol, 2),)))
        assert store.durable < first
        assert store.pending_bytes > 0
        await store.wait(vol, first)
        assert store.durable == first
        second = store.commit(Change(vol, (file(vol, 3),)))
        assert second > first
        await store.wait(vol, second)
        await store.wait(vol, first)
        assert store.pending_bytes == 0

    houses.run(work)


def test_what_is_committed_together_is_seen_by_another_gateway_together(houses):
    async def work(house):
        writer, reader = await house.gateway(), await house.gateway()
        vol = await new_volume(writer)
        numbers = [writer.commit(Change(vol, (file(vol, ino), edge(vol, 1, b"%d" % ino, ino)))) for ino in range(2, 40)]
        await writer.wait(vol, numbers[-1])
        assert len(await reader.page_by_cookie(vol, 1, 0, 100)) == 38

    houses.run(work)


def test_two_names_are_swapped_with_their_cookies_and_aliases(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        a, b = edge(vol, 1, b"a", 2, alias=b"x"), edge(vol, 1, b"b", 3, alias=b"y")
        await committed(store, Change(vol, (file(vol, 2), file(vol, 3), a, b)))
        swapped = (
            Edge(vol, 1, b"a", 3, b.cookie, b"y"),
            Edge(vol, 1, b"b", 2, a.cookie, b"x"),
        )
        await committed(store, Change(vol, swapped))
        assert [(n.edge.skey, n.edge.ino) for n in await store.page_by_cookie(vol, 1, 0, 9)] == [(b"b", 2), (b"a", 3)]
        assert (await store.load_alias(vol, 1, b"x")).edge.skey == b"b"

    houses.run(work)


def test_put_drop_and_put_in_one_batch_leave_the_last_image(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        await committed(store, Change(vol, (file(vol, 2, size=1),)))
        for size in (2, 3):
            store.commit(Change(vol, (file(vol, 2, size=size), edge(vol, 1, b"n", 2))))
            store.commit(Change(vol, drops=((Inode, (2,)), (Edge, (1, b"n")))))
        await committed(store, Change(vol, (file(vol, 2, size=4), edge(vol, 1, b"n", 2, cookie=99))))
        (named,) = await store.load_edges(vol, [(1, b"n")])
        assert (named.inode.size, named.edge.cookie) == (4, 99)
        store.commit(Change(vol, (file(vol, 2, size=5),)))
        await committed(store, Change(vol, drops=((Inode, (2,)),)))
        assert await store.load_inodes(vol, [2]) == []

    houses.run(work)


def test_a_cut_takes_stored_and_gathered_extents_and_gives_their_references_back(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        blobs = tuple(Blob(vol, number, 100, 2, 1) for number in (1, 2, 3))
        stored = tuple(Extent(vol, 7, 10 * n, 10, n + 1, 0) for n in range(3))
        other = tuple(Extent(vol, 8, 10 * n, 10, n + 1, 0) for n in range(3))
        await committed(store, Change(vol, (*blobs, *stored, *other)))
        # In one batch: a new extent of blob 4, the middle one replaced by its shorter image, then the cut.
        store.commit(Change(vol, (Blob(vol, 4, 50, 1, 1), Extent(vol, 7, 30, 10, 4, 0))))
        store.commit(Change(vol, (Extent(vol, 7, 10, 5, 2, 0),)))
        await committed(store, Change(vol, cuts=(Cut(7, 15),)))
        assert [e.offset for e in await store.load_extents(vol, 7, 0, 9)] == [0, 10]
        assert [(await store.load_blob(vol, number)).refs for number in (1, 2, 3, 4)] == [2, 2, 1, 0]
        # Cut, then put again at the same place, in one batch.
        store.commit(Change(vol, cuts=(Cut(7, 0),)))
        await committed(store, Change(vol, (Extent(vol, 7, 0, 3, 3, 0),), blob_refs=((3, 1),)))
        assert await store.load_extents(vol, 7, 0, 9) == [Extent(vol, 7, 0, 3, 3, 0)]
        assert [(await store.load_blob(vol, number)).refs for number in (1, 2, 3, 4)] == [1, 1, 2, 0]

    houses.run(work)


def test_references_move_by_deltas_also_of_a_blob_put_in_the_same_batch(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        store.commit(Change(vol, (Blob(vol, 1, 9, 1, 1),), blob_refs=((1, 2),)))
        await committed(store, Change(vol, blob_refs=((1, -1),)))
        assert (await store.load_blob(vol, 1)).refs == 2
        await committed(store, Change(vol, blob_refs=((1, -2),)))
        assert (await store.load_blob(vol, 1)).refs == 0

    houses.run(work)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(lambda vol: Change(vol, blob_refs=((404, 1),)), id="references of a blob that is not there"),
        pytest.param(lambda vol: Change(vol, blob_refs=((1, -2),)), id="more references given back than there are"),
        pytest.param(lambda vol: Change(vol, (Blob(vol, 1, 9, 1, 1),)), id="a blob put twice"),
        pytest.param(lambda vol: Change(vol, (edge(vol, 1, b"b", 3, cookie=12),)), id="a cookie twice"),
        pytest.param(lambda vol: Change(vol, (edge(vol, 1, b"b", 3, alias=b"al"),)), id="an alias twice"),
        pytest.param(lambda vol: Change(vol, (file(vol + 1, 9),)), id="a row of another volume"),
    ],
)
def test_a_refused_batch_crashes_its_volumes_until_they_are_taken_again(houses, bad):
    async def work(house):
        store = await house.gateway()
        vol, other, untouched = [await new_volume(store, name) for name in "abc"]
        await committed(store, Change(vol, (Blob(vol, 1, 9, 1, 1), edge(vol, 1, b"a", 2, alias=b"al"), file(vol, 2))))
        crashed = []
        store.refused = lambda volume, error: crashed.append((volume, isinstance(error, Exception)))
        with_others = store.commit(Change(other, (file(other, 7),)))
        refused = store.commit(bad(vol))
        assert with_others == refused
        later = store.commit(Change(untouched, (file(untouched, 5),)))
        with pytest.raises(NoReply):
            await store.wait(vol, refused)
        with pytest.raises(NoReply):
            await store.wait(other, with_others)
        if later == refused:  # then it shared the batch, and its fate
            with pytest.raises(NoReply):
                await store.wait(untouched, later)
        assert {(vol, True), (other, True)} <= set(crashed)
        assert len(crashed) == len(set(crashed))
        with pytest.raises(NoReply):
            store.commit(Change(vol, (file(vol, 8),)))
        assert await store.load_inodes(other, [7]) == []
        assert (await take(store, vol)).volume.epoch == 2
        await committed(store, Change(vol, (file(vol, 8),)))
        assert [inode.ino for inode in await store.load_inodes(vol, [2, 8])] == [2, 8]
        assert store.pending_bytes == 0

    houses.run(work)


def test_a_crash_drops_what_its_volume_had_queued_and_nothing_else(houses):
    async def work(house):
        store = await house.gateway()
        vol, other = await new_volume(store, "a"), await new_volume(store, "b")
        outcomes = []

        async def observed(name, volume, number):
            try:
                await store.wait(volume, number)
            except NoReply:
                outcomes.append((name, "lost"))
            else:
                outcomes.append((name, "durable"))

        if houses.kind == "memory":
            store.hold_commits()
        in_flight = start(observed("bad", vol, store.commit(Change(vol, blob_refs=((404, 1),)))))
        while houses.kind == "postgres" and store._committer._in_flight is None:
            await pause(house.clock, 0)
        queued = [
            start(observed("queued", vol, store.commit(Change(vol, (file(vol, 5),))))),
            start(observed("other", other, store.commit(Change(other, (file(other, 6),))))),
        ]
        if houses.kind == "memory":
            store.release_commits()
        for each in (in_flight, *queued):
            await each
        assert outcomes.count(("other", "durable")) == 1
        assert ("bad", "lost") in outcomes
        assert ("queued", "lost") in outcomes
        assert await store.load_inodes(vol, [5]) == []
        assert [inode.ino for inode in await store.load_inodes(other, [6])] == [6]

    houses.run(work)


def test_whoever_waits_for_no_volume_hears_of_a_refused_batch_too(houses):
    """A request that waits for memory waits for room, whatever became of the Changes that took it."""

    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        missing = store.commit(Change(vol, (), blob_refs=((99, 1),)))
        heard = start(store.wait(0, missing))
        with pytest.raises(NoReply):
            await store.wait(vol, missing)
        assert await heard is None
        assert store.pending_bytes == 0

    houses.run(work)


def test_a_volume_taken_over_refuses_the_old_holder(houses):
    async def work(house):
        old, new = await house.gateway(), await house.gateway()
        vol = await new_volume(old)
        await committed(old, Change(vol, (file(vol, 2),)))
        crashed = []
        old.refused = lambda volume, _error: crashed.append(volume)
        holding = await take(new, vol)
        assert (holding.volume.holder, holding.volume.epoch) == (new.gateway.id, 2)
        with pytest.raises(NoReply):
            await committed(old, Change(vol, (file(vol, 3),)))
        assert crashed == [vol]
        await committed(new, Change(vol, (file(vol, 4),)))
        assert [inode.ino for inode in await old.load_inodes(vol, [2, 3, 4])] == [2, 4]
        with pytest.raises(NoReply):
            await old.reserve(vol, "ino", 1)

    houses.run(work)


def test_replies_are_found_by_who_takes_the_volume_over_oldest_first(houses):
    async def work(house):
        old, new = await house.gateway(), await house.gateway()
        vol = await new_volume(old)
        sent = [Reply(b"key%d" % n, b"reply%d" % n) for n in range(700)]
        for chunk in range(0, 700, 2):
            for reply in sent[chunk : chunk + 2]:
                number = old.commit(Change(vol, (file(vol, 2),), reply=reply))
            await old.wait(vol, number)
        assert (await take(new, vol)).replies == tuple(sent)
        extra = Reply(b"after", b"x")
        await committed(new, Change(vol, reply=extra))
        assert (await take(new, vol)).replies == (*sent, extra)

    houses.run(work)


def test_a_waiter_may_commit_and_wait_again_at_once(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)

        async def chain(first):
            for ino in range(first, first + 20):
                await committed(store, Change(vol, (file(vol, ino),)))

        chains = [start(chain(100 * n)) for n in range(1, 9)]
        for each in chains:
            await each
        assert len(await store.load_inodes(vol, range(100, 1000))) == 160

    houses.run(work)


def test_commit_of_a_volume_that_is_not_held_gets_no_reply(houses):
    async def work(house):
        store = await house.gateway()
        with pytest.raises(NoReply):
            store.commit(Change(404, (file(404, 2),)))

    houses.run(work)


def test_reclaim_rows_and_inodes_of_dropped_files_are_gone_together(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        await committed(store, Change(vol, (file(vol, 2), directory(vol, 3), edge(vol, 1, b"f", 2))))
        gone = Change(vol, (Reclaim(vol, 9, 1),), drops=((Inode, (2,)), (Edge, (1, b"f")), (Inode, (3,))))
        await committed(store, gone)
        assert await store.load_inodes(vol, [2, 3]) == []
        assert await store.load_edges(vol, [(1, b"f")]) == []

    houses.run(work)
