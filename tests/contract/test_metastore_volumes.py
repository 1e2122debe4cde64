"""Volumes, numbers, garbage and the small tables."""

import pytest
from metastore_house import directory, edge, file, houses, new_volume, root, take  # noqa: F401
from postgres_server import migrated_dsn, postgres  # noqa: F401

from foundation.errors import BucketExists, BucketNotEmpty, BucketNotFound, NoReply
from metastore.records import (
    AccessKey,
    Account,
    Blob,
    Change,
    Edge,
    Export,
    Extent,
    Node,
    Reclaim,
    RingRow,
    Volume,
)


async def committed(store, *rows, **changes):
    vol = rows[0].vol
    await store.wait(vol, store.commit(Change(vol, rows, **changes)))


def test_a_volume_is_made_with_its_root_and_listed_by_name(houses):
    async def work(house):
        store = await house.gateway()
        made = await store.create_volume(Volume(0, "zebra", "me", 5, 0, 0, {"strict": "yes"}), root(uid=7))
        other = await store.create_volume(Volume(0, "aardvark", "me", 6, 0, 0, {}), root())
        assert (made.holder, made.epoch, made.settings) == (store.gateway.id, 1, {"strict": "yes"})
        assert await store.volumes() == [other, made]
        (inode,) = await store.load_inodes(made.vol, [1])
        assert (inode.vol, inode.ino, inode.uid, inode.parent) == (made.vol, 1, 7, 1)
        with pytest.raises(BucketExists):
            await store.create_volume(Volume(0, "zebra", "you", 7, 0, 0, {}), root(gen=78))
        await committed(store, file(made.vol, 2))

    houses.run(work)


