"""Copies by reference and by bytes, composed objects, and what is said of them."""

from __future__ import annotations

import pytest
from hall import ROOT, begin, run
from object_hall import ObjectHall, md5_of

from foundation.aio import gather
from foundation.errors import (
    AccessDenied,
    InvalidArgument,
    NotFound,
    NothingToChange,
    PreconditionFailed,
    Unavailable,
)
from metastore.records import Blob, Extent, Reclaim
from namespace.api import Caller, Conditions, CopyDirectives, CopySource, PutRequest, SetAttr, Stability

BIG = bytes(range(256)) * (9 << 12)  # 9 MiB: three blobs


@pytest.fixture
def hall():
    return ObjectHall()


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("namespace.contents.CHUNK", 2)
    monkeypatch.setattr("namespace.assembling._PAGE", 2)
    monkeypatch.setattr("namespace.copying.FEW", 1)


def copy_work(hall, source, key, **options):
    request = PutRequest(key, {}, {})
    return hall.ns.copy_object(ROOT, CopySource("bucket", source, **options), "bucket", request, CopyDirectives())


@pytest.mark.parametrize("body", [b"", b"small", BIG], ids=["empty", "inline", "rows"])
def test_a_copy_is_references_and_outlives_its_source(hall, body):
    made = hall.store(b"a", body, user={"k": "v"}, headers={"content-type": "text/x"})
    blobs = len(hall.rows(Blob))
    info = hall.copy(b"a", b"d/b")
    assert (info.etag, info.checksums, info.user) == (made.etag, made.checksums, {"k": "v"})
    assert info.headers["content-type"] == "text/x"
    assert len(hall.rows(Blob)) == blobs
    run(hall.ns.delete_object(ROOT, "bucket", b"a"))
    hall.settle()
    assert hall.read(b"d/b") == body
    run(hall.ns.delete_object(ROOT, "bucket", b"d/b"))
    hall.settle()
    assert hall.rows(Blob) == []


@pytest.mark.usefixtures("small_chunks")
def test_a_long_content_is_copied_in_chunks_and_leaves_no_draft(hall):
    hall.store(b"a", BIG * 3)
    hall.copy(b"a", b"b")
    assert hall.rows(Reclaim) == []
    assert hall.read(b"b") == BIG * 3
    assert max(row.refs for row in hall.rows(Blob)) == 2
    hall.settle()


@pytest.mark.usefixtures("small_chunks")
def test_a_source_that_changes_under_a_long_copy_is_copied_anew(hall):
    hall.store(b"a", BIG * 3)
    hall.metastore.hold_loads()
    copying = begin(copy_work(hall, b"a", b"b"))
    hall.store(b"a", BIG[1:])
    hall.metastore.release_loads()
    assert copying.result.etag == md5_of(BIG[1:])
    assert hall.read(b"b") == BIG[1:]
    hall.settle()


@pytest.mark.usefixtures("small_chunks")
def test_a_source_that_changes_in_place_after_a_chunk_is_copied_anew(hall):
    hall.store(b"a", BIG * 3)
    hall.metastore.hold_commits()
    copying = begin(copy_work(hall, b"a", b"b"))
    assert not copying.called
    writing = begin(hall.ns.write(ROOT, hall.file(b"a"), 5, b"new", Stability.FILE_SYNC))
    hall.metastore.release_commits()
    assert writing.called
    assert copying.called
    want = (BIG * 3)[:5] + b"new" + (BIG * 3)[8:]
    assert hall.read(b"b") == want
    hall.settle()
    assert hall.rows(Reclaim) == []


@pytest.mark.usefixtures("small_chunks")
def test_a_source_that_never_rests_is_given_up(hall, monkeypatch):
    hall.store(b"a", BIG)
    monkeypatch.setattr("namespace.copying.layout", lambda _image: object())
    with pytest.raises(Unavailable):
        run(copy_work(hall, b"a", b"b"))
    hall.settle()
    assert hall.rows(Reclaim) == []


def test_an_object_copied_onto_itself_keeps_its_content_and_its_time(hall):
    before = hall.store(b"a", b"body", user={"old": "1"})
    hall.clock.advance(60)
    blobs = {row.id for row in hall.rows(Blob)}
    info = hall.copy(b"a", b"a", replace=True, user={"new": "2"}, headers={"cache-control": "no-cache"})
    assert (info.etag, info.last_modified, info.checksums) == (before.etag, before.last_modified, before.checksums)
    assert info.user == {"new": "2"}
    assert info.headers["cache-control"] == "no-cache"
    assert info == hall.head(b"a")
    assert {row.id for row in hall.rows(Blob)} == blobs
    with pytest.raises(NothingToChange):
        hall.copy(b"a", b"a")
    assert hall.reopen().head(b"a") == info


