"""UNSTABLE data, body maps and their upkeep, through the namespace over memory rooms that tests hold and fail."""

from __future__ import annotations

import random

import pytest
from hall import ROOT, MemoryHall, begin, run

from foundation.crash import crash_points
from foundation.errors import AccessDenied, GuardFailed, NoReply, NoSpace, Unavailable
from metastore.records import Blob, Extent, Inode
from namespace import loader, rewriting, room, writeback
from namespace import setattr as setattr_
from namespace.api import Caller, Conditions, CreateMode, PutRequest, SetAttr, Stability
from namespace.setattr import ROWS_DROPPED
from storage_engine.api import MAX_BLOB_BYTES
from storage_engine.memory import MemoryBodyStore

UNSTABLE, FILE_SYNC = Stability.UNSTABLE, Stability.FILE_SYNC
KIB = 1024


@pytest.fixture
def hall():
    return MemoryHall()


def make(hall, name=b"f"):
    return run(hall.ns.create(ROOT, hall.root, name, CreateMode.GUARDED, SetAttr(), b"")).file.file


def write(hall, file, offset, data, stability=UNSTABLE):
    return run(hall.ns.write(ROOT, file, offset, data, stability))


def writing(hall, file, offset, data, stability=UNSTABLE):
    return begin(hall.ns.write(ROOT, file, offset, data, stability))


def commit(hall, file, offset=0, count=0):
    return run(hall.ns.commit(ROOT, file, offset, count))


def read(hall, file, offset=0, count=1 << 24):
    return b"".join(run(hall.ns.read(ROOT, file, offset, count)).buffers)


def truncate(hall, file, size):
    return run(hall.ns.setattr(ROOT, file, SetAttr(size=size), None))


def outcome(deferred):
    found = []
    deferred.addBoth(found.append)
    return getattr(found[0], "value", found[0]) if found else None


def inode(hall, file):
    return hall.database.rows[Inode][hall.vol, file.ino]


def meter(hall):
    return hall.ns._writeback.room.meter


def scatter(hall, file, count, size=100, gap=50):
    """Leave *count* extents with holes between, each from a write of its own; return the bytes."""
    body = bytearray(count * (size + gap))
    for number in range(count):
        data = bytes([number % 251 + 1]) * size
        body[number * (size + gap) : number * (size + gap) + size] = data
        write(hall, file, number * (size + gap), data)
    commit(hall, file)
    return bytes(body[: count * (size + gap) - gap])


def shatter(hall, file, count, size=100):
    """Leave *count* adjoining extents."""
    for parity in (0, 1):
        for number in range(parity, count, 2):
            write(hall, file, number * size, bytes([number % 251 + 1]) * size)
        commit(hall, file)
    return b"".join(bytes([number % 251 + 1]) * size for number in range(count))


# ---------------------------------------------------------------------- seals that wait and fail


def test_a_failed_seal_keeps_the_bytes_and_commit_answers_its_error(hall):
    file = make(hall)
    verifier = write(hall, file, 0, b"bytes").verifier
    hall.bodies.fail_puts(Unavailable("no node"))
    with pytest.raises(Unavailable):
        commit(hall, file)
    assert read(hall, file) == b"bytes"
    assert meter(hall).bytes == 5
    assert inode(hall, file).size == 0
    assert commit(hall, file).verifier == verifier
    assert inode(hall, file).size == 5
    assert hall.findings() == []
    assert meter(hall).held == 0


def test_a_commit_waits_for_its_range_alone(hall):
    file = make(hall)
    write(hall, file, 0, b"a" * 10)
    write(hall, file, 1000, b"b" * 10)
    commit(hall, file, 0, 100)
    assert inode(hall, file).size == 10
    commit(hall, file, 1005, 1)
    assert inode(hall, file).size == 1010
    assert hall.findings() == []


