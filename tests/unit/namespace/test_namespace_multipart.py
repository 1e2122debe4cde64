"""Multipart uploads: the rules of S3, and the races of parts, completion, abort and take-over."""

from __future__ import annotations

import hashlib

import pytest
from hall import ROOT, begin, run
from msgspec.structs import replace as with_fields
from object_hall import PART, ObjectHall, choice, md5_of

from foundation.aio import Promise
from foundation.crash import crash_point
from foundation.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    KeyConflict,
    NotFound,
    PartTooSmall,
    PreconditionFailed,
    UploadNotFound,
)
from metastore.records import Blob, Extent, Part, Reclaim, Upload
from namespace.api import (
    Caller,
    Completion,
    Conditions,
    CopySource,
    PartChoice,
    SetAttr,
    UploadListRequest,
    UploadRequest,
    UploadTarget,
)
from namespace.cache import Cache
from namespace.memory import Memory
from namespace.uploads import UploadTable

ONE, TWO, LAST = b"1" * PART, b"2" * (PART + 7), b"tail"


@pytest.fixture
def hall():
    return ObjectHall()


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("namespace.contents.CHUNK", 2)
    monkeypatch.setattr("namespace.assembling._PAGE", 2)


def nothing_is_left(hall):
    hall.settle()
    assert [hall.rows(kind) for kind in (Upload, Part, Reclaim, Extent, Blob)] == [[], [], [], [], []]


def test_an_object_is_its_parts_in_order(hall):
    upload = hall.upload(b"d/a", user={"u": "1"}, headers={"content-type": "text/x"})
    parts = [hall.part(upload, 3, LAST), hall.part(upload, 1, ONE), hall.part(upload, 2, TWO)]
    parts.sort(key=lambda part: part.number)
    with pytest.raises(NotFound):
        hall.head(b"d/a")
    blobs = len(hall.rows(Blob))
    info = hall.complete(upload, parts)
    digests = b"".join(hashlib.md5(body).digest() for body in (ONE, TWO, LAST))
    assert info.etag == hashlib.md5(digests).hexdigest().encode() + b"-3"
    assert hall.head(b"d/a") == info
    assert (info.user, info.headers["content-type"]) == ({"u": "1"}, "text/x")
    assert len(hall.rows(Blob)) == blobs
    assert hall.read(b"d/a") == ONE + TWO + LAST
    hall.settle()
    assert hall.rows(Part) == hall.rows(Upload) == []
    assert hall.read(b"d/a") == ONE + TWO + LAST
    run(hall.ns.delete_object(ROOT, "bucket", b"d/a"))
    nothing_is_left(hall)


@pytest.mark.usefixtures("small_chunks")
def test_an_object_of_many_extents_is_completed_in_chunks(hall):
    upload = hall.upload(b"a")
    parts = [hall.part(upload, number, ONE) for number in range(1, 6)]
    hall.complete(upload, parts)
    assert hall.read(b"a") == ONE * 5
    hall.settle()
    assert hall.rows(Reclaim) == []


def test_no_change_grows_with_the_number_of_parts(hall, monkeypatch):
    monkeypatch.setattr("namespace.contents.CHUNK", 10)
    most = 0
    commit = hall.metastore.commit

    def counting(change):
        nonlocal most
        most = max(most, len(change.puts) + len(change.drops) + len(change.blob_refs))
        return commit(change)

    upload = hall.upload(b"a")
    parts = [hall.part(upload, number, ONE) for number in range(1, 41)]
    monkeypatch.setattr(hall.metastore, "commit", counting)
    hall.complete(upload, parts)
    assert most <= 10 * 2 + 8
    hall.settle()
    assert hall.read(b"a") == ONE * 40


def test_a_part_sent_again_replaces_the_first(hall):
    upload = hall.upload(b"a")
    old = hall.part(upload, 1, b"old")
    new = hall.part(upload, 1, b"new!")
    with pytest.raises(InvalidPart):
        hall.complete(upload, [old])
    hall.complete(upload, [new])
    assert hall.read(b"a") == b"new!"
    run(hall.ns.delete_object(ROOT, "bucket", b"a"))
    nothing_is_left(hall)


