"""Who owns a bucket, and how its name comes to the door: expected owners, hosts, and the older signature."""

from __future__ import annotations

import pytest
from hall import MemoryHall, run
from loop import House
from signing import CREDENTIAL, sign, signed, wire

from protocols.s3.codec.uri import parse_target
from protocols.s3.codec.xmlread import read_xml

ME = CREDENTIAL.caller
AUTHS = ["V4_HEADER", "V4_QUERY", "V2_HEADER", "V2_QUERY"]
EXPECTED = "x-amz-expected-bucket-owner"


@pytest.fixture
def house():
    house = House(MemoryHall().ns, domain="s3.test")
    run(house.namespace.create_bucket(ME, "bkt"))
    return house


def code(answer):
    return read_xml(answer[2], "Error").value("Code")


REQUESTS = [
    *(("GET", "/bkt"), ("GET", "/bkt?list-type=2"), ("GET", "/bkt?location"), ("GET", "/bkt?versions")),
    *(("GET", "/bkt?cors"), ("HEAD", "/bkt"), ("PUT", "/bkt/key"), ("GET", "/bkt/key"), ("HEAD", "/bkt/key")),
    *(("DELETE", "/bkt/key"), ("DELETE", "/bkt"), ("PUT", "/bkt")),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_bucket_of_another_owner_than_expected_is_left_alone(house, method, path):
    answer = house.ask(signed("V4_HEADER", method, path, {EXPECTED: "1" * 12}))
    assert answer[0] == 403
    assert method == "HEAD" or code(answer) == "AccessDenied"


@pytest.mark.parametrize("auth", AUTHS)
def test_a_bucket_of_the_expected_owner_is_served(house, auth):
    headers = {EXPECTED: CREDENTIAL.owner}
    for method, path, status in (("PUT", "/bkt/key", 200), ("GET", "/bkt/key", 200), ("DELETE", "/bkt/key", 204)):
        assert house.ask(signed(auth, method, path, headers))[0] == status
    assert code(house.ask(signed(auth, "GET", "/none", headers))) == "NoSuchBucket"
    assert house.ask(signed(auth, "PUT", "/made", headers))[0] == 200


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("bkt.s3.test", "bkt"),
        ("bkt.s3.test:9000", "bkt"),
        ("BKT.S3.TEST", "bkt"),
        ("bkt.s3.test.", "bkt"),
        ("bkt.s3.test.:9000", "bkt"),
        ("a.b.s3.test", "a.b"),
        ("s3.test", ""),
        ("s3.test:9000", ""),
        ("s3.test.", ""),
        ("bkt.example.com", ""),
        ("evil-s3.test", ""),
        ("xs3.test", ""),
        ("bkt.s3.test.evil.com", ""),
        ("127.0.0.1", ""),
        ("127.0.0.1:9000", ""),
        ("[::1]", ""),
        ("[::1]:9000", ""),
        ("localhost", ""),
    ],
)
def test_a_host_below_the_domain_names_a_bucket_and_any_other_names_none(host, bucket):
    target = parse_target(b"/a/b", host, "s3.test")
    assert (target.bucket, target.key, target.virtual) == ((bucket, b"a/b", True) if bucket else ("a", b"b", False))


def in_host(auth, path, host):
    """Return a GET whose bucket is in the host; SigV2 signs it as the path's beginning."""
    if auth.startswith("V4"):
        return signed(auth, "GET", path, host=host)
    target, sent = sign(auth, "GET", f"http://{host}/bkt{path}")
    return wire("GET", target.removeprefix("/bkt"), sent)


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("host", ["bkt.s3.test", "bkt.s3.test:9000"])
def test_every_signature_works_with_the_bucket_in_the_host(house, auth, host):
    assert house.ask(signed("V4_HEADER", "PUT", "/a%20b/c", body=b"x", host=host))[0] == 200
    assert house.ask(in_host(auth, "/a%20b/c", host))[2] == b"x"
    assert house.ask(in_host(auth, "/?prefix=a", host))[0] == 200
    assert house.ask(in_host(auth, "/?versions", host))[0] == 200
    assert house.ask(signed(auth, "GET", "/bkt/a%20b/c", host="127.0.0.1:9000"))[2] == b"x"