def test_what_is_written_after_a_commit_began_is_not_waited_for(hall):
    file = make(hall)
    write(hall, file, 0, b"old")
    hall.bodies.hold_puts()
    committing = begin(hall.ns.commit(ROOT, file, 0, 0))
    write(hall, file, 10, b"new")
    hall.bodies.release_puts()
    assert outcome(committing).count == 0
    assert inode(hall, file).size == 3
    assert read(hall, file) == b"old" + bytes(7) + b"new"


def test_a_truncation_while_the_seal_is_under_way_wins(hall):
    file = make(hall)
    write(hall, file, 0, b"0123456789")
    hall.bodies.hold_puts()
    committing = begin(hall.ns.commit(ROOT, file, 0, 0))
    truncate(hall, file, 4)
    truncate(hall, file, 8)
    hall.bodies.release_puts()
    assert outcome(committing).count == 0
    assert read(hall, file) == b"0123" + bytes(4)
    assert hall.findings() == []
    assert meter(hall).held == 0


def test_a_truncation_to_nothing_drops_what_is_pending_and_the_overlay_with_it(hall):
    file = make(hall)
    write(hall, file, 0, b"0123456789")
    hall.bodies.hold_puts()
    committing = begin(hall.ns.commit(ROOT, file, 0, 0))
    truncate(hall, file, 0)
    write(hall, file, 2, b"ab")
    hall.bodies.release_puts()
    assert outcome(committing).count == 0
    commit(hall, file)
    assert read(hall, file) == b"\0\0ab"
    assert hall.findings() == []
    assert meter(hall).held == 0


@pytest.mark.parametrize("sealed", [False, True])
def test_a_put_drops_what_is_pending_and_the_verifier_tells(hall, sealed):
    hall.put(b"f", b"first")
    file = run(hall.ns.lookup(ROOT, hall.root, b"f")).file.file
    verifier = write(hall, file, 0, b"unstable").verifier
    if sealed:
        hall.bodies.hold_puts()
        committing = begin(hall.ns.commit(ROOT, file, 0, 0))
        hall.bodies.release_puts()
        assert outcome(committing).count == 0
        assert hall.put(b"f", b"second").size == 6
        assert write(hall, file, 0, b"").verifier == verifier  # nothing was pending any more
        return
    hall.put(b"f", b"second")
    assert commit(hall, file).verifier != verifier
    assert read(hall, file) == b"second"
    assert hall.findings() == []
    assert meter(hall).held == 0


def test_a_flush_that_waits_for_extents_takes_only_what_is_still_there(hall):
    file = make(hall)
    body = scatter(hall, file, 20)
    hall = hall.reopen()
    write(hall, file, 0, b"x" * 400)
    hall.metastore.hold_loads()
    committing = begin(hall.ns.commit(ROOT, file, 0, 0))
    assert not committing.called
    truncating = begin(hall.ns.setattr(ROOT, file, SetAttr(size=200), None))
    hall.metastore.release_loads()
    assert outcome(truncating).after.size == 200
    assert outcome(committing).count == 0
    assert read(hall, file) == b"x" * 200
    assert len(body) > 200
    assert hall.findings() == []


def test_a_flush_of_many_runs_comes_in_changes_of_bounded_size(hall, monkeypatch):
    monkeypatch.setattr(writeback, "FLUSH_RUNS", 7)
    file = make(hall)
    sizes = []
    queue = hall.metastore.commit
    monkeypatch.setattr(hall.metastore, "commit", lambda change: sizes.append(len(change.puts)) or queue(change))
    body = scatter(hall, file, 50)
    assert len(sizes) >= 8
    assert max(sizes) <= 2 * 7 + 2
    assert read(hall, file) == body
    assert hall.findings() == []


# ---------------------------------------------------------------------- room


def test_nospace_shows_at_write_for_bytes_the_nodes_have_not_got_yet():
    clockless = MemoryHall()
    hall = MemoryHall(bodies=MemoryBodyStore(clockless.clock, capacity_bytes=10_000))
    file = make(hall)
    hall.bodies.hold_puts()
    for offset in (0, 4000):
        write(hall, file, offset, bytes(4000))
    with pytest.raises(NoSpace):
        write(hall, file, 8000, bytes(4000))
    write(hall, file, 8000, bytes(2000))
    hall.bodies.release_puts()
    commit(hall, file)
    assert hall.findings() == []


