"""The rules of one node: what it takes, what it refuses, what it gives back."""

from __future__ import annotations

import errno
import os

import msgspec
import pytest
from one_node import MIB, OneNode, QuickDisk, done, make_put

from foundation.aio import Promise, start
from foundation.crash import crash_point
from storage_engine.api import BlobId, Origin
from storage_engine.node.index import TOMBSTONE_SECONDS
from storage_engine.wire.frames import Refusal, Status
from storage_engine.wire.messages import Inventory


class WornDisk(QuickDisk):
    """A disk that fails, or is full, when a test says so."""

    def __init__(self):
        self.sync_errors = 0
        self.write_errors = 0
        self.available = 1 << 40
        self.syncs = 0

    def sync(self, fd):
        self.syncs += 1
        if self.sync_errors:
            self.sync_errors -= 1
            raise OSError(errno.EIO, "Input/output error")
        super().sync(fd)

    def write(self, fd, buffers, position):
        if self.write_errors:
            self.write_errors -= 1
            raise OSError(errno.EIO, "Input/output error")
        super().write(fd, buffers, position)

    def available_bytes(self, folder):
        return self.available


@pytest.fixture
def node(tmp_path):
    node = OneNode(tmp_path / "disk", WornDisk())
    yield node
    node.close()


def test_a_blob_survives_a_restart_with_all_that_its_header_says(node):
    body = os.urandom(200_000)
    node.put(5, 6, body, epoch=3)
    node.open()
    put = done(node.store.fetch(BlobId(5, 6)))
    assert b"".join(put.body) == body
    assert put.origin == Origin(3, 17, 18, 19 << 40, 20)


def test_a_put_whose_bytes_do_not_match_their_checksums_is_refused(node):
    put = make_put(1, 1, b"right")
    bad = msgspec.structs.replace(put, body=(b"wrong",))
    assert node.status(lambda: done(node.store.put(bad))) == Status.BAD_REQUEST
    assert node.status(lambda: node.read(1, 1)) == Status.NOT_HELD


def test_one_put_costs_one_sync_and_those_that_wait_share_one(node):
    node.put(1, 1, b"opens the segment")
    before = node.disk.syncs
    node.put(1, 2, b"x")
    assert node.disk.syncs == before + 1
    gate = Promise()
    log = node.parts.log
    run = log._write

    async def slow(work):
        await gate
        return await run(work)

    log._write = slow
    results = []
    for number in range(3, 20):
        start(node.store.put(make_put(1, number, b"x"))).addCallback(results.append)
    assert not results
    gate.resolve(None)
    assert len(results) == 17
    assert node.disk.syncs == before + 3  # the first alone, the others together


def test_two_puts_of_one_blob_at_a_time_write_it_once(node):
    gate = Promise()
    run = node.parts.log._write

    async def slow(work):
        await gate
        return await run(work)

    node.parts.log._write = slow
    ends = [start(node.store.put(make_put(1, 1, b"same"))) for _ in range(2)]
    gate.resolve(None)
    assert all(end.called for end in ends)
    assert node.store.index.use(1).live_bytes == 512
    node.parts.log._write = run


def test_a_deleted_blob_stays_deleted_over_restarts_and_is_never_taken_again(node):
    node.put(1, 1, b"x")
    node.delete(1, 1, 2)
    for _ in range(2):
        assert node.status(lambda: node.read(1, 1)) == Status.NOT_HELD
        assert node.status(lambda: node.put(1, 1, b"x")) == Status.USED
        assert node.status(lambda: node.put(1, 2, b"late")) == Status.USED
        node.open()


def test_closed_epochs_stay_closed_over_restarts(node):
    node.close_epochs(1, 5)
    node.close_epochs(2, 3)
    node.close_epochs(1, 4)
    for _ in range(2):
        assert node.status(lambda: node.put(1, 1, b"x", epoch=4)) == Status.EPOCH_CLOSED
        assert node.status(lambda: node.delete(1, 1, fence=4)) == Status.EPOCH_CLOSED
        assert node.status(lambda: node.put(2, 1, b"x", epoch=2)) == Status.EPOCH_CLOSED
        node.open()
    node.put(1, 1, b"x", epoch=5)
    node.put(3, 1, b"x", epoch=1)


