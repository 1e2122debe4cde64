"""What S3 reads and removes by: pages, delete markers, conditions of a delete, owners."""

from __future__ import annotations

import pytest
from hall import ROOT, MemoryHall, begin, run

from foundation.errors import BucketNotFound, IsDeleteMarker, NotFound, NotModified, PreconditionFailed
from namespace.api import Caller, Conditions, DeleteTarget, ListRequest, VersionListRequest

NS = 1_000_000_000


@pytest.fixture
def hall():
    return MemoryHall()


def keys(hall):
    return [info.key for info in run(hall.ns.list_objects(ROOT, "bucket", ListRequest())).contents]


def version_keys(hall):
    return [each.info.key for each in run(hall.ns.list_versions(ROOT, "bucket", VersionListRequest())).versions]


@pytest.mark.parametrize("page", [keys, version_keys])
def test_a_page_does_not_wait_for_a_change_that_nobody_was_told_of_and_does_not_show_it(hall, page):
    hall.put(b"d/", b"")
    hall.put(b"d/told", b"")
    hall.metastore.hold_commits()
    change = begin(hall.ns.delete_object(ROOT, "bucket", b"d/told"))
    # `run` would fail if the page waited for the held commit.
    assert page(hall) == [b"d/", b"d/told"]
    assert not change.called
    while hall.metastore.release_batch():
        pass
    assert change.called
    assert page(hall) == [b"d/"]


def test_a_page_of_no_versions_is_empty_and_the_last(hall):
    hall.put(b"a", b"")
    page = run(hall.ns.list_versions(ROOT, "bucket", VersionListRequest(limit=0)))
    assert (page.versions, page.common_prefixes, page.next_key) == ((), (), None)


def test_what_a_delete_marker_hides_is_not_found_and_the_refusal_names_the_marker(hall):
    run(hall.ns.set_versioning(ROOT, "bucket", "enabled"))
    hall.put(b"a", b"x")
    marker = run(hall.ns.delete_object(ROOT, "bucket", b"a")).version_id
    for verb in (hall.ns.head_object, hall.ns.open_object):
        with pytest.raises(NotFound) as caught:
            run(verb(ROOT, "bucket", b"a", Conditions()))
        assert caught.value.marker == marker
    with pytest.raises(IsDeleteMarker) as caught:
        run(hall.ns.head_version(ROOT, "bucket", b"a", marker))
    assert caught.value.marker == marker
    with pytest.raises(NotFound) as caught:
        run(hall.ns.head_object(ROOT, "bucket", b"never", Conditions()))
    assert caught.value.marker == b""


def test_a_version_is_read_under_conditions(hall):
    run(hall.ns.set_versioning(ROOT, "bucket", "enabled"))
    info = hall.put(b"a", b"x")
    known = Conditions(if_none_match=(info.etag,))
    for verb in (hall.ns.head_version, hall.ns.open_version):
        with pytest.raises(NotModified):
            run(verb(ROOT, "bucket", b"a", info.version_id, known))
    reader = run(hall.ns.open_version(ROOT, "bucket", b"a", info.version_id, Conditions(if_match=(info.etag,))))
    reader.close()


def test_a_delete_by_size_and_time_removes_only_what_is_like_that(hall):
    info = hall.put(b"a", b"four")
    second = info.last_modified // NS
    for wrong in (
        Conditions(if_match_size=5),
        Conditions(if_match_modified=second + 1),
        Conditions(if_match_size=4, if_match_modified=second - 1),
        Conditions(if_match=(b"other",), if_match_size=4),
    ):
        with pytest.raises(PreconditionFailed):
            run(hall.ns.delete_object(ROOT, "bucket", b"a", wrong))
        assert isinstance(
            run(hall.ns.delete_objects(ROOT, "bucket", [DeleteTarget(b"a", wrong)]))[0].error, PreconditionFailed
        )
    assert keys(hall) == [b"a"]
    right = Conditions(if_match=(info.etag,), if_match_size=4, if_match_modified=second)
    run(hall.ns.delete_object(ROOT, "bucket", b"a", right))
    assert keys(hall) == []


def test_a_directory_has_no_size_to_delete_by(hall):
    hall.put(b"d/", b"")
    with pytest.raises(PreconditionFailed):
        run(hall.ns.delete_object(ROOT, "bucket", b"d/", Conditions(if_match_size=4096)))
    run(hall.ns.delete_object(ROOT, "bucket", b"d/", Conditions(if_match_size=0)))
    assert keys(hall) == []


def test_anybody_may_have_the_owner_of_a_bucket_compared(hall):
    assert run(hall.ns.owner_of("bucket")) == ROOT.account
    run(hall.ns.create_bucket(Caller(7, 7, account="other"), "second"))
    assert run(hall.ns.owner_of("second")) == "other"
    with pytest.raises(BucketNotFound):
        run(hall.ns.owner_of("none"))
