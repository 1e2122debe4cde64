from __future__ import annotations

import hashlib
import hmac
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.s3.codec.chunked import ChunkedDecoder
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.sigv4 import ChunkSigner

KEY, STAMP, SCOPE, SEED = b"k" * 32, "20130524T000000Z", "20130524/us-east-1/s3/aws4_request", "0" * 64
TRAILER = frozenset({"x-amz-checksum-crc32"})


def signature(kind, previous, *hashes):
    text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", STAMP, SCOPE, previous, *hashes])
    return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()


def encode(pieces, *, signed, trailer=b""):
    """An aws-chunked body, written independently of the decoder."""
    out, previous = b"", SEED
    for piece in [*pieces, b""]:
        head = b"%x" % len(piece)
        if signed:
            empty = hashlib.sha256().hexdigest()
            previous = signature("PAYLOAD", previous, empty, hashlib.sha256(piece).hexdigest())
            head += b";chunk-signature=" + previous.encode()
        out += head + b"\r\n" + piece + (b"\r\n" if piece else b"")
    if trailer:
        out += b"x-amz-checksum-crc32:" + trailer + b"\r\n"
        if signed:
            block = b"x-amz-checksum-crc32:" + trailer + b"\n"
            out += b"x-amz-trailer-signature:"
            out += signature("TRAILER", previous, hashlib.sha256(block).hexdigest()).encode() + b"\r\n"
    return out + b"\r\n"


def decoder(*, signed, trailer=False, length=None):
    signer = ChunkSigner(KEY, STAMP, SCOPE, SEED) if signed else None
    return ChunkedDecoder(signer, TRAILER if trailer else frozenset(), length)


def decode(raw, cuts=(), **how):
    reader = decoder(**how)
    places = [0, *sorted(cuts), len(raw)]
    data = b"".join(reader.feed(raw[a:b]) for a, b in pairwise(places))
    return data, reader.finish()


@given(
    st.lists(st.binary(min_size=1, max_size=60), max_size=5),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 600), max_size=8),
)
def test_a_body_decodes_however_it_is_cut(pieces, signed, with_trailer, cuts):
    raw = encode(pieces, signed=signed, trailer=b"AAAAAA==" if with_trailer else b"")
    cuts = [min(cut, len(raw)) for cut in cuts]
    whole = b"".join(pieces)
    data, trailers = decode(raw, cuts, signed=signed, trailer=with_trailer, length=len(whole))
    assert data == whole
    assert trailers == ({"x-amz-checksum-crc32": "AAAAAA=="} if with_trailer else {})


@pytest.mark.parametrize("signed", [True, False])
def test_a07_a_body_truncated_at_any_byte_is_incomplete(signed):
    raw = encode([b"hello", b"world!"], signed=signed, trailer=b"AAAAAA==")
    for end in range(len(raw)):
        with pytest.raises(S3Error) as caught:
            decode(raw[:end], signed=signed, trailer=True)
        assert caught.value.code == "IncompleteBody"


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_raise_typed_errors(raw, signed):
    with pytest.raises(S3Error):
        decode(raw, signed=signed, trailer=True)


@given(st.data())
def test_a_flipped_byte_in_a_signed_body_is_found(data):
    raw = bytearray(encode([b"hello", b"world!"], signed=True))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(S3Error):
        decode(bytes(raw), signed=True)


@pytest.mark.parametrize(
    "head",
    [
        b"-1",
        b"0x10",
        b"+5",
        b"1_000",
        b"5 ",
        b" 5",
        b"",
        b"f" * 17,
        b"5;x=y",
        b"5;chunk-signature=",
        b"5\n",
        b"5" * 2000,
    ],
)
def test_a07_malformed_chunk_headers_are_refused(head):
    with pytest.raises(S3Error) as caught:
        decode(head + b"\r\nhello\r\n0\r\n\r\n", signed=False)
    assert caught.value.code == "InvalidRequest"


def test_a07_a_line_that_never_ends_is_refused_before_it_is_kept():
    reader = decoder(signed=False)
    with pytest.raises(S3Error):
        reader.feed(b"0" * 1025)


def test_a08_chunks_in_another_order_or_twice_do_not_verify():
    raw = encode([b"one", b"two"], signed=True)
    first, second = raw[: raw.index(b"one") + 5], raw[raw.index(b"one") + 5 : raw.index(b"two") + 5]
    rest = raw[len(first) + len(second) :]
    for wrong in (second + first + rest, first + first + second + rest, first + rest):
        with pytest.raises(S3Error) as caught:
            decode(wrong, signed=True)
        assert caught.value.code == "SignatureDoesNotMatch"


def test_a08_nothing_may_follow_the_last_chunk():
    with pytest.raises(S3Error):
        decode(encode([b"a"], signed=False) + b"0\r\n\r\n", signed=False)


@pytest.mark.parametrize("length", [0, 4, 6])
def test_a10_the_decoded_length_must_be_that_announced(length):
    with pytest.raises(S3Error) as caught:
        decode(encode([b"hello"], signed=False), signed=False, length=length)
    assert caught.value.code == "IncompleteBody"


def test_a09_trailers_must_be_those_announced():
    body = b"1\r\na\r\n0\r\n"
    for lines in (
        b"",
        b"x-amz-checksum-sha1:AA\r\n",
        b"x-amz-checksum-crc32:AA\r\nx-amz-checksum-crc32:AA\r\n",
        b"novalue\r\n",
    ):
        with pytest.raises(S3Error) as caught:
            decode(body + lines + b"\r\n", signed=False, trailer=True)
        assert caught.value.code == "MalformedTrailerError"
    with pytest.raises(S3Error):
        decode(body + b"x-amz-checksum-crc32:AA\r\n\r\n", signed=False, trailer=False)


def test_a09_a_signed_trailer_without_or_with_a_wrong_signature_is_refused():
    raw = encode([b"a"], signed=True, trailer=b"AAAAAA==")
    at = raw.index(b"x-amz-trailer-signature")
    wrong = raw[:-4] + (b"0" if raw[-5:-4] != b"0" else b"1") + raw[-4:][1:]
    for each in (raw[:at] + b"\r\n", wrong, raw.replace(b"AAAAAA==", b"AAAAAQ==")):
        with pytest.raises(S3Error):
            decode(each, signed=True, trailer=True)


def test_the_signed_trailer_of_awss_own_example_ends_in_lf_crlf():
    raw = encode([b"a"], signed=True, trailer=b"AAAAAA==").replace(b"AAAAAA==\r\n", b"AAAAAA==\n\r\n")
    assert decode(raw, signed=True, trailer=True)[1] == {"x-amz-checksum-crc32": "AAAAAA=="}


def test_many_tiny_chunks_come_out_as_one_piece():
    reader = decoder(signed=False)
    assert reader.feed(b"1\r\na\r\n" * 5000) == b"a" * 5000
