"""POST form upload as browsers and SDKs use it."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from urllib.parse import parse_qs, urlsplit

import pytest
from form_signing import covering, form, form_body, part, post, signed_fields
from hypothesis import given
from hypothesis import strategies as st
from loop import House
from s3_fake_namespace import FakePut
from signing import signed

from foundation.aio import Promise
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.form import FormDecoder, parse_boundary
from protocols.s3.codec.policy import check_policy, parse_policy
from protocols.s3.codec.xmlread import read_xml

ETAG = f'"{hashlib.md5(b"hello").hexdigest()}"'


@pytest.fixture
def house():
    house = House(domain="s3.test")
    house.namespace.buckets["bkt"] = {}
    return house


def code(answer):
    return read_xml(answer[2], "Error").value("Code")


@pytest.mark.parametrize("auth", ["V4_FORM", "V2_FORM"])
def test_a_form_stores_its_file_with_what_its_fields_say(house, auth):
    fields = {
        "key": "up/ü.txt",
        "Content-Type": "text/plain",
        "Cache-Control": "no-cache",
        "X-Amz-Meta-Who": "ü",
        "acl": "private",
        "x-amz-storage-class": "STANDARD",
        "x-ignore-me": "whatever",
    }
    status, headers, body = house.ask(form(auth, fields))
    assert (status, headers["etag"], body) == (204, ETAG, b"")
    info, stored = house.namespace.buckets["bkt"]["up/ü.txt".encode()]
    assert stored == b"hello"
    assert info.headers == {"content-type": "text/plain", "cache-control": "no-cache"}
    assert info.user == {"who": "ü"}


def test_the_content_type_of_the_files_part_is_not_the_objects(house):
    house.ask(form("V4_FORM", {"key": "k"}))
    assert house.namespace.buckets["bkt"][b"k"][0].headers == {"content-type": "binary/octet-stream"}


@pytest.mark.parametrize(
    ("path", "host"), [("/bkt", "h"), ("/bkt/", "h"), ("/", "bkt.s3.test"), ("/", "bkt.s3.test:1")]
)
def test_a_form_names_its_bucket_in_the_path_or_in_the_host(house, path, host):
    status, headers, _ = house.ask(form("V4_FORM", {"key": "a/b c"}, path=path, host=host))
    assert status == 204
    bucket = "" if path == "/" else "/bkt"
    assert headers["location"] == f"http://{host}{bucket}/a/b%20c"
    assert list(house.namespace.buckets["bkt"]) == [b"a/b c"]


@pytest.mark.parametrize(("asked", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("x", 204)])
def test_a_form_chooses_the_status_of_its_success(house, asked, status):
    answer = house.ask(form("V4_FORM", {"key": "k", "success_action_status": asked}))
    assert answer[0] == status
    assert answer[1]["etag"] == ETAG
    if status == 201:
        tree = read_xml(answer[2], "PostResponse")
        told = [tree.value(name) for name in ("Location", "Bucket", "Key", "ETag")]
        assert told == ["http://localhost/bkt/k", "bkt", "k", ETAG]
    else:
        assert answer[2] == b""


@pytest.mark.parametrize("name", ["success_action_redirect", "redirect"])
def test_a_form_leads_on_to_a_page_that_is_told_what_was_stored(house, name):
    fields = {"key": "a b&c", name: "https://h.test:8/done?q=1", "success_action_status": "201"}
    status, headers, _ = house.ask(form("V4_FORM", fields))
    assert status == 303
    place = urlsplit(headers["location"])
    assert (place.scheme, place.netloc, place.path) == ("https", "h.test:8", "/done")
    assert parse_qs(place.query) == {"q": ["1"], "bucket": ["bkt"], "key": ["a b&c"], "etag": [ETAG]}


def test_the_files_name_fills_in_wherever_a_field_asks_for_it(house):
    fields = {"key": "up/${filename}", "x-amz-meta-name": "${filename}"}
    conditions = [{"bucket": "bkt"}, ["starts-with", "$key", "up/"], ["starts-with", "$x-amz-meta-name", ""]]
    body = form_body(signed_fields("V4_FORM", fields, conditions), filename='é \\"q\\".txt')
    assert house.ask(post("/bkt", body))[0] == 204
    (key,) = house.namespace.buckets["bkt"]
    assert key.decode() == 'up/é "q".txt'
    assert house.namespace.buckets["bkt"][key][0].user == {"name": 'é "q".txt'}


def test_names_of_fields_and_operators_have_no_case(house):
    conditions = [{"bUcKeT": "bkt"}, ["StArTs-WiTh", "$KeY", "k"], ["eQ", "$CONTENT-type", "a/b"]]
    fields = signed_fields("V2_FORM", {"kEy": "k", "content-TYPE": "a/b"}, conditions)
    mixed = {"pOLICy": fields.pop("policy"), "siGNature": fields.pop("signature"), **fields}
    assert house.ask(post("/bkt", form_body(mixed)))[0] == 204


@pytest.mark.parametrize(
    ("conditions", "fields", "allowed"),
    [
        ([["starts-with", "$content-type", "image/"]], {"content-type": "image/png"}, True),
        ([["starts-with", "$content-type", "image/"]], {"content-type": "image/png, image/gif"}, True),
        ([["starts-with", "$content-type", "image/"]], {"content-type": "image/png,text/html"}, False),
        ([["starts-with", "$x-amz-meta-a", ""]], {}, True),
        ([["starts-with", "$x-amz-meta-a", ""]], {"x-amz-meta-a": "any"}, True),
        ([["starts-with", "$x-amz-meta-a", "b"]], {}, False),
        ([["eq", "$x-amz-meta-a", "b"]], {"x-amz-meta-a": "bb"}, False),
        ([["eq", "$x-amz-meta-a", "b"], ["starts-with", "$x-amz-meta-a", "c"]], {"x-amz-meta-a": "b"}, False),
    ],
)
def test_every_condition_holds_or_the_form_is_refused(house, conditions, fields, allowed):
    fields = {"key": "k", **fields}
    conditions = [{"bucket": "bkt"}, {"key": "k"}, *conditions]
    assert house.ask(form("V4_FORM", fields, conditions))[0] == (204 if allowed else 403)


def test_of_two_ranges_of_length_both_hold():
    both = '{"expiration": "2100-01-01T00:00:00Z", "conditions": [["content-length-range", "1", 9], %s]}'
    policy = parse_policy(b64encode((both % '["content-length-range", 3, "20"]').encode()).decode())
    assert policy.length == (3, 9)
    assert parse_policy(b64encode(b'{"expiration": "2100-01-01T00:00:00Z", "conditions": []}').decode()).length is None


def test_checksums_of_a_form_are_proven_kept_and_told(house):
    crc32 = b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()
    fields = {"key": "k", "x-amz-checksum-crc32": crc32, "x-amz-checksum-algorithm": "CRC32"}
    status, headers, _ = house.ask(form("V4_FORM", fields))
    assert (status, headers["x-amz-checksum-crc32"]) == (204, crc32)
    assert code(house.ask(form("V4_FORM", {**fields, "key": "l", "x-amz-checksum-crc32": "AAAAAA=="}))) == "BadDigest"
    assert code(house.ask(form("V4_FORM", {"key": "l", "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}))) == "BadDigest"
    assert list(house.namespace.buckets["bkt"]) == [b"k"]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"x-amz-server-side-encryption": "AES256"}, "NotImplemented"),
        ({"x-amz-website-redirect-location": "/x"}, "NotImplemented"),
        ({"x-amz-storage-class": "GLACIER"}, "InvalidStorageClass"),
        ({"x-amz-meta-a": "b" * 3000}, "MetadataTooLarge"),
        ({"x-amz-security-token": "t"}, "InvalidToken"),
        ({"tagging": "<Tagging"}, "MalformedXML"),
        ({"key": "k" * 1025}, "KeyTooLongError"),
    ],
)
def test_what_a_put_is_refused_for_a_form_is_refused_for(house, fields, wanted):
    assert code(house.ask(form("V4_FORM", {"key": "k", **fields}))) == wanted
    assert house.namespace.buckets["bkt"] == {}


def test_a_form_for_a_bucket_that_is_not_there_says_so(house):
    fields = {"key": "k"}
    answer = house.ask(form("V4_FORM", fields, covering(fields, "none"), path="/none"))
    assert (answer[0], code(answer)) == (404, "NoSuchBucket")


def test_a_form_dated_in_the_future_or_for_another_region_is_refused(house):
    fields = signed_fields("V4_FORM", {"key": "k"}, covering({"key": "k"}))
    house.clock.advance(-3600)
    assert code(house.ask(post("/bkt", form_body(fields)))) == "AccessDenied"
    there = House(region="eu-west-1")
    there.namespace.buckets["bkt"] = {}
    assert code(there.ask(post("/bkt", form_body(fields)))) == "AuthorizationQueryParametersError"


def test_a_post_to_a_bucket_that_is_no_form_is_told_so(house):
    answer = house.ask(signed("V4_HEADER", "POST", "/bkt", {"Content-Type": "text/plain"}, b"x"))
    assert (answer[0], code(answer)) == (412, "PreconditionFailed")
    assert b"multipart/form-data" in answer[2]


def test_a_form_that_is_signed_in_its_header_too_is_refused(house):
    fields = signed_fields("V4_FORM", {"key": "k"}, covering({"key": "k"}))
    request = post("/bkt", form_body(fields), headers={"Authorization": "AWS AKIDEXAMPLE:" + "A" * 27 + "="})
    assert code(house.ask(request)) == "InvalidArgument"


def test_a_client_that_waits_is_told_to_go_on_before_its_fields_are_known(house):
    request = post("/bkt", form_body(signed_fields("V4_FORM", {"key": "k"}, covering({"key": "k"}))))
    head, _, body = request.partition(b"\r\n\r\n")
    wire = house.connect()
    wire.protocol.dataReceived(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert wire.taken().startswith(b"HTTP/1.1 100 Continue\r\n")
    wire.protocol.dataReceived(body)
    assert wire.taken().startswith(b"HTTP/1.1 204 ")


def test_fields_that_do_not_come_are_given_up_within_one_deadline(house):
    body = form_body(signed_fields("V4_FORM", {"key": "k"}, covering({"key": "k"})))
    wire = house.connect()
    request = post("/bkt", body)
    for sent in range(0, 200, 10):
        wire.protocol.dataReceived(request[sent : sent + 10])
    for each in range(200, 270):
        house.clock.advance(1)
        wire.protocol.dataReceived(request[each : each + 1])
    assert b"<Code>RequestTimeout</Code>" in wire.taken()


def test_reading_pauses_while_a_forms_file_cannot_be_stored(house, monkeypatch):
    fields = signed_fields("V4_FORM", {"key": "k"}, covering({"key": "k"}))
    body = form_body(fields, b"x" * (8 << 20))
    wire = house.connect()
    held = []

    async def stuck(_session, _data):
        held.append(Promise())
        await held[-1]

    monkeypatch.setattr(FakePut, "write", stuck)
    sent, request = 0, post("/bkt", body)
    while wire.reading and sent < len(request):
        wire.protocol.dataReceived(request[sent : sent + 65536])
        sent += 65536
    assert held
    assert sent < 5 << 20


@given(
    st.dictionaries(
        st.from_regex(r"[a-z-]{1,12}", fullmatch=True).filter(lambda name: name != "file"),
        st.text(max_size=40),
        max_size=6,
    ),
    st.binary(max_size=300),
    st.integers(1, 400),
)
def test_a_form_cut_anywhere_is_what_was_sent(fields, file, step):
    body = form_body(fields, file)
    decoder = FormDecoder(b"xYzZY")
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    while not decoder.feed_fields(pieces.pop(0)):
        pass
    found = decoder.feed(decoder.rest) + b"".join(decoder.feed(piece) for piece in pieces)
    assert decoder.finish() == {}
    assert (decoder.fields, found, decoder.filename) == (fields, file, "f.txt")


@given(st.binary(max_size=400), st.integers(1, 50), st.booleans())
def test_random_forms_decode_or_raise_a_typed_error(raw, step, framed):
    body = part("key", raw) + raw if framed else raw
    decoder = FormDecoder(b"xYzZY")
    try:
        began = False
        for at in range(0, len(body), step):
            piece = body[at : at + step]
            if began:
                decoder.feed(piece)
            elif decoder.feed_fields(piece):
                began = True
                decoder.feed(decoder.rest)
        decoder.finish()
    except S3Error:
        pass


@given(st.text(max_size=200))
def test_random_policies_and_content_types_are_read_or_raise_a_typed_error(text):
    for read in (lambda: parse_policy(b64encode(text.encode()).decode()), lambda: parse_policy(text)):
        with pytest.raises(S3Error):
            check_policy(read(), {}, "bkt", 0)
    try:
        parse_boundary(text)
        parse_boundary(f"multipart/form-data;{text}")
    except S3Error as error:
        assert error.code == "MalformedPOSTRequest"  # noqa: PT017 - either is right
