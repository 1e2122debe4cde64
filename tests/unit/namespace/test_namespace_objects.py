"""Objects as S3 sees them: conditions, metadata that stays true, deletion of many, and contents that stay readable."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hall import ROOT, begin, run
from object_hall import ObjectHall, md5_of

from foundation.crash import crash_point
from foundation.errors import (
    AccessDenied,
    InvalidArgument,
    NoReply,
    NotFound,
    NotModified,
    PreconditionFailed,
)
from metastore.records import Blob, Extent, Reclaim
from namespace.api import Caller, Conditions, DeleteTarget, ListRequest, PutRequest, SetAttr, Stability
from namespace.conditions import check_read, check_source, check_write
from namespace.snapshot import Frozen, Snapshot
from namespace.suffixes import content_type
from storage_engine.api import MAX_BLOB_BYTES

NS = 1_000_000_000
BLOB = 1 << 16


@pytest.fixture
def hall():
    return ObjectHall()


# ---------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("conditions", "error"),
    [
        ({}, None),
        ({"if_match": (b"e",)}, None),
        ({"if_match": (b"*",)}, None),
        ({"if_match": (b"x", b"y")}, PreconditionFailed),
        ({"if_match": (b"e",), "if_unmodified_since": 5}, None),  # If-Match decides alone
        ({"if_unmodified_since": 9}, PreconditionFailed),
        ({"if_unmodified_since": 10}, None),
        ({"if_none_match": (b"e",)}, NotModified),
        ({"if_none_match": (b"*",)}, NotModified),
        ({"if_none_match": (b"x",), "if_modified_since": 99}, None),  # If-None-Match decides alone
        ({"if_modified_since": 10}, NotModified),
        ({"if_modified_since": 9}, None),
        ({"if_match": (b"x",), "if_none_match": (b"e",)}, PreconditionFailed),  # the order of RFC 9110
        ({"if_match": (b"e",), "if_none_match": (b"e",)}, NotModified),
        ({"if_unmodified_since": 9, "if_modified_since": 10}, PreconditionFailed),
    ],
)
def test_conditions_of_reads_and_of_copies(conditions, error):
    given = Conditions(**conditions)
    checks = {check_read: error, check_source: PreconditionFailed if error is NotModified else error}
    for check, wanted in checks.items():
        if wanted is None:
            check(given, b"e", 10 * NS + 1)
        else:
            with pytest.raises(wanted):
                check(given, b"e", 10 * NS + 1)


@pytest.mark.parametrize(
    ("conditions", "there", "missing"),
    [
        ({}, None, None),
        ({"if_match": (b"e",)}, None, NotFound),
        ({"if_match": (b"*",)}, None, NotFound),
        ({"if_match": (b"x",)}, PreconditionFailed, NotFound),
        ({"if_none_match": (b"*",)}, PreconditionFailed, None),
        ({"if_none_match": (b"e",)}, PreconditionFailed, None),
        ({"if_none_match": (b"x",)}, None, None),
        ({"if_unmodified_since": 9}, PreconditionFailed, None),
        ({"if_unmodified_since": 10}, None, None),
        ({"if_match": (b"e",), "if_unmodified_since": 9}, None, NotFound),
    ],
)
def test_conditions_of_writes(conditions, there, missing):
    for etag, error in ((b"e", there), (None, missing)):
        if error is None:
            check_write(Conditions(**conditions), etag, 10 * NS + 1)
        else:
            with pytest.raises(error):
                check_write(Conditions(**conditions), etag, 10 * NS + 1)


def test_compare_and_swap_by_put_has_one_winner(hall):
    made = hall.store(b"a", b"0")
    sessions = []
    for number in range(3):
        request = PutRequest(b"a", {}, {}, Conditions(if_match=(made.etag,)))
        sessions.append(run(hall.ns.begin_put(ROOT, "bucket", request)))
        run(sessions[-1].write(b"%d" % (number + 1)))
    hall.metastore.hold_commits()
    puts = [begin(session.finish(md5_of(b"%d" % (n + 1)), {})) for n, session in enumerate(sessions)]
    hall.metastore.release_commits()
    assert puts[0].result.etag == md5_of(b"1")
    for put in puts[1:]:
        assert put.result.check(PreconditionFailed)
        put.addErrback(lambda _: None)
    assert hall.read(b"a") == b"1"
    hall.settle()


def test_conditions_hold_for_a_directory_key_too(hall):
    hall.store(b"d/", b"")
    hall.store(b"implied/x", b"")
    etag = hall.head(b"d/").etag
    with pytest.raises(NotModified):
        hall.head(b"d/", conditions=Conditions(if_none_match=(etag,)))
    with pytest.raises(PreconditionFailed):
        hall.store(b"d/", b"", conditions=Conditions(if_none_match=(b"*",)))
    hall.store(b"d/", b"", conditions=Conditions(if_match=(etag,)))
    with pytest.raises(NotFound):
        hall.store(b"implied/", b"", conditions=Conditions(if_match=(b"*",)))
    hall.store(b"implied/", b"", conditions=Conditions(if_none_match=(b"*",)))
    with pytest.raises(PreconditionFailed):
        run(hall.ns.delete_object(ROOT, "bucket", b"d/", Conditions(if_match=(b"x",))))
    run(hall.ns.delete_object(ROOT, "bucket", b"d/", Conditions(if_match=(etag,))))
    with pytest.raises(NotFound):
        hall.head(b"d/")


def test_a_delete_by_etag_leaves_what_changed_meanwhile(hall):
    made = hall.store(b"a", b"one")
    hall.write(b"a", 0, b"O")
    with pytest.raises(PreconditionFailed):
        run(hall.ns.delete_object(ROOT, "bucket", b"a", Conditions(if_match=(made.etag,))))
    run(hall.ns.delete_object(ROOT, "bucket", b"a", Conditions(if_match=(hall.head(b"a").etag,))))
    with pytest.raises(NotFound):
        run(hall.ns.delete_object(ROOT, "bucket", b"a", Conditions(if_match=(b"*",))))
    run(hall.ns.delete_object(ROOT, "bucket", b"a"))


# ---------------------------------------------------------------- delete many


def test_many_keys_are_deleted_in_few_batches_each_with_its_outcome(hall):
    for number in range(100):
        hall.store(b"d%d/k" % (number % 7) + b"%d" % number, b"x")
    hall.store(b"kept", b"x")
    keys = [b"d%d/k" % (number % 7) + b"%d" % number for number in range(100)]
    targets = [DeleteTarget(key) for key in keys]
    targets += [DeleteTarget(b"missing"), DeleteTarget(b"kept", Conditions(if_match=(b"x",))), DeleteTarget(b"../bad")]
    hall.metastore.hold_commits()
    deleting = begin(hall.ns.delete_objects(ROOT, "bucket", targets))
    for _ in range(2):
        assert not deleting.called
        hall.metastore.release_batch()
    hall.metastore.release_commits()
    outcomes = deleting.result
    assert [each.key for each in outcomes] == [target.key for target in targets]
    assert [each.error for each in outcomes[:101]] == [None] * 101
    assert isinstance(outcomes[101].error, PreconditionFailed)
    assert [info.key for info in run(hall.ns.list_objects(ROOT, "bucket", ListRequest())).contents] == [b"kept"]
    run(hall.ns.delete_object(ROOT, "bucket", b"kept"))
    hall.settle()
    assert hall.rows(Blob) == []


def test_each_key_is_authorized_and_their_number_is_bounded(hall):
    hall.store(b"open/a", b"x")
    hall.store(b"shut/a", b"x")
    run(hall.ns.setattr(ROOT, hall.file(b"open"), SetAttr(mode=0o777), None))
    stranger = Caller(1000, 1000, account="owner")
    outcomes = run(hall.ns.delete_objects(stranger, "bucket", [DeleteTarget(b"shut/a"), DeleteTarget(b"open/a")]))
    assert isinstance(outcomes[0].error, AccessDenied)
    assert outcomes[1].error is None
    with pytest.raises(InvalidArgument):
        run(hall.ns.delete_objects(ROOT, "bucket", [DeleteTarget(b"x")] * 1001))


# ---------------------------------------------------------------- what is said of a content


def test_after_an_nfs_write_nothing_old_is_said_of_the_content(hall):
    user = {
        "mtime": "1600000000.5",
        "md5chksum": "Ck4=",
        "s3cmd-attrs": "atime:1/ctime:2/gid:0/gname:root/md5:abc/mode:33188/mtime:1600000000/uid:0/uname:root",
        "mine": "1",
    }
    made = hall.store(b"a", b"one", user=user)
    assert made.user == user
    hall.clock.advance(10)
    hall.write(b"a", 3, b" two", Stability.UNSTABLE)
    assert hall.head(b"a") == made
    run(hall.ns.commit(ROOT, hall.file(b"a"), 0, 0))
    info = hall.head(b"a")
    mtime = run(hall.ns.getattr(ROOT, hall.file(b"a"))).mtime
    seconds = mtime // NS
    assert info.checksums == {}
    assert info.etag[-2:] == b"-1"
    assert len(info.etag) == 34
    assert info.last_modified > made.last_modified
    assert info.user == {
        "mtime": f"{seconds}.{mtime % NS:09d}",
        "s3cmd-attrs": f"atime:1/ctime:2/gid:0/gname:root/mode:33188/mtime:{seconds}/uid:0/uname:root",
        "mine": "1",
    }
    assert run(hall.ns.list_objects(ROOT, "bucket", ListRequest())).contents[0].etag == info.etag
    assert hall.head(b"a") == info
    assert hall.reopen().head(b"a") == info
    hall = hall.reopen()
    hall.truncate(b"a", 2)
    assert hall.head(b"a").etag != info.etag
    again = hall.store(b"a", b"one", user=user)
    assert (again.user, again.etag, again.checksums) == (user, made.etag, made.checksums)


def test_touch_and_chmod_change_nothing_that_is_said_of_the_content(hall):
    made = hall.store(b"a", b"one", user={"mtime": "1.5", "md5chksum": "x"})
    hall.clock.advance(10)
    run(hall.ns.setattr(ROOT, hall.file(b"a"), SetAttr(mode=0o600, mtime=5), None))
    assert hall.head(b"a") == made


def test_content_types_are_told_by_suffix_from_one_table(hall):
    for key, kind in (
        (b"d.x/a.HTML", "text/html"),
        (b"a.tar.gz", "application/gzip"),
        (b".json", "binary/octet-stream"),
        (b"d.json/plain", "binary/octet-stream"),
        (b"a.unheard-of", "binary/octet-stream"),
    ):
        assert content_type(key) == kind
    hall.store(b"a.json", b"{}")
    assert hall.head(b"a.json").headers == {"content-type": "application/json"}


# ---------------------------------------------------------------- bodies that are long


@pytest.fixture
def short_chunks(monkeypatch):
    monkeypatch.setattr("namespace.upload_body.MAX_BLOB_BYTES", BLOB)
    monkeypatch.setattr("namespace.contents.CHUNK", 2)
    monkeypatch.setattr("namespace.snapshot.WINDOW", 2)


@pytest.mark.usefixtures("short_chunks")
def test_a_long_body_is_a_draft_until_it_is_named_and_garbage_if_it_is_not(hall):
    session = run(hall.ns.begin_put(ROOT, "bucket", PutRequest(b"a", {}, {}, Conditions(if_none_match=(b"*",)))))
    for number in range(9):
        run(session.write(bytes([number]) * BLOB))
    assert len(hall.rows(Reclaim)) == 1
    hall.settle()
    assert len(hall.rows(Extent)) >= 6
    run(session.finish(b"e" * 32, {}))
    assert hall.rows(Reclaim) == []
    assert hall.read(b"a") == b"".join(bytes([number]) * BLOB for number in range(9))
    for how in ("abort", "refuse"):
        absent = Conditions(if_none_match=(b"*",))
        session = run(hall.ns.begin_put(ROOT, "bucket", PutRequest(b"b", {}, {}, absent)))
        for number in range(7):
            run(session.write(bytes([number]) * BLOB))
        if how == "abort":
            session.abort()
        else:
            hall.store(b"b", b"")
            with pytest.raises(PreconditionFailed):
                run(session.finish(b"e" * 32, {}))
            run(hall.ns.delete_object(ROOT, "bucket", b"b"))
    run(hall.ns.delete_object(ROOT, "bucket", b"a"))
    hall.settle()
    assert [hall.rows(kind) for kind in (Reclaim, Extent, Blob)] == [[], [], []]


@pytest.mark.parametrize("change", ["put", "write", "truncate", "shrink", "delete", "rename", "copy"])
@pytest.mark.usefixtures("short_chunks")
def test_an_open_object_stays_what_it_was_whatever_happens_to_it(hall, change):
    body = random.Random(1).randbytes(7 * BLOB + 5)
    hall.store(b"a", body)
    hall.store(b"b", b"b")
    readers = [run(hall.ns.open_object(ROOT, "bucket", b"a", Conditions())) for _ in range(2)]
    assert isinstance(readers[0]._snapshot, Snapshot)
    assert b"".join(run(readers[0].read(10, 100))) == body[10:110]
    if change == "put":
        hall.store(b"a", b"short")
    elif change == "write":
        hall.write(b"a", BLOB - 2, b"NEW BYTES")
    elif change == "truncate":
        hall.truncate(b"a", 0)
    elif change == "shrink":
        hall.truncate(b"a", BLOB + 1)
    elif change == "delete":
        run(hall.ns.delete_object(ROOT, "bucket", b"a"))
    elif change == "rename":
        run(hall.ns.rename(ROOT, hall.root, b"b", hall.root, b"a"))
    else:
        hall.copy(b"b", b"a")
    for _ in range(5):
        hall.clock.advance(30)
    for reader in readers:
        for start in (0, 3 * BLOB - 1, 7 * BLOB, 10):
            end = min(start + 2 * BLOB, len(body))
            assert b"".join(run(reader.read(start, end - start))) == body[start:end]
        reader.close()
    assert next(iter(hall.ns._volumes.every())).snapshots == {}
    hall.settle()
    used = {row.blob for row in hall.rows(Extent)}
    assert len(hall.rows(Blob)) <= len(used) + 2


@pytest.mark.usefixtures("short_chunks")
def test_a_window_that_was_loading_when_the_content_changed_is_not_used(hall):
    body = random.Random(2).randbytes(7 * BLOB)
    hall.store(b"a", body)
    reader = run(hall.ns.open_object(ROOT, "bucket", b"a", Conditions()))
    late = run(hall.ns.open_object(ROOT, "bucket", b"a", Conditions()))
    hall.write(b"a", 0, b"NEW")
    fresh = run(hall.ns.open_object(ROOT, "bucket", b"a", Conditions()))
    assert b"".join(run(reader.read(0, 9))) == b"".join(run(late.read(0, 9))) == body[:9]
    assert b"".join(run(fresh.read(0, 9))) == b"NEW" + body[3:9]
    hall.metastore.hold_loads()
    reading = begin(fresh.read(4 * BLOB, 9))
    writing = begin(hall.ns.write(ROOT, hall.file(b"a"), 4 * BLOB, b"AGAIN", Stability.FILE_SYNC))
    for _ in range(20):
        hall.metastore.release_loads()
        hall.metastore.hold_loads()
    hall.metastore.release_loads()
    assert writing.called
    assert b"".join(reading.result) == body[4 * BLOB : 4 * BLOB + 9]
    assert b"".join(run(fresh.read(4 * BLOB, 5))) == body[4 * BLOB : 4 * BLOB + 5]
    for each in (reader, late, fresh):
        each.close()
    hall.settle()


@pytest.mark.usefixtures("short_chunks")
def test_a_reader_of_a_volume_that_was_taken_anew_reads_no_further(hall):
    hall.store(b"a", bytes(7 * BLOB))
    reader = run(hall.ns.open_object(ROOT, "bucket", b"a", Conditions()))
    hall.ns._volumes.crashed(hall.vol, RuntimeError("test"))
    with pytest.raises(NoReply):
        run(reader.read(0, 5))
    reader.close()


def test_a_clock_that_is_set_back_dooms_nothing_under_a_reader(hall):
    hall.store(b"a", b"body")
    reader = run(hall.ns.open_object(ROOT, "bucket", b"a", Conditions()))
    now = hall.clock.now_ns
    hall.clock.now_ns = lambda: now() - 3600 * NS
    run(hall.ns.delete_object(ROOT, "bucket", b"a"))
    for _ in range(4):
        hall.clock.advance(30)
    assert b"".join(run(reader.read(0, 4))) == b"body"
    reader.close()


def test_a_frozen_map_of_the_largest_object_fits_in_memory():
    """1.3 million extents: 5 TiB in whole blobs."""
    page = [Extent(1, 1, n * MAX_BLOB_BYTES, MAX_BLOB_BYTES, n, 0) for n in range(1024)]
    tracemalloc.start()
    frozen = Frozen()
    for _ in range(5 * (1 << 40) // MAX_BLOB_BYTES // 1024):
        frozen.append(page)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 50e6


class Died(BaseException):
    """Stands for the death of the process."""


def die():
    raise Died


@pytest.mark.parametrize(("point", "nth", "is_there"), [("draft.after_chunk", 2, False), ("copy.after_name", 1, True)])
@pytest.mark.usefixtures("short_chunks")
def test_a_death_leaves_a_copy_whole_or_absent(hall, monkeypatch, point, nth, is_there):
    monkeypatch.setattr("namespace.copying.FEW", 1)
    body = random.Random(3).randbytes(7 * BLOB)
    hall.store(b"a", body)
    crash_point(point).arm(die, nth)
    try:
        with pytest.raises(Died):
            hall.copy(b"a", b"b")
    finally:
        crash_point(point).disarm()
    taken = hall.reopen()
    assert taken.findings() == []
    taken.settle()
    if is_there:
        assert taken.read(b"b") == body
    else:
        with pytest.raises(NotFound):
            taken.head(b"b")
        assert {row.refs for row in taken.rows(Blob)} == {1}
    assert taken.read(b"a") == body
    assert taken.rows(Reclaim) == []
