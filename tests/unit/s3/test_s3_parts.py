"""Checksums of multipart objects, GET and HEAD by part number, and GetObjectAttributes, by raw HTTP."""

from __future__ import annotations

import pytest
from object_door import DIGESTS, LAST, ObjectDoor, checksum, composite
from object_door import SMALL_ONE as ONE
from object_door import SMALL_TWO as TWO

from metastore.records import Part
from namespace.api import ObjectParts
from namespace.object_parts import packed_parts

ALGORITHM, KIND, MODE = "x-amz-checksum-algorithm", "x-amz-checksum-type", {"x-amz-checksum-mode": "ENABLED"}
WANTED = "x-amz-object-attributes"
KINDS = [
    *((name, "COMPOSITE") for name in ("CRC32", "CRC32C", "SHA1", "SHA256")),
    *((name, "FULL_OBJECT") for name in ("CRC32", "CRC32C", "CRC64NVME")),
]


@pytest.fixture
def door(monkeypatch):
    monkeypatch.setattr("namespace.completion.PART_MIN_BYTES", len(ONE))
    return ObjectDoor()


def whole(algorithm, kind, *parts):
    return composite(algorithm, *parts) if kind == "COMPOSITE" else checksum(algorithm, b"".join(parts))


@pytest.mark.parametrize(("algorithm", "kind"), KINDS)
def test_the_checksum_of_the_whole_is_made_of_those_of_the_parts(door, algorithm, kind):
    wanted = whole(algorithm, kind, ONE, TWO, LAST)
    headers = {ALGORITHM: algorithm, KIND: kind}
    done = door.uploaded("a", ONE, TWO, LAST, headers=headers, algorithm=algorithm)
    found = done.xml("CompleteMultipartUploadResult")
    assert (found.value(f"Checksum{algorithm}"), found.value("ChecksumType")) == (wanted, kind)
    got = door.ask("GET", "/bkt/a", MODE).headers
    assert (got[f"x-amz-checksum-{algorithm.lower()}"], got[KIND]) == (wanted, kind)
    assert KIND not in door.ask("GET", "/bkt/a").headers
    assert KIND not in door.ask("GET", "/bkt/a", {**MODE, "Range": "bytes=0-9"}).headers


@pytest.mark.parametrize("algorithm", [None, *DIGESTS])
def test_a_type_that_is_not_named_is_the_one_of_s3(door, algorithm):
    upload = door.begin("a", {ALGORITHM: algorithm} if algorithm else {})
    parts = {1: door.part("a", upload, 1, ONE), 2: door.part("a", upload, 2, LAST)}
    used = algorithm or "CRC64NVME"
    assert parts[2].headers[f"x-amz-checksum-{used.lower()}"] == checksum(used, LAST)  # computed here
    found = door.complete("a", upload, parts, algorithm=used).xml("CompleteMultipartUploadResult")
    kind = "FULL_OBJECT" if used == "CRC64NVME" else "COMPOSITE"
    assert (found.value(f"Checksum{used}"), found.value("ChecksumType")) == (whole(used, kind, ONE, LAST), kind)


@pytest.mark.parametrize(("algorithm", "kind"), KINDS)
def test_what_the_client_says_of_the_whole_is_compared(door, algorithm, kind):
    name = f"x-amz-checksum-{algorithm.lower()}"
    upload = door.begin("a", {ALGORITHM: algorithm, KIND: kind})
    parts = {1: door.part("a", upload, 1, ONE), 2: door.part("a", upload, 2, LAST)}
    for said, wanted in (
        ({name: checksum(algorithm, b"")}, "BadDigest"),
        ({name: "AAAA"}, "InvalidDigest"),
        ({name: checksum(algorithm, b""), "x-amz-checksum-md5": "x"}, "InvalidRequest"),
        ({KIND: "COMPOSITE" if kind == "FULL_OBJECT" else "FULL_OBJECT"}, "InvalidRequest"),
        ({KIND: "ALL"}, "InvalidRequest"),
    ):
        reply = door.complete("a", upload, parts, said, algorithm)
        assert (reply.status, reply.code) == (400, wanted)
    assert door.keys() == []
    right = {name: whole(algorithm, kind, ONE, LAST), KIND: kind}
    assert door.complete("a", upload, parts, right, algorithm).status == 200


def test_a_composite_checksum_may_be_said_without_its_count(door):
    upload = door.begin("a", {ALGORITHM: "SHA1"})
    parts = {1: door.part("a", upload, 1, LAST)}
    said = {"x-amz-checksum-sha1": composite("SHA1", LAST).partition("-")[0]}
    assert door.complete("a", upload, parts, {"x-amz-checksum-sha1": f"{said['x-amz-checksum-sha1']}-2"}, "SHA1").code
    assert door.complete("a", upload, parts, said, "SHA1").status == 200