def test_a_put_that_comes_while_its_epoch_is_being_closed_is_refused(node):
    gate = Promise()
    run = node.parts.log._write

    async def slow(work):
        await gate
        return await run(work)

    node.parts.log._write = slow
    closing = start(node.store.close_epochs(1, 2))
    assert node.status(lambda: node.put(1, 1, b"x", epoch=1)) == Status.EPOCH_CLOSED
    gate.resolve(None)
    assert closing.called
    node.parts.log._write = run


def test_a_copy_of_an_old_epoch_may_be_repaired_by_the_gateway_of_a_new_one(node):
    node.close_epochs(1, 5)
    node.put(1, 1, b"x", epoch=2, fence=5)
    assert node.read(1, 1) == b"x"


@pytest.mark.parametrize("fault", ["sync_errors", "write_errors"])
def test_the_first_failed_write_or_sync_ends_the_log_and_a_restart_reads_the_disk(node, fault):
    node.put(1, 1, b"kept")
    failures = []
    node.parts.log.failed = failures.append
    setattr(node.disk, fault, 1)
    assert node.status(lambda: node.put(1, 2, b"lost")) == Status.FAILED
    assert len(failures) == 1
    assert node.status(lambda: node.put(1, 3, b"after")) == Status.FAILED
    assert node.status(lambda: node.delete(1, 1)) == Status.FAILED
    assert not node.store.stat().taking_writes
    assert node.read(1, 1) == b"kept"
    node.open()
    assert node.read(1, 1) == b"kept"
    node.put(1, 3, b"after")


@pytest.mark.parametrize("point", ["node.put.after_append", "node.put.after_sync", "node.delete.after_tombstone"])
def test_whatever_cuts_a_batch_ends_the_log(node, point):
    node.put(1, 1, b"x")

    def cut():
        raise RuntimeError(point)

    crash_point(point).arm(cut)
    try:
        with pytest.raises(Refusal):
            node.delete(1, 1)
    finally:
        crash_point(point).disarm()
    assert node.store.log.error is not None


def test_a_node_is_full_before_the_disk_is_and_still_deletes_and_gives_space_back(tmp_path):
    disk = WornDisk()
    node = OneNode(tmp_path / "disk", disk, headroom_bytes=10 * MIB)
    disk.available = 21 * MIB
    body = os.urandom(MIB)
    taken = 0
    for number in range(40):
        status = node.status(lambda number=number: node.put(1, number, body))
        if status is not None:
            assert status == Status.NO_SPACE
            break
        taken += 1
        if len(node.segments) > 1:
            disk.available = 12 * MIB  # head-room is reached
    assert 4 <= taken < 40
    node.delete(1, *range(taken))
    assert node.reclaim() >= 1
    disk.available = 30 * MIB
    node.put(1, 1000, body)
    node.close()


def test_a_node_keeps_to_its_capacity(tmp_path):
    node = OneNode(tmp_path / "disk", capacity_bytes=10 * MIB)
    body = os.urandom(MIB)
    assert [node.status(lambda n=n: node.put(1, n, body)) for n in range(10)].count(None) == 8
    assert sum(path.stat().st_size for path in node.segments) <= 10 * MIB
    stat = node.store.stat()
    assert stat.available_bytes < 5 * MIB
    node.close()


def fill(node, numbers, size=100_000):
    bodies = {number: os.urandom(size) for number in numbers}
    for number, body in bodies.items():
        node.put(1, number, body)
    return bodies


def test_the_space_of_deleted_blobs_comes_back_and_the_living_stay(node):
    bodies = fill(node, range(200))
    before = sum(path.stat().st_size for path in node.segments)
    node.delete(1, *[number for number in bodies if number % 10])
    assert node.reclaim() >= 3
    after = sum(path.stat().st_size for path in node.segments)
    assert after < before * 0.6
    for _ in range(2):
        for number, body in bodies.items():
            if number % 10:
                assert node.status(lambda number=number: node.read(1, number)) == Status.NOT_HELD
                assert node.status(lambda number=number: node.put(1, number, b"again")) == Status.USED
            else:
                assert node.read(1, number) == body
        node.open()


