"""The rules of DESIGN 2 and 4, one test each: tests/mutation takes each rule out and sees its test fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import registers
from hall import ROOT, MemoryHall, begin, run
from world import World

from foundation.aio import Promise
from foundation.errors import AlreadyExists, NoReply, NotFound, StaleHandle
from metastore.records import Edge, Extent
from namespace.api import Conditions, CreateMode, SetAttr, Stability
from namespace.extents import ExtentMap

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from twisted.internet.defer import Deferred

    from namespace.api import FileId


def world(cache_bytes: int = 1 << 20) -> World:
    """Return a gateway with names `a` (a file) and no `b`, whose batches wait."""
    made = World(cache_bytes)
    run(create(made, b"a"))
    made.metastore.hold_commits()
    return made


def create(made: World, name: bytes, directory: FileId | None = None):
    return made.ns.create(ROOT, directory or made.directories[0], name, CreateMode.GUARDED, SetAttr(), b"")


def lookup(made: World, name: bytes):
    return made.ns.lookup(ROOT, made.directories[0], name)


def remove(made: World, name: bytes):
    return made.ns.remove(ROOT, made.directories[0], name)


def told(deferred: Deferred):
    """Return what an operation was told, its error included; it must have ended. To be asked once."""
    assert deferred.called, "it still waits"
    found: list = []
    deferred.addBoth(found.append)
    return getattr(found[0], "value", found[0])


def release_load(made: World, which: int = 0) -> None:
    made.metastore.loads.pop(which).resolve(None)


def run_durably(made: World, work: Coroutine[Any, Any, object]) -> None:
    done = begin(work)
    all_durable(made)
    told(done)


def all_durable(made: World) -> None:
    while made.metastore.release_batch():
        pass


# ------------------------------------------------------------------------------------------- late loads


def test_a_late_load_never_replaces_an_inodes_deletion_mark():
    made = world()
    file = run(lookup(made, b"a")).file.file
    made.open()  # a new gateway: nothing is in memory
    made.metastore.gated = True
    late = begin(made.ns.getattr(ROOT, file))
    other = begin(lookup(made, b"a"))
    while not other.called:
        release_load(made, 1)
    gone = begin(remove(made, b"a"))
    assert told(gone).after is not None
    release_load(made)
    assert isinstance(told(late), StaleHandle)


def test_a_late_load_never_hides_a_name_that_was_made_meanwhile():
    made = world()
    made.open()  # a new gateway: nothing is in memory
    run(made.ns.getattr(ROOT, made.directories[0]))
    made.metastore.gated = True
    late = begin(lookup(made, b"b"))
    making = begin(create(made, b"b"))
    release_load(made, 1)
    made.metastore.gated = False
    ino = told(making).file.file.ino
    release_load(made)
    assert told(late).file.file.ino == ino
    assert run(lookup(made, b"b")).file.file.ino == ino


def test_a_late_load_never_brings_an_extent_back():
    old = Extent(1, 1, 0, 100, 7, 0)
    extents = ExtentMap(1)
    extents.learn([old], 50, 100)
    cut = [Extent(1, 1, 0, 60, 7, 0), Extent(1, 1, 60, 10, 8, 0), Extent(1, 1, 70, 30, 7, 70)]
    extents.extents = list(cut)
    extents.learn([old], 0, 100)
    assert extents.extents == cut


# ------------------------------------------------------------------------------------------- pages


def test_a_page_is_not_older_than_the_directory_that_it_comes_with():
    """A client keeps the entries under the directory's mtime: older ones would stay for ever."""
    made = world()
    begin(create(made, b"b"))
    page = begin(made.ns.readdir(ROOT, made.directories[0], 0, 100))
    assert not page.called
    all_durable(made)
    assert b"b" in {entry.name for entry in told(page).entries}


def test_a_page_shows_the_live_inodes_attributes():
    made = world()
    file = run(lookup(made, b"a")).file.file
    made.metastore.gated = True
    page = begin(made.ns.readdir(ROOT, made.directories[0], 0, 100))
    chmod = begin(made.ns.setattr(ROOT, file, SetAttr(mode=0o600), None))
    all_durable(made)
    assert told(chmod).after.mode == 0o600
    release_load(made)
    modes = {entry.name: entry.attr.mode for entry in told(page).entries}
    assert modes[b"a"] == 0o600


# ------------------------------------------------------------------------------------------- gated answers


