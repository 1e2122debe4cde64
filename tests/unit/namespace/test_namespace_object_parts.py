"""Checksums combined from parts are those of the bytes; sizes of parts live and die with the content."""

from __future__ import annotations

import zlib
from base64 import b64encode

import pytest
from awscrt import checksums as crt
from hall import ROOT, run
from hypothesis import given
from hypothesis import strategies as st
from object_hall import ObjectHall, choice, md5_of

from foundation.errors import CompletionMismatch, UploadNotFound
from metastore.records import Part
from namespace.api import Caller, Completion, Conditions, ObjectParts, PartChoice, SetAttr
from namespace.checksums import of_parts
from namespace.object_parts import DIGESTS_MAX_BYTES, packed_parts

CRCS = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4),
    "crc32c": lambda data: crt.crc32c(data).to_bytes(4),
    "crc64nvme": lambda data: crt.crc64nvme(data).to_bytes(8),
}
SIZE = 10


@pytest.fixture
def hall(monkeypatch):
    monkeypatch.setattr("namespace.completion.PART_MIN_BYTES", SIZE)
    return ObjectHall()


def uploaded(hall, key=b"a", **fields):
    upload = hall.upload(key, **fields)
    parts = [hall.part(upload, number, b"%d" % number * SIZE) for number in (1, 2)]
    return upload, parts, hall.complete(upload, [*parts, hall.part(upload, 3, b"end")])


def part(number, body, **checksums):
    return Part(1, b"u", number, number, len(body), b"", checksums, 0)


@pytest.mark.parametrize("algorithm", CRCS)
@given(bodies=st.lists(st.binary(max_size=200), min_size=1, max_size=12))
def test_a_crc_combined_from_parts_is_the_crc_of_their_bytes(algorithm, bodies):
    crc = CRCS[algorithm]
    parts = [part(n, body, **{algorithm: b64encode(crc(body)).decode()}) for n, body in enumerate(bodies, 1)]
    whole = {algorithm: b64encode(crc(b"".join(bodies))).decode()}
    assert of_parts(f"{algorithm} FULL_OBJECT", parts) == whole
    if algorithm == "crc64nvme":
        assert of_parts("", parts) == whole


def test_an_object_with_a_part_of_no_checksum_has_none():
    parts = [part(1, b"x", crc32="AAAAAA=="), part(2, b"y")]
    assert of_parts("crc32 FULL_OBJECT", parts) == of_parts("crc32 COMPOSITE", parts) == {}
    assert set(packed_parts(parts, "crc32 COMPOSITE", b"u")) == {"sizes", "upload"}


@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=30), after=st.integers(0, 31), limit=st.integers(0, 31))
def test_parts_are_read_as_they_were_packed(sizes, after, limit):
    digests = [b64encode(bytes([n] * 4)).decode() for n in range(len(sizes))]
    parts = [part(n, bytes(size), crc32=digests[n - 1]) for n, size in enumerate(sizes, 1)]
    read = ObjectParts(packed_parts(parts, "crc32 COMPOSITE", b"u"))
    wanted = [(n, sum(sizes[: n - 1]), size, {"crc32": digests[n - 1]}) for n, size in enumerate(sizes, 1)]
    found = [(each.number, each.offset, each.size, each.checksums) for each in read.page(after, limit)]
    assert found == wanted[after : after + limit]
    assert read.count == len(sizes)


def test_digests_that_are_too_many_for_a_row_in_memory_are_left_out():
    digest = b64encode(bytes(32)).decode()
    parts = [part(n, b"x", sha256=digest) for n in range(DIGESTS_MAX_BYTES // 32)]
    assert "sha256" in packed_parts(parts, "sha256 COMPOSITE", b"u")
    assert "sha256" not in packed_parts([*parts, parts[0]], "sha256 COMPOSITE", b"u")


@pytest.mark.parametrize("edit", ["write", "truncate"])
def test_an_edit_through_nfs_forgets_the_parts(hall, edit):
    info = uploaded(hall)[2]
    assert ObjectParts(info.parts).count == 3
    if edit == "write":
        hall.write(b"a", 3, b"edited")
    else:
        hall.truncate(b"a", SIZE)
    edited = hall.head(b"a")
    assert edited.etag != info.etag
    assert (edited.parts, edited.checksums) == ({}, {})
    assert hall.reopen().head(b"a") == edited


def test_touch_and_rename_keep_the_parts(hall):
    info = uploaded(hall)[2]
    run(hall.ns.rename(ROOT, hall.root, b"a", hall.root, b"b"))
    assert hall.head(b"b").parts == info.parts
    assert hall.reopen().findings() == []


def test_a_version_that_is_not_current_keeps_its_parts(hall):
    run(hall.ns.set_versioning(ROOT, "bucket", "enabled"))
    first = uploaded(hall)[2]
    hall.store(b"a", b"other")
    assert hall.head(b"a").parts == {}
    assert run(hall.ns.head_version(ROOT, "bucket", b"a", first.version_id)).parts == first.parts
    hall.write(b"a", 0, b"edited")
    hall.settle()


@pytest.mark.parametrize("bucket", ["bucket", "other"])
def test_a_copy_has_the_parts_and_answers_for_no_upload(hall, bucket):
    run(hall.ns.create_bucket(ROOT, "other"))
    upload = hall.upload(b"a")
    only = hall.part(upload, 1, b"x")
    hall.complete(upload, [only])
    hall.copy(b"a", b"b", bucket=bucket)
    assert hall.head(b"b", bucket).parts == {"sizes": "1x1"}
    hall.store(b"a", b"another")
    if bucket == "bucket":
        hall.copy(b"b", b"a")  # the same bytes under the same key, and not by the upload
    with pytest.raises(UploadNotFound):
        hall.reopen().complete(upload, [only])


def test_who_may_not_read_the_object_is_not_told_that_it_was_completed(hall):
    upload = hall.upload(b"a")
    body = hall.part(upload, 1, b"x")
    hall.complete(upload, [body])
    hall.settle()
    taken = hall.reopen()
    run(taken.ns.setattr(ROOT, taken.file(b"a"), SetAttr(mode=0o600), None))
    completion = Completion([choice(body)], Conditions())
    with pytest.raises(UploadNotFound):
        run(taken.ns.complete_upload(Caller(5, 5, account="owner"), upload, completion))
    assert run(taken.ns.complete_upload(ROOT, upload, completion)).etag == taken.head(b"a").etag


def test_a_part_listed_without_its_etag_is_whatever_was_sent(hall):
    upload = hall.upload(b"a")
    hall.part(upload, 1, b"x")
    info = run(hall.ns.complete_upload(ROOT, upload, Completion([PartChoice(1, b"")], Conditions())))
    assert info.etag.endswith(b"-1")
    with pytest.raises(UploadNotFound):
        run(hall.reopen().ns.complete_upload(ROOT, upload, Completion([PartChoice(1, b"")], Conditions())))


def test_a_size_that_the_caller_does_not_expect_ends_nothing(hall):
    upload = hall.upload(b"a")
    only = hall.part(upload, 1, b"xy")
    with pytest.raises(CompletionMismatch):
        run(hall.ns.complete_upload(ROOT, upload, Completion([choice(only)], Conditions(), size=3)))
    assert hall.complete(upload, [only]).size == 2
    assert md5_of(b"xy") != hall.head(b"a").etag