def test_what_is_said_of_an_edited_file_by_a_copy_onto_itself_holds_for_the_edit(hall):
    hall.store(b"a", b"body")
    hall.write(b"a", 0, b"B")
    shown, user = hall.head(b"a"), {"mtime": "7.5", "md5chksum": "y"}
    info = hall.copy(b"a", b"a", replace=True, user=user)
    assert (info.etag, info.user, info.last_modified) == (shown.etag, user, shown.last_modified)
    hall.write(b"a", 0, b"b")
    info = hall.head(b"a")
    assert info.etag != shown.etag
    assert info.user.keys() == {"mtime"}
    assert info.user["mtime"] != "7.5"


def test_pending_data_stays_when_an_object_is_copied_onto_itself_and_is_not_copied(hall):
    hall.store(b"a", b"body")
    hall.write(b"a", 0, b"B", Stability.UNSTABLE)
    hall.copy(b"a", b"a", replace=True, user={"new": "2"})
    hall.copy(b"a", b"b")
    run(hall.ns.commit(ROOT, hall.file(b"a"), 0, 0))
    assert (hall.read(b"a"), hall.read(b"b")) == (b"Body", b"body")


def test_one_of_several_links_copied_onto_itself_gets_an_inode_of_its_own(hall):
    hall.store(b"a", b"body", user={"k": "1"})
    run(hall.ns.link(ROOT, hall.file(b"a"), hall.root, b"link"))
    hall.copy(b"a", b"a", replace=True, user={"k": "2"})
    assert (hall.head(b"a").user, hall.head(b"link").user) == ({"k": "2"}, {"k": "1"})
    assert hall.read(b"a") == hall.read(b"link") == b"body"
    hall.settle()


def test_a_copy_carries_the_metadata_as_it_is_shown(hall):
    hall.store(b"a.css", b"body", user={"mtime": "1.5", "md5chksum": "x"})
    hall.write(b"a.css", 0, b"B")
    shown = hall.head(b"a.css")
    info = hall.copy(b"a.css", b"b")
    assert (info.etag, info.user, info.checksums) == (shown.etag, shown.user, {})
    assert info.headers["content-type"] == "text/css"
    assert "md5chksum" not in info.user


def test_holes_stay_holes(hall):
    hall.store(b"a", b"x")
    hall.truncate(b"a", 50_000)
    hall.write(b"a", 40_000, b"tail")
    hall.copy(b"a", b"b")
    assert hall.read(b"b") == hall.read(b"a")
    assert run(hall.ns.getattr(ROOT, hall.file(b"b"))).used == 5
    hall.settle()


@pytest.mark.parametrize("body", [b"", b"small", BIG], ids=["empty", "inline", "rows"])
def test_a_copy_into_another_bucket_is_bytes(hall, body):
    run(hall.ns.create_bucket(ROOT, "other"))
    made = hall.store(b"a", body, user={"k": "v"})
    info = hall.copy(b"a", b"b", bucket="other")
    assert (info.etag, info.user, info.checksums) == (made.etag, {"k": "v"}, made.checksums)
    run(hall.ns.delete_object(ROOT, "bucket", b"a"))
    hall.settle()
    assert hall.read(b"b", "other") == body


def test_conditions_on_the_source_and_on_the_target(hall):
    made = hall.store(b"a", b"body")
    hall.store(b"b", b"other")
    for conditions in (Conditions(if_match=(b"x",)), Conditions(if_none_match=(made.etag,))):
        with pytest.raises(PreconditionFailed):
            run(copy_work(hall, b"a", b"b", conditions=conditions))
    with pytest.raises(PreconditionFailed):
        hall.copy(b"a", b"b", conditions=Conditions(if_none_match=(b"*",)))
    with pytest.raises(NotFound):
        hall.copy(b"a", b"c", conditions=Conditions(if_match=(b"*",)))
    assert hall.read(b"b") == b"other"
    hall.copy(b"a", b"c", conditions=Conditions(if_none_match=(b"*",)))
    with pytest.raises(NotFound):
        hall.copy(b"missing", b"c")