def test_tombstones_go_when_their_records_are_gone_and_no_late_put_can_come(node):
    fill(node, range(120))
    node.delete(1, *range(120))
    node.reclaim()
    assert node.store.index.is_deleted(BlobId(1, 3))
    node.clock.advance(TOMBSTONE_SECONDS + 1)
    fill(node, range(1000, 1120))  # seals the segment with the tombstones
    node.reclaim()
    assert not node.store.index.is_deleted(BlobId(1, 3))
    node.open()
    assert node.status(lambda: node.read(1, 3)) == Status.NOT_HELD


def test_closing_the_epoch_lets_tombstones_go_too(node):
    fill(node, range(120))
    node.delete(1, *range(120))
    fill(node, range(1000, 1120))
    node.reclaim()
    node.close_epochs(1, 2)
    node.reclaim()
    assert not node.store.index.is_deleted(BlobId(1, 3))
    assert node.status(lambda: node.put(1, 3, b"x", epoch=1)) == Status.EPOCH_CLOSED


def test_closed_epochs_survive_the_reclaim_of_their_segment(node):
    node.close_epochs(7, 9)
    fill(node, range(60))
    node.delete(1, *range(60))
    fill(node, range(100, 160))
    assert node.reclaim()
    assert 1 not in node.parts.room.segments
    node.open()
    assert node.status(lambda: node.put(7, 1, b"x", epoch=8)) == Status.EPOCH_CLOSED


@pytest.mark.parametrize("point", ["node.reclaim.after_copy", "node.reclaim.after_unlink"])
def test_a_crash_in_a_reclaim_loses_nothing_and_brings_nothing_back(node, point):
    bodies = fill(node, range(120))
    dead = [number for number in bodies if number % 7]
    node.delete(1, *dead)

    def cut():
        raise RuntimeError(point)

    crash_point(point).arm(cut)
    try:
        with pytest.raises(RuntimeError):
            node.reclaim()
    finally:
        crash_point(point).disarm()
    node.open()
    for number, body in bodies.items():
        if number % 7:
            assert node.status(lambda number=number: node.read(1, number)) == Status.NOT_HELD
        else:
            assert node.read(1, number) == body
    node.reclaim()
    node.open()
    assert node.store.index.blobs == len(bodies) - len(dead)


def test_a_segment_with_damage_is_not_reclaimed(node):
    fill(node, range(60))
    with node.segments[0].open("r+b") as file:
        file.seek(300_000)
        file.write(b"\xff\xff")
    node.delete(1, *range(5, 60))
    node.reclaim()
    assert node.segments[0].stem.endswith("1")
    assert node.notes


def test_a_read_under_way_outlives_the_reclaim_of_its_segment(node):
    bodies = fill(node, range(60))
    segment = node.parts.room.segments[1]
    fd = node.parts.folder.hold(segment)
    node.delete(1, *range(60))
    node.reclaim()
    assert not segment.path.exists()
    assert len(os.pread(fd, 100, 2000)) == 100
    node.parts.folder.release(segment)
    assert segment.fd < 0
    assert bodies


def test_an_inventory_is_paged_and_verifies_when_asked(node):
    fill(node, range(1, 30), size=1000)
    with node.segments[0].open("r+b") as file:
        file.seek(1024 + 500)
        file.write(b"\xff\xff")
    ids = node.store.snapshot(1)
    plain, eof = done(node.store.inventory(ids, Inventory(1, 0, 10, verify=False)))
    assert [held.id for held in plain] == list(range(1, 11))
    assert not eof
    assert all(held.sound for held in plain)
    verified, eof = done(node.store.inventory(ids, Inventory(1, 0, 100, verify=True)))
    assert eof
    assert [held.id for held in verified if not held.sound] == [1]