def test_taking_a_volume_raises_its_epoch_and_unknown_ones_are_not_found(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        assert first.gateway.id != second.gateway.id
        vol = await new_volume(first)
        epochs = [(await take(store, vol)).volume.epoch for store in (second, first, first)]
        assert epochs == [2, 3, 4]
        with pytest.raises(BucketNotFound):
            await first.take_volume(404, 0, 1)

    houses.run(work)


def test_numbers_come_in_blocks_that_never_meet(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        vol = await new_volume(first)
        starts = {"ino": 2, "cookie": 3, "content": 1}
        for kind, start in starts.items():
            block = await first.reserve(vol, kind, 10)
            assert (block.first, block.last) == (start, start + 9)
        await take(second, vol)
        for kind, start in starts.items():
            block = await second.reserve(vol, kind, 1)
            assert (block.first, block.last) == (start + 10, start + 10)
        with pytest.raises(NoReply):
            await first.reserve(vol, "ino", 1)
        with pytest.raises(NoReply):
            await first.reserve_blobs(vol, 1)
        with pytest.raises(ValueError, match="kind"):
            await second.reserve(vol, "vol", 1)

    houses.run(work)


def test_blob_ids_without_a_row_are_garbage_once_their_epoch_is_closed(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        vol = await new_volume(first)
        block = await first.reserve_blobs(vol, 10)
        await committed(first, Blob(vol, block.first, 5, 1, 1))
        ids = list(range(block.first - 1, block.last + 30))
        assert await first.unreferenced(vol, ids) == []
        await take(second, vol)
        later = await second.reserve_blobs(vol, 5)
        assert later.first == block.last + 1
        assert await second.unreferenced(vol, ids) == list(range(block.first + 1, block.last + 1))

    houses.run(work)


def test_detached_contents_are_freed_in_chunks_and_their_blobs_doomed_and_forgotten(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        blobs = [Blob(vol, 1, 50, 5, 1), Blob(vol, 2, 50, 2, 1), Blob(vol, 3, 9, 0, 1)]
        extents = [Extent(vol, 7, n, 1, 1, n) for n in range(5)] + [Extent(vol, 8, n, 1, 2, n) for n in range(2)]
        await committed(store, *blobs, *extents)
        assert await store.reclaim(vol, 10) == 0
        await committed(store, Reclaim(vol, 7, 1), Reclaim(vol, 9, 2))
        freed = []
        while chunk := await store.reclaim(vol, 2):
            freed.append(chunk)
        assert freed[:2] == [2, 2]
        assert await store.load_extents(vol, 7, 0, 10) == []
        assert len(await store.load_extents(vol, 8, 0, 10)) == 2
        assert [(await store.load_blob(vol, n)).refs for n in (1, 2, 3)] == [0, 2, 0]
        assert await store.doom(vol, 1000, 1) == 1
        assert await store.doom(vol, 2000, 10) == 1
        assert await store.doom(vol, 3000, 10) == 0
        assert await store.doomed(vol, 1000, 10) == []
        assert [blob.id for blob in await store.doomed(vol, 1500, 10)] == [1]
        assert [blob.id for blob in await store.doomed(vol, 9000, 10)] == [1, 3]
        await store.forget_blobs(vol, [1, 2])
        assert await store.load_blob(vol, 1) is None
        assert (await store.load_blob(vol, 2)).refs == 2

    houses.run(work)


def test_a_doomed_blob_gets_no_reference_again(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        await committed(store, Blob(vol, 1, 5, 0, 1))
        assert await store.doom(vol, 1, 10) == 1
        with pytest.raises(NoReply):
            await committed(store, file(vol, 2), blob_refs=((1, 1),))

    houses.run(work)


def test_garbage_of_a_volume_that_is_not_held_is_left_alone(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        vol = await new_volume(first)
        await committed(first, Blob(vol, 1, 5, 0, 1))
        await take(second, vol)
        with pytest.raises(NoReply):
            await first.doom(vol, 1, 10)
        with pytest.raises(NoReply):
            await first.reclaim(vol, 10)
        assert await second.doom(vol, 1, 10) == 1

    houses.run(work)


def test_an_empty_volume_is_dropped_and_its_blobs_wait_for_the_nodes(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store, "first")
        keep = await new_volume(store, "second")
        block = await store.reserve_blobs(vol, 10)
        await committed(store, file(vol, 2), edge(vol, 1, b"a", 2), Blob(vol, block.first, 5, 3, 1))
        with pytest.raises(BucketNotEmpty):
            await store.drop_volume(vol)
        await committed(store, file(vol, 2), drops=((Edge, (1, b"a")),))
        await store.drop_volume(vol)
        assert [volume.vol for volume in await store.volumes()] == [keep]
        assert await store.load_inodes(vol, [1, 2]) == []
        assert await store.dropped_volumes() == [vol]
        assert [blob.id for blob in await store.doomed(vol, 2**62, 10)] == [block.first]
        assert await store.unreferenced(vol, [block.first, block.last]) == [block.last]
        await store.forget_blobs(vol, [block.first])
        assert await store.dropped_volumes() == []
        assert await new_volume(store, "first") not in {vol, keep}
        with pytest.raises(NoReply):
            store.commit(Change(vol, (file(vol, 9),)))

    houses.run(work)


def test_a_volume_is_dropped_by_its_holder_alone(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        vol = await new_volume(first)
        await take(second, vol)
        with pytest.raises(NoReply):
            await first.drop_volume(vol)
        with pytest.raises(NoReply):
            await (await house.gateway()).drop_volume(vol)
        await second.drop_volume(vol)
        assert await second.volumes() == []

    houses.run(work)


def test_an_account_goes_with_its_keys_unless_a_volume_is_its(houses):
    async def work(house):
        store = await house.gateway()
        mine, odd = Account("a" * 64, "me", 1, 1, ()), "'; DROP TABLE account; -- %s _ \\"
        await store.put_account(mine)
        await store.put_account(Account(odd, odd, 2, 2, ()))
        for key in (AccessKey("AK1", "one", mine.id), AccessKey("AK2", "two", mine.id), AccessKey(odd, odd, odd)):
            await store.put_access_key(key)
        owner = "c" * 64
        await store.create_volume(Volume(0, "data", owner, 5, 0, 0, {}), root())
        await store.put_account(Account(owner, "owner", 3, 3, ()))
        assert not await store.drop_account(owner)
        assert owner in {each.id for each in await store.accounts()}
        await store.drop_access_key("AK1")
        await store.drop_access_key("AK1")
        assert [key.access_key for key in await store.access_keys()] == [odd, "AK2"]
        assert await store.drop_account(mine.id)
        assert await store.drop_account(mine.id)
        assert [key.access_key for key in await store.access_keys()] == [odd]
        assert await store.drop_account(odd)
        assert await store.access_keys() == []
        assert [each.id for each in await store.accounts()] == [owner]

    houses.run(work)


def test_the_small_tables_give_back_what_was_put(houses):
    async def work(house):
        store = await house.gateway()
        account = Account("a" * 64, "me", 2**32 - 1, 0, (1, 2**32 - 2))
        await store.put_account(account)
        await store.put_account(Account("b" * 64, "you", 5, 6, ()))
        await store.put_account(Account("b" * 64, "you", 7, 6, ()))
        assert await store.accounts() == [account, Account("b" * 64, "you", 7, 6, ())]
        key = AccessKey("AKIA", "sécret", account.id)
        await store.put_access_key(key)
        assert await store.access_keys() == [key]
        exports = [Export(path, 1, 1, ("10.0.0.0/8", "::/0"), False, "root", 65534, 65533) for path in ("/b", "/a")]
        for export in exports:
            await store.put_export(export)
        assert await store.exports() == exports[::-1]
        await store.drop_export("/a")
        await store.drop_export("/nowhere")
        assert await store.exports() == exports[:1]
        node = Node(1, "uuid", "127.0.0.1", 21000, "z", 100, "up")
        await store.put_node(Node(1, "uuid", "old", 1, "z", 100, "up"))
        await store.put_node(node)
        assert await store.nodes() == [node]

    houses.run(work)


def test_rings_follow_each_other_one_by_one(houses):
    async def work(house):
        store = await house.gateway()
        assert await store.ring() is None
        first = RingRow(1, 2, 2, ((1, 2, 3), (3, 1), (2,)), "one")
        second = RingRow(2, 2, 1, tuple((n, n + 1) for n in range(100)), "two")
        await store.put_ring(first)
        assert await store.ring() == first
        for epoch in (1, 3):
            with pytest.raises(ValueError, match="follow"):
                await store.put_ring(RingRow(epoch, 9, 9, ((9,),), "wrong"))
        await store.put_ring(second)
        assert await store.ring() == second

    houses.run(work)