def test_what_a_list_of_parts_may_not_be(hall):
    upload = hall.upload(b"a")
    small, one, last = hall.part(upload, 1, LAST), hall.part(upload, 2, ONE), hall.part(upload, 3, LAST)
    for parts, error in (
        ([], InvalidArgument),
        ([last, one], InvalidPartOrder),
        ([one, one], InvalidPartOrder),
        ([small, one, last], PartTooSmall),
    ):
        with pytest.raises(error):
            hall.complete(upload, parts)
    for wrong in (PartChoice(4, b""), PartChoice(3, b"0" * 32), PartChoice(3, last.etag, {"crc32": "x"})):
        with pytest.raises(InvalidPart):
            run(hall.ns.complete_upload(ROOT, upload, Completion([wrong], Conditions())))
    hall.complete(upload, [one, last])
    assert hall.read(b"a") == ONE + LAST
    hall.settle()


def test_numbers_of_parts_are_bounded_and_etags_are_digests(hall):
    upload = hall.upload(b"a")
    for number in (0, 10_001, -1):
        with pytest.raises(InvalidArgument):
            hall.part(upload, number, b"x")
    session = run(hall.ns.begin_part(ROOT, upload, 10_000))
    run(session.write(b"x"))
    with pytest.raises(InvalidArgument):
        run(session.finish(b"not hex", {}))
    hall.part(upload, 10_000, b"x")


def test_an_upload_has_an_id_a_key_and_an_owner(hall):
    upload = hall.upload(b"a")
    stranger = Caller(0, 0, account="stranger")
    for target in (UploadTarget("bucket", b"b", upload.upload_id), UploadTarget("bucket", b"a", b"none")):
        with pytest.raises(UploadNotFound):
            run(hall.ns.begin_part(ROOT, target, 1))
    for work in (
        hall.ns.begin_part(stranger, upload, 1),
        hall.ns.abort_upload(stranger, upload),
        hall.ns.list_parts(stranger, upload, 0, 10),
    ):
        with pytest.raises(AccessDenied):
            run(work)


def test_an_aborted_upload_is_gone_with_its_parts(hall):
    upload = hall.upload(b"a")
    part = hall.part(upload, 1, ONE)
    late = run(hall.ns.begin_part(ROOT, upload, 2))
    run(late.write(ONE))
    run(hall.ns.abort_upload(ROOT, upload))
    with pytest.raises(UploadNotFound):
        run(late.finish(md5_of(ONE), {}))
    for work in (
        hall.ns.abort_upload(ROOT, upload),
        hall.ns.begin_part(ROOT, upload, 1),
        hall.ns.complete_upload(ROOT, upload, Completion([choice(part)], Conditions())),
    ):
        with pytest.raises(UploadNotFound):
            run(work)
    nothing_is_left(hall)


@pytest.mark.usefixtures("small_chunks")
def test_a_completion_asked_again_is_answered_the_same(hall):
    """A client whose connection broke asks again, perhaps before the first has ended."""
    upload = hall.upload(b"a")
    parts = [hall.part(upload, number, ONE) for number in range(1, 6)]
    absent = Conditions(if_none_match=(b"*",))
    hall.metastore.hold_commits()
    work = [hall.ns.complete_upload(ROOT, upload, Completion(list(map(choice, parts)), absent)) for _ in range(2)]
    first, second = map(begin, work)
    hall.metastore.release_commits()
    assert first.result == second.result == hall.head(b"a")
    hall.settle()
    assert hall.complete(upload, parts, absent) == first.result
    run(hall.ns.delete_object(ROOT, "bucket", b"a"))
    assert hall.complete(upload, parts) == first.result
    with pytest.raises(NotFound):
        hall.head(b"a")
    with pytest.raises(UploadNotFound):
        hall.complete(upload, parts[:2])
    stranger = Caller(0, 0, account="stranger")
    with pytest.raises(AccessDenied):
        run(hall.ns.complete_upload(stranger, upload, Completion(list(map(choice, parts)), absent)))
    with pytest.raises(UploadNotFound):
        run(hall.ns.abort_upload(ROOT, upload))
    nothing_is_left(hall)


@pytest.mark.usefixtures("small_chunks")
def test_an_abort_between_the_chunks_of_a_completion_wins(hall):
    upload = hall.upload(b"a")
    parts = [choice(hall.part(upload, number, ONE)) for number in range(1, 6)]
    hall.metastore.hold_commits()
    completing = begin(hall.ns.complete_upload(ROOT, upload, Completion(parts, Conditions())))
    aborting = begin(hall.ns.abort_upload(ROOT, upload))
    assert not completing.called
    hall.metastore.release_commits()
    assert aborting.called
    with pytest.raises(UploadNotFound):
        completing.result.raiseException()
    completing.addErrback(lambda _: None)
    with pytest.raises(NotFound):
        hall.head(b"a")
    nothing_is_left(hall)