def test_an_answer_waits_for_the_highest_batch_it_consulted():
    made = world()
    begin(create(made, b"b"))
    found = begin(lookup(made, b"b"))
    assert not found.called
    all_durable(made)
    assert told(found).file.size == 0


def test_an_answer_that_nothing_is_there_waits_for_the_removal():
    made = world()
    file = run(lookup(made, b"a")).file.file
    begin(remove(made, b"a"))
    gone = begin(made.ns.getattr(ROOT, file))
    assert not gone.called
    all_durable(made)
    assert isinstance(told(gone), StaleHandle)


def test_a_refusal_waits_for_what_it_rests_on():
    made = world()
    begin(create(made, b"b"))
    again = begin(create(made, b"b"))
    assert not again.called
    all_durable(made)
    assert isinstance(told(again), AlreadyExists)


# ------------------------------------------------------------------------------------------- eviction


def test_a_deletion_mark_stays_until_its_batch_is_durable():
    made = world(cache_bytes=0)
    begin(remove(made, b"a"))
    for _ in range(3):
        run(made.ns.getattr(ROOT, made.directories[1]))  # the end of each operation makes room
    found = begin(lookup(made, b"a"))
    all_durable(made)
    assert isinstance(told(found), NotFound)


def test_a_deletion_mark_stays_until_no_older_load_is_in_flight():
    made = world(cache_bytes=0)
    read_page, gate = made.metastore.page_by_cookie, Promise()

    async def slow(*args):
        page = await read_page(*args)
        await gate
        return page

    made.metastore.page_by_cookie = slow
    page = begin(made.ns.readdir(ROOT, made.directories[0], 2, 100))
    begin(remove(made, b"a"))
    all_durable(made)
    for _ in range(3):
        run(made.ns.getattr(ROOT, made.directories[1]))
    gate.resolve(None)
    attributes = {entry.name: entry.attr for entry in told(page).entries}
    assert attributes[b"a"] is None, "the page brought a removed file back"


def test_a_known_range_is_cut_where_an_entry_is_evicted():
    made = world()
    made.metastore.release_commits()
    below = run(made.ns.mkdir(ROOT, made.directories[0], b"e", SetAttr())).file.file
    run(create(made, b"x", below))
    cache = made.ns._volumes.every()[0].cache
    cache._forget(cache.directories[below.ino].entries[b"x"])
    assert run(made.ns.lookup(ROOT, below, b"x")).file.size == 0


# ------------------------------------------------------------------------------------------- refused batches


def refuse(made: World) -> None:
    made._may_crash = True
    made.metastore.refuse_next()
    made.metastore.release_batch()


def test_a_refused_batch_drops_what_memory_held():
    made = world()
    begin(create(made, b"b"))
    refuse(made)
    made.metastore.release_commits()
    assert isinstance(told(begin(lookup(made, b"b"))), NotFound)


def test_a_refused_batch_drops_the_changes_queued_behind_it():
    made = world()
    begin(create(made, b"b"))
    begin(create(made, b"c"))  # gathers in the batch behind the one that is on its way
    refuse(made)
    made.metastore.release_commits()
    assert {
        name for name in (b"b", b"c") if (made.vol, made.directories[0].ino, name) in made.database.rows[Edge]
    } == set()


def test_a_refused_batch_takes_the_held_replies():
    made = world()
    waiting = [begin(create(made, b"b")), begin(lookup(made, b"b")), begin(create(made, b"b"))]
    refuse(made)
    assert [type(told(each)) for each in waiting] == [NoReply] * 3


def test_a_refused_batch_changes_the_write_verifier():
    made = world()
    written = run(made.ns.write(ROOT, made.files[0], 0, b"data", Stability.UNSTABLE))
    begin(create(made, b"b"))
    refuse(made)
    made.metastore.release_commits()
    assert run(made.ns.commit(ROOT, made.files[0], 0, 0)).verifier != written.verifier


def test_a_gateway_that_lost_its_volume_changes_nothing():
    zombie = MemoryHall()
    successor = zombie.reopen()
    begin(zombie.ns.create(ROOT, zombie.root, b"late", CreateMode.GUARDED, SetAttr(), b""))
    zombie.metastore.release_commits()
    assert isinstance(told(begin(successor.ns.lookup(ROOT, successor.root, b"late"))), NotFound)
    assert (zombie.vol, zombie.root.ino, b"late") not in zombie.database.rows[Edge]


# ------------------------------------------------------------------------------------------- what must not run twice


