"""Attacks on signatures and signed bodies at the S3 door; letters and numbers of the project's security checklist."""

from __future__ import annotations

import hmac
import re
import time
from functools import lru_cache

import pytest
from loop import House
from signing import ACCESS_KEY, CREDENTIAL, REGION, SECRET, sign, signed, wire
from test_s3_matrix import READS_BODY, request

from protocols.s3.auth.credential import AuthType, PayloadMode
from protocols.s3.codec import sigv2, sigv4
from protocols.s3.codec.xmlread import read_xml

AUTHS = ["V4_HEADER", "V4_QUERY", "V2_HEADER", "V2_QUERY"]
CHUNKED = [mode for mode in PayloadMode if mode.chunked]
NEWLINE = b"\n"
TRAILER = b"x-amz-checksum-crc32:NhCmhg=="  # of hello


@pytest.fixture
def house():
    house = House()
    house.namespace.buckets["bkt"] = {}
    return house


def code(answer):
    return read_xml(answer[2], "Error").value("Code")


def chunked(mode, length=5):
    """Return (head without length, body) of a PUT whose body is in signed or unsigned chunks, with its trailer."""
    said = {"x-amz-content-sha256": mode.value}
    said |= {"x-amz-decoded-content-length": str(length)} if length is not None else {}
    said |= {"x-amz-trailer": "x-amz-checksum-crc32"} if mode.has_trailer else {}
    target, sent = sign("V4_HEADER", "PUT", "http://localhost/bkt/key", said)
    sent.pop("Content-Length", None)
    signer = None
    if mode is not PayloadMode.STREAMING_UNSIGNED_TRAILER:
        stamp = sent["X-Amz-Date"]
        scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
        signer = sigv4.ChunkSigner(
            sigv4.signing_key(SECRET, stamp[:8], REGION), stamp, scope, sent["Authorization"][-64:]
        )
    body = b""
    for piece in (b"hel", b"lo", b""):
        proof = f";chunk-signature={signer.chunk(sigv4.sha256(piece).hexdigest())}" if signer else ""
        body += f"{len(piece):x}{proof}\r\n".encode() + (piece + b"\r\n" if piece else b"")
    if mode.has_trailer:
        proof = f"x-amz-trailer-signature:{signer.trailer(TRAILER + NEWLINE)}\r\n" if signer else ""
        body += TRAILER + b"\r\n" + proof.encode()
    return (target, sent), body + b"\r\n"


def put(house, head, body):
    (target, sent), length = head, {"Content-Length": str(len(body))}
    return house.ask(wire("PUT", target, {**sent, **length}, body))


@pytest.mark.parametrize("mode", CHUNKED)
@pytest.mark.parametrize("name", sorted(READS_BODY))
def test_a01_no_operation_takes_chunks_of_whoever_knows_an_access_key_alone(house, name, mode):
    before = repr(house.namespace.buckets)
    forged = re.sub(rb"Signature=[0-9a-f]{64}", b"Signature=" + b"0" * 64, request(name, AuthType.V4_HEADER, mode))
    answer = house.ask(forged)
    assert (answer[0], code(answer)) == (403, "SignatureDoesNotMatch")
    assert repr(house.namespace.buckets) == before


@pytest.mark.parametrize("mode", CHUNKED)
def test_a07_a_chunked_body_cut_at_any_byte_stores_nothing_and_ends_at_once(house, mode):
    head, body = chunked(mode)
    started = time.process_time()
    for end in range(len(body)):
        answer = put(house, head, body[:end])
        assert answer[0] == 400, end
        assert house.namespace.buckets == {"bkt": {}}
    assert time.process_time() - started < 0.02 * len(body)
    assert (house.namespace.aborted, house.namespace.finished) == (len(body), 0)
    assert put(house, head, body)[0] == 200


@pytest.mark.parametrize("mode", CHUNKED)
@pytest.mark.parametrize("behind", [b"\r\n", b"0\r\n\r\n", b"x", b"5\r\nhello\r\n0\r\n\r\n"])
def test_a08_data_behind_the_last_chunk_stores_nothing(house, mode, behind):
    head, body = chunked(mode)
    assert put(house, head, body + behind)[0] == 400
    assert house.namespace.buckets == {"bkt": {}}


@pytest.mark.parametrize("mode", CHUNKED)
@pytest.mark.parametrize("length", ["-5", "5.0", "", "0x5", "9" * 400, 4, 6, 0, (5 << 30) + 1])
def test_a10_a_length_of_the_data_that_is_wrong_stores_nothing(house, mode, length):
    assert put(house, *chunked(mode, length=length))[0] == 400
    assert house.namespace.buckets == {"bkt": {}}


@pytest.mark.parametrize("mode", CHUNKED)
def test_a10_a_length_that_a_client_could_not_know_is_told_by_the_last_chunk(house, mode):
    """botocore leaves it out for a stream; what is missing at the end is missed all the same."""
    head, body = chunked(mode, length=None)
    assert put(house, head, body[: body.rindex(b"\r\n0")])[0] == 400
    assert house.namespace.buckets == {"bkt": {}}
    assert put(house, head, body)[0] == 200
    assert house.namespace.buckets["bkt"][b"key"][1] == b"hello"