@pytest.mark.usefixtures("small_chunks")
def test_a_part_replaced_between_the_chunks_of_a_completion_is_no_part_of_it(hall):
    upload = hall.upload(b"a")
    parts = [choice(hall.part(upload, number, ONE)) for number in range(1, 6)]
    again = run(hall.ns.begin_part(ROOT, upload, 1))
    run(again.write(TWO))
    hall.metastore.hold_commits()
    completing = begin(hall.ns.complete_upload(ROOT, upload, Completion(parts, Conditions())))
    replaced = begin(again.finish(md5_of(TWO), {}))
    hall.metastore.release_commits()
    assert replaced.called
    with pytest.raises(InvalidPart):
        completing.result.raiseException()
    completing.addErrback(lambda _: None)
    hall.complete(upload, [run(hall.ns.list_parts(ROOT, upload, 0, 1)).parts[0]])
    assert hall.read(b"a") == TWO
    hall.settle()
    assert hall.rows(Reclaim) == []


@pytest.mark.usefixtures("small_chunks")
def test_a_part_replaced_by_the_same_bytes_does_not_fail_a_completion(hall):
    upload = hall.upload(b"a")
    parts = [choice(hall.part(upload, number, ONE)) for number in range(1, 6)]
    again = run(hall.ns.begin_part(ROOT, upload, 1))
    run(again.write(ONE))
    hall.metastore.hold_commits()
    completing = begin(hall.ns.complete_upload(ROOT, upload, Completion(parts, Conditions())))
    begin(again.finish(md5_of(ONE), {}))
    hall.metastore.release_commits()
    assert completing.result.size == 5 * PART
    hall.settle()
    assert hall.read(b"a") == ONE * 5


@pytest.mark.usefixtures("small_chunks")
def test_a_gateway_that_takes_over_finds_the_parts_and_clears_the_draft_of_the_other(hall):
    upload = hall.upload(b"a")
    parts = [hall.part(upload, number, ONE) for number in range(1, 6)]
    hall.metastore.hold_commits()
    completing = begin(hall.ns.complete_upload(ROOT, upload, Completion(list(map(choice, parts)), Conditions())))
    hall.metastore.release_batch()
    assert not completing.called
    assert hall.rows(Reclaim)[0].epoch > 0
    taken = hall.reopen()
    assert taken.findings() == []
    assert run(taken.ns.list_parts(ROOT, upload, 0, 10)).parts == tuple(parts)
    taken.settle()
    assert taken.rows(Reclaim) == []
    taken.complete(upload, parts)
    assert taken.read(b"a") == ONE * 5
    taken.settle()


def test_parts_sent_side_by_side_and_loaded_late_are_all_there(hall):
    """A load that began before a part was stored does not take the part away again."""
    upload = hall.upload(b"a")
    first = hall.part(upload, 1, ONE)
    hall = hall.reopen()
    hall.metastore.hold_loads()
    early = begin(hall.ns.complete_upload(ROOT, upload, Completion([choice(first), PartChoice(2, b"")], Conditions())))
    session = begin(hall.ns.begin_part(ROOT, upload, 2))
    for _ in range(8):
        hall.metastore.release_loads()
        if session.called:
            break
        hall.metastore.hold_loads()
    hall.metastore.release_loads()
    run(session.result.write(LAST))
    second = run(session.result.finish(md5_of(LAST), {}))
    assert early.called
    early.addErrback(lambda _: None)
    hall.complete(upload, [first, second])
    assert hall.read(b"a") == ONE + LAST


def test_a_load_never_replaces_a_part_that_was_stored_meanwhile():
    """The load of all parts is on its way with what it saw when it began; a part is stored again."""
    old, new, other = (Part(1, b"u", number, content, 1, b"", {}, 0) for number, content in ((1, 1), (1, 9), (2, 2)))
    upload, arrived = Upload(1, b"u", b"k", "", 0, {}, {}, {}, {}, ""), Promise()

    class Slow:
        async def load_upload(self, vol, upload_id):
            return upload

        async def load_parts(self, vol, upload_id, after, limit):
            await arrived
            return [part for part in (old, other) if part.number > after][:limit]

    table = UploadTable(Cache(Memory(1 << 20), lambda: 0))
    run(table.fetch(Slow(), 1, b"u"))
    all_parts, one_part = begin(table.fetch_parts(Slow(), 1, b"u")), begin(table.fetch_part(Slow(), 1, b"u", 1))
    table.put_part(new, 3)
    arrived.resolve(None)
    assert all_parts.called
    assert one_part.called
    entry = table.use(b"u", 1)
    assert entry.parts == {1: new, 2: other}
    ended = with_fields(upload, ended=5)
    table.put(ended, 4)
    run(table.fetch(Slow(), 1, b"u"))
    assert table.use(b"u", 2).upload is ended


