"""Attacks on authentication; the letters and numbers are those of the project's security checklist."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing import ACCESS_KEY, CREDENTIAL, SECRET, credentials, sign

from namespace.api import ANONYMOUS
from protocols.s3.auth.authenticate import authenticate
from protocols.s3.auth.credential import AuthType, PayloadMode
from protocols.s3.auth.received import Received
from protocols.s3.codec import sigv4
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.uri import parse_target

AUTHS = ["V4_HEADER", "V4_QUERY", "V2_HEADER", "V2_QUERY"]


def now():
    return int(datetime.now(UTC).timestamp())


def received(method, target, headers, *, at=None, domain=None, region="us-east-1", has_body=False):
    lower = {name.lower(): value for name, value in headers.items()}
    parsed = parse_target(target.encode("latin-1"), lower["host"], domain)
    return Received(
        method=method,
        target=parsed,
        headers=lower,
        params=parsed.params,
        has_body=has_body,
        now=now() if at is None else at,
        region=region,
        sent_headers=lower,
    )


def refusal(method, target, headers, **how):
    with pytest.raises(S3Error) as caught:
        authenticate(received(method, target, headers, **how), credentials)
    return caught.value.code


@pytest.mark.parametrize("auth", AUTHS)
@given(
    key=st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=20),
    value=st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=20),
    prefix=st.text(st.characters(codec="utf-8"), max_size=10),
)
def test_what_botocore_signs_is_accepted_and_what_it_did_not_sign_is_not(auth, key, value, prefix):
    path = "/bkt/" + sigv4.percent_encode(key.encode(), "/~")
    query = "" if auth == "V2_HEADER" else "?prefix=" + sigv4.percent_encode(prefix.encode())
    headers = {"x-amz-meta-v": value.strip() or "x"}
    target, sent = sign(auth, "PUT", f"http://localhost{path}{query}", headers)
    identity = authenticate(received("PUT", target, sent), credentials)
    assert identity.credential is CREDENTIAL
    assert identity.auth.name == auth
    assert identity.headers["x-amz-meta-v"] == headers["x-amz-meta-v"]
    assert refusal("GET", target, sent) == "SignatureDoesNotMatch"
    assert refusal("PUT", target.replace("/bkt/", "/bkt/x", 1), sent) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("auth", AUTHS)
def test_another_secret_is_refused(auth):
    target, sent = sign(auth, "GET", "http://localhost/b/k", who=(ACCESS_KEY, SECRET[:-1] + "z"))
    assert refusal("GET", target, sent) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("key", ["NOBODY", "';--", "%s%n", "x" * 200])
def test_a22_an_unknown_access_key_is_refused(auth, key):
    target, sent = sign(auth, "GET", "http://localhost/b/k", who=(key, SECRET))
    assert refusal("GET", target, sent) == "InvalidAccessKeyId"


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize(
    "key", ["uid=*)(|(uid=*", "a\x7fb", "k" * 10_240, "", "../../etc/passwd", "{}{0.__class__}", "ключ"]
)
def test_a22_an_odd_access_key_is_refused_and_never_taken_for_none(auth, key):
    """LDAP, format and path characters, DEL, 10 KiB, none at all, other letters."""
    headers = {"Host": "h"}
    target = "/b/k"
    quoted = quote(key)
    if auth == "V4_HEADER":
        scope = f"{key}/20260101/us-east-1/s3/aws4_request"
        signed = f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, {signed}"
        headers["x-amz-date"] = "20260101T000000Z"
    elif auth == "V4_QUERY":
        target += f"?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={quoted}/20260101/us-east-1/s3/aws4_request"
        target += f"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature={'0' * 64}"
    elif auth == "V2_HEADER":
        headers["Authorization"] = f"AWS {key}:{'A' * 27}="
        headers["Date"] = "Thu, 01 Jan 2026 00:00:00 GMT"
    else:
        target += f"?AWSAccessKeyId={quoted}&Expires=99999999999&Signature={'A' * 27}="
    asked = []
    with pytest.raises(S3Error) as caught:
        authenticate(received("GET", target, headers, at=1_767_225_600), asked.append)
    assert caught.value.status in {400, 403}
    assert asked in ([], [key])


def test_a_request_without_authentication_comes_from_nobody():
    identity = authenticate(received("GET", "/b/k", {"Host": "h"}), credentials)
    assert identity.auth is AuthType.ANONYMOUS
    assert identity.credential.caller == ANONYMOUS
    assert refusal("GET", "/b/k", {"Host": "h", "x-amz-security-token": "x"}) == "InvalidToken"
    assert refusal("GET", "/b/k?Signature=x", {"Host": "h"}) == "AccessDenied"


def test_a_body_that_nobody_signed_is_taken_for_what_its_coding_says():
    chunked = {"Host": "h", "content-encoding": "gzip, aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32"}
    assert authenticate(received("PUT", "/b/k", chunked), credentials).payload.chunked
    digest = {"Host": "h", "x-amz-content-sha256": "0" * 64}
    assert authenticate(received("PUT", "/b/k", digest), credentials).sha256 == "0" * 64
    signed = {"Host": "h", "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
    assert refusal("PUT", "/b/k", signed) == "AccessDenied"


def test_a_request_with_another_authentication_is_refused():
    assert refusal("GET", "/b/k", {"Host": "h", "Authorization": "Bearer x"}) == "InvalidArgument"
    assert refusal("GET", "/b/k", {"Host": "h", "Authorization": "Basic eDp5"}) == "InvalidArgument"


@pytest.mark.parametrize(
    "text",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=",
        "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d/e",
        "AWS4-" + "x" * 9999,
    ],
)
def test_a_malformed_v4_header_is_refused(text):
    assert refusal("GET", "/b/k", {"Host": "h", "Authorization": text}) == "AuthorizationHeaderMalformed"


@given(st.text(st.characters(codec="latin-1"), max_size=200))
def test_random_authorization_headers_raise_typed_errors(text):
    for prefix in ("AWS4-HMAC-SHA256 ", "AWS ", ""):
        assert refusal("GET", "/b/k", {"Host": "h", "Authorization": prefix + text})


def test_a01_unsigned_streaming_does_not_skip_the_signature():
    mode = PayloadMode.STREAMING_UNSIGNED_TRAILER.value
    target, sent = sign("V4_HEADER", "PUT", "http://localhost/b/k", {"x-amz-content-sha256": mode})
    sent["Authorization"] = sent["Authorization"][:-64] + "0" * 64
    assert refusal("PUT", target, sent, has_body=True) == "SignatureDoesNotMatch"


def test_a02_a_streaming_mode_with_credentials_in_the_query_is_refused():
    target, sent = sign("V4_QUERY", "PUT", "http://localhost/b/k")
    for mode in PayloadMode:
        if mode.chunked:
            assert refusal("PUT", target, {**sent, "x-amz-content-sha256": mode.value}) == "AccessDenied"
    assert refusal("PUT", "/b/k?X-Amz-Credential=a", {"Host": "h"}) == "AuthorizationQueryParametersError"


def test_a03_two_kinds_of_authentication_are_refused():
    target, sent = sign("V4_QUERY", "GET", "http://localhost/b/k")
    _, header = sign("V4_HEADER", "GET", "http://localhost/b/k")
    assert refusal("GET", target, {**sent, **header}) == "InvalidArgument"
    assert refusal("GET", target + "&AWSAccessKeyId=a", sent) == "InvalidArgument"


@pytest.mark.parametrize(
    "name",
    [
        "x-amz-copy-source",
        "x-amz-acl",
        "x-amz-meta-a",
        "x-amz-tagging",
        "x-amz-storage-class",
        "x-amz-decoded-content-length",
    ],
)
@pytest.mark.parametrize("auth", ["V4_HEADER", "V4_QUERY"])
def test_a04_an_amz_header_that_was_not_signed_is_refused(auth, name):
    target, sent = sign(auth, "PUT", "http://localhost/b/k")
    assert refusal("PUT", target, {**sent, name: "1"}) == "AccessDenied"


@pytest.mark.parametrize("auth", ["V2_HEADER", "V2_QUERY"])
def test_a04_an_amz_header_added_to_sigv2_breaks_it(auth):
    target, sent = sign(auth, "PUT", "http://localhost/b/k")
    assert refusal("PUT", target, {**sent, "x-amz-meta-a": "1"}) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("offset", [-901, 901])
def test_a13_a_clock_more_than_fifteen_minutes_off_is_refused(offset):
    for auth in ("V4_HEADER", "V2_HEADER"):
        target, sent = sign(auth, "GET", "http://localhost/b/k")
        assert refusal("GET", target, sent, at=now() + offset + (2 if offset > 0 else -2)) == "RequestTimeTooSkewed"
        authenticate(received("GET", target, sent, at=now() + (offset // 2)), credentials)


def test_a13_a_date_that_is_none_or_not_the_scopes_is_refused():
    target, sent = sign("V4_HEADER", "GET", "http://localhost/b/k")
    assert refusal("GET", target, {**sent, "X-Amz-Date": "yesterday"}) == "AccessDenied"
    scoped = sent["Authorization"].replace(f"/{datetime.now(UTC):%Y%m%d}/", "/20200101/")
    assert refusal("GET", target, {**sent, "Authorization": scoped}) == "SignatureDoesNotMatch"


def test_a14_a_presigned_url_lives_exactly_as_long_as_it_says():
    for auth in ("V4_QUERY", "V2_QUERY"):
        target, sent = sign(auth, "GET", "http://localhost/b/k")
        authenticate(received("GET", target, sent, at=now() + 598), credentials)
        assert refusal("GET", target, sent, at=now() + 602) == "AccessDenied"
    target, sent = sign("V4_QUERY", "GET", "http://localhost/b/k")
    assert refusal("GET", target, sent, at=now() - 902) == "AccessDenied"


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "1e3", "", "٣", "1.0", "9" * 5000])
def test_a14_a_life_that_is_no_number_of_seconds_is_refused(expires):
    target, sent = sign("V4_QUERY", "GET", "http://localhost/b/k")
    wrong = target.replace("X-Amz-Expires=600", "X-Amz-Expires=" + sigv4.percent_encode(expires.encode()))
    assert refusal("GET", wrong, sent) == "AuthorizationQueryParametersError"
    missing = target.replace("X-Amz-Expires=600&", "")
    assert refusal("GET", missing, sent) == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("extra", ["acl", "versionId=1", "uploads", "prefix=a", "response-content-type=text/html"])
def test_a15_a_parameter_added_to_a_presigned_url_breaks_it(extra):
    target, sent = sign("V4_QUERY", "GET", "http://localhost/b/k")
    assert refusal("GET", f"{target}&{extra}", sent) == "SignatureDoesNotMatch"


def test_a15_a_presigned_url_is_for_one_host_and_one_use_of_each_parameter():
    target, sent = sign("V4_QUERY", "GET", "http://localhost/b/k")
    assert refusal("GET", target, {**sent, "Host": "elsewhere"}) == "SignatureDoesNotMatch"
    with pytest.raises(S3Error):
        received("GET", f"{target}&X-Amz-Expires=600", sent)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/us-east-1/", "/eu-west-1/"),
        ("/s3/", "/sts/"),
        ("aws4_request", "aws4_reques"),
        ("aws4_request", "AWS4_REQUEST"),
    ],
)
def test_a16_another_region_service_or_terminator_is_refused(old, new):
    target, sent = sign("V4_HEADER", "GET", "http://localhost/b/k")
    wrong = {**sent, "Authorization": sent["Authorization"].replace(old, new)}
    assert refusal("GET", target, wrong) == "AuthorizationHeaderMalformed"


def test_a16_the_region_may_be_asked_for_with_the_default_region():
    target, sent = sign("V4_HEADER", "GET", "http://localhost/b?location")
    authenticate(received("GET", target, sent, region="eu-west-1"), credentials)
    target, sent = sign("V4_HEADER", "GET", "http://localhost/b")
    assert refusal("GET", target, sent, region="eu-west-1") == "AuthorizationHeaderMalformed"


@pytest.mark.parametrize(
    "names",
    [
        "x-amz-content-sha256;x-amz-date",
        "host;x-amz-date;x-amz-content-sha256",
        "host;host",
        "HOST",
        "host;nothing",
        "",
    ],
)
def test_a17_signed_headers_must_be_sorted_unique_present_and_hold_host(names):
    target, sent = sign("V4_HEADER", "GET", "http://localhost/b/k")
    head, _, tail = sent["Authorization"].partition("SignedHeaders=")
    wrong = {**sent, "Authorization": f"{head}SignedHeaders={names}, {tail.partition(', ')[2]}"}
    assert refusal("GET", target, wrong) in ("SignatureDoesNotMatch", "AccessDenied", "AuthorizationHeaderMalformed")


def test_a18_inner_spaces_and_tabs_of_a_header_count_as_one_space():
    target, sent = sign("V4_HEADER", "PUT", "http://localhost/b/k", {"x-amz-meta-a": "a \t  b"})
    assert authenticate(received("PUT", target, sent), credentials)


def test_a19_a_target_signed_in_its_own_spelling_is_accepted_as_curl_signs_it():
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    key = sigv4.signing_key(SECRET, stamp[:8], "us-east-1")
    canonical = f"GET\n/b/\nlist-type=2&prefix=a/b\nhost:h\nx-amz-date:{stamp}\n\nhost;x-amz-date\n{sigv4.EMPTY_SHA256}"
    scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
    signature = sigv4.sign(key, sigv4.string_to_sign(stamp, scope, canonical))
    value = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}"
    headers = {"Host": "h", "x-amz-date": stamp, "Authorization": value}
    identity = authenticate(received("GET", "/b/?list-type=2&prefix=a/b", headers), credentials)
    assert identity.payload is PayloadMode.ABSENT
    assert identity.sha256 == sigv4.EMPTY_SHA256
    assert refusal("GET", "/b/?list-type=2&prefix=a/c", headers) == "SignatureDoesNotMatch"
    assert refusal("PUT", "/b/?list-type=2&prefix=a/b", headers, has_body=True) == "InvalidRequest"


def test_a23_a_token_is_refused_for_no_temporary_credentials_exist():
    target, sent = sign("V4_HEADER", "GET", "http://localhost/b/k", {"x-amz-security-token": "t"})
    assert refusal("GET", target, sent) == "InvalidToken"


@pytest.mark.parametrize("mode", ["STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "unsigned-payload", "ab", "AB" * 32])
def test_a_payload_mode_outside_the_table_is_refused(mode):
    target, sent = sign("V4_HEADER", "PUT", "http://localhost/b/k", {"x-amz-content-sha256": mode})
    assert refusal("PUT", target, sent) == "InvalidArgument"


def test_headers_hoisted_into_a_presigned_url_count_as_headers():
    target, sent = sign("V4_QUERY", "PUT", "http://localhost/b/k?x-amz-meta-a=1%202&x-id=PutObject")
    identity = authenticate(received("PUT", target, sent), credentials)
    assert identity.headers["x-amz-meta-a"] == "1 2"
    assert identity.params == {"x-id": "PutObject"}
    assert refusal("PUT", target, {**sent, "x-amz-meta-a": "other"}) == "InvalidRequest"
    target, sent = sign("V4_QUERY", "PUT", "http://localhost/b/k?x-amz-meta-a=1%0d%0a2")
    assert refusal("PUT", target, sent) == "InvalidArgument"
    target, sent = sign("V2_QUERY", "PUT", "http://localhost/b/k", {"x-amz-meta-a": "1", "Content-Type": "text/x"})
    identity = authenticate(received("PUT", target, {"Host": sent["Host"]}), credentials)
    assert (identity.headers["x-amz-meta-a"], identity.headers["content-type"]) == ("1", "text/x")


def test_a_bucket_in_the_host_is_part_of_a_sigv2_signature():
    target, _ = sign("V2_QUERY", "GET", "http://localhost/bkt/k")
    inside = target.removeprefix("/bkt")
    assert authenticate(received("GET", inside, {"Host": "bkt.s3.test"}, domain="s3.test"), credentials)
    assert refusal("GET", inside, {"Host": "other.s3.test"}, domain="s3.test") == "SignatureDoesNotMatch"


def test_no_secret_shows_in_a_credential():
    assert SECRET not in repr(CREDENTIAL)
    assert SECRET not in str(authenticate(received(*_signed_get()), credentials))


def _signed_get():
    target, sent = sign("V4_HEADER", "GET", "http://localhost/b/k")
    return "GET", target, sent


def test_the_signing_example_of_awss_manual_holds():
    # "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)", example GET Object.
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    empty = hashlib.sha256().hexdigest()
    canonical = (
        "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\n"
        f"x-amz-content-sha256:{empty}\nx-amz-date:20130524T000000Z\n\nhost;range;x-amz-content-sha256;x-amz-date\n{empty}"
    )
    text = sigv4.string_to_sign("20130524T000000Z", "20130524/us-east-1/s3/aws4_request", canonical)
    signature = sigv4.sign(sigv4.signing_key(secret, "20130524", "us-east-1"), text)
    assert signature == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


def test_the_chunk_signing_example_of_awss_manual_holds():
    # "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks".
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    key = sigv4.signing_key(secret, "20130524", "us-east-1")
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    signer = sigv4.ChunkSigner(key, "20130524T000000Z", "20130524/us-east-1/s3/aws4_request", seed)
    assert signer.chunk(hashlib.sha256(b"a" * 65536).hexdigest()).startswith(
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e23"
    )
    assert signer.chunk(hashlib.sha256(b"a" * 1024).hexdigest()).startswith("0055627c9e194cb4542bae2aa5492e3c1575bbb8")
    assert signer.chunk(hashlib.sha256().hexdigest()).startswith("b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ce")
