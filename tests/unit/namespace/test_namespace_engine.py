"""The rules of DESIGN 2, each with a test that fails when the rule is taken out."""

from __future__ import annotations

import pytest
from hall import ROOT, MemoryHall, begin, run

from foundation.errors import AlreadyExists, FsError, NoReply, NotFound, StaleHandle, Unavailable
from namespace.api import CreateMode, ListRequest, SetAttr, Stability


@pytest.fixture
def hall():
    return MemoryHall()


def make(hall, name=b"f", directory=None):
    made = hall.ns.create(ROOT, directory or hall.root, name, CreateMode.GUARDED, SetAttr(), b"")
    return run(made).file.file


def ended(deferred):
    """Return the result of an operation that has ended, a Failure's exception included; None while it waits."""
    outcome = []
    deferred.addBoth(outcome.append)
    return getattr(outcome[0], "value", outcome[0]) if outcome else None


def create(hall, name):
    return begin(hall.ns.create(ROOT, hall.root, name, CreateMode.GUARDED, SetAttr(), b""))


def test_no_answer_leaves_before_what_it_consulted_is_durable(hall):
    hall.metastore.hold_commits()
    made = create(hall, b"new")
    seen = begin(hall.ns.lookup(ROOT, hall.root, b"new"))
    again = create(hall, b"new")
    assert not made.called
    assert not seen.called
    assert not again.called
    while hall.metastore.release_batch():
        pass
    assert ended(made).file.size == 0
    assert ended(seen).file.nlink == 1
    assert isinstance(ended(again), AlreadyExists)


def test_a_negative_answer_waits_for_the_removal_it_saw(hall):
    make(hall)
    hall.metastore.hold_commits()
    removed = begin(hall.ns.remove(ROOT, hall.root, b"f"))
    missing = begin(hall.ns.lookup(ROOT, hall.root, b"f"))
    assert not removed.called
    assert not missing.called
    hall.metastore.release_batch()
    assert isinstance(ended(missing), NotFound)
    assert ended(removed) is not None


def test_a_late_load_does_not_bring_a_removed_file_back(hall):
    file = make(hall)
    hall = hall.reopen()
    hall.metastore.hold_loads()
    late = begin(hall.ns.lookup(ROOT, hall.root, b"f"))
    getattr_late = begin(hall.ns.getattr(ROOT, file))
    assert not late.called
    # A second look-up, begun later, is answered first; then the file goes.
    hall.metastore.release_loads()
    hall.metastore.hold_loads()
    assert ended(late).file.file == file
    assert ended(getattr_late).file == file
    slow = begin(hall.ns.list_objects(ROOT, "bucket", ListRequest()))
    run(hall.ns.remove(ROOT, hall.root, b"f"))
    hall.metastore.release_loads()
    assert ended(slow) is not None
    with pytest.raises(NotFound):
        run(hall.ns.lookup(ROOT, hall.root, b"f"))
    with pytest.raises(StaleHandle):
        run(hall.ns.getattr(ROOT, file))


def test_a_page_that_began_before_a_removal_does_not_bring_the_inode_back(hall):
    file = make(hall)
    hall = hall.reopen()
    run(hall.ns.getattr(ROOT, hall.root))
    hall.metastore.hold_loads()
    page = begin(hall.ns.readdir(ROOT, hall.root, 0, 10))
    removed = begin(hall.ns.remove(ROOT, hall.root, b"f"))  # its own loads come after the page's
    hall.metastore.release_loads()
    assert ended(page) is not None
    assert ended(removed) is not None
    with pytest.raises(StaleHandle):
        run(hall.ns.getattr(ROOT, file))


def test_a_deletion_mark_outlives_the_loads_that_began_before_it(hall):
    """With no memory at all, marks must stay as long as a load in flight could undo them."""
    cache = None
    file = make(hall)
    hall = hall.reopen()
    for volume in hall.ns._volumes.every():
        cache = volume.cache
        cache._limit = 0
    run(hall.ns.getattr(ROOT, file))
    hall.metastore.hold_loads()
    page = begin(hall.ns.readdir(ROOT, hall.root, 2, 10))
    assert not page.called
    held = cache.begin_load()
    hall.metastore.release_loads()
    run(hall.ns.remove(ROOT, hall.root, b"f"))
    run(hall.ns.getattr(ROOT, hall.root))
    assert cache.inodes[file.ino].image is None
    cache.end_load(held)
    make(hall, b"g")
    run(hall.ns.getattr(ROOT, hall.root))
    assert file.ino not in cache.inodes


