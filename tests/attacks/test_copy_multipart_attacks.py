"""Attacks on copies, uploads and batches; the letters and numbers are those of the project's security checklist."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hall import ROOT, run
from object_door import LAST, ONE, ObjectDoor, document
from signing import CREDENTIAL, signed

from metastore.records import Part, Upload
from namespace.api import PutRequest, SetAttr
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.multipart import parse_completion

SOURCE = "x-amz-copy-source"
MD5 = "0" * 32


@pytest.fixture
def door():
    """Return a door beside which `bucket`, another account's, holds a secret that nobody else may read."""
    door = ObjectDoor()
    door.hall.store(b"secret", b"secret")
    run(door.hall.ns.setattr(ROOT, door.hall.file(b"secret"), SetAttr(mode=0o600), None))
    door.reads = []
    read = door.hall.bodies.read

    async def counted(*asked):
        door.reads.append(asked)
        return await read(*asked)

    door.hall.bodies.read = counted
    return door


def copies(door, source, headers=None):
    """Return what CopyObject and UploadPartCopy answer for *source*."""
    upload = door.begin("big")
    return [
        door.ask("PUT", "/bkt/dst", {SOURCE: source, **(headers or {})}),
        door.copy_part("big", upload, 1, source, headers),
    ]


@pytest.mark.parametrize("target", ["/bkt/dst", "/bucket/dst"])
def test_c01_what_may_not_be_read_may_not_be_copied_and_is_not_read(door, target):
    reply = door.ask("PUT", target, {SOURCE: "bucket/secret"})
    assert (reply.status, reply.code) == (403, "AccessDenied")
    for copied in copies(door, "bucket/secret"):
        assert (copied.status, copied.code) == (403, "AccessDenied")
    assert door.reads == []
    assert door.keys() == []


def test_c01_a_condition_or_a_checksum_tells_nothing_of_what_may_not_be_read(door):
    etag = door.hall.head(b"secret").etag.decode()
    for value in (f'"{etag}"', '"x"'):
        for name in ("if-match", "if-none-match"):
            assert {reply.status for reply in copies(door, "bucket/secret", {f"{SOURCE}-{name}": value})} == {403}
    assert copies(door, "bucket/secret", {"x-amz-checksum-algorithm": "SHA256"})[0].status == 403


def test_c01_a_bucket_that_may_not_be_written_is_not_copied_into(door):
    door.put("mine", b"mine")
    for key in ("new", "secret"):
        assert door.ask("PUT", f"/bucket/{key}", {SOURCE: "bkt/mine"}).status == 403
    assert door.hall.read(b"secret") == b"secret"


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("bkt/safe%3FversionId%3D..%2f..%2fsecret", b"safe?versionId=../../secret"),
        ("bkt/safe%3FversionId=..%2F..%2Fsecret", b"safe?versionId=../../secret"),
        ("bkt/%252e%252e%252fsecret", b"%2e%2e%2fsecret"),
        ("bkt/a%252Fb", b"a%2Fb"),
        ("bkt//secret", b"/secret"),
        ("bkt/../bucket/secret", b"../bucket/secret"),
        ("bkt/%2e%2e/bucket/secret", b"../bucket/secret"),
        ("bkt/./secret", b"./secret"),
        ("bkt%2Fsecret", b"secret"),
        ("%2Fbkt%2Fsecret", b"secret"),
        ("bkt/a+b", b"a+b"),
    ],
)
def test_c02_a_source_is_decoded_once_and_is_the_key_it_names(door, source, key):
    for reply in copies(door, source):
        assert (reply.status, reply.code) == (404, "NoSuchKey")
    session = run(door.hall.ns.begin_put(CREDENTIAL.caller, "bkt", PutRequest(key, {}, {})))
    run(session.write(b"named"))
    run(session.finish(MD5.encode(), {}))
    assert [reply.status for reply in copies(door, source)] == [200, 200]
    assert door.ask("GET", "/bkt/dst").body == b"named"


@pytest.mark.parametrize(
    "source",
    [
        *("", "/", "?", "//", "bkt", "bkt/", "bkt/?versionId=1", "/bkt/", "//bkt/secret", "bkt?versionId=x", "bkt/%"),
        *("bkt/%00%ff", "bkt/a?versionId=%", "bkt/a?versionid=1", "b/a", "b" * 64 + "/a"),
    ],
)
def test_c02_a_source_that_names_no_key_is_refused(door, source):
    for reply in copies(door, source):
        assert reply.status == 400
        assert reply.code in {"InvalidArgument", "InvalidURI"}