def test_one_file_does_not_take_the_room_of_others_and_who_waits_goes_on_in_order(hall, monkeypatch):
    monkeypatch.setattr(room, "FILE_LIMIT_BYTES", 5000)
    file, other = make(hall), make(hall, b"g")
    hall.bodies.hold_puts()
    write(hall, file, 0, b"a" * 4000)
    waiting = [writing(hall, file, 4000 * number, bytes([96 + number]) * 4000) for number in (1, 2, 3)]
    assert not any(each.called for each in waiting)
    write(hall, other, 0, b"o" * 4000)  # has room
    hall.bodies.release_puts()
    assert all(outcome(each).count == 4000 for each in waiting)
    commit(hall, file)
    assert read(hall, file) == b"a" * 8000 + b"b" * 4000 + b"c" * 4000
    assert hall.findings() == []


def test_nobody_overtakes_who_waits_for_memory(hall, monkeypatch):
    monkeypatch.setattr(room, "MEMORY_LIMIT_BYTES", 6000)
    files = [make(hall, b"%d" % number) for number in range(4)]
    hall.bodies.hold_puts()
    write(hall, files[0], 0, bytes(3000))
    order = []
    big = writing(hall, files[1], 0, bytes(3000))
    small = writing(hall, files[2], 0, bytes(10))
    for name, each in (("big", big), ("small", small)):
        each.addCallback(lambda _, name=name: order.append(name))
    assert order == []
    hall.bodies.release_puts()
    assert order == ["big", "small"]
    assert meter(hall).held <= 6000


def test_who_waits_for_room_is_refused_with_what_the_nodes_say(hall, monkeypatch):
    monkeypatch.setattr(room, "FILE_LIMIT_BYTES", 5000)
    file = make(hall)
    write(hall, file, 0, b"a" * 4000)
    hall.bodies.hold_puts()
    waiting = writing(hall, file, 4000, b"b" * 4000)
    hall.bodies.fail_puts(Unavailable("no node"))
    hall.bodies.release_puts()
    assert isinstance(outcome(waiting), Unavailable)
    assert read(hall, file) == b"a" * 4000
    write(hall, file, 4000, b"b" * 4000)  # the next one presses again
    commit(hall, file)
    assert read(hall, file) == b"a" * 4000 + b"b" * 4000


def test_a_crash_gives_all_memory_back_and_ends_every_wait(hall, monkeypatch):
    monkeypatch.setattr(room, "FILE_LIMIT_BYTES", 5000)
    file = make(hall)
    verifier = write(hall, file, 0, b"a" * 4000).verifier
    hall.bodies.hold_puts()
    waiting = writing(hall, file, 4000, b"b" * 4000)
    committing = begin(hall.ns.commit(ROOT, file, 0, 0))
    hall.ns._volumes.crashed(hall.vol, RuntimeError("for the test"))
    assert isinstance(outcome(waiting), Unavailable)
    assert meter(hall).bytes == meter(hall).runs == meter(hall).overlays == 0
    hall.bodies.release_puts()
    assert isinstance(outcome(committing), NoReply)
    assert meter(hall).held == 0
    assert write(hall, file, 0, b"").verifier != verifier
    assert read(hall, file) == b""
    assert hall.findings() == []


def test_closing_flushes_everything_and_tells_what_it_could_not(hall):
    good, bad = make(hall), make(hall, b"g")
    write(hall, bad, 0, b"lost")
    write(hall, good, 0, b"kept")
    hall.bodies.fail_puts(Unavailable("no node"))
    lost = run(hall.ns._writeback.flush_everything())
    assert [(each.bucket, each.ino, each.size) for each in lost] == [("bucket", bad.ino, 4)]
    assert inode(hall, good).size == 4
    with pytest.raises(Unavailable):
        write(hall, good, 0, b"late")


