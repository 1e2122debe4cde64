"""Holes that were found in the engine by reading it: each test failed before its hole was closed."""

from __future__ import annotations

import pytest
from hall import ROOT, MemoryHall, begin, run

from foundation.aio import Promise
from foundation.errors import FsError, NoReply, Unavailable
from metastore.records import Extent, Inode
from namespace.api import Conditions, CreateMode, PutRequest, SetAttr, Stability
from namespace.extents import ExtentMap
from namespace.spans import SpanList


@pytest.fixture
def hall():
    return MemoryHall()


def make(hall, name=b"f", directory=None):
    made = hall.ns.create(ROOT, directory or hall.root, name, CreateMode.GUARDED, SetAttr(), b"")
    return run(made).file.file


def outcome(deferred):
    """Return the result, or the exception, of an operation that has ended. To be asked once."""
    found = []
    deferred.addBoth(found.append)
    return getattr(found[0], "value", found[0])


def durable_mode(hall, file):
    return hall.database.rows[Inode][hall.vol, file.ino].mode


@pytest.mark.parametrize("verb", ["write", "commit"])
def test_the_attributes_of_a_stable_answer_are_durable_too(hall, verb):
    """A chmod that comes while the flush waits for its batch must not leave with the flush's answer."""
    file = make(hall)
    if verb == "commit":
        run(hall.ns.write(ROOT, file, 0, b"data", Stability.UNSTABLE))
    hall.metastore.hold_commits()
    if verb == "write":
        writing = begin(hall.ns.write(ROOT, file, 0, b"data", Stability.FILE_SYNC))
    else:
        writing = begin(hall.ns.commit(ROOT, file, 0, 0))
    chmod = begin(hall.ns.setattr(ROOT, file, SetAttr(mode=0o600), None))
    hall.metastore.release_batch()
    if writing.called:
        assert outcome(writing).file.after.mode == durable_mode(hall, file)
    hall.metastore.release_batch()
    assert outcome(chmod).after.mode == 0o600
    assert outcome(writing).file.after.mode == durable_mode(hall, file)


def test_the_attributes_of_an_unstable_write_are_those_it_consulted(hall):
    file = make(hall)
    hall.metastore.hold_commits()
    create = begin(hall.ns.setattr(ROOT, file, SetAttr(mode=0o640), None))
    writing = begin(hall.ns.write(ROOT, file, 0, b"data", Stability.UNSTABLE))
    chmod = begin(hall.ns.setattr(ROOT, file, SetAttr(mode=0o600), None))
    hall.metastore.release_batch()
    assert outcome(create).after.mode == 0o640
    assert outcome(writing).file.after.mode == 0o640 == durable_mode(hall, file)
    hall.metastore.release_batch()
    assert outcome(chmod).after.mode == 0o600


def test_a_stable_write_to_a_file_that_goes_meanwhile_is_answered(hall):
    file = make(hall)
    hall.metastore.hold_commits()
    writing = begin(hall.ns.write(ROOT, file, 0, b"data", Stability.FILE_SYNC))
    removed = begin(hall.ns.remove(ROOT, hall.root, b"f"))
    while hall.metastore.release_batch():
        pass
    assert outcome(removed).after is not None
    assert outcome(writing).file.after is None


def test_a_late_load_does_not_bring_back_an_extent_of_which_the_end_was_known():
    """Known from its middle on and then cut, an extent came again, whole, with the load of its beginning."""
    old = Extent(1, 1, 0, 100, 7, 0)
    extents = ExtentMap(1)
    extents.learn([old], 50, 100)
    cut = [Extent(1, 1, 0, 60, 7, 0), Extent(1, 1, 60, 10, 8, 0), Extent(1, 1, 70, 30, 7, 70)]
    extents.extents = SpanList(cut)
    extents.learn([old], 0, 100)
    assert list(extents.extents) == cut


def test_extents_loaded_from_the_middle_on_are_kept_once():
    pieces = [Extent(1, 1, 0, 100, 7, 0), Extent(1, 1, 100, 100, 8, 0)]
    extents = ExtentMap(1)
    extents.learn(pieces, 50, 200)
    extents.learn(pieces, 0, 200)
    assert list(extents.extents) == pieces


def test_a_volume_is_served_though_the_nodes_cannot_be_told_yet(hall):
    """What a node refuses is fenced by its own link, told again when it comes up: no reason to take the volume anew."""
    file = make(hall)

    async def failing(vol, epoch):
        raise Unavailable("no node")

    hall.bodies.close_epochs = failing
    first = hall.ns._volumes._by_number[hall.vol]
    hall.ns._volumes.crashed(hall.vol, RuntimeError("for the test"))
    second = hall.ns._volumes._by_number[hall.vol]
    hall.clock.advance(1)
    assert hall.ns._volumes._by_number[hall.vol] is second
    assert first.dead
    assert not second.dead
    assert run(hall.ns.getattr(ROOT, file)).file == file


def test_a_volume_that_crashes_while_it_is_taken_is_taken_again(hall):
    file = make(hall)
    gates = []
    close_epochs = hall.bodies.close_epochs

    async def slow(vol, epoch):
        gates.append(Promise())
        await gates[-1]
        await close_epochs(vol, epoch)

    hall.bodies.close_epochs = slow
    hall.ns._volumes.crashed(hall.vol, RuntimeError("first"))
    hall.ns._volumes.crashed(hall.vol, RuntimeError("second"))
    gates[0].resolve(None)
    gates[1].resolve(None)
    assert hall.ns._volumes._arriving == {}
    assert run(hall.ns.getattr(ROOT, file)).file == file


