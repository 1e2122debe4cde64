"""Versions as S3 reads and removes them: the door over the whole namespace, on rooms in memory."""

from __future__ import annotations

import pytest
from hall import MemoryHall, run
from loop import House
from signing import CREDENTIAL, signed

from protocols.s3.codec.xmlread import read_xml

ME = CREDENTIAL.caller


@pytest.fixture
def house():
    house = House(MemoryHall().ns)
    run(house.namespace.create_bucket(ME, "bkt"))
    return house


@pytest.fixture
def kept(house):
    run(house.namespace.set_versioning(ME, "bkt", "enabled"))
    return house


def ask(house, method, path, headers=None, body=b"", auth="V4_HEADER"):
    return house.ask(signed(auth, method, path, headers, body))


def code(answer):
    return read_xml(answer[2], "Error").value("Code")


def put(house, key, body=b"x"):
    return ask(house, "PUT", f"/bkt/{key}", body=body)[1]["x-amz-version-id"]


def versions(house, query=""):
    """Return [(kind, key, version id, latest)] of a page, and the page."""
    tree = read_xml(ask(house, "GET", f"/bkt?versions{query}")[2], "ListVersionsResult")
    rows = [each for each in tree.children if each.name in ("Version", "DeleteMarker")]
    told = [(each.name, *(each.value(name) for name in ("Key", "VersionId", "IsLatest"))) for each in rows]
    return told, tree


def test_a_bucket_tells_whether_it_keeps_versions(house):
    asked = ask(house, "GET", "/bkt?versioning")
    assert read_xml(asked[2], "VersioningConfiguration").children == []
    for state, told in (("enabled", "Enabled"), ("suspended", "Suspended")):
        run(house.namespace.set_versioning(ME, "bkt", state))
        asked = ask(house, "GET", "/bkt?versioning")
        assert read_xml(asked[2], "VersioningConfiguration").value("Status") == told
    assert code(ask(house, "GET", "/none?versioning")) == "NoSuchBucket"


def test_a_bucket_without_versions_says_nothing_of_them_and_lists_what_it_has_as_null(house):
    answer = ask(house, "PUT", "/bkt/a", body=b"x")
    assert "x-amz-version-id" not in answer[1]
    for method in ("GET", "HEAD"):
        assert "x-amz-version-id" not in ask(house, method, "/bkt/a")[1]
        assert ask(house, method, "/bkt/a?versionId=null")[0] == 200
    assert versions(house)[0] == [("Version", "a", "null", "true")]
    deleted = ask(house, "DELETE", "/bkt/a")
    assert deleted[0] == 204
    assert not {"x-amz-version-id", "x-amz-delete-marker"} & deleted[1].keys()
    assert versions(house)[0] == []


def test_each_version_is_read_by_its_id(kept):
    first, second = put(kept, "a", b"one"), put(kept, "a", b"two!")
    assert first != second
    for query, version, body in (("", second, b"two!"), (f"?versionId={first}", first, b"one")):
        status, headers, got = ask(kept, "GET", f"/bkt/a{query}")
        assert (status, got, headers["x-amz-version-id"]) == (200, body, version)
        status, headers, _ = ask(kept, "HEAD", f"/bkt/a{query}")
        assert (status, headers["content-length"], headers["x-amz-version-id"]) == (200, str(len(body)), version)
    part = ask(kept, "GET", f"/bkt/a?versionId={first}", {"Range": "bytes=1-1"})
    assert (part[0], part[2]) == (206, b"n")
    for auth in ("V4_QUERY", "V2_HEADER", "V2_QUERY"):
        assert ask(kept, "GET", f"/bkt/a?versionId={first}", auth=auth)[2] == b"one"


def test_a_version_is_read_under_conditions(kept):
    version = put(kept, "a", b"one")
    etag = ask(kept, "HEAD", "/bkt/a")[1]["etag"]
    put(kept, "a", b"two")
    for method in ("GET", "HEAD"):
        path = f"/bkt/a?versionId={version}"
        assert ask(kept, method, path, {"If-None-Match": etag})[0] == 304
        assert ask(kept, method, path, {"If-Match": '"other"'})[0] == 412
        assert ask(kept, method, path, {"If-Match": etag})[0] == 200


@pytest.mark.parametrize(("version", "wanted"), [("", "InvalidArgument"), ("none", "NoSuchVersion")])
def test_a_version_that_is_none_is_not_found(kept, version, wanted):
    put(kept, "a")
    assert code(ask(kept, "GET", f"/bkt/a?versionId={version}")) == wanted
    assert ask(kept, "HEAD", f"/bkt/a?versionId={version}")[0] == {"NoSuchVersion": 404, "InvalidArgument": 400}[wanted]


