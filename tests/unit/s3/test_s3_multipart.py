"""Multipart uploads by raw HTTP: what each operation answers, and each error that it may answer."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import pytest
from object_door import LAST, ONE, TWO, ObjectDoor, checksum, document, etag_of

from metastore.records import Blob, Part, Upload
from protocols.s3.codec.multipart import MAX_DOCUMENT_BYTES

KIND = "x-amz-checksum-type"
ALGORITHM = "x-amz-checksum-algorithm"


@pytest.fixture
def door():
    return ObjectDoor()


def values(found, name):
    return [each for each in found.children if each.name == name]


def test_an_object_of_parts_is_what_was_said_of_it(door):
    headers = {"Content-Type": "text/x", "Cache-Control": "no-cache", "x-amz-meta-u": "1"}
    begun = door.ask("POST", "/bkt/d/a%20b?uploads", headers)
    found = begun.xml("InitiateMultipartUploadResult")
    assert (found.value("Bucket"), found.value("Key")) == ("bkt", "d/a b")
    upload = found.value("UploadId")
    parts = {5: door.part("d/a%20b", upload, 5, ONE), 9: door.part("d/a%20b", upload, 9, LAST)}
    assert parts[5].headers["etag"] == f'"{hashlib.md5(ONE).hexdigest()}"'
    assert door.keys() == []
    done = door.complete("d/a%20b", upload, parts).xml("CompleteMultipartUploadResult")
    assert done.value("Location") == "http://localhost/bkt/d/a%20b"
    assert (done.value("Bucket"), done.value("Key"), done.value("ETag")) == ("bkt", "d/a b", etag_of(ONE, LAST))
    got = door.ask("GET", "/bkt/d/a%20b")
    assert got.body == ONE + LAST
    assert (got.headers["etag"], got.headers["content-type"]) == (etag_of(ONE, LAST), "text/x")
    assert (got.headers["cache-control"], got.headers["x-amz-meta-u"]) == ("no-cache", "1")
    assert door.keys() == ["d/a b"]
    door.hall.settle()
    assert door.hall.database.rows[Part] == door.hall.database.rows[Upload] == {}


def test_a_part_sent_again_counts_and_what_is_not_listed_does_not(door):
    upload = door.begin("a")
    door.part("a", upload, 1, TWO)
    parts = {1: door.part("a", upload, 1, ONE), 3: door.part("a", upload, 3, LAST)}
    door.part("a", upload, 2, TWO)
    assert door.complete("a", upload, parts).status == 200
    assert door.ask("GET", "/bkt/a").body == ONE + LAST


def test_a_completion_asked_again_answers_the_same_even_of_the_next_gateway(door):
    upload = door.begin("a")
    parts = {1: door.part("a", upload, 1, LAST)}
    first = door.complete("a", upload, parts)
    assert door.complete("a", upload, parts).body == first.body
    door.hall.settle()
    door.take_over()
    assert door.complete("a", upload, parts).body == first.body
    door.put("a", b"other")
    assert door.complete("a", upload, parts).code == "NoSuchUpload"


def test_an_aborted_upload_is_gone_and_frees_its_bytes(door):
    upload = door.begin("a")
    part = door.part("a", upload, 1, ONE)
    reply = door.ask("DELETE", f"/bkt/a?uploadId={upload}")
    assert (reply.status, reply.body) == (204, b"")
    for again in (
        door.ask("DELETE", f"/bkt/a?uploadId={upload}"),
        door.ask("GET", f"/bkt/a?uploadId={upload}"),
        door.part("a", upload, 2, ONE),
        door.copy_part("a", upload, 2, "bkt/x"),
        door.complete("a", upload, {1: part}),
    ):
        assert again.status == 404
        assert again.code in {"NoSuchUpload", "NoSuchKey"}
    door.hall.settle()
    assert [blob for blob in door.hall.database.rows[Blob].values() if not blob.doomed] == []


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ([(2, ONE), (1, ONE)], "InvalidPartOrder"),
        ([(1, ONE), (1, ONE)], "InvalidPartOrder"),
        ([(1, LAST)], "InvalidPart"),
        ([(4, ONE)], "InvalidPart"),
        ([(3, LAST), (5, LAST)], "EntityTooSmall"),
        ([(0, ONE)], "InvalidArgument"),
        ([(10_001, ONE)], "InvalidArgument"),
        ([("1e1", ONE)], "InvalidArgument"),
        ([], "MalformedXML"),
    ],
)
def test_a_completion_with_a_wrong_list_leaves_the_upload_as_it_was(door, parts, wanted):
    upload = door.begin("a")
    sent = {number: door.part("a", upload, number, ONE) for number in (1, 2)}
    for number in (3, 5):
        sent[number] = door.part("a", upload, number, LAST)
    body = document([(number, hashlib.md5(data).hexdigest(), "") for number, data in parts])
    reply = door.ask("POST", f"/bkt/a?uploadId={upload}", body=body)
    assert (reply.status, reply.code) == (400, wanted)
    assert door.keys() == []
    assert door.complete("a", upload, {1: sent[1], 3: sent[3]}).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<CompleteMultipartUpload/>",
        b"<Other><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></Other>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><ETag>e</ETag></Part></CompleteMultipartUpload>",
        document([(1, "e", "<ETag>f</ETag>")]),
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part><No/></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part>",
        document([(number, "e", "") for number in range(1, 10_002)]),
        b" " * (MAX_DOCUMENT_BYTES + 1),
    ],
)
def test_a_completion_that_is_no_list_of_parts_is_malformed(door, body):
    reply = door.ask("POST", f"/bkt/a?uploadId={door.begin('a')}", body=body)
    assert (reply.status, reply.code) == (400, "MalformedXML")


def test_ten_thousand_parts_with_their_checksums_are_read(door):
    sums = f"<ChecksumSHA256>{checksum('SHA256', b'')}</ChecksumSHA256>"
    body = document([(number, f'"{"0" * 32}"', sums) for number in range(1, 10_001)])
    reply = door.ask("POST", f"/bkt/a?uploadId={door.begin('a')}", body=body)
    assert reply.code == "InvalidPart"  # none was sent


@pytest.mark.parametrize("number", ["0", "-1", "10001", "1e1", "", "99999999999999999999", "%31%31x", "%D9%A1"])
def test_a_part_number_is_one_to_ten_thousand(door, number):
    upload = door.begin("a")
    for reply in (door.part("a", upload, number, b"x"), door.copy_part("a", upload, number, "bkt/a")):
        assert (reply.status, reply.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("query", ["uploadId=x", "partNumber=1", "partNumber=1&uploadId=x&prefix=a"])
def test_a_part_needs_its_number_and_its_upload_and_nothing_else(door, query):
    assert door.ask("PUT", f"/bkt/a?{query}", body=b"x").status in {400, 501}
    assert door.keys() == []


def test_an_upload_that_nobody_began_is_not_found(door):
    door.put("src", b"x")
    real = door.begin("a")
    for upload in ("x", "", "%00", "../../a", "0" * 5000, real.upper(), real[:-1]):
        for reply in (
            door.part("a", upload, 1, b"x"),
            door.copy_part("a", upload, 1, "bkt/src"),
            door.complete("a", upload, {1: door.part("a", real, 1, b"x")}),
            door.ask("DELETE", f"/bkt/a?uploadId={upload}"),
            door.ask("GET", f"/bkt/a?uploadId={upload}"),
        ):
            assert (reply.status, reply.code) == (404, "NoSuchUpload"), upload


def test_a_bucket_that_is_not_there_is_what_is_wrong_with_an_upload(door):
    for reply in (
        door.ask("POST", "/none/a?uploads"),
        door.ask("PUT", "/none/a?partNumber=1&uploadId=x", body=b"x"),
        door.ask("GET", "/none/a?uploadId=x"),
        door.ask("GET", "/none?uploads"),
    ):
        assert (reply.status, reply.code) == (404, "NoSuchBucket")


def test_conditions_of_a_completion_are_decided_when_it_completes(door):
    upload = door.begin("a")
    parts = {1: door.part("a", upload, 1, LAST)}
    absent = door.complete("a", upload, parts, {"If-Match": '"x"'})
    assert (absent.status, absent.code) == (404, "NoSuchKey")
    etag = door.put("a", b"there").headers["etag"]
    for headers in ({"If-None-Match": "*"}, {"If-Match": '"x"'}):
        reply = door.complete("a", upload, parts, headers)
        assert (reply.status, reply.code) == (412, "PreconditionFailed")
    assert door.complete("a", upload, parts, {"If-None-Match": '"x"'}).code == "NotImplemented"
    assert door.complete("a", upload, parts, {"If-Match": etag}).status == 200


@pytest.mark.parametrize(("size", "wanted"), [("5", "InvalidRequest"), ("-1", "InvalidArgument"), ("4", None)])
def test_the_size_that_the_client_expects_is_compared(door, size, wanted):
    upload = door.begin("a")
    reply = door.complete("a", upload, {1: door.part("a", upload, 1, LAST)}, {"x-amz-mp-object-size": size})
    assert (reply.code if wanted else None) == wanted


def test_a_part_that_is_not_what_it_says_is_not_stored(door):
    upload = door.begin("a")
    for headers, wanted in (
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAA"}, "InvalidDigest"),
        ({"x-amz-content-sha256": "0" * 64}, "XAmzContentSHA256Mismatch"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
    ):
        assert door.part("a", upload, 1, b"x", headers).code == wanted
    listed = door.ask("GET", f"/bkt/a?uploadId={upload}").xml("ListPartsResult")
    assert values(listed, "Part") == []


def test_parts_are_listed_in_pages(door):
    upload = door.begin("k%C3%BC", {ALGORITHM: "SHA1"})
    for number in (1, 2, 7):
        door.part("k%C3%BC", upload, number, b"%d" % number)
    asked = f"/bkt/k%C3%BC?uploadId={upload}"
    whole = door.ask("GET", asked).xml("ListPartsResult")
    assert [part.value("PartNumber") for part in values(whole, "Part")] == ["1", "2", "7"]
    first = values(whole, "Part")[0]
    assert (first.value("Size"), first.value("ETag")) == ("1", f'"{hashlib.md5(b"1").hexdigest()}"')
    assert first.value("ChecksumSHA1") == checksum("SHA1", b"1")
    assert first.value("LastModified").endswith("Z")
    assert (whole.value("IsTruncated"), whole.value("MaxParts")) == ("false", "1000")
    assert (whole.value("Key"), whole.value("UploadId")) == ("kü", upload)
    assert (whole.value("ChecksumAlgorithm"), whole.value("ChecksumType")) == ("SHA1", "COMPOSITE")
    assert values(whole, "Owner")[0].value("ID") == values(whole, "Initiator")[0].value("ID") == "f" * 64
    page = door.ask("GET", f"{asked}&max-parts=2&encoding-type=url").xml("ListPartsResult")
    assert [part.value("PartNumber") for part in values(page, "Part")] == ["1", "2"]
    assert (page.value("IsTruncated"), page.value("NextPartNumberMarker")) == ("true", "2")
    assert (page.value("Key"), page.value("EncodingType")) == ("k%C3%BC", "url")
    rest = door.ask("GET", f"{asked}&max-parts=2&part-number-marker=2").xml("ListPartsResult")
    assert [part.value("PartNumber") for part in values(rest, "Part")] == ["7"]
    none = door.ask("GET", f"{asked}&max-parts=0").xml("ListPartsResult")
    assert (values(none, "Part"), none.value("IsTruncated")) == ([], "false")
    for wrong in ("max-parts=-1", "max-parts=a", "part-number-marker=x", "encoding-type=xml"):
        assert door.ask("GET", f"{asked}&{wrong}").code == "InvalidArgument"


def test_uploads_are_listed_in_pages_with_prefixes(door):
    ids = {key: door.begin(key) for key in ("a", "d/1", "d/2", "e%09")}
    second = door.begin("a")
    whole = door.ask("GET", "/bkt?uploads&encoding-type=url").xml("ListMultipartUploadsResult")
    found = [(each.value("Key"), each.value("UploadId")) for each in values(whole, "Upload")]
    assert found == sorted([("a", second), *ids.items()])
    assert values(whole, "Upload")[0].value("Initiated").endswith("Z")
    assert (whole.value("IsTruncated"), whole.value("Bucket")) == ("false", "bkt")
    rolled = door.ask("GET", "/bkt?uploads&delimiter=%2F&prefix=").xml("ListMultipartUploadsResult")
    assert [each.value("Prefix") for each in values(rolled, "CommonPrefixes")] == ["d/"]
    assert len(values(rolled, "Upload")) == 3
    below = door.ask("GET", "/bkt?uploads&prefix=d%2F").xml("ListMultipartUploadsResult")
    assert [each.value("Key") for each in values(below, "Upload")] == ["d/1", "d/2"]
    seen, marker = [], ""
    while True:
        page = door.ask("GET", f"/bkt?uploads&max-uploads=1{marker}").xml("ListMultipartUploadsResult")
        seen += [(each.value("Key"), each.value("UploadId")) for each in values(page, "Upload")]
        if page.value("IsTruncated") == "false":
            break
        key = quote(page.value("NextKeyMarker"), safe="")
        marker = f"&key-marker={key}&upload-id-marker={page.value('NextUploadIdMarker')}"
    assert [(key.replace("\t", "%09"), upload) for key, upload in seen] == found
    ignored = door.ask("GET", "/bkt?uploads&upload-id-marker=zzz").xml("ListMultipartUploadsResult")
    assert len(values(ignored, "Upload")) == 5
    none = door.ask("GET", "/bkt?uploads&max-uploads=0").xml("ListMultipartUploadsResult")
    assert (values(none, "Upload"), none.value("IsTruncated")) == ([], "false")
    assert door.ask("GET", "/bkt?uploads&max-uploads=x").code == "InvalidArgument"


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({ALGORITHM: "MD5"}, "InvalidRequest"),
        ({KIND: "COMPOSITE"}, "InvalidRequest"),
        ({ALGORITHM: "CRC32", KIND: "WHOLE"}, "InvalidRequest"),
        ({ALGORITHM: "CRC64NVME", KIND: "COMPOSITE"}, "InvalidRequest"),
        ({ALGORITHM: "SHA1", KIND: "FULL_OBJECT"}, "InvalidRequest"),
        ({ALGORITHM: "SHA256", KIND: "FULL_OBJECT"}, "InvalidRequest"),
        ({"x-amz-storage-class": "GLACIER"}, "InvalidStorageClass"),
        ({"x-amz-server-side-encryption": "AES256"}, "NotImplemented"),
        ({"x-amz-meta-a": "b" * 2048}, "MetadataTooLarge"),
    ],
)
def test_an_upload_that_cannot_be_as_it_is_wished_is_not_begun(door, headers, wanted):
    assert door.ask("POST", "/bkt/a?uploads", headers).code == wanted
    assert values(door.ask("GET", "/bkt?uploads").xml("ListMultipartUploadsResult"), "Upload") == []


def test_a_key_below_a_file_that_is_no_directory_or_too_long_is_no_upload(door):
    assert door.ask("POST", f"/bkt/{'k' * 1025}?uploads").code == "KeyTooLongError"