def test_a_mutating_request_waits_for_other_volumes_changes_too(hall, monkeypatch):
    """Memory is full of another bucket's changes: this bucket's requests wait for those, and are not turned away."""
    run(hall.ns.create_bucket(ROOT, "other"))
    other = run(hall.ns.root(run(hall.ns.head_bucket(ROOT, "other")).vol))
    make(hall, b"before")
    monkeypatch.setattr("namespace.engine.PENDING_LIMIT_BYTES", 0)
    hall.metastore.hold_commits()
    full = begin(hall.ns.create(ROOT, other, b"x", CreateMode.GUARDED, SetAttr(), b""))
    waiting = begin(hall.ns.create(ROOT, hall.root, b"f", CreateMode.GUARDED, SetAttr(), b""))
    assert not waiting.called
    hall.metastore.release_batch()
    assert outcome(full).file.size == 0
    hall.metastore.release_batch()
    assert outcome(waiting).file.size == 0


def test_a_paused_request_gives_up_at_one_deadline(hall, monkeypatch):
    monkeypatch.setattr("namespace.engine.PENDING_LIMIT_BYTES", 0)
    hall.metastore.hold_commits()
    held = [begin(hall.ns.create(ROOT, hall.root, b"a", CreateMode.GUARDED, SetAttr(), b""))]
    waiting = begin(hall.ns.create(ROOT, hall.root, b"b", CreateMode.GUARDED, SetAttr(), b""))
    monkeypatch.setattr("namespace.engine.PENDING_LIMIT_BYTES", 1 << 30)
    held.append(begin(hall.ns.create(ROOT, hall.root, b"c", CreateMode.GUARDED, SetAttr(), b"")))
    monkeypatch.setattr("namespace.engine.PENDING_LIMIT_BYTES", 0)
    hall.clock.advance(6)
    hall.metastore.release_batch()
    assert not waiting.called
    hall.clock.advance(6)
    assert isinstance(outcome(waiting), Unavailable)
    hall.metastore.release_commits()
    assert [outcome(each).file.size for each in held] == [0, 0]


def test_a_rename_finds_its_way_up_a_deep_tree_that_is_not_in_memory(hall):
    directory = hall.root
    for _ in range(100):
        directory = run(hall.ns.mkdir(ROOT, directory, b"d", SetAttr())).file.file
    run(hall.ns.mkdir(ROOT, hall.root, b"moved", SetAttr()))
    hall = hall.reopen()
    run(hall.ns.rename(ROOT, hall.root, b"moved", directory, b"moved"))
    assert run(hall.ns.lookup(ROOT, directory, b"moved")).directory.nlink == 3


def test_nothing_is_answered_when_an_effect_fails_after_the_change_was_queued(hall, monkeypatch):
    monkeypatch.setattr("namespace.cache.Cache.know_empty", lambda *_: 1 / 0)
    with pytest.raises(NoReply):
        run(hall.ns.mkdir(ROOT, hall.root, b"d", SetAttr()))
    monkeypatch.undo()
    assert hall.findings() == []
    run(hall.ns.getattr(ROOT, hall.root))


def put(hall, key, body):
    session = run(hall.ns.begin_put(ROOT, "bucket", PutRequest(key, {}, {})))
    run(session.write(body))
    run(session.finish(b"etag", {}))


def test_a_blob_doomed_while_a_read_begins_outlives_the_read(hall):
    """Its time of doom was noted before the read began, though it was given up after: grace alone must not count."""
    put(hall, b"k", b"first")
    doom = hall.metastore.doom
    gate = Promise()

    async def slow(vol, now_ns, limit):
        await gate
        return await doom(vol, now_ns, limit)

    hall.metastore.doom = slow
    hall.clock.advance(1.5)  # the duties are about to doom
    reader = run(hall.ns.open_object(ROOT, "bucket", b"k", Conditions()))
    put(hall, b"k", b"other")
    gate.resolve(None)
    hall.clock.advance(60)
    assert b"".join(run(reader.read(0, 5))) == b"first"
    reader.close()
    hall.clock.advance(60)
    with pytest.raises(FsError):
        run(reader.read(0, 5))


def test_a_read_under_way_outlives_its_incarnation(hall):
    put(hall, b"k", b"first")
    reader = run(hall.ns.open_object(ROOT, "bucket", b"k", Conditions()))
    hall.clock.advance(1)
    hall.ns._volumes.crashed(hall.vol, RuntimeError("for the test"))
    put(hall, b"k", b"other")
    hall.clock.advance(60)
    assert b"".join(run(reader.read(0, 5))) == b"first"
    reader.close()


def test_a_bucket_whose_removal_has_no_known_outcome_is_served_again(hall):
    async def lost(vol):
        raise NoReply("fenced")

    drop_volume, hall.metastore.drop_volume = hall.metastore.drop_volume, lost
    with pytest.raises(NoReply):
        run(hall.ns.delete_bucket(ROOT, "bucket"))
    hall.metastore.drop_volume = drop_volume
    make(hall)
    run(hall.ns.remove(ROOT, hall.root, b"f"))
    run(hall.ns.delete_bucket(ROOT, "bucket"))


def test_making_room_ends_when_nothing_is_left_to_go(hall):
    """Where a cache's fixed part alone is more than it may take, there is an end of what can be evicted."""
    make(hall)
    run(hall.ns.getattr(ROOT, hall.root))
    cache = hall.ns._volumes.every()[0].cache
    held = len(cache._ring)
    assert held
    cache._evict(-1, 1000)
    assert len(cache._ring) == 0
    make(hall, b"g")