def test_an_end_that_is_not_durable_yet_is_not_forgotten(hall, monkeypatch):
    monkeypatch.setattr("namespace.uploads.ROWS_LIMIT", 0)
    ending, others = hall.upload(b"a"), [hall.upload(b"b"), hall.upload(b"c")]
    hall = hall.reopen()
    run(hall.ns.begin_part(ROOT, ending, 1))
    hall.metastore.hold_commits()
    aborting = begin(hall.ns.abort_upload(ROOT, ending))
    for upload in others:
        run(hall.ns.begin_part(ROOT, upload, 1))
    late = begin(hall.ns.begin_part(ROOT, ending, 1))
    assert not aborting.called
    assert not late.called  # a refusal, too, waits for what it rests on
    hall.metastore.release_commits()
    assert late.result.check(UploadNotFound)
    late.addErrback(lambda _: None)
    run(hall.ns.begin_part(ROOT, others[0], 1))
    table = next(iter(hall.ns._volumes.every())).uploads
    assert len(table._entries) == 1


def test_more_uploads_than_memory_holds_change_nothing_but_speed(hall, monkeypatch):
    monkeypatch.setattr("namespace.uploads.ROWS_LIMIT", 4)
    uploads = [hall.upload(b"k%d" % number) for number in range(6)]
    parts = {}
    for number in (1, 2):
        for upload in uploads:
            parts[upload, number] = hall.part(upload, number, ONE if number == 1 else upload.key)
    table = next(iter(hall.ns._volumes.every())).uploads
    assert table._rows <= 4 + 3
    for upload in uploads:
        hall.complete(upload, [parts[upload, 1], parts[upload, 2]])
        assert hall.read(upload.key) == ONE + upload.key
    hall.settle()


def test_completion_checks_conditions_permission_and_conflicts_when_it_names(hall):
    hall.store(b"a", b"there")
    upload = hall.upload(b"a")
    part = hall.part(upload, 1, b"new")
    for conditions in (Conditions(if_none_match=(b"*",)), Conditions(if_match=(b"x",))):
        with pytest.raises(PreconditionFailed):
            hall.complete(upload, [part], conditions)
    missing = hall.upload(b"b")
    other = hall.part(missing, 1, b"new")
    with pytest.raises(NotFound):
        hall.complete(missing, [other], Conditions(if_match=(b"*",)))
    run(hall.ns.symlink(ROOT, hall.root, b"b", b"x", SetAttr()))
    with pytest.raises(KeyConflict):
        hall.complete(missing, [other])
    hall.complete(upload, [part], Conditions(if_match=(md5_of(b"there"),)))
    assert hall.read(b"a") == b"new"


def test_a_stranger_to_the_mode_begins_and_completes_nothing(hall):
    stranger = Caller(1000, 1000, account="owner")
    with pytest.raises(AccessDenied):
        run(hall.ns.create_upload(stranger, "bucket", UploadRequest(b"a", {}, {})))
    upload = hall.upload(b"a")
    part = hall.part(upload, 1, b"x")
    with pytest.raises(AccessDenied):
        run(hall.ns.begin_part(stranger, upload, 1))
    with pytest.raises(AccessDenied):
        run(hall.ns.complete_upload(stranger, upload, Completion([choice(part)], Conditions())))


@pytest.mark.parametrize("bucket", ["bucket", "other"])
def test_parts_are_copied_from_objects(hall, bucket):
    run(hall.ns.create_bucket(ROOT, "other"))
    whole = hall.store(b"source", ONE + LAST, bucket=bucket)
    upload = hall.upload(b"a")
    first = run(hall.ns.copy_part(ROOT, upload, 1, CopySource(bucket, b"source")))
    second = run(hall.ns.copy_part(ROOT, upload, 2, CopySource(bucket, b"source", start=PART - 3, end=PART + 2)))
    assert (first.etag, first.size, second.size) == (whole.etag, PART + 4, 5)
    assert len(second.etag) == 32
    with pytest.raises(InvalidArgument):
        run(hall.ns.copy_part(ROOT, upload, 3, CopySource(bucket, b"source", start=PART, end=PART + 9)))
    run(hall.ns.delete_object(ROOT, bucket, b"source"))
    hall.settle()
    hall.complete(upload, [first, second])
    assert hall.read(b"a") == ONE + LAST + (ONE + LAST)[PART - 3 : PART + 2]
    hall.settle()


