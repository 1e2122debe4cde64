"""CopyObject and UploadPartCopy by raw HTTP: sources, directives, conditions, ranges, and each error."""

from __future__ import annotations

import hashlib

import pytest
from object_door import LAST, ObjectDoor, checksum, composite, etag_of
from object_door import SMALL_ONE as ONE

from metastore.records import Blob

SOURCE = "x-amz-copy-source"
OLD, NEW = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
ETAG = f'"{hashlib.md5(b"body").hexdigest()}"'


@pytest.fixture
def door(monkeypatch):
    monkeypatch.setattr("namespace.completion.PART_MIN_BYTES", len(ONE))
    door = ObjectDoor()
    door.put(
        "src",
        b"body",
        **{"Content-Type": "text/x", "x-amz-meta-u": "1", "x-amz-checksum-sha1": checksum("SHA1", b"body")},
    )
    return door


def copy(door, source="bkt/src", target="dst", **headers):
    return door.ask("PUT", f"/bkt/{target}", {SOURCE: source, **headers})


@pytest.mark.parametrize("source", ["bkt/src", "/bkt/src", "bkt/s%72c", "bkt%2Fsrc", "bkt/src?versionId=null"])
def test_a_copy_is_its_source_with_all_that_is_said_of_it(door, source):
    blobs = set(door.hall.database.rows[Blob])
    found = copy(door, source).xml("CopyObjectResult")
    assert (found.value("ETag"), found.value("ChecksumSHA1")) == (ETAG, checksum("SHA1", b"body"))
    assert found.value("ChecksumType") == "FULL_OBJECT"
    assert found.value("LastModified").endswith("Z")
    got = door.ask("GET", "/bkt/dst", {"x-amz-checksum-mode": "ENABLED"})
    assert got.body == b"body"
    assert (got.headers["content-type"], got.headers["x-amz-meta-u"]) == ("text/x", "1")
    assert got.headers["x-amz-checksum-sha1"] == checksum("SHA1", b"body")
    assert set(door.hall.database.rows[Blob]) == blobs  # by reference


def test_a_copy_with_metadata_of_its_own_has_none_of_the_source(door):
    headers = {"x-amz-metadata-directive": "REPLACE", "Content-Type": "a/b", "x-amz-meta-new": "2"}
    assert copy(door, **headers).status == 200
    got = door.ask("HEAD", "/bkt/dst").headers
    assert (got["content-type"], got["x-amz-meta-new"], got.get("x-amz-meta-u")) == ("a/b", "2", None)
    copy(door, target="two", **{"x-amz-metadata-directive": "COPY", "x-amz-meta-new": "2"})
    assert door.ask("HEAD", "/bkt/two").headers.get("x-amz-meta-new") is None


@pytest.mark.parametrize("name", ["x-amz-metadata-directive", "x-amz-tagging-directive"])
def test_a_directive_is_copy_or_replace(door, name):
    assert copy(door, **{name: "MOVE"}).code == "InvalidArgument"


def test_a_copy_onto_itself_must_change_something(door):
    reply = copy(door, target="src")
    assert (reply.status, reply.code) == (400, "InvalidRequest")
    before = door.ask("HEAD", "/bkt/src").headers["last-modified"]
    door.hall.clock.advance(60)
    assert copy(door, target="src", **{"x-amz-metadata-directive": "REPLACE", "x-amz-meta-v": "2"}).status == 200
    got = door.ask("HEAD", "/bkt/src").headers
    assert (got["x-amz-meta-v"], got["last-modified"], got["etag"]) == ("2", before, ETAG)
    headers = {"x-amz-checksum-algorithm": "SHA256"}
    assert copy(door, target="src", **headers).xml("CopyObjectResult").value("ChecksumSHA256")
    assert door.ask("HEAD", "/bkt/src").headers["x-amz-meta-v"] == "2"


@pytest.mark.parametrize(
    ("headers", "goes"),
    [
        ({"if-match": ETAG}, True),
        ({"if-match": "*"}, True),
        ({"if-match": '"x"'}, False),
        ({"if-none-match": '"x"'}, True),
        ({"if-none-match": ETAG}, False),
        ({"if-modified-since": OLD}, True),
        ({"if-modified-since": NEW}, False),
        ({"if-unmodified-since": NEW}, True),
        ({"if-unmodified-since": OLD}, False),
        ({"if-match": ETAG, "if-unmodified-since": OLD}, True),
        ({"if-none-match": ETAG, "if-modified-since": OLD}, False),
        ({"if-none-match": '"x"', "if-modified-since": NEW}, True),
    ],
)
def test_conditions_of_the_source_are_decided_as_s3_does(door, headers, goes):
    """As its page on CopyObject has it: the ETag goes before the time, and what fails is 412, never 304."""
    conditions = {f"{SOURCE}-{name}": value for name, value in headers.items()}
    upload = door.begin("big")
    for reply in (copy(door, **conditions), door.copy_part("big", upload, 1, "bkt/src", conditions)):
        assert reply.status == (200 if goes else 412)
        assert goes or reply.code == "PreconditionFailed"
    assert (door.ask("HEAD", "/bkt/dst").status == 200) is goes


def test_conditions_of_the_target_are_those_of_a_write(door):
    assert copy(door, **{"If-Match": '"x"'}).code == "NoSuchKey"
    assert copy(door, **{"If-None-Match": "*"}).status == 200
    assert copy(door, **{"If-None-Match": "*"}).code == "PreconditionFailed"
    assert copy(door, **{"If-Match": '"x"'}).code == "PreconditionFailed"
    assert copy(door, **{"If-Match": ETAG}).status == 200
    assert copy(door, **{"If-None-Match": '"x"'}).code == "NotImplemented"


