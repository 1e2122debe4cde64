"""Who holds what: gateways and their beats, volumes taken, given back and looked up, by several at once."""

import pytest
from metastore_house import edge, file, houses, new_volume, take  # noqa: F401
from postgres_server import migrated_dsn, postgres  # noqa: F401

from foundation.aio import gather
from foundation.errors import BucketNotFound, NoReply
from metastore.api import GatewayGone, VolumeTaken
from metastore.records import Change, Gateway


async def raced(work):
    """Return what *work* returns, or VolumeTaken as a value."""
    try:
        return await work
    except VolumeTaken as error:
        return error


def test_a_run_beats_until_it_ends_and_is_forgotten_once_it_holds_nothing(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        assert (first.gateway_id, second.gateway_id) == (first.gateway.id, second.gateway.id)
        await first.renew()
        await first.renew()
        rows = {row.id: row for row in await second.gateways()}
        assert rows[first.gateway_id] == Gateway(first.gateway_id, "test", first.gateway.started, "", 2)
        assert rows[second.gateway_id].beat == 0
        vol = await new_volume(first)
        assert not await second.forget_gateway(rows[first.gateway_id]), "it holds a volume"
        await take(second, vol)
        assert not await second.forget_gateway(first.gateway), "its beat is another by now"
        await first.end_gateway()
        (ended,) = [row for row in await second.gateways() if row.id == first.gateway_id]
        assert ended.beat == -1
        with pytest.raises(GatewayGone):
            await first.renew()
        assert await second.forget_gateway(ended)
        assert not await second.forget_gateway(ended)
        assert [row.id for row in await second.gateways()] == [second.gateway_id]

    houses.run(work)


def test_a_run_tells_its_address(houses):
    async def work(house):
        store = house.make()
        await store.open()
        assert store.gateway_id == 0
        made = await store.register_gateway("west", "10.0.0.7:9000")
        assert await store.gateways() == [made]
        assert (made.name, made.address, made.beat) == ("west", "10.0.0.7:9000", 0)
        await store.close()

    houses.run(work)


def test_who_was_forgotten_or_has_ended_takes_nothing(houses):
    async def work(house):
        first, second, third = await house.gateway(), await house.gateway(), await house.gateway()
        vol = await new_volume(first)
        assert await first.forget_gateway(second.gateway)
        await third.end_gateway()
        for gone in (second, third):
            with pytest.raises(GatewayGone):
                await take(gone, vol)
        with pytest.raises(GatewayGone):
            await second.renew()
        assert (await first.volume_of(vol)).holder == first.gateway_id

    houses.run(work)


def test_of_those_who_saw_the_same_holder_one_takes_the_volume(houses):
    async def work(house):
        first = await house.gateway()
        rivals = [await house.gateway() for _ in range(3)]
        vol = await new_volume(first)
        holder = first.gateway_id
        for epoch in range(1, 6):
            results = await gather(raced(rival.take_volume(vol, holder, epoch)) for rival in rivals)
            (won,) = [result for result in results if not isinstance(result, VolumeTaken)]
            assert won.volume.epoch == epoch + 1
            assert (await first.volume_of(vol)).holder == won.volume.holder
            holder = won.volume.holder
        with pytest.raises(VolumeTaken):
            await first.take_volume(vol, first.gateway_id, 1)
        with pytest.raises(BucketNotFound):
            await first.take_volume(404, 0, 1)

    houses.run(work)


def test_of_calls_of_one_process_one_takes_the_volume_and_serves_at_its_epoch(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        me = store.gateway_id
        results = await gather(raced(store.take_volume(vol, me, 1)) for _ in range(5))
        assert sum(not isinstance(result, VolumeTaken) for result in results) == 1
        await gather(raced(store.take_volume(vol, me, epoch)) for epoch in (2, 3, 4, 2, 3))
        epoch = (await store.volume_of(vol)).epoch
        await store.wait(vol, store.commit(Change(vol, (file(vol, 2), edge(vol, 1, b"a", 2)))))
        block = await store.reserve_blobs(vol, 1)
        await take(store, vol)
        assert await store.unreferenced(vol, [block.first]) == [block.first], f"reserved under epoch {epoch}"

    houses.run(work)


def test_who_lost_the_race_disturbs_nothing_that_the_winner_serves(houses):
    async def work(house):
        store = await house.gateway()
        vol = await new_volume(store)
        await store.take_volume(vol, store.gateway_id, 1)
        batch = store.commit(Change(vol, (file(vol, 2),)))
        with pytest.raises(VolumeTaken):
            await store.take_volume(vol, store.gateway_id, 1)
        await store.wait(vol, batch)
        await store.wait(vol, store.commit(Change(vol, (file(vol, 3),))))

    houses.run(work)


def test_a_volume_is_given_back_when_all_that_was_committed_is_there(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        vol = await new_volume(first)
        batch = first.commit(Change(vol, (file(vol, 2), edge(vol, 1, b"a", 2))))
        await first.release_volume(vol)
        assert batch <= first.durable
        row = await second.volume_of(vol)
        assert (row.holder, row.epoch) == (0, 1)
        assert await second.load_inodes(vol, [2])
        with pytest.raises(NoReply):
            first.commit(Change(vol, (file(vol, 3),)))
        await first.release_volume(vol)
        assert (await second.take_volume(vol, 0, 1)).volume.epoch == 2
        await first.release_volume(vol)
        assert (await second.volume_of(vol)).holder == second.gateway_id

    houses.run(work)


def test_giving_back_what_another_took_leaves_it_to_them(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        vol = await new_volume(first)
        await take(second, vol)
        await first.release_volume(vol)
        row = await first.volume_of(vol)
        assert (row.holder, row.epoch) == (second.gateway_id, 2)

    houses.run(work)


def test_volumes_are_looked_up_by_number_and_name_and_by_who_holds_them(houses):
    async def work(house):
        first, second = await house.gateway(), await house.gateway()
        one, two = await new_volume(first, "one"), await new_volume(second, "two")
        assert await second.volume_of(one) == await second.volume_named("one")
        assert (await first.volume_named("two")).vol == two
        assert await first.volume_named("three") is None
        assert await first.volume_of(404) is None
        assert [row.name for row in await first.volumes_elsewhere()] == ["two"]
        await first.release_volume(one)
        assert [row.name for row in await first.volumes_elsewhere()] == ["one", "two"]
        await second.drop_volume(two)
        assert await first.volume_of(two) is None

    houses.run(work)
