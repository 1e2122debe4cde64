from __future__ import annotations

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.s3.codec.checksums import ALGORITHMS, announced_checksum, announced_trailers, decode_base64
from protocols.s3.codec.errors import S3Error


def crc_twin(data, polynomial, bits):
    """A CRC by its definition: reflected, all ones in and out."""
    mask = (1 << bits) - 1
    crc = mask
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (polynomial if crc & 1 else 0)
    return (crc ^ mask).to_bytes(bits // 8, "big")


TWINS = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: crc_twin(data, 0x82F63B78, 32),
    "crc64nvme": lambda data: crc_twin(data, 0x9A6C9329AC4BC9B5, 64),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


def test_every_algorithm_has_a_twin():
    assert TWINS.keys() == ALGORITHMS.keys()


@pytest.mark.parametrize("name", ALGORITHMS)
@given(pieces=st.lists(st.binary(max_size=40), max_size=6))
def test_a_running_checksum_equals_its_definition_however_the_body_is_cut(name, pieces):
    make, size = ALGORITHMS[name]
    digest = make()
    for piece in pieces:
        digest.update(piece)
    assert digest.digest() == TWINS[name](b"".join(pieces))
    assert len(digest.digest()) == size


def test_the_published_check_values_hold():
    expected = {"crc32": "cbf43926", "crc32c": "e3069283", "crc64nvme": "ae8b14860a799888"}
    for name, value in expected.items():
        digest = ALGORITHMS[name][0]()
        digest.update(b"123456789")
        assert digest.digest().hex() == value


@given(st.text(max_size=60))
def test_random_digests_decode_or_raise_invalid_digest(text):
    try:
        raw = decode_base64(text, 4)
    except S3Error:
        return
    assert len(raw) == 4


def test_a_request_announces_one_checksum_at_most():
    nothing = frozenset()
    one = announced_checksum({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-mode": "ENABLED"}, nothing)
    assert one == {"crc32": b"\0\0\0\0"}
    assert announced_checksum({}, announced_trailers("X-Amz-Checksum-SHA256")) == {"sha256": None}
    for headers, trailers in (
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="}, nothing),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, frozenset({"x-amz-checksum-sha1"})),
        ({"x-amz-checksum-md4": "AAAAAA=="}, nothing),
        ({}, frozenset({"x-amz-meta-a"})),
    ):
        with pytest.raises(S3Error) as caught:
            announced_checksum(headers, trailers)
        assert caught.value.code == "InvalidRequest"