def test_parts_of_another_checksum_than_was_announced_are_refused(door):
    upload = door.begin("a", {ALGORITHM: "SHA256"})
    reply = door.part("a", upload, 1, LAST, {"x-amz-checksum-crc32": checksum("CRC32", LAST)})
    assert (reply.status, reply.code) == (400, "InvalidRequest")


def test_a_composite_completion_names_the_checksum_of_each_part(door):
    upload = door.begin("a", {ALGORITHM: "SHA256"})
    parts = {1: door.part("a", upload, 1, ONE), 2: door.part("a", upload, 2, LAST)}
    assert door.complete("a", upload, parts).code == "InvalidRequest"
    parts[1].headers["x-amz-checksum-sha256"] = checksum("SHA256", b"")
    assert door.complete("a", upload, parts, algorithm="SHA256").code == "InvalidPart"


def test_an_object_with_a_part_by_reference_has_no_checksum_and_none_can_be_said_of_it(door):
    door.put("src", ONE + LAST)
    upload = door.begin("a", {ALGORITHM: "CRC32", KIND: "FULL_OBJECT"})
    copied = door.copy_part("a", upload, 1, "bkt/src", {"x-amz-copy-source-range": "bytes=0-9"})
    copied.headers["etag"] = copied.xml("CopyPartResult").value("ETag")
    said = {"x-amz-checksum-crc32": checksum("CRC32", ONE[:10])}
    assert door.complete("a", upload, {1: copied}, said).code == "InvalidRequest"
    assert door.complete("a", upload, {1: copied}).status == 200
    assert KIND not in door.ask("HEAD", "/bkt/a", MODE).headers


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_a_whole_object_copied_as_a_part_brings_its_checksum(door, algorithm):
    door.put("src", LAST, **{f"x-amz-checksum-{algorithm.lower()}": checksum(algorithm, LAST)})
    upload = door.begin("a", {ALGORITHM: algorithm})
    copied = door.copy_part("a", upload, 1, "bkt/src")
    found = copied.xml("CopyPartResult")
    copied.headers["etag"] = found.value("ETag")
    copied.headers[f"x-amz-checksum-{algorithm.lower()}"] = found.value(f"Checksum{algorithm}")
    kind = "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"
    done = door.complete("a", upload, {1: copied}, algorithm=algorithm).xml("CompleteMultipartUploadResult")
    assert done.value(f"Checksum{algorithm}") == whole(algorithm, kind, LAST)


def test_a_put_without_a_checksum_gets_the_default_one(door):
    reply = door.put("a", b"body")
    assert reply.headers["x-amz-checksum-crc64nvme"] == checksum("CRC64NVME", b"body")
    assert reply.headers[KIND] == "FULL_OBJECT"
    assert door.ask("HEAD", "/bkt/a", MODE).headers["x-amz-checksum-crc64nvme"] == checksum("CRC64NVME", b"body")


def test_parts_are_read_by_number(door):
    door.uploaded("a", ONE, TWO, LAST, headers={ALGORITHM: "CRC32"}, algorithm="CRC32")
    start = 0
    for number, part in enumerate((ONE, TWO, LAST), 1):
        for method in ("GET", "HEAD"):
            got = door.ask(method, f"/bkt/a?partNumber={number}", MODE)
            assert (got.status, got.headers["x-amz-mp-parts-count"]) == (206, "3")
            assert got.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{len(ONE + TWO + LAST)}"
            assert int(got.headers["content-length"]) == len(part)
            assert (got.headers["x-amz-checksum-crc32"], got.headers[KIND]) == (checksum("CRC32", part), "COMPOSITE")
            assert method == "HEAD" or got.body == part
        start += len(part)
    for number, status, wanted in (
        (4, 416, "InvalidPartNumber"),
        (0, 400, "InvalidArgument"),
        ("x", 400, "InvalidArgument"),
    ):
        reply = door.ask("GET", f"/bkt/a?partNumber={number}")
        assert (reply.status, reply.code) == (status, wanted)
    assert door.ask("GET", "/bkt/a?partNumber=1", {"Range": "bytes=0-1"}).code == "InvalidRequest"
    assert door.ask("GET", "/bkt/a?partNumber=1", {"If-None-Match": "*"}).status == 304