def test_a_copy_reads_as_a_get_and_writes_as_a_put(hall):
    hall.store(b"a", b"body")
    run(hall.ns.setattr(ROOT, hall.file(b"a"), SetAttr(mode=0o600), None))
    run(hall.ns.setattr(ROOT, hall.root, SetAttr(mode=0o777), None))
    stranger = Caller(1000, 1000, account="owner")
    request = PutRequest(b"b", {}, {})
    with pytest.raises(AccessDenied):
        run(hall.ns.copy_object(stranger, CopySource("bucket", b"a"), "bucket", request, CopyDirectives()))
    run(hall.ns.setattr(ROOT, hall.file(b"a"), SetAttr(mode=0o644), None))
    run(hall.ns.setattr(ROOT, hall.root, SetAttr(mode=0o755), None))
    with pytest.raises(AccessDenied):
        run(hall.ns.copy_object(stranger, CopySource("bucket", b"a"), "bucket", request, CopyDirectives()))
    run(hall.ns.copy_object(ROOT, CopySource("bucket", b"a"), "bucket", request, CopyDirectives()))


def test_a_directory_marker_is_copied_as_a_marker(hall):
    hall.store(b"d/", b"")
    hall.copy(b"d/", b"e/")
    assert hall.head(b"e/").size == 0
    assert run(hall.ns.lookup(ROOT, hall.root, b"e")).file.type == 2


def test_the_body_of_a_directory_key_is_copied_like_any_other(hall):
    hall.store(b"d/", b"body", user={"k": "1"})
    info = hall.copy(b"d/", b"e/")
    assert hall.read(b"e/") == b"body"
    assert (info.etag, info.user) == (md5_of(b"body"), {"k": "1"})
    hall.copy(b"d/", b"plain")
    assert hall.read(b"plain") == b"body"
    hall.copy(b"e/", b"e/", replace=True, user={"k": "2"})
    assert (hall.head(b"e/").user, hall.read(b"e/")) == ({"k": "2"}, b"body")
    upload = hall.upload(b"d/")
    hall.complete(upload, [hall.part(upload, 1, b"by parts")])
    assert hall.read(b"d/") == b"by parts"
    hall.settle()


@pytest.mark.usefixtures("small_chunks")
def test_an_object_is_composed_of_ranges(hall):
    hall.store(b"a", BIG)
    hall.store(b"b", b"0123456789")
    sources = [
        CopySource("bucket", b"a", start=100, end=5 << 20),
        CopySource("bucket", b"b", start=3, end=7),
        CopySource("bucket", b"a"),
        CopySource("bucket", b"b"),
    ]
    run(hall.ns.compose(ROOT, "bucket", PutRequest(b"c", {}, {"u": "1"}), sources))
    assert hall.read(b"c") == BIG[100 : 5 << 20] + b"3456" + BIG + b"0123456789"
    info = hall.head(b"c")
    assert info.etag.endswith(b"-1")
    assert info.user == {"u": "1"}
    hall.settle()
    for start, end in ((5, 5), (-1, 2), (0, 11), (3, None)):
        with pytest.raises(InvalidArgument):
            run(
                hall.ns.compose(
                    ROOT, "bucket", PutRequest(b"c", {}, {}), [CopySource("bucket", b"b", start=start, end=end)]
                )
            )


def test_an_object_may_be_composed_of_itself(hall):
    hall.store(b"a", b"0123")
    half = CopySource("bucket", b"a", start=1, end=3)
    run(hall.ns.compose(ROOT, "bucket", PutRequest(b"a", {}, {}), [half, CopySource("bucket", b"a")]))
    assert hall.read(b"a") == b"120123"
    hall.settle()


def test_pieces_that_adjoin_in_one_blob_are_one_extent(hall):
    hall.store(b"a", b"0123456789")
    cuts = [CopySource("bucket", b"a", start=at, end=at + 2) for at in range(0, 10, 2)]
    run(hall.ns.compose(ROOT, "bucket", PutRequest(b"b", {}, {}), cuts))
    assert hall.read(b"b") == b"0123456789"
    assert hall.rows(Extent) == []
    assert [row.refs for row in hall.rows(Blob)] == [2]


def test_many_copies_at_once_share_batches(hall):
    hall.store(b"a", b"body")
    hall.metastore.hold_commits()
    copies = begin(gather(copy_work(hall, b"a", b"c%d" % number) for number in range(50)))
    for _ in range(2):
        assert not copies.called
        hall.metastore.release_batch()
    assert len(copies.result) == 50
    assert [row.refs for row in hall.rows(Blob)] == [51]
    hall.settle()