def test_idle_data_is_flushed_and_tried_again_when_that_fails(hall):
    file = make(hall)
    write(hall, file, 0, b"idle")
    hall.bodies.fail_puts(Unavailable("no node"))
    hall.clock.advance(6)
    assert inode(hall, file).size == 0
    hall.clock.advance(6)
    assert inode(hall, file).size == 4
    assert meter(hall).held == 0


def test_a_small_rest_does_not_keep_a_large_buffer(hall):
    file = make(hall)
    write(hall, file, 0, bytes(100 * KIB))
    write(hall, file, 10, bytes(100 * KIB))
    volume = next(iter(hall.ns._volumes.every()))
    runs = list(volume.cache.inodes[file.ino].overlay.runs)
    assert [run.length for run in runs] == [10, 100 * KIB]
    assert memoryview(runs[0].data.obj).nbytes == 10


def test_small_sequential_writes_are_sealed_by_blobs_before_anybody_commits(hall):
    file = make(hall)
    piece = bytes(64 * KIB)
    for offset in range(0, 4 * MAX_BLOB_BYTES, len(piece)):
        write(hall, file, offset, piece)
    assert {len(blob) for blob in hall.bodies.blobs.values()} == {MAX_BLOB_BYTES}
    assert meter(hall).bytes < 2 * MAX_BLOB_BYTES
    commit(hall, file)
    assert len(hall.bodies.blobs) == 4
    assert hall.findings() == []


# ---------------------------------------------------------------------- body maps


def test_a_truncation_of_many_extents_is_a_change_of_few_rows(hall, monkeypatch):
    file = make(hall)
    body = scatter(hall, file, 300)
    changes = []
    queue = hall.metastore.commit
    monkeypatch.setattr(hall.metastore, "commit", lambda change: changes.append(change) or queue(change))
    truncate(hall, file, 1020)
    (change,) = changes
    assert len(change.puts) + len(change.drops) + len(change.cuts) + len(change.blob_refs) < ROWS_DROPPED
    assert read(hall, file) == body[:1020]
    assert hall.findings() == []
    truncate(hall, file, 90)
    assert inode(hall, file).extents == 0
    assert inode(hall, file).x_length == 90
    assert hall.findings() == []
    assert hall.reopen().ns is not hall.ns


def test_a_long_map_is_known_in_parts(hall, monkeypatch):
    monkeypatch.setattr(loader, "EXTENT_PAGE", 8)
    monkeypatch.setattr(loader, "SCATTERED_PAGE", 2)
    monkeypatch.setattr(loader, "MAP_EXTENTS", 40)
    file = make(hall)
    body = bytearray(scatter(hall, file, 200))
    hall = hall.reopen()
    volume = next(iter(hall.ns._volumes.every()))
    chance = random.Random(5)
    for number in range(60):
        offset = chance.randrange(len(body))
        if number % 3:
            assert read(hall, file, offset, 500) == bytes(body[offset : offset + 500])
        else:
            data = bytes([number]) * chance.randrange(1, 300)
            body[offset : offset + len(data)] = data
            write(hall, file, offset, data)
            if number % 9 == 0:
                commit(hall, file)
        assert len(volume.cache.inodes[file.ino].extents.extents) < 70
    commit(hall, file)
    assert read(hall, file) == bytes(body)
    assert hall.findings() == []


# ---------------------------------------------------------------------- rewriting


def rewritten(hall, rounds=50):
    hall.clock.advance(rounds)