def test_a_refused_batch_takes_everything_back(hall):
    file = make(hall)
    run(hall.ns.write(ROOT, file, 0, b"unstable", Stability.UNSTABLE))
    verifier = run(hall.ns.write(ROOT, file, 0, b"U", Stability.UNSTABLE)).verifier
    hall.metastore.hold_commits()
    made = create(hall, b"lost")
    seen = begin(hall.ns.lookup(ROOT, hall.root, b"lost"))
    hall.metastore.refuse_next()
    hall.metastore.release_batch()
    assert isinstance(ended(made), NoReply)
    assert isinstance(ended(seen), NoReply)
    hall.metastore.release_commits()
    with pytest.raises(NotFound):
        run(hall.ns.lookup(ROOT, hall.root, b"lost"))
    assert run(hall.ns.getattr(ROOT, file)).size == 0
    assert run(hall.ns.write(ROOT, file, 0, b"U", Stability.UNSTABLE)).verifier != verifier


def test_an_installation_that_fails_crashes_the_volume_and_not_the_process(hall, monkeypatch):
    file = make(hall)
    monkeypatch.setattr(hall.ns._engine, "_install", lambda *_: 1 / 0)
    with pytest.raises(NoReply):  # whether the change was queued is not known
        run(hall.ns.remove(ROOT, hall.root, b"f"))
    monkeypatch.undo()
    assert run(hall.ns.getattr(ROOT, file)).file == file


def test_a_gateway_that_lost_its_volume_answers_nothing(hall):
    make(hall)
    successor = hall.reopen()
    with pytest.raises((NoReply, FsError)):
        make(hall, b"zombie")
    with pytest.raises(NotFound):
        run(successor.ns.lookup(ROOT, successor.root, b"zombie"))


def test_changes_are_refused_while_the_database_is_far_behind(hall, monkeypatch):
    monkeypatch.setattr("namespace.engine.PENDING_LIMIT_BYTES", 0)
    hall.metastore.hold_commits()
    first = create(hall, b"first")
    second = create(hall, b"second")
    assert not second.called
    hall.clock.advance(60)
    assert isinstance(ended(second), Unavailable)
    third = create(hall, b"third")
    hall.metastore.release_batch()
    hall.metastore.release_batch()
    assert ended(first).file.size == 0
    assert ended(third).file.size == 0


def test_a_small_cache_changes_nothing_but_speed():
    hall = MemoryHall()
    for volume in hall.ns._volumes.every():
        volume.cache._limit = 5000
    names = [b"%03d" % number for number in range(100)]
    for name in names:
        make(hall, name)
    assert sum(len(v.cache.inodes) for v in hall.ns._volumes.every()) < 20
    for name in names:
        run(hall.ns.lookup(ROOT, hall.root, name))
        with pytest.raises(NotFound):
            run(hall.ns.lookup(ROOT, hall.root, name + b"-"))
    page = run(hall.ns.readdir(ROOT, hall.root, 2, 200))
    assert [entry.name for entry in page.entries] == names
    assert page.eof


def test_a_directory_made_here_answers_no_such_name_without_a_query(hall):
    made = run(hall.ns.mkdir(ROOT, hall.root, b"d", SetAttr())).file.file
    hall.metastore.hold_loads()
    missing = begin(hall.ns.lookup(ROOT, made, b"x"))
    assert isinstance(ended(missing), NotFound)


def test_what_evicted_entries_knew_is_asked_again(hall):
    made = run(hall.ns.mkdir(ROOT, hall.root, b"d", SetAttr())).file.file
    file = make(hall, b"x", made)
    for volume in hall.ns._volumes.every():
        volume.cache._limit = 0
    run(hall.ns.getattr(ROOT, hall.root))
    run(hall.ns.getattr(ROOT, hall.root))
    assert run(hall.ns.lookup(ROOT, made, b"x")).file.file == file