@pytest.mark.parametrize("auth", AUTHS)
def test_a_signature_for_one_bucket_is_none_for_another_in_either_style(house, auth):
    run(house.namespace.create_bucket(ME, "other"))
    asked = in_host(auth, "/key", "bkt.s3.test")
    assert code(house.ask(asked)) == "NoSuchKey"
    assert code(house.ask(asked.replace(b"bkt.s3.test", b"other.s3.test"))) == "SignatureDoesNotMatch"
    target, sent = sign(auth, "GET", "http://s3.test/bkt/key")
    assert code(house.ask(wire("GET", target.replace("/bkt/", "/other/"), sent))) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("auth", ["V2_HEADER", "V2_QUERY"])
@pytest.mark.parametrize("added", ["acl", "uploads", "versionId=null", "tagging", "policy", "delete", "uploadId=x"])
def test_a15_a_sub_resource_added_to_sigv2_breaks_it(house, auth, added):
    for path in ("/bkt/key", "/bkt"):
        target, sent = sign(auth, "GET", f"http://s3.test{path}")
        moved = f"{target}{'&' if '?' in target else '?'}{added}"
        assert code(house.ask(wire("GET", moved, sent))) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("auth", ["V2_HEADER", "V2_QUERY"])
def test_a15_sigv2_is_for_one_method_and_one_use_of_each_parameter(house, auth):
    target, sent = sign(auth, "GET", "http://s3.test/bkt/key?versionId=null")
    for method in ("PUT", "DELETE", "HEAD", "POST"):
        assert house.ask(wire(method, target, sent))[0] in (403, 501)
    assert house.ask(wire("GET", f"{target}&versionId=1", sent))[0] == 400


@pytest.mark.parametrize("sub_resource", ["encryption", "policyStatus", "ownershipControls", "publicAccessBlock"])
def test_a15_a_sub_resource_that_sigv2_does_not_sign_needs_sigv4(house, sub_resource):
    assert code(house.ask(signed("V2_HEADER", "GET", f"/bkt?{sub_resource}"))) == "AccessDenied"
    assert house.ask(signed("V4_HEADER", "GET", f"/bkt?{sub_resource}"))[0] == 404


@pytest.mark.parametrize(
    ("expires", "wanted"), [("0", 403), ("-1", 403), ("x", 403), ("9" * 12, 403), ("1e9", 403), ("", 403)]
)
def test_a14_a_sigv2_url_whose_end_is_no_time_to_come_is_refused(house, expires, wanted):
    target, sent = sign("V2_QUERY", "GET", "http://s3.test/bkt/key")
    parts = [f"Expires={expires}" if part.startswith("Expires=") else part for part in target.split("&")]
    head, _, first = parts[0].partition("?")
    first = f"Expires={expires}" if first.startswith("Expires=") else first
    answer = house.ask(wire("GET", f"{head}?{'&'.join([first, *parts[1:]])}", sent))
    assert (answer[0], code(answer)) == (wanted, "AccessDenied")


@pytest.mark.parametrize(
    "header",
    [
        "AWS",
        "AWS AKIDEXAMPLE",
        "AWS AKIDEXAMPLE:",
        "AWS :AAAA",
        "AWS AKIDEXAMPLE:short",
        "aws AKIDEXAMPLE:x",
        "AWS3 x:y",
    ],
)
def test_a16_a_malformed_sigv2_header_is_refused(house, header):
    target, sent = sign("V2_HEADER", "GET", "http://s3.test/bkt/key")
    assert code(house.ask(wire("GET", target, {**sent, "Authorization": header}))) == "InvalidArgument"


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a13_a_sigv2_header_needs_a_date_of_now(house, date):
    target, sent = sign("V2_HEADER", "GET", "http://s3.test/bkt/key")
    assert house.ask(wire("GET", target, {**sent, "Date": date}))[0] == 403