def test_a_fragmented_file_is_rewritten_and_nobody_notices(hall):
    file = make(hall)
    body = shatter(hall, file, 100)
    before, etag = run(hall.ns.getattr(ROOT, file)), head(hall).etag
    image = inode(hall, file)
    assert image.extents == 100
    rewritten(hall)
    after = inode(hall, file)
    assert after.extents == 0
    assert after.x_length == len(body)
    assert (after.size, after.mtime, after.ctime, after.write_seq) == (
        image.size,
        image.mtime,
        image.ctime,
        image.write_seq,
    )
    assert run(hall.ns.getattr(ROOT, file)) == before
    assert (head(hall).etag, head(hall).last_modified) == (etag, image.content_time)
    assert read(hall, file) == body
    hall.clock.advance(120)
    assert len(hall.bodies.blobs) == 1
    assert hall.findings() == []


def head(hall, key=b"f"):
    return run(hall.ns.head_object(ROOT, "bucket", key, Conditions()))


def test_a_file_that_is_fragmented_when_the_gateway_starts_is_noticed_when_it_is_read(hall):
    file = make(hall)
    body = shatter(hall, file, 100)
    hall = hall.reopen()
    assert read(hall, file) == body
    rewritten(hall)
    assert inode(hall, file).extents == 0
    assert read(hall, file) == body


@pytest.mark.parametrize("act", ["write", "truncate", "put", "remove"])
def test_what_comes_while_a_window_is_rewritten_wins(hall, act):
    file = make(hall)
    body = bytearray(shatter(hall, file, 100))
    hall.bodies.hold_puts()
    rewritten(hall, 1)
    assert hall.bodies.puts_waiting == 1
    if act == "write":
        writes = writing(hall, file, 450, b"NEW", FILE_SYNC)
        body[450:453] = b"NEW"
    elif act == "truncate":
        truncate(hall, file, 1234)
        body = body[:1234]
    elif act == "put":
        session = begin(put(hall))
        body = b"put"
    else:
        run(hall.ns.remove(ROOT, hall.root, b"f"))
    hall.bodies.release_puts()
    if act == "write":
        assert outcome(writes).count == 3
    if act == "put":
        assert outcome(session).size == 3
    rewritten(hall)
    if act != "remove":
        assert read(hall, file) == bytes(body)
    assert hall.findings() == []


async def put(hall):
    session = await hall.ns.begin_put(ROOT, "bucket", PutRequest(b"f", {}, {}))
    await session.write(b"put")
    return await session.finish(b"etag", {})


@pytest.mark.parametrize("point", ["rewrite.after_put", "rewrite.before_commit"])
def test_a_crash_while_rewriting_leaves_the_file_as_it_was(hall, point):
    class DiedError(BaseException):
        pass

    def die():
        raise DiedError

    file = make(hall)
    body = shatter(hall, file, 100)
    blobs = set(hall.bodies.blobs)
    rewriter = hall.ns._duties._rewriter
    crash_points()[point].arm(die)
    with pytest.raises(DiedError):
        run(rewriter.rewrite_some())
    crash_points()[point].disarm()
    again = hall.reopen()
    assert inode(again, file).extents == 100
    assert read(again, file) == body
    again.clock.advance(60)
    assert again.findings() == []
    assert set(again.bodies.blobs) >= blobs or inode(again, file).extents == 0


def test_a_reader_keeps_what_the_rewriting_replaced(hall):
    file = make(hall)
    body = shatter(hall, file, 100)
    reader = run(hall.ns.open_object(ROOT, "bucket", b"f", Conditions()))
    rewritten(hall, 300)
    assert inode(hall, file).extents == 0
    assert b"".join(run(reader.read(0, len(body)))) == body
    reader.close()
    rewritten(hall, 300)
    assert len([blob for blob in hall.database.rows[Blob].values() if not blob.doomed]) == 1


def test_large_pieces_and_holes_are_left_as_they_are(hall):
    file = make(hall)
    body = scatter(hall, file, 100)
    rewritten(hall)
    assert inode(hall, file).extents == 100
    assert read(hall, file) == body
    assert rewriting.is_fragmented(inode(hall, file))


# ---------------------------------------------------------------------- access times