def test_parts_are_listed_by_number(hall):
    upload = hall.upload(b"a")
    sent = [hall.part(upload, number, b"%d" % number) for number in (7, 2, 9, 30)]
    sent.sort(key=lambda part: part.number)
    page = run(hall.ns.list_parts(ROOT, upload, 0, 3))
    assert (page.parts, page.next_after) == (tuple(sent[:3]), 9)
    page = run(hall.ns.list_parts(ROOT, upload, 9, 3))
    assert (page.parts, page.next_after) == (tuple(sent[3:]), None)
    assert page.upload.key == b"a"


def test_uploads_are_listed_by_key_with_prefixes_and_markers(hall):
    keys = [b"a", b"a", b"b/1", b"b/2", b"c/x/1", b"d", b"e/1"]
    ids = {hall.upload(key).upload_id for key in keys}
    for key in (b"b/1", b"z"):
        run(hall.ns.abort_upload(ROOT, hall.upload(key)))

    def pages(**fields):
        found, marker = [], {}
        while True:
            page = run(hall.ns.list_uploads(ROOT, "bucket", UploadListRequest(**fields, **marker)))
            assert len(page.uploads) + len(page.common_prefixes) <= fields.get("limit", 1000)
            found.append(sorted([*(each.key for each in page.uploads), *page.common_prefixes]))
            assert {each.upload_id for each in page.uploads} <= ids
            if page.next_marker is None:
                return found
            marker = {"key_marker": page.next_marker[0], "upload_id_marker": page.next_marker[1]}

    assert pages() == [keys]
    assert pages(limit=3) == [keys[:3], keys[3:6], keys[6:]]
    assert pages(delimiter=b"/") == [[b"a", b"a", b"b/", b"c/", b"d", b"e/"]]
    assert pages(delimiter=b"/", limit=1) == [[b"a"], [b"a"], [b"b/"], [b"c/"], [b"d"], [b"e/"]]
    assert pages(delimiter=b"/", limit=3) == [[b"a", b"a", b"b/"], [b"c/", b"d", b"e/"]]
    assert pages(prefix=b"b/", limit=1) == [[b"b/1"], [b"b/2"]]
    assert pages(prefix=b"c/", delimiter=b"/") == [[b"c/x/"]]
    assert pages(key_marker=b"a") == [keys[2:]]
    assert pages(key_marker=b"b/1", delimiter=b"/") == [[b"c/", b"d", b"e/"]]
    with pytest.raises(InvalidArgument):
        run(hall.ns.list_uploads(ROOT, "bucket", UploadListRequest(limit=0)))


class Died(BaseException):
    """Stands for the death of the process."""


def die():
    raise Died


@pytest.mark.parametrize(
    ("point", "is_there"), [("draft.after_chunk", False), ("complete.after_name", True), ("put.after_body", None)]
)
@pytest.mark.usefixtures("small_chunks")
def test_a_death_leaves_the_upload_whole_or_the_object_whole(hall, point, is_there):
    upload = hall.upload(b"a")
    hall.store(b"a", b"before")
    parts = [hall.part(upload, number, ONE) for number in range(1, 5)]
    work = (lambda: hall.complete(upload, parts)) if is_there is not None else (lambda: hall.part(upload, 5, ONE * 3))
    crash_point(point).arm(die)
    try:
        with pytest.raises(Died):
            work()
    finally:
        crash_point(point).disarm()
    taken = hall.reopen()
    assert taken.findings() == []
    if is_there:
        assert taken.read(b"a") == ONE * 4
        assert taken.complete(upload, parts) == taken.head(b"a")  # who lost the answer asks again
        with pytest.raises(UploadNotFound):
            taken.complete(upload, parts[:3])
    else:
        assert taken.read(b"a") == b"before"
        taken.complete(upload, parts)
    taken.settle()
    assert taken.read(b"a") == ONE * 4
    assert taken.rows(Reclaim) == taken.rows(Part) == []


def test_a_death_between_the_chunks_of_reaping_leaves_the_rest_to_the_next(hall, monkeypatch):
    monkeypatch.setattr("namespace.duties.CHUNK", 2)
    upload = hall.upload(b"a")
    for number in range(1, 6):
        hall.part(upload, number, LAST)
    volume = next(iter(hall.ns._volumes.every()))
    run(hall.ns.abort_upload(ROOT, upload))
    crash_point("reap.after_chunk").arm(die)
    try:
        with pytest.raises(Died):
            run(hall.ns._duties.collect(volume))
    finally:
        crash_point("reap.after_chunk").disarm()
    taken = hall.reopen()
    assert len(taken.rows(Part)) == 3
    nothing_is_left(taken)