@pytest.mark.parametrize("version", ["1", "null", "%2e%2e", "x" * 300])
def test_c03_a_version_of_what_may_not_be_read_may_not_be_copied(door, version):
    for reply in copies(door, f"bucket/secret?versionId={version}"):
        assert reply.status in {403, 404}
    assert door.reads == []


@pytest.mark.parametrize("other", ["x", "..%2Fa", "a%2Fb", "%00", "0" * 48, "%27%20OR%201=1--"])
def test_c04_an_upload_id_that_was_guessed_or_goes_with_another_key_or_bucket_is_none(door, other):
    door.put("src", b"x")
    door.ask("PUT", "/two")
    upload = door.begin("a")
    part = door.part("a", upload, 1, b"mine")
    for bucket, key, asked in (("bkt", "a", other), ("bkt", "b", upload), ("two", "a", upload)):
        path, number = f"/{bucket}/{key}?uploadId={asked}", f"/{bucket}/{key}?partNumber=1&uploadId={asked}"
        for reply in (
            door.ask("PUT", number, body=b"evil"),
            door.ask("PUT", number, {SOURCE: "bkt/src"}),
            door.ask("POST", path, body=document([(1, part.headers["etag"], "")])),
            door.ask("GET", path),
            door.ask("DELETE", path),
        ):
            assert (reply.status, reply.code) == (404, "NoSuchUpload")
    assert door.complete("a", upload, {1: part}).status == 200
    assert door.ask("GET", "/bkt/a").body == b"mine"


def test_c04_an_upload_of_another_account_is_not_touched(door):
    target = door.hall.upload(b"theirs")
    part = door.hall.part(target, 1, LAST)
    upload = target.upload_id.decode()
    for reply in (
        door.ask("PUT", f"/bucket/theirs?partNumber=1&uploadId={upload}", body=b"evil"),
        door.ask("POST", f"/bucket/theirs?uploadId={upload}", body=document([(1, part.etag.decode(), "")])),
        door.ask("GET", f"/bucket/theirs?uploadId={upload}"),
        door.ask("DELETE", f"/bucket/theirs?uploadId={upload}"),
    ):
        assert reply.status == 403
    door.hall.complete(target, [part])
    assert door.hall.read(b"theirs") == LAST


@pytest.mark.parametrize("number", ["0", "-1", "10001", "1e1", "+1", "%201", "1_0", "0x1", "1" * 500])
def test_c05_a_part_number_out_of_range_stores_nothing(door, number):
    upload = door.begin("a")
    reply = door.part("a", upload, number, b"x")
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert door.hall.database.rows[Part] == {}
    assert door.ask("POST", f"/bkt/a?uploadId={upload}", body=document([(number, MD5, "")])).status == 400


@pytest.mark.parametrize(
    "body",
    [
        document([(1 + number % 10_000, MD5, "") for number in range(10_001)]),
        document([(1, MD5, "")] * 10_000),
        document([(number, MD5, "") for number in range(1, 10_001)]),
        b"<CompleteMultipartUpload>" + b"<Part>" * 100_000,
        b"<CompleteMultipartUpload>" + b"<x/>" * 500_000 + b"</CompleteMultipartUpload>",
        b"<CompleteMultipartUpload>" + b" " * (20 << 20) + b"</CompleteMultipartUpload>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><CompleteMultipartUpload>&b;</CompleteMultipartUpload>',
    ],
    ids=["10,001 parts", "one part 10,000 times", "10,000 lies", "depth", "elements", "20 MiB", "entity"],
)
def test_c05_a_huge_or_lying_list_of_parts_costs_little_and_ends_nothing(door, body):
    upload = door.begin("a")
    part = door.part("a", upload, 1, LAST)
    request = signed("V4_HEADER", "POST", f"/bkt/a?uploadId={upload}", body=body)
    started = time.process_time()
    assert door.house.ask(request)[0] == 400
    assert time.process_time() - started < 2  # the one second of the list, and room for a busy machine
    assert door.complete("a", upload, {1: part}).status == 200