def test_atime_moves_as_relatime_says_and_no_answer_waits_for_it(hall):
    file = make(hall)
    write(hall, file, 0, b"data", FILE_SYNC)
    commits = []
    queue = hall.metastore.commit
    hall.metastore.commit = lambda change: commits.append(change) or queue(change)
    first = run(hall.ns.read(ROOT, file, 0, 4)).file
    assert first.atime > max(first.mtime, first.ctime)
    assert run(hall.ns.read(ROOT, file, 0, 4)).file.atime == first.atime
    assert commits == []
    assert run(hall.ns.getattr(ROOT, file)).atime == first.atime
    hall.clock.advance(25 * 3600)
    assert run(hall.ns.read(ROOT, file, 0, 4)).file.atime > first.atime + 24 * 3600 * 10**9


def test_atime_is_written_with_the_next_change_or_when_there_is_time(hall):
    file, other = make(hall), make(hall, b"g")
    for each in (file, other):
        write(hall, each, 0, b"data", FILE_SYNC)
    hall.clock.advance(61)
    atimes = [run(hall.ns.read(ROOT, each, 0, 4)).file.atime for each in (file, other)]
    run(hall.ns.setattr(ROOT, file, SetAttr(mode=0o600), None))
    assert inode(hall, file).atime == atimes[0]
    assert inode(hall, other).atime != atimes[1]
    ctime = inode(hall, other).ctime
    hall.clock.advance(61)
    assert inode(hall, other).atime == atimes[1]
    assert inode(hall, other).ctime == ctime
    run(hall.ns.setattr(ROOT, file, SetAttr(atime=5), None))
    assert run(hall.ns.getattr(ROOT, file)).atime == 5
    assert [extent for extent in hall.database.rows[Extent].values() if extent.vol != hall.vol] == []


# ---------------------------------------------------------------------- truncation in steps


@pytest.fixture
def short_steps(monkeypatch):
    monkeypatch.setattr(setattr_, "STEP_EXTENTS", 10)
    monkeypatch.setattr(setattr_, "EXTENT_PAGE", 7)


def test_a_very_long_tail_is_cut_in_steps_of_bounded_size(hall, monkeypatch, short_steps):
    file = make(hall)
    body = scatter(hall, file, 100)
    hall = hall.reopen()
    ctime = run(hall.ns.getattr(ROOT, file)).ctime
    rows = []
    queue = hall.metastore.commit
    monkeypatch.setattr(
        hall.metastore, "commit", lambda change: rows.append(len(change.puts + change.drops)) or queue(change)
    )
    wcc = run(hall.ns.setattr(ROOT, file, SetAttr(size=1020, mode=0o600), ctime))
    assert (wcc.after.size, wcc.after.mode) == (1020, 0o600)
    assert len(rows) >= 9
    assert max(rows) <= 10 + 2
    assert read(hall, file) == body[:1020]
    volume = next(iter(hall.ns._volumes.every()))
    assert len(volume.cache.inodes[file.ino].extents.extents) < 20
    assert hall.findings() == []


def test_a_truncation_in_steps_that_dies_leaves_a_beginning_of_the_file(hall, short_steps):
    class DiedError(BaseException):
        pass

    def die():
        raise DiedError

    file = make(hall)
    body = scatter(hall, file, 100)
    crash_points()["truncate.after_step"].arm(die, 3)
    with pytest.raises(DiedError):
        truncate(hall, file, 20)
    crash_points()["truncate.after_step"].disarm()
    again = hall.reopen()
    size = inode(again, file).size
    assert 20 < size < len(body)
    assert read(again, file) == body[:size]
    assert again.findings() == []
    truncate(again, file, 20)
    assert read(again, file) == body[:20]


def test_a_truncation_in_steps_that_is_not_allowed_does_none(hall, short_steps):
    file = make(hall)
    body = scatter(hall, file, 100)
    with pytest.raises(GuardFailed):
        run(hall.ns.setattr(ROOT, file, SetAttr(size=20), 1))
    with pytest.raises(AccessDenied):
        run(hall.ns.setattr(Caller(5, 5), file, SetAttr(size=20), None))
    assert read(hall, file) == body