@pytest.mark.parametrize(
    ("source", "status", "wanted"),
    [
        ("bkt/none", 404, "NoSuchKey"),
        ("none/src", 404, "NoSuchBucket"),
        ("bkt/src?versionId=3", 404, "NoSuchVersion"),
        ("bkt/" + "k" * 1025, 400, "KeyTooLongError"),
        ("bkt/%zz", 400, "InvalidURI"),
        *((each, 400, "InvalidArgument") for each in ("bkt", "bkt/", "/", "/bkt", "bkt/%ff", "bkt/src?versionId=")),
        *((each, 400, "InvalidArgument") for each in ("bkt/src?acl", "bkt/src?versionId=1&x", "arn:aws:s3:::bkt/src")),
    ],
)
def test_a_source_that_is_none_is_told(door, source, status, wanted):
    upload = door.begin("big")
    for reply in (copy(door, source), door.copy_part("big", upload, 1, source)):
        assert (reply.status, reply.code) == (status, wanted)
    assert door.keys() == ["src"]


def test_a_copy_into_a_bucket_or_below_a_name_that_cannot_be_is_refused(door):
    assert door.ask("PUT", "/none/dst", {SOURCE: "bkt/src"}).code == "NoSuchBucket"
    assert copy(door, target="k" * 1025).code == "KeyTooLongError"
    assert copy(door, **{"x-amz-copy-source-range": "bytes=0-1"}).code == "NotImplemented"
    assert copy(door, **{"x-amz-server-side-encryption": "AES256"}).code == "NotImplemented"


def test_a_copy_to_another_bucket_moves_bytes_and_says_the_same(door):
    door.ask("PUT", "/two")
    found = door.ask("PUT", "/two/dst", {SOURCE: "bkt/src"}).xml("CopyObjectResult")
    assert (found.value("ETag"), found.value("ChecksumSHA1")) == (ETAG, checksum("SHA1", b"body"))
    door.ask("DELETE", "/bkt/src")
    assert door.ask("GET", "/two/dst").body == b"body"


@pytest.mark.parametrize("bucket", ["bkt", "two"])
def test_a_checksum_asked_for_of_a_copy_is_computed(door, bucket):
    door.ask("PUT", "/two")
    headers = {SOURCE: "bkt/src", "x-amz-checksum-algorithm": "CRC32C"}
    found = door.ask("PUT", f"/{bucket}/dst", headers).xml("CopyObjectResult")
    assert (found.value("ChecksumCRC32C"), found.value("ChecksumSHA1")) == (checksum("CRC32C", b"body"), None)
    got = door.ask("HEAD", f"/{bucket}/dst", {"x-amz-checksum-mode": "ENABLED"}).headers
    assert got["x-amz-checksum-crc32c"] == checksum("CRC32C", b"body")
    assert copy(door, **{"x-amz-checksum-algorithm": "MD5"}).code == "InvalidRequest"


def test_a_copy_keeps_the_parts_and_their_checksums_until_another_is_asked_for(door):
    door.uploaded("big", ONE, LAST, headers={"x-amz-checksum-algorithm": "SHA256"}, algorithm="SHA256")
    found = copy(door, "bkt/big").xml("CopyObjectResult")
    assert found.value("ETag") == etag_of(ONE, LAST)
    assert (found.value("ChecksumSHA256"), found.value("ChecksumType")) == (composite("SHA256", ONE, LAST), "COMPOSITE")
    second = door.ask("GET", "/bkt/dst?partNumber=2", {"x-amz-checksum-mode": "ENABLED"})
    assert (second.body, second.headers["x-amz-checksum-sha256"]) == (LAST, checksum("SHA256", LAST))
    whole = copy(door, "bkt/big", "whole", **{"x-amz-checksum-algorithm": "SHA256"}).xml("CopyObjectResult")
    assert (whole.value("ChecksumSHA256"), whole.value("ChecksumType")) == (
        checksum("SHA256", ONE + LAST),
        "FULL_OBJECT",
    )
    second = door.ask("GET", "/bkt/whole?partNumber=2", {"x-amz-checksum-mode": "ENABLED"})
    assert (second.body, second.headers.get("x-amz-checksum-sha256")) == (LAST, None)


def test_a_copied_part_is_the_range_that_was_named(door):
    upload = door.begin("big")
    parts = {1: door.copy_part("big", upload, 1, "bkt/src", {"x-amz-copy-source-range": "bytes=1-2"})}
    found = parts[1].xml("CopyPartResult")
    assert found.value("LastModified").endswith("Z")
    whole = door.copy_part("big", upload, 2, "bkt/src").xml("CopyPartResult")
    assert (whole.value("ETag"), whole.value("ChecksumSHA1")) == (ETAG, checksum("SHA1", b"body"))
    parts[1].headers["etag"] = found.value("ETag")
    assert door.complete("big", upload, {1: parts[1]}).status == 200
    assert door.ask("GET", "/bkt/big").body == b"od"


@pytest.mark.parametrize(
    "text", ["bytes=0-4", "bytes=2-1", "bytes=-1", "bytes=1-", "bytes=0-1,2-3", "0-1", "bytes=a-b", "bytes=9-9", ""]
)
def test_a_range_that_is_not_inside_the_source_is_refused(door, text):
    reply = door.copy_part("big", door.begin("big"), 1, "bkt/src", {"x-amz-copy-source-range": text})
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_a_marker_of_a_directory_and_an_empty_object_can_be_copied(door):
    door.put("d/", b"")
    assert copy(door, "bkt/d/", "e/").status == 200
    assert door.keys() == ["d/", "e/", "src"]
    door.put("empty", b"")
    assert copy(door, "bkt/empty").status == 200
    assert door.ask("GET", "/bkt/dst").body == b""