def test_c05_a_list_of_the_most_parts_takes_bounded_memory():
    body = document([(number, MD5, "<ChecksumCRC32>AAAAAA==</ChecksumCRC32>") for number in range(1, 10_001)])
    tracemalloc.start()
    try:
        assert len(parse_completion(body)) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 20 * len(body)
    finally:
        tracemalloc.stop()
    with pytest.raises(S3Error):
        parse_completion(b"<CompleteMultipartUpload>" + b"<Part/>" * 70_000 + b"</CompleteMultipartUpload>")


def listed(keys):
    return b"<Delete>" + b"".join(b"<Object><Key>%s</Key></Object>" % key for key in keys) + b"</Delete>"


@pytest.mark.parametrize(
    "body",
    [listed([b"k%d" % number for number in range(1001)]), b"<Delete>" + b" " * (2 << 20) + b"</Delete>"],
    ids=["1,001 keys", "2 MiB"],
)
def test_c06_a_batch_that_is_too_long_deletes_nothing(door, body):
    door.put("k1", b"x")
    reply = door.ask("POST", "/bkt?delete", body=body)
    assert (reply.status, reply.code) == (400, "MalformedXML")
    assert door.keys() == ["k1"]


def test_c06_each_key_of_a_batch_has_its_own_outcome_and_its_own_rights(door):
    door.put("k", b"x")
    same = door.ask("POST", "/bkt?delete", body=listed([b"k"] * 1000)).xml("DeleteResult")
    assert [child.name for child in same.children] == ["Deleted"] * 1000
    theirs = door.ask("POST", "/bucket?delete", body=listed([b"secret", b"none"])).xml("DeleteResult")
    outcomes = [(child.name, child.value("Key"), child.value("Code")) for child in theirs.children]
    assert outcomes[0] == ("Error", "secret", "AccessDenied")
    assert outcomes[1][1] == "none"
    assert door.hall.read(b"secret") == b"secret"


def test_c07_parts_that_come_after_the_end_are_not_kept(door):
    for end in ("abort", "complete"):
        upload = door.begin(end)
        part = door.part(end, upload, 1, ONE)
        if end == "abort":
            assert door.ask("DELETE", f"/bkt/{end}?uploadId={upload}").status == 204
        else:
            assert door.complete(end, upload, {1: part}).status == 200
        for number in (1, 2):
            assert door.part(end, upload, number, b"late").code == "NoSuchUpload"
    door.hall.settle()
    assert door.hall.database.rows[Part] == door.hall.database.rows[Upload] == {}
    assert door.keys() == ["complete"]


def test_c07_of_a_completion_and_an_abort_that_race_one_wins(door):
    upload = door.begin("a")
    part = door.part("a", upload, 1, LAST)
    late, aborting, completing = (door.house.connect() for _ in range(3))
    # A part whose body is still on its way when the upload ends.
    request = signed("V4_HEADER", "PUT", f"/bkt/a?partNumber=2&uploadId={upload}", body=b"late")
    late.protocol.dataReceived(request[:-2])
    body = document([(1, part.headers["etag"], "")])
    door.hall.metastore.hold_commits()
    aborting.protocol.dataReceived(signed("V4_HEADER", "DELETE", f"/bkt/a?uploadId={upload}"))
    completing.protocol.dataReceived(signed("V4_HEADER", "POST", f"/bkt/a?uploadId={upload}", body=body))
    assert (aborting.taken(), completing.taken()) == (b"", b"")  # neither says anything before it is durable
    door.hall.metastore.release_commits()
    assert aborting.taken().startswith(b"HTTP/1.1 204")
    assert b"<Code>NoSuchUpload</Code>" in completing.taken()
    late.protocol.dataReceived(request[-2:])
    assert b"<Code>NoSuchUpload</Code>" in late.taken()
    assert door.keys() == []
    door.hall.settle()
    assert door.hall.database.rows[Part] == {}


@pytest.mark.parametrize(
    "source",
    [
        "http://127.0.0.1/bkt/a",
        "http://169.254.169.254/latest/meta-data",
        "https://example.org/secret",
        "http:%2F%2F127.0.0.1%2Fsecret",
        "file:///etc/passwd",
        "//127.0.0.1/secret",
        "bkt@127.0.0.1/secret",
        "[::1]/secret",
    ],
)
def test_c08_a_source_is_a_name_and_never_a_url(door, source):
    for reply in copies(door, source):
        assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_c08_an_address_is_the_name_of_a_bucket_that_nobody_has(door):
    assert {reply.code for reply in copies(door, "169.254.169.254/latest/meta-data")} == {"NoSuchBucket"}