@pytest.mark.parametrize("auth", AUTHS)
def test_a05_a_header_of_somebodys_inside_is_a_header_like_any_other(house, auth):
    inside = {
        "X-Gatefold-Caller": "0:0",
        "X-Gatefold-Account": "0" * 64,
        "X-Forwarded-User": "root",
        "X-SeaweedFS-Principal": "admin",
        "X-Minio-Source-Replication-Request": "true",
        "X-Container-Host": "h",
        "Remote-User": "root",
    }
    seen = []
    begin_put = house.namespace.begin_put

    async def begin(caller, bucket, request):
        seen.append((caller, request.headers, request.user))
        return await begin_put(caller, bucket, request)

    house.namespace.begin_put = begin
    assert house.ask(signed(auth, "PUT", "/bkt/key", {"Content-Type": "a/b"}, b"hello"))[0] == 200
    assert house.ask(signed(auth, "PUT", "/bkt/key", {"Content-Type": "a/b", **inside}, b"hello"))[0] == 200
    request = signed(auth, "PUT", "/bkt/key", {"Content-Type": "a/b"}, b"hello")
    unsigned = "".join(f"{name}: {value}\r\n" for name, value in inside.items()).encode()
    assert house.ask(request.replace(b"\r\n", b"\r\n" + unsigned, 1))[0] == 200
    assert len(seen) == 3
    assert all(each == (CREDENTIAL.caller, {"content-type": "a/b"}, {}) for each in seen)


@pytest.mark.parametrize(
    "name", ["x-amz-replication-status", "x-amz-source-principal", "x-amz-meta-x-amz-principal", "x-amz-website-x"]
)
def test_a05_an_amz_header_from_inside_another_store_has_no_effect_unless_signed_and_then_none(house, name):
    request = signed("V4_HEADER", "PUT", "/bkt/key", {}, b"hello")
    assert house.ask(request.replace(b"\r\n", f"\r\n{name}: 1\r\n".encode(), 1))[0] == 403
    assert house.ask(signed("V4_HEADER", "PUT", "/bkt/key", {name: "1"}, b"hello"))[0] in {200, 501}
    for info, _ in house.namespace.buckets["bkt"].values():
        assert "status" not in str(info.headers)


def test_a12_an_unsigned_payload_is_served_and_what_it_announces_of_itself_is_proven(house):
    mode = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    assert house.ask(signed("V4_HEADER", "PUT", "/bkt/key", mode, b"hello"))[0] == 200
    for name, value in (("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="), ("x-amz-checksum-crc32", "AAAAAA==")):
        wrong = house.ask(signed("V4_HEADER", "PUT", "/bkt/other", {**mode, name: value}, b"hello"))
        assert (wrong[0], code(wrong)) == (400, "BadDigest")
    assert list(house.namespace.buckets["bkt"]) == [b"key"]


@pytest.mark.parametrize("auth", AUTHS)
def test_a20_an_unknown_key_costs_the_hmacs_of_a_known_one_and_is_compared_in_constant_time(house, auth, monkeypatch):
    counted = {"hmac": 0, "compared": 0}

    def digest(*args):
        counted["hmac"] += 1
        return hmac.digest(*args)

    def compare(one, other):
        counted["compared"] += 1
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(sigv4, "hmac_digest", digest)
    monkeypatch.setattr(sigv2, "hmac_digest", digest, raising=True)
    monkeypatch.setattr("protocols.s3.auth.version4.compare_digest", compare)
    monkeypatch.setattr("protocols.s3.auth.version2.compare_digest", compare)
    spent, answers = [], []
    for who in ((ACCESS_KEY, SECRET[:-1] + "x"), ("AKIDUNKNOWN", SECRET)):
        monkeypatch.setattr(sigv4, "signing_key", lru_cache(sigv4.signing_key.__wrapped__))
        target, sent = sign(auth, "GET", "http://localhost/bkt/key", who=who)
        counted.update(hmac=0, compared=0)
        answers.append(house.ask(wire("GET", target, sent)))
        spent.append(dict(counted))
    assert spent[0] == spent[1]
    assert min(spent[0].values()) >= 1
    assert [each[0] for each in answers] == [403, 403]
    assert [code(each) for each in answers] == ["SignatureDoesNotMatch", "InvalidAccessKeyId"]


def test_a21_a_captured_put_sent_again_writes_the_same_and_costs_the_same_and_dies_in_fifteen_minutes(house):
    request = signed("V4_HEADER", "PUT", "/bkt/key", {"x-amz-meta-a": "b"}, b"hello")
    assert {house.ask(request)[0] for _ in range(50)} == {200}
    [(key, (info, body))] = house.namespace.buckets["bkt"].items()
    assert (key, info.user, body) == (b"key", {"a": "b"}, b"hello")
    assert len(house.site._connections) == 50
    changed = request.replace(b"hello", b"jello")
    assert house.ask(changed)[0] == 400
    house.clock.advance(16 * 60)
    late = house.ask(request)
    assert (late[0], code(late)) == (403, "RequestTimeTooSkewed")


def test_a23_a_token_beside_a_permanent_key_is_refused_wherever_it_stands(house):
    asked = [signed(auth, "GET", "/bkt/key", {"x-amz-security-token": "eyJhbGciOiJub25lIn0.e30."}) for auth in AUTHS]
    asked.append(signed("V4_QUERY", "GET", "/bkt/key?X-Amz-Security-Token=t"))
    for each in asked:
        answer = house.ask(each)
        assert (answer[0], code(answer)) == (400, "InvalidToken")
