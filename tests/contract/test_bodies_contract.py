"""What every body store does, in memory and on three real nodes."""

from __future__ import annotations

import itertools
import os

import pytest
from storage_nodes import CLOCK, Nodes, drive

from foundation.aio import gather
from foundation.errors import AlreadyExists, Corrupt, InvalidArgument, Unavailable
from storage_engine.api import MAX_BLOB_BYTES, BlobId, Origin
from storage_engine.checksum import PAGE_BYTES
from storage_engine.memory import MemoryBodyStore

_volumes = itertools.count(1)
SIZES = [1, 511, 4096, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 300_000, 1 << 20, MAX_BLOB_BYTES]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("nodes"), 22000)
    nodes.start()
    yield nodes
    nodes.stop()


@pytest.fixture(params=["memory", "cluster"])
def bodies(request):
    if request.param == "memory":
        yield MemoryBodyStore(CLOCK)
        return
    store = request.getfixturevalue("nodes").body_store()
    drive(store.open())
    yield store
    drive(store.close())


@pytest.fixture
def vol():
    return next(_volumes)


def origin(epoch=1):
    return Origin(epoch, 7, 8, 4096, 9)


async def listed(bodies, vol, *, verify=False):
    return [held async for held in bodies.inventory(vol, verify=verify)]


@pytest.mark.parametrize("size", SIZES)
def test_a_blob_reads_as_it_was_put(bodies, vol, size):
    body = os.urandom(size)

    async def work():
        placement = await bodies.put(BlobId(vol, 1), [body[: size // 3], memoryview(body)[size // 3 :]], origin())
        assert (placement.missing, placement.handoff) == (0, b"")
        return bytes(await bodies.read(BlobId(vol, 1), 0, size))

    assert drive(work()) == body


def test_any_range_of_a_blob_can_be_read(bodies, vol):
    body = os.urandom(3 * PAGE_BYTES + 100)
    edges = [0, 1, 4096, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 2 * PAGE_BYTES, 3 * PAGE_BYTES, len(body)]

    async def work():
        await bodies.put(BlobId(vol, 1), [body], origin())
        for start, stop in itertools.combinations(edges, 2):
            assert bytes(await bodies.read(BlobId(vol, 1), start, stop - start)) == body[start:stop]

    drive(work())


def test_many_puts_and_reads_run_side_by_side(bodies, vol):
    blobs = {BlobId(vol, number): os.urandom(1 + number * 1000) for number in range(1, 60)}

    async def work():
        await gather(bodies.put(blob, [body], origin()) for blob, body in blobs.items())
        return await gather(bodies.read(blob, 0, len(body)) for blob, body in blobs.items())

    assert [bytes(each) for each in drive(work())] == list(blobs.values())


@pytest.mark.parametrize("size", [0, MAX_BLOB_BYTES + 1])
def test_a_blob_of_no_legal_length_is_refused(bodies, vol, size):
    with pytest.raises(InvalidArgument):
        drive(bodies.put(BlobId(vol, 1), [bytes(size)], origin()))


def test_a_range_that_leaves_the_blob_is_refused(bodies, vol):
    async def work():
        await bodies.put(BlobId(vol, 1), [b"twelve bytes"], origin())
        await bodies.read(BlobId(vol, 1), 10, 3)

    with pytest.raises(InvalidArgument):
        drive(work())


def test_a_put_repeated_with_the_same_bytes_is_done_once(bodies, vol):
    async def work():
        await bodies.put(BlobId(vol, 1), [b"same"], origin())
        await bodies.put(BlobId(vol, 1), [b"sa", b"me"], origin())
        return bytes(await bodies.read(BlobId(vol, 1), 0, 4)), await listed(bodies, vol)

    body, held = drive(work())
    assert body == b"same"
    assert len({(each.blob, each.node) for each in held}) == len(held)


def test_a_blob_never_changes(bodies, vol):
    async def work():
        await bodies.put(BlobId(vol, 1), [b"first"], origin())
        with pytest.raises(AlreadyExists):
            await bodies.put(BlobId(vol, 1), [b"other"], origin())
        return bytes(await bodies.read(BlobId(vol, 1), 0, 5))

    assert drive(work()) == b"first"


def test_a_deleted_blob_is_gone_and_its_number_is_never_taken_again(bodies, vol):
    async def work():
        await bodies.put(BlobId(vol, 1), [b"body"], origin())
        assert await bodies.delete(vol, [1]) == [1]
        with pytest.raises(Corrupt):
            await bodies.read(BlobId(vol, 1), 0, 4)
        with pytest.raises(AlreadyExists):
            await bodies.put(BlobId(vol, 1), [b"body"], origin())
        assert await listed(bodies, vol) == []

    drive(work())


def test_deleting_is_idempotent_and_also_bars_numbers_that_were_never_put(bodies, vol):
    async def work():
        await bodies.close_epochs(vol, 1)
        assert await bodies.delete(vol, [5, 6]) == [5, 6]
        assert await bodies.delete(vol, [5, 6]) == [5, 6]
        with pytest.raises(AlreadyExists):
            await bodies.put(BlobId(vol, 6), [b"late"], origin())

    drive(work())


def test_closed_epochs_write_no_more_and_later_ones_do(bodies, vol):
    async def work():
        await bodies.put(BlobId(vol, 1), [b"old"], origin(epoch=3))
        await bodies.close_epochs(vol, 4)
        with pytest.raises(Unavailable):
            await bodies.put(BlobId(vol, 2), [b"zombie"], origin(epoch=3))
        await bodies.put(BlobId(vol, 3), [b"new"], origin(epoch=4))
        await bodies.close_epochs(vol, 2)
        with pytest.raises(Unavailable):
            await bodies.put(BlobId(vol, 4), [b"zombie"], origin(epoch=3))
        return bytes(await bodies.read(BlobId(vol, 1), 0, 3))

    assert drive(work()) == b"old"


def test_the_inventory_names_every_copy_of_the_volume_alone(bodies, vol):
    other = next(_volumes)

    async def work():
        for number in (3, 1, 2):
            await bodies.put(BlobId(vol, number), [bytes(number)], origin())
        await bodies.put(BlobId(other, 1), [b"x"], origin())
        await bodies.delete(vol, [2])
        return await listed(bodies, vol), await listed(bodies, vol, verify=True)

    held, verified = drive(work())
    assert held == verified
    assert {(each.blob.id, each.size, each.sound) for each in held} == {(1, 1, True), (3, 3, True)}
    assert {each.blob.vol for each in held} == {vol}


def test_a_blob_that_was_never_put_is_corrupt_not_empty(bodies, vol):
    with pytest.raises(Corrupt):
        drive(bodies.read(BlobId(vol, 99), 0, 1))


def test_space_and_states_tell_of_the_nodes(bodies, vol):
    async def work():
        await bodies.put(BlobId(vol, 1), [b"x"], origin())
        return await bodies.space(), bodies.room(), await bodies.states()

    space, room, states = drive(work())
    assert 0 < space.free <= space.total
    assert room == space
    assert all(state.up and not state.detail for state in states)