def test_a_delete_leaves_a_marker_that_every_answer_names(kept):
    first = put(kept, "a")
    status, headers, _ = ask(kept, "DELETE", "/bkt/a")
    marker = headers["x-amz-version-id"]
    assert (status, headers["x-amz-delete-marker"]) == (204, "true")
    for method in ("GET", "HEAD"):
        status, headers, _ = ask(kept, method, "/bkt/a")
        assert (status, headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == (404, "true", marker)
        status, headers, _ = ask(kept, method, f"/bkt/a?versionId={marker}")
        assert (status, headers["x-amz-delete-marker"], headers["allow"]) == (405, "true", "DELETE")
    assert code(ask(kept, "GET", "/bkt/a")) == "NoSuchKey"
    assert code(ask(kept, "GET", f"/bkt/a?versionId={marker}")) == "MethodNotAllowed"
    assert "x-amz-delete-marker" not in ask(kept, "GET", "/bkt/never")[1]
    assert versions(kept)[0] == [("DeleteMarker", "a", marker, "true"), ("Version", "a", first, "false")]
    status, headers, _ = ask(kept, "DELETE", f"/bkt/a?versionId={marker}")
    assert (status, headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == (204, "true", marker)
    assert ask(kept, "GET", "/bkt/a")[2] == b"x"


def test_a_version_is_deleted_for_good_and_the_one_below_shows_again(kept):
    first, second = put(kept, "a", b"one"), put(kept, "a", b"two")
    status, headers, _ = ask(kept, "DELETE", f"/bkt/a?versionId={second}")
    assert (status, headers["x-amz-version-id"]) == (204, second)
    assert "x-amz-delete-marker" not in headers
    assert ask(kept, "GET", "/bkt/a")[2] == b"one"
    assert versions(kept)[0] == [("Version", "a", first, "true")]
    assert ask(kept, "DELETE", f"/bkt/a?versionId={second}")[0] == 204
    assert code(ask(kept, "DELETE", f"/bkt/a?versionId={first}", {"If-Match": '"x"'})) == "NotImplemented"


def test_a_locked_version_stays(kept):
    version = put(kept, "a")
    run(kept.namespace.set_lock(ME, "bkt", b"a", version.encode(), (None, True)))
    assert code(ask(kept, "DELETE", f"/bkt/a?versionId={version}")) == "AccessDenied"


def test_a_suspended_bucket_tells_of_its_null_version(kept):
    put(kept, "a")
    run(kept.namespace.set_versioning(ME, "bkt", "suspended"))
    assert put(kept, "a") == "null"
    assert ask(kept, "HEAD", "/bkt/a")[1]["x-amz-version-id"] == "null"
    assert ask(kept, "DELETE", "/bkt/a")[1]["x-amz-version-id"] == "null"


def test_many_versions_and_keys_are_deleted_with_an_outcome_each(kept):
    first, _ = put(kept, "a", b"one"), put(kept, "a", b"two")
    put(kept, "b")
    etag = ask(kept, "HEAD", "/bkt/b")[1]["etag"]
    rows = [
        f"<Key>a</Key><VersionId>{first}</VersionId>",
        "<Key>a</Key>",
        "<Key>b</Key><ETag>&quot;other&quot;</ETag>",
        "<Key>b</Key><Size>5</Size>",
        "<Key>b</Key><LastModifiedTime>Thu, 01 Jan 1970 00:00:01 GMT</LastModifiedTime>",
        f"<Key>b</Key><VersionId>{first}</VersionId><ETag>x</ETag>",
        "<Key>b</Key><Size>many</Size>",
        f"<Key>b</Key><ETag>{etag.replace(chr(34), '&quot;')}</ETag><Size>1</Size>",
        "<Key>c</Key><ETag>x</ETag>",
    ]
    document = "".join(f"<Object>{row}</Object>" for row in rows)
    answer = ask(kept, "POST", "/bkt?delete", body=f"<Delete>{document}</Delete>".encode())
    told = read_xml(answer[2], "DeleteResult").children
    assert [each.value("Code") or each.name for each in told] == [
        *("Deleted", "Deleted", "PreconditionFailed", "PreconditionFailed", "PreconditionFailed", "NotImplemented"),
        *("InvalidArgument", "Deleted", "NoSuchKey"),
    ]
    assert (told[0].value("VersionId"), told[0].value("DeleteMarker")) == (first, None)
    assert told[1].value("DeleteMarker") == "true"
    assert told[5].value("VersionId") == first
    marker = told[1].value("DeleteMarkerVersionId")
    assert marker == ask(kept, "HEAD", "/bkt/a")[1]["x-amz-version-id"]
    gone = f"<Delete><Object><Key>a</Key><VersionId>{marker}</VersionId></Object></Delete>"
    row = read_xml(ask(kept, "POST", "/bkt?delete", body=gone.encode())[2], "DeleteResult").children[0]
    assert [row.value(name) for name in ("VersionId", "DeleteMarker", "DeleteMarkerVersionId")] == [
        marker,
        "true",
        marker,
    ]


def test_a_delete_by_size_and_time_removes_only_what_is_like_that(house):
    ask(house, "PUT", "/bkt/a", body=b"four")
    time = ask(house, "HEAD", "/bkt/a")[1]["last-modified"]
    size = "x-amz-if-match-size"
    assert ask(house, "DELETE", "/bkt/a", {size: "5"})[0] == 412
    assert code(ask(house, "DELETE", "/bkt/a", {size: "-1"})) == "InvalidArgument"
    assert code(ask(house, "DELETE", "/bkt/a", {"x-amz-if-match-last-modified-time": "now"})) == "InvalidArgument"
    assert code(ask(house, "DELETE", "/bkt/none", {"If-Match": '"x"'})) == "NoSuchKey"
    assert code(ask(house, "PUT", "/bkt/a", {size: "4"})) == "NotImplemented"
    right = {size: "4", "x-amz-if-match-last-modified-time": time}
    assert ask(house, "DELETE", "/bkt/a", right)[0] == 204
    assert ask(house, "HEAD", "/bkt/a")[0] == 404


def test_pages_of_versions_tell_every_version_once_in_order(kept):
    for key in ("a", "b", "a", "d/x", "d/y", "c%01"):
        put(kept, key)
    ask(kept, "DELETE", "/bkt/b")
    whole, tree = versions(kept, "&encoding-type=url")
    assert [(kind, key) for kind, key, *_ in whole] == [
        *(("Version", "a"), ("Version", "a"), ("DeleteMarker", "b"), ("Version", "b")),
        *(("Version", "c%01"), ("Version", "d/x"), ("Version", "d/y")),
    ]
    assert (tree.value("IsTruncated"), tree.value("EncodingType"), tree.value("MaxKeys")) == ("false", "url", "1000")
    assert tree.value("NextKeyMarker") is None
    row = tree.children[-1]
    assert (row.value("Size"), row.value("StorageClass")) == ("1", "STANDARD")
    assert row.value("ETag").startswith('"')
    told, query = [], ""
    for _ in range(9):
        page, tree = versions(kept, f"&encoding-type=url&max-keys=2{query}")
        told += page
        if tree.value("IsTruncated") == "false":
            break
        key = tree.value("NextKeyMarker").replace("/", "%2F")
        query = f"&key-marker={key}&version-id-marker={tree.value('NextVersionIdMarker') or ''}"
    assert told == whole


def test_versions_roll_up_by_a_delimiter_under_a_prefix(kept):
    for key in ("a", "d/x", "d/y", "e/f/g"):
        put(kept, key)
    told, tree = versions(kept, "&delimiter=%2F")
    prefixes = [each.value("Prefix") for each in tree.children if each.name == "CommonPrefixes"]
    assert ([key for _, key, *_ in told], prefixes, tree.value("Delimiter")) == (["a"], ["d/", "e/"], "/")
    assert [key for _, key, *_ in versions(kept, "&prefix=d%2F")[0]] == ["d/x", "d/y"]
    assert [key for _, key, *_ in versions(kept, "&key-marker=d%2Fx")[0]] == ["d/y", "e/f/g"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("&version-id-marker=x", "InvalidArgument"),
        ("&key-marker=a&version-id-marker=nonsense", "InvalidArgument"),
        ("&max-keys=-1", "InvalidArgument"),
        ("&encoding-type=base64", "InvalidArgument"),
        ("&list-type=2", "NotImplemented"),
        ("&marker=a", "NotImplemented"),
    ],
)
def test_a_listing_of_versions_that_cannot_be_asked_for_is_refused(kept, query, wanted):
    assert code(ask(kept, "GET", f"/bkt?versions{query}")) == wanted


def test_no_versions_are_listed_when_none_are_asked_for(kept):
    put(kept, "a")
    told, tree = versions(kept, "&max-keys=0")
    assert (told, tree.value("IsTruncated"), tree.value("MaxKeys")) == ([], "false", "0")
    assert code(ask(kept, "GET", "/none?versions&max-keys=0")) == "NoSuchBucket"


def test_setting_versions_is_not_served_yet(kept):
    body = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
    assert code(ask(kept, "PUT", "/bkt?versioning", body=body)) == "NotImplemented"