def test_an_object_that_was_put_is_its_own_first_part(door):
    door.put("a", b"body")
    got = door.ask("GET", "/bkt/a?partNumber=1", MODE)
    assert (got.status, got.body, got.headers.get("x-amz-mp-parts-count")) == (206, b"body", None)
    assert got.headers["x-amz-checksum-crc64nvme"] == checksum("CRC64NVME", b"body")
    assert door.ask("GET", "/bkt/a?partNumber=2").code == "InvalidPartNumber"
    door.put("empty", b"")
    assert door.ask("GET", "/bkt/empty?partNumber=1").status == 200


def test_parts_are_forgotten_with_the_content_that_they_were_of(door):
    door.uploaded("a", ONE, LAST, headers={ALGORITHM: "CRC32"}, algorithm="CRC32")
    door.take_over()
    assert door.ask("GET", "/bkt/a?partNumber=2").body == LAST
    door.put("a", b"body")
    assert door.ask("GET", "/bkt/a?partNumber=2").code == "InvalidPartNumber"


def attributes(door, names, **headers):
    return door.ask("GET", "/bkt/a?attributes", {WANTED: names, **headers})


def test_the_attributes_that_are_asked_for_are_told(door):
    door.put("a", b"body")
    reply = attributes(door, "ETag,Checksum,ObjectParts,StorageClass,ObjectSize")
    found = reply.xml("GetObjectAttributesResponse")
    assert [child.name for child in found.children] == ["ETag", "Checksum", "StorageClass", "ObjectSize"]
    assert found.value("ETag") == door.ask("HEAD", "/bkt/a").headers["etag"].strip('"')
    assert (found.value("StorageClass"), found.value("ObjectSize")) == ("STANDARD", "4")
    sums = found.children[1]
    assert (sums.value("ChecksumCRC64NVME"), sums.value("ChecksumType")) == (
        checksum("CRC64NVME", b"body"),
        "FULL_OBJECT",
    )
    assert reply.headers["last-modified"] == door.ask("HEAD", "/bkt/a").headers["last-modified"]
    assert [each.name for each in attributes(door, "ObjectSize").xml("GetObjectAttributesResponse").children] == [
        "ObjectSize"
    ]


def test_the_parts_of_an_object_are_told_in_pages(door):
    door.uploaded("a", ONE, ONE, TWO, LAST, headers={ALGORITHM: "SHA1"}, algorithm="SHA1")
    bodies = {"1": ONE, "2": ONE, "3": TWO, "4": LAST}
    seen, marker = [], "0"
    while True:
        page = {"x-amz-max-parts": "3", "x-amz-part-number-marker": marker}
        found = attributes(door, "ObjectParts", **page).xml("GetObjectAttributesResponse").children[0]
        assert (found.value("PartsCount"), found.value("MaxParts"), found.value("PartNumberMarker")) == (
            "4",
            "3",
            marker,
        )
        for part in (child for child in found.children if child.name == "Part"):
            seen.append(part.value("PartNumber"))
            body = bodies[seen[-1]]
            assert (part.value("Size"), part.value("ChecksumSHA1")) == (str(len(body)), checksum("SHA1", body))
        if found.value("IsTruncated") == "false":
            break
        marker = found.value("NextPartNumberMarker")
    assert seen == ["1", "2", "3", "4"]
    none = attributes(door, "ObjectParts", **{"x-amz-max-parts": "0"}).xml("GetObjectAttributesResponse").children[0]
    assert none.value("IsTruncated") == "false"


@pytest.mark.parametrize(
    ("names", "headers"),
    [
        ("", {}),
        ("Owner", {}),
        ("ETag,etag", {}),
        ("ETag", {"x-amz-max-parts": "x"}),
        ("ETag", {"x-amz-part-number-marker": "-1"}),
    ],
)
def test_attributes_that_s3_does_not_know_are_refused(door, names, headers):
    door.put("a", b"body")
    assert attributes(door, names, **headers).code == "InvalidArgument"


def test_attributes_of_what_is_not_there_are_not_found(door):
    assert attributes(door, "ETag").code == "NoSuchKey"
    door.put("a", b"body")
    assert attributes(door, "ETag", **{"If-Match": '"x"'}).status == 412


def test_ten_thousand_equal_parts_cost_a_few_bytes():
    parts = [Part(1, b"u", number, number, 8 << 20, b"", {"crc32": "AAAAAA=="}, 1) for number in range(1, 10_000)]
    packed = packed_parts([*parts, Part(1, b"u", 10_000, 1, 7, b"", {}, 1)], "crc32 FULL_OBJECT", b"u")
    assert packed == {"sizes": "9999x8388608 1x7", "upload": "u"}
    read = ObjectParts(packed)
    assert read.count == 10_000
    assert read.part(10_000).offset == 9999 * (8 << 20)
    assert read.part(10_001) is None
    assert [part.number for part in read.page(9_998, 100)] == [9_999, 10_000]