def test_what_a_request_did_is_known_to_the_next_incarnation():
    made = world()
    asked = (ROOT, made.directories[0], b"a", b"a request in 16.")
    run_durably(made, made.ns.remove(*asked))
    begin(create(made, b"b"))
    refuse(made)
    made.metastore.release_commits()
    assert told(begin(made.ns.remove(*asked))).before is None


def test_a_request_whose_fate_is_not_known_is_not_told_to_come_as_another():
    hall = MemoryHall()
    asked = begin(hall.second().ns.remove(ROOT, hall.root, b"a", b"a request in 16."))
    assert not asked.called


# ------------------------------------------------------------------------------------------- UNSTABLE data


def unstable(made: World, offset: int, data: bytes):
    return run(made.ns.write(ROOT, made.files[0], offset, data, Stability.UNSTABLE))


def test_a_flush_makes_extents_only_of_what_the_overlay_still_owns():
    made = world()
    made.metastore.release_commits()
    made.bodies.gated = True
    unstable(made, 0, b"12345678")
    committing = begin(made.ns.commit(ROOT, made.files[0], 0, 0))
    run(made.ns.setattr(ROOT, made.files[0], SetAttr(size=4), None))
    made.bodies.puts.pop().resolve(None)
    assert told(committing).file.after.size == 4
    assert made._durable_cells()[0] == registers.to_cells(b"1234")


def test_commit_waits_for_the_writes_before_it():
    made = world()
    made.metastore.release_commits()
    made.bodies.gated = True
    unstable(made, 0, b"1234")
    committing = begin(made.ns.commit(ROOT, made.files[0], 0, 0))
    assert not committing.called
    made.bodies.puts.pop().resolve(None)
    assert told(committing).file.after.size == 4
    assert made._durable_cells()[0] == registers.to_cells(b"1234")


def test_commit_does_not_wait_for_the_writes_after_it():
    made = world()
    made.metastore.release_commits()
    made.bodies.gated = True
    unstable(made, 0, b"1234")
    committing = begin(made.ns.commit(ROOT, made.files[0], 0, 0))
    unstable(made, 8, b"9abc")
    made.bodies.puts.pop(0).resolve(None)
    assert told(committing).file.after.size == 12
    assert made._durable_cells()[0] == registers.to_cells(b"1234")


def test_commit_waits_for_what_took_the_place_of_earlier_writes():
    """Else a crash would show neither the bytes that it promised nor those that replaced them."""
    made = world()
    made.metastore.release_commits()
    made.bodies.gated = True
    unstable(made, 0, b"1234")
    committing = begin(made.ns.commit(ROOT, made.files[0], 0, 0))
    unstable(made, 0, b"5678")
    made.bodies.puts.pop(0).resolve(None)
    if committing.called:
        assert made._durable_cells()[0] in (registers.to_cells(b"1234"), registers.to_cells(b"5678"))
    else:
        made.bodies.puts.pop(0).resolve(None)
        assert told(committing).file.after.size == 4
        assert made._durable_cells()[0] == registers.to_cells(b"5678")


def test_a_put_drops_the_unstable_data_of_its_file():
    made = world()
    made.metastore.release_commits()
    unstable(made, 0, b"12345678")
    run(made._put(b"f", b"body"))
    assert run(made._read(made.files[0])) == registers.to_cells(b"body")


def test_a_put_over_unstable_data_changes_the_write_verifier():
    made = world()
    made.metastore.release_commits()
    written = unstable(made, 0, b"12345678")
    run(made._put(b"f", b"body"))
    assert run(made.ns.commit(ROOT, made.files[0], 0, 0)).verifier != written.verifier


# ------------------------------------------------------------------------------------------- bodies


def test_a_blob_doomed_while_a_read_begins_outlives_the_read():
    hall = MemoryHall()
    hall.put(b"k", b"first")
    doom, gate = hall.metastore.doom, Promise()

    async def slow(vol: int, now_ns: int, limit: int) -> int:
        await gate
        return await doom(vol, now_ns, limit)

    hall.metastore.doom = slow
    hall.clock.advance(1.5)  # the duties are about to doom
    reader = run(hall.ns.open_object(ROOT, "bucket", b"k", Conditions()))
    hall.put(b"k", b"other")
    gate.resolve(None)
    hall.clock.advance(60)
    assert b"".join(run(reader.read(0, 5))) == b"first"
    reader.close()
