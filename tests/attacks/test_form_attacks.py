"""Attacks on POST forms; the letters and numbers are those of the project's security checklist."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from form_signing import BOUNDARY, covering, expiration, form, form_body, part, post, resigned, signed_fields
from loop import House

from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.form import MAX_FIELDS_BYTES, FormDecoder
from protocols.s3.codec.xmlread import read_xml

AUTHS = ["V4_FORM", "V2_FORM"]


@pytest.fixture
def house():
    house = House()
    house.namespace.buckets |= {"bkt": {}, "other": {}}
    return house


def outcome(house, request):
    """Return status and code of an answer; nothing may have been stored."""
    status, headers, body = house.ask(request)
    assert house.namespace.buckets == {"bkt": {}, "other": {}}
    assert headers["content-type"] == "application/xml"
    return status, read_xml(body, "Error").value("Code")


def sent(auth, fields, conditions, **how):
    """Return a form whose policy was made for something else than its fields."""
    return form(auth, fields, conditions, **how)


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize(
    ("fields", "conditions", "path"),
    [
        ({"key": "mine"}, [{"bucket": "bkt"}, {"key": "yours"}], "/bkt"),
        ({"key": "mine"}, [{"bucket": "bkt"}, ["starts-with", "$key", "yours/"]], "/bkt"),
        ({"key": "k"}, [{"bucket": "bkt"}, {"key": "k"}], "/other"),
        ({"key": "k"}, [{"key": "k"}], "/bkt"),
        ({"key": "k", "bucket": "bkt"}, [{"bucket": "bkt"}, {"key": "k"}], "/other"),
        ({"key": "k", "bucket": "other"}, [["starts-with", "$bucket", ""], {"key": "k"}], "/bkt"),
        ({"key": "k", "Bucket": "other"}, [{"bucket": "other"}, {"key": "k"}], "/bkt"),
    ],
)
def test_b01_a_key_or_bucket_that_is_not_the_policys_is_refused(house, auth, fields, conditions, path):
    assert outcome(house, sent(auth, fields, conditions, path=path)) == (403, "AccessDenied")


@pytest.mark.parametrize("path", ["/bkt%2f..%2fother", "/bkt%5cother", "/.gatefold", "/..", "/bkt/k", "/"])
def test_b01_a_bucket_that_is_none_is_not_written_to(house, path):
    assert outcome(house, form("V4_FORM", {"key": "k"}, [["starts-with", "$bucket", ""], {"key": "k"}], path=path))[
        0
    ] in (400, 403, 404, 501)


@pytest.mark.parametrize("key", ["", "..", "../x", "a/../../x", "a/..", ".", "a/./b", "/etc/passwd", "//x"])
def test_b02_a_key_that_is_no_relative_path_is_refused(house, key):
    request = form("V4_FORM", {"key": key}, [{"bucket": "bkt"}, ["starts-with", "$key", ""]])
    assert outcome(house, request) == (400, "InvalidArgument")


def test_b02_a_form_without_a_key_is_refused(house):
    assert outcome(house, form("V4_FORM", {}, [{"bucket": "bkt"}])) == (400, "InvalidArgument")


@pytest.mark.parametrize("filename", ["", "..", ".", "a/..", "a\\.."])
def test_b02_a_file_without_a_name_fills_in_none(house, filename):
    fields = signed_fields("V4_FORM", {"key": "up/${filename}"}, [{"bucket": "bkt"}, ["starts-with", "$key", "up/"]])
    assert outcome(house, post("/bkt", form_body(fields, filename=filename))) == (400, "InvalidArgument")


@pytest.mark.parametrize("filename", ["../../x", "/etc/x", "C:\\\\tmp\\\\x", "..\\\\x"])
def test_b02_the_folders_of_a_files_name_never_reach_the_key(house, filename):
    fields = signed_fields("V4_FORM", {"key": "up/${filename}"}, [{"bucket": "bkt"}, ["starts-with", "$key", "up/"]])
    assert house.ask(post("/bkt", form_body(fields, filename=filename)))[0] == 204
    assert list(house.namespace.buckets["bkt"]) == [b"up/x"]


def test_b02_a_files_name_cannot_leave_the_prefix_of_the_policy(house):
    fields = signed_fields("V4_FORM", {"key": "${filename}"}, [{"bucket": "bkt"}, ["starts-with", "$key", "up/"]])
    assert outcome(house, post("/bkt", form_body(fields, filename="x"))) == (403, "AccessDenied")


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(("size", "wanted"), [(10, None), (11, "EntityTooLarge"), (4, None), (3, "EntityTooSmall")])
def test_b03_a_file_of_one_byte_too_many_or_too_few_is_refused(house, framing, size, wanted):
    conditions = [*covering({"key": "k"}), ["content-length-range", 4, 10]]
    body = form_body(signed_fields("V4_FORM", {"key": "k"}, conditions), b"x" * size)
    headers = {}
    if framing == "chunked":
        headers = {"Transfer-Encoding": "chunked"}
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    if wanted is None:
        assert house.ask(post("/bkt", body, headers=headers))[0] == 204
    else:
        assert outcome(house, post("/bkt", body, headers=headers)) == (400, wanted)
        assert house.namespace.aborted == 1


def test_b03_a_file_that_is_too_large_is_refused_while_it_comes(house):
    conditions = [*covering({"key": "k"}), ["content-length-range", 0, 10]]
    body = form_body(signed_fields("V4_FORM", {"key": "k"}, conditions), b"x" * (3 << 20))
    wire = house.connect()
    wire.protocol.dataReceived(post("/bkt", body[: 2 << 20], headers={"Content-Length": str(len(body))}))
    assert b"<Code>EntityTooLarge</Code>" in wire.taken()
    assert house.namespace.buckets["bkt"] == {}


def test_b03_a_length_that_is_a_lie_stores_nothing(house):
    body = form_body(signed_fields("V4_FORM", {"key": "k"}, covering({"key": "k"})))
    wire = house.connect()
    wire.protocol.dataReceived(post("/bkt", body, headers={"Content-Length": str(len(body) - 4)}))
    assert wire.taken().count(b"<Code>MalformedPOSTRequest</Code>") == 1
    wire = house.connect()
    wire.protocol.dataReceived(post("/bkt", body, headers={"Content-Length": str(len(body) + 4)}))
    wire.lose()
    assert house.namespace.buckets["bkt"] == {}
    assert house.namespace.finished == 0


def test_b04_a_field_that_no_condition_covers_is_refused(house):
    conditions = covering({"key": "k"})
    for name in ("acl", "x-amz-meta-a", "Content-Type", "success_action_redirect", "made-up"):
        assert outcome(house, form("V4_FORM", {"key": "k", name: "x"}, conditions)) == (403, "AccessDenied"), name
    assert house.ask(form("V4_FORM", {"key": "k", "x-ignore-me": "x"}, conditions))[0] == 204


@pytest.mark.parametrize("name", ["key", "KEY", "policy", "x-amz-signature", "x-ignore-a"])
def test_b04_a_field_given_twice_is_refused(house, name):
    body = form_body(signed_fields("V4_FORM", {"key": "k", "x-ignore-a": ""}, covering({"key": "k"})))
    assert outcome(house, post("/bkt", part(name, "k") + body)) == (400, "InvalidArgument")


def test_b04_a_field_behind_the_file_means_nothing_and_a_second_file_is_refused(house):
    fields = signed_fields("V4_FORM", {"key": "k"}, covering({"key": "k"}))
    second = form_body(fields, behind=part("file", b"other", filename="g"))
    assert outcome(house, post("/bkt", second)) == (400, "IncorrectNumberOfFilesInPostRequest")
    late = form_body(fields, behind=part("acl", "public-read") + part("key", "other") + part("x-amz-meta-a", "b"))
    assert house.ask(post("/bkt", late))[0] == 204
    info, body = house.namespace.buckets["bkt"][b"k"]
    assert (list(house.namespace.buckets["bkt"]), body, info.user) == ([b"k"], b"hello", {})


def test_b04_ten_thousand_fields_or_a_huge_one_are_refused_in_bounded_time_and_memory(house):
    many = b"".join(part(f"x-ignore-{number}", "") for number in range(10_000))
    huge = part("x-ignore-a", b"x" * (4 << 20))
    behind = form_body(signed_fields("V4_FORM", {"key": "k"}, covering({"key": "k"})), behind=huge)
    for body, code in (
        (many, "MaxPostPreDataLengthExceededError"),
        (huge, "MaxPostPreDataLengthExceededError"),
        (behind, "MalformedPOSTRequest"),
    ):
        began = time.process_time()
        wire = house.connect()
        wire.protocol.dataReceived(post("/bkt", body))
        assert f"<Code>{code}</Code>".encode() in wire.taken()
        assert time.process_time() - began < 1
    assert house.namespace.buckets["bkt"] == {}


def test_b05_a_policy_is_good_until_it_expires_and_not_without_an_end(house):
    conditions = covering({"key": "k"})
    for expires in (expiration(-1), "2007-12-01T12:00:00.000Z"):
        assert outcome(house, form("V4_FORM", {"key": "k"}, conditions, expires=expires)) == (403, "AccessDenied")
    for expires in ("tomorrow", "2107-12-01", "2107-13-01T00:00:00Z", "2107-12-01T00:00:00+01:00", 7):
        refused = outcome(house, form("V4_FORM", {"key": "k"}, conditions, expires=expires))
        assert refused == (400, "InvalidPolicyDocument"), expires


POLICIES = [
    lambda _: b"",
    lambda _: b"{}",
    lambda _: b"[" * 12_000,
    lambda _: b'{"a":' * 2_000,
    lambda _: b"\xff\xfe{}",
    lambda raw: raw.replace(b'"conditions"', b'"CONDITIONS"'),
    lambda raw: raw.replace(b'"expiration"', b'"EXPIRATION"'),
    lambda raw: raw[:-1] + b', "conditions": []}',
    lambda raw: raw[:-1] + b', "more": 1}',
    lambda raw: raw.replace(b'{"key": "k"}', b'{"key": "j", "key": "k"}'),
    lambda raw: raw.replace(b'{"key": "k"}', b'{"key": "k", "acl": "private"}'),
    lambda raw: raw.replace(b'{"key": "k"}', b'{"key": 1}'),
    lambda raw: raw.replace(b'{"key": "k"}', b'["eq", "key", "k"]'),
    lambda raw: raw.replace(b'{"key": "k"}', b'["regex", "$key", ".*"]'),
    lambda raw: raw.replace(b'{"key": "k"}', b'["content-length-range", 0]'),
    lambda raw: raw.replace(b'{"key": "k"}', b'["content-length-range", -1, 0]'),
    lambda raw: raw.replace(b'{"key": "k"}', b'["content-length-range", 0, NaN]'),
    lambda raw: raw.replace(b'{"key": "k"}', b'["content-length-range", 0, 1e9]'),
    lambda raw: raw.replace(b'{"key": "k"}', b'["content-length-range", 0, true]'),
    lambda raw: raw.replace(b'{"key": "k"}', b"null"),
]


@pytest.mark.parametrize("change", POLICIES)
def test_b05_a_policy_that_can_be_read_two_ways_or_not_at_all_is_refused(house, change):
    fields = resigned(signed_fields("V2_FORM", {"key": "k"}, covering({"key": "k"})), change)
    assert outcome(house, post("/bkt", form_body(fields))) == (400, "InvalidPolicyDocument")


def test_b05_a_policy_that_is_no_base64_or_longer_than_any_form_is_refused(house):
    fields = signed_fields("V2_FORM", {"key": "k"}, covering({"key": "k"}))
    assert outcome(house, post("/bkt", form_body({**fields, "policy": fields["policy"] + "!"})))[0] == 403
    long = resigned(fields, lambda raw: raw + b" " * (1 << 20))
    assert outcome(house, post("/bkt", form_body(long))) == (400, "MaxPostPreDataLengthExceededError")


def test_b05_a_policy_of_another_secret_or_key_or_of_none_is_refused(house):
    for auth in AUTHS:
        for who, code in ((("AKIDEXAMPLE", "wrong"), "SignatureDoesNotMatch"), (("NOBODY", "x"), "InvalidAccessKeyId")):
            fields = signed_fields(auth, {"key": "k"}, covering({"key": "k"}), who=who)
            assert outcome(house, post("/bkt", form_body(fields))) == (403, code)
    assert outcome(house, post("/bkt", form_body({"key": "k"}))) == (403, "AccessDenied")
    fields = signed_fields("V4_FORM", {"key": "k"}, covering({"key": "k"}))
    for name in ("policy", "x-amz-signature", "x-amz-credential", "x-amz-date", "x-amz-algorithm"):
        less = {each: value for each, value in fields.items() if each != name}
        assert outcome(house, post("/bkt", form_body(less))) == (400, "InvalidArgument"), name
    both = {**fields, **signed_fields("V2_FORM", {"key": "k"}, covering({"key": "k"}))}
    assert outcome(house, post("/bkt", form_body(both))) == (400, "InvalidArgument")


@pytest.mark.parametrize("headers", [{"x-amz-acl": "private"}, {"x-amz-meta-a": "b"}, {"x-amz-security-token": "t"}])
def test_b05_a_header_beside_a_form_is_not_signed_and_refused(house, headers):
    status, code = outcome(house, form("V4_FORM", {"key": "k"}, headers=headers))
    assert (status, code) in ((403, "AccessDenied"), (400, "InvalidToken"))


@pytest.mark.parametrize(
    "place",
    [
        *("javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "file:///etc/passwd", "//evil.test/"),
        *("http:", "http://", "http://[", "http://a b/", "http://h/<script>", 'http://h/"x', "http://h/\\evil", "x"),
    ],
)
def test_b06_a_redirection_goes_to_a_page_or_nowhere(house, place):
    status, headers, body = house.ask(form("V4_FORM", {"key": "k", "success_action_redirect": place}))
    assert (status, body) == (204, b"")
    assert headers["location"] == "http://localhost/bkt/k"


def test_b06_a_redirection_cannot_split_the_answer(house):
    fields = {"key": "k", "success_action_redirect": "http://h/\r\nSet-Cookie: a=b"}
    status, headers, _ = house.ask(form("V4_FORM", fields))
    assert status == 204
    assert "set-cookie" not in {name.lower() for name in headers}
    assert outcome_of_meta(house, "a\r\nx: y") == (400, "InvalidArgument")


def outcome_of_meta(house, value):
    status, _, body = house.ask(form("V4_FORM", {"key": "k", "x-amz-meta-a": value}))
    return status, read_xml(body, "Error").value("Code")


def test_b06_what_a_form_says_is_encoded_wherever_it_is_told_again(house):
    key = "<script>alert('x')</script>&\"ü"
    status, headers, body = house.ask(form("V4_FORM", {"key": key, "success_action_status": "201"}))
    assert status == 201
    assert b"<script>" not in body
    assert "<" not in headers["location"]
    assert read_xml(body, "PostResponse").value("Key") == key
    location = house.ask(form("V4_FORM", {"key": key, "success_action_redirect": "https://h/p?q=1#f"}))[1]["location"]
    assert location.startswith("https://h/p?q=1&bucket=bkt&key=%3Cscript%3E")
    refused = house.ask(form("V4_FORM", {"key": "k", "<script>": "x"}, covering({"key": "k"})))[2]
    assert b"<script>" not in refused


def decoded(body, pieces):
    """Return the file of a form that comes in *pieces*, or the code of its refusal."""
    decoder = FormDecoder(BOUNDARY.encode())
    try:
        at = 0
        began = False
        while not began and at < len(body):
            began = decoder.feed_fields(body[at : at + pieces])
            at += pieces
        if not began:
            return "not begun"
        found = decoder.feed(decoder.rest)
        for start in range(at, len(body), pieces):
            found += decoder.feed(body[start : start + pieces])
        decoder.finish()
    except S3Error as error:
        return error.code
    return found


B = BOUNDARY.encode()


@pytest.mark.parametrize("pieces", [1, 3, 64, 1 << 20])
@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"\r\n",
        b"--" + B,
        b"--" + B + b"--",
        b"a\r\n--" + B[:-1],
        b"a\r\n-" * 9,
        b"\r\n\r\n--",
        b"x\n--" + B + b"--\n",
        b"\r\n--\r\n--" + B[:-1] + b"\r\n",
    ],
)
def test_b07_what_only_looks_like_a_boundary_is_data(file, pieces):
    assert decoded(form_body({"key": "k"}, file), pieces) == file


WHOLE = form_body({"key": "k"}, b"data")


@pytest.mark.parametrize("pieces", [1, 1 << 20])
@pytest.mark.parametrize(
    "body",
    [
        WHOLE.removesuffix(b"--\r\n"),
        WHOLE[: -len(B) - 8],
        WHOLE.replace(b"data\r\n--", b"data\r\n-"),
        b"preamble\r\n" + WHOLE,
        WHOLE.replace(b"--" + B, b"--" + B + b" ", 1),
        WHOLE.replace(b"form-data; name", b"attachment; name", 1),
        WHOLE.replace(b'name="key"', b'name="key"; name="acl"', 1),
        WHOLE.replace(b'name="key"', b'name="key', 1),
        WHOLE.replace(b'name="key"', b"", 1),
        WHOLE.replace(b"Content-Disposition", b"Content Disposition", 1),
        WHOLE.replace(b"\r\n\r\nk", b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\nk", 1),
        WHOLE.replace(b"\r\n\r\nk", b"\r\nContent-Transfer-Encoding: base64\r\n\r\nk", 1),
        WHOLE.replace(b"\r\n\r\nk\r\n", b"\r\n\r\n\xff\r\n", 1),
        WHOLE.replace(b"data\r\n--" + B + b"--", b"data\r\n--" + B + b"\r\n\r\nx\r\n--" + B + b"--"),
        WHOLE.replace(b"data\r\n--" + B + b"--", b"data\r\n--" + B + b"x\r\n--" + B + b"--"),
    ],
)
def test_b07_a_form_whose_boundaries_are_wrong_is_malformed(body, pieces):
    assert decoded(body, pieces) == "MalformedPOSTRequest"


def test_b07_a_form_that_ends_before_its_file_has_none():
    body = part("key", "k") + f"--{BOUNDARY}--\r\n".encode()
    assert decoded(body, 7) == "IncorrectNumberOfFilesInPostRequest"


@pytest.mark.parametrize(
    "boundary", ["", "b" * 71, '""', "a b ", "a\tb", "a;b", "ü", '"' + "b" * 71 + '"', '"a', "a,b<c>"]
)
def test_b07_a_boundary_that_rfc_2046_does_not_know_is_refused(house, boundary):
    request = post("/bkt", b"x", headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})
    assert outcome(house, request) == (400, "MalformedPOSTRequest")


@pytest.mark.parametrize("boundary", ["b", "b" * 70, '"a b:c"', "----WebKitFormBoundary7MA4YWxkTrZu0gW"])
def test_b07_a_boundary_of_any_client_is_read(house, boundary):
    body = form_body(signed_fields("V4_FORM", {"key": "k"}, covering({"key": "k"})))
    body = body.replace(B, boundary.strip('"').encode())
    headers = {"Content-Type": f"Multipart/Form-Data; charset=utf-8; Boundary={boundary}"}
    assert house.ask(post("/bkt", body, headers=headers))[0] == 204
    assert house.namespace.buckets["bkt"][b"k"][1] == b"hello"


def test_b07_memory_does_not_grow_with_a_file_of_almost_boundaries():
    decoder = FormDecoder(B)
    assert decoder.feed_fields(form_body({"key": "k"}, b"")[: -len(B) - 8])
    piece = (b"\r\n--" + B[:-1]) * 60_000
    decoder.feed(decoder.rest)
    tracemalloc.start()
    began = time.process_time()
    for _ in range(16):
        decoder.feed(piece)
    spent = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(piece)
    assert spent < 2
    assert len(piece) > 16 * MAX_FIELDS_BYTES
