from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop import House
from signing import signed

from namespace.api import ObjectInfo
from protocols.s3.call import header_text
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.uri import Level
from protocols.s3.codec.xmlread import read_xml
from protocols.s3.router import ROUTES

MD5 = b64encode(hashlib.md5(b"hello").digest()).decode()
CRC32 = b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()


@pytest.fixture
def house():
    house = House()
    house.namespace.buckets["bkt"] = {}
    return house


def ask(house, method, path, headers=None, body=b""):
    return house.ask(signed("V4_HEADER", method, path, headers, body))


def code(answer):
    return read_xml(answer[2], "Error").value("Code")


def put(house, key="key", headers=None, body=b"hello"):
    return ask(house, "PUT", f"/bkt/{key}", headers, body)


def test_an_object_is_stored_with_its_md5_headers_and_metadata(house):
    headers = {
        "Content-Type": "text/plain",
        "Content-Encoding": "gzip, aws-chunked",
        "Cache-Control": "no-cache",
        "x-amz-meta-MTime": "1.5",
        "x-amz-meta-u": "ü",
        "Content-MD5": MD5,
    }
    status, answer, _ = put(house, headers=headers)
    assert status == 200
    assert answer["etag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    info, body = house.namespace.buckets["bkt"][b"key"]
    assert body == b"hello"
    assert info.headers == {"content-type": "text/plain", "cache-control": "no-cache", "content-encoding": "gzip"}
    assert info.user == {"mtime": "1.5", "u": "ü"}
    status, answer, body = ask(house, "GET", "/bkt/key")
    assert (status, body) == (200, b"hello")
    assert (answer["x-amz-meta-mtime"], answer["x-amz-meta-u"], answer["content-type"]) == ("1.5", "ü", "text/plain")
    assert answer["last-modified"] == "Sun, 13 Sep 2020 12:26:40 GMT"
    assert answer["accept-ranges"] == "bytes"


def test_a_header_that_is_not_utf_8_is_refused():
    with pytest.raises(S3Error) as caught:
        header_text("x-amz-meta-a", "\xff")
    assert caught.value.code == "InvalidArgument"


def test_a_content_type_is_always_there(house):
    put(house)
    assert ask(house, "HEAD", "/bkt/key")[1]["content-type"] == "binary/octet-stream"


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ({"Content-MD5": "short"}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAA"}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": CRC32, "x-amz-checksum-sha1": "AAAA"}, "InvalidDigest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
        ({"x-amz-content-sha256": "0" * 64}, "XAmzContentSHA256Mismatch"),
        ({"x-amz-meta-a": "b" * 2048}, "MetadataTooLarge"),
        ({"x-amz-acl": "public-read"}, "NotImplemented"),
        ({"x-amz-storage-class": "GLACIER"}, "InvalidStorageClass"),
        ({"x-amz-tagging": "a=b"}, "NotImplemented"),
        ({"x-amz-copy-source": "/bkt/other"}, "NoSuchKey"),
        ({"x-amz-server-side-encryption": "AES256"}, "NotImplemented"),
        ({"If-None-Match": '"abc"'}, "NotImplemented"),
    ],
)
def test_a11_a_put_that_is_not_what_it_says_stores_nothing(house, headers, wanted):
    assert code(put(house, headers=headers)) == wanted
    assert house.namespace.buckets["bkt"] == {}
    assert house.namespace.finished == 0


def test_headers_that_ask_for_what_is_done_anyway_are_taken_with_that_value_alone(house):
    for method, path, name, value, other in (
        ("PUT", "/bk5", "x-amz-bucket-object-lock-enabled", "false", "true"),
        ("PUT", "/bkt/key", "x-amz-metadata-directive", "REPLACE", "COPY"),
    ):
        assert ask(house, method, path, {name: value})[0] == 200
        assert code(ask(house, method, path, {name: other})) == "NotImplemented"


def test_a_proven_checksum_is_kept_and_shown_with_the_whole_object_only(house):
    assert put(house, headers={"x-amz-checksum-crc32": CRC32})[1]["x-amz-checksum-crc32"] == CRC32
    mode = {"x-amz-checksum-mode": "ENABLED"}
    assert ask(house, "GET", "/bkt/key", mode)[1]["x-amz-checksum-crc32"] == CRC32
    assert ask(house, "HEAD", "/bkt/key", mode)[1]["x-amz-checksum-type"] == "FULL_OBJECT"
    assert "x-amz-checksum-crc32" not in ask(house, "GET", "/bkt/key")[1]
    assert "x-amz-checksum-crc32" not in ask(house, "GET", "/bkt/key", {**mode, "Range": "bytes=0-1"})[1]


def test_a_put_without_a_length_needs_one_unless_it_is_chunked(house):
    without = signed("V4_HEADER", "PUT", "/bkt/key").replace(b"Content-Length: 0\r\n", b"")
    assert code(house.ask(without)) == "MissingContentLength"
    headers = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", "Transfer-Encoding": "chunked"}
    request = signed("V4_HEADER", "PUT", "/bkt/key", headers) + b"5\r\nhello\r\n0\r\n\r\n"
    assert house.ask(request)[0] == 200
    assert house.namespace.buckets["bkt"][b"key"][1] == b"hello"


def test_a_put_over_five_gib_is_refused_on_its_head(house):
    request = signed("V4_HEADER", "PUT", "/bkt/key", {"Content-Length": str((5 << 30) + 1)})
    assert b"EntityTooLarge" in house.ask(request)[2]


STREAM = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def stream_headers(**more):
    return {"x-amz-content-sha256": STREAM, "x-amz-trailer": "x-amz-checksum-crc32", **more}


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_unsigned_trailer_is_verified_with_and_without_a_content_length(house, framing):
    body = b"3\r\nhel\r\n2\r\nlo\r\n0\r\nx-amz-checksum-crc32:" + CRC32.encode() + b"\r\n\r\n"
    if framing == "length":
        headers = stream_headers(**{"x-amz-decoded-content-length": "5", "Content-Length": str(len(body))})
    else:
        headers = stream_headers(**{"Transfer-Encoding": "chunked", "Content-Encoding": "aws-chunked"})
    head = signed("V4_HEADER", "PUT", "/bkt/key", headers)
    sent = body if framing == "length" else b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    status, answer, _ = house.ask(head + sent)
    assert (status, answer["x-amz-checksum-crc32"]) == (200, CRC32)
    info, stored = house.namespace.buckets["bkt"][b"key"]
    assert stored == b"hello"
    assert "content-encoding" not in info.headers


def test_a06_a09_a_wrong_or_missing_trailer_stores_nothing(house):
    for trailer, wanted in ((b"x-amz-checksum-crc32:AAAAAA==", "BadDigest"), (b"", "MalformedTrailerError")):
        body = b"5\r\nhello\r\n0\r\n" + (trailer + b"\r\n" if trailer else b"") + b"\r\n"
        head = signed("V4_HEADER", "PUT", "/bkt/key", stream_headers(**{"Content-Length": str(len(body))}))
        assert code(house.ask(head + body)) == wanted
    short = b"ffffff\r\nhello"
    head = signed("V4_HEADER", "PUT", "/bkt/key", stream_headers(**{"Content-Length": str(len(short))}))
    assert code(house.ask(head + short)) == "IncompleteBody"
    assert house.namespace.buckets["bkt"] == {}
    assert house.namespace.aborted == 3


def test_conditions_reach_the_namespace(house):
    assert put(house, headers={"If-None-Match": "*"})[0] == 200
    assert put(house, headers={"If-None-Match": "*"})[0] == 412
    assert put(house, headers={"If-Match": '"none"'})[0] == 412
    etag = ask(house, "HEAD", "/bkt/key")[1]["etag"]
    assert put(house, headers={"If-Match": etag})[0] == 200
    assert ask(house, "GET", "/bkt/key", {"If-None-Match": etag})[0] == 304
    assert ask(house, "GET", "/bkt/key", {"If-Match": '"none"'})[0] == 412
    assert ask(house, "DELETE", "/bkt/key", {"If-Match": '"none"'})[0] == 412
    assert ask(house, "DELETE", "/bkt/key", {"If-None-Match": etag})[0] == 501
    assert ask(house, "DELETE", "/bkt/key", {"If-Match": etag})[0] == 204


@given(st.integers(0, 30), st.integers(0, 30))
def test_a_range_is_the_slice_with_its_place(first, last):
    house = House()
    house.namespace.buckets["bkt"] = {}
    body = bytes(range(20))
    put(house, body=body)
    status, headers, got = ask(house, "GET", "/bkt/key", {"Range": f"bytes={first}-{last}"})
    if last < first:
        assert (status, got) == (200, body)
    elif first >= 20:
        assert status == 416
    else:
        assert (status, got) == (206, body[first : last + 1])
        assert headers["content-range"] == f"bytes {first}-{min(last, 19)}/20"
    assert house.namespace.opened == house.namespace.closed


def test_if_range_serves_the_part_only_of_the_object_that_the_client_has(house):
    etag = put(house)[1]["etag"]
    assert ask(house, "GET", "/bkt/key", {"Range": "bytes=0-0", "If-Range": etag})[0] == 206
    assert ask(house, "GET", "/bkt/key", {"Range": "bytes=0-0", "If-Range": '"other"'})[0] == 200


def test_response_headers_can_be_set_by_the_request_but_not_split(house):
    put(house)
    answer = ask(house, "GET", "/bkt/key?response-content-type=text%2Fx&response-cache-control=no-store")[1]
    assert (answer["content-type"], answer["cache-control"]) == ("text/x", "no-store")
    assert ask(house, "GET", "/bkt/key?response-expires=a%0d%0ab")[0] == 400


def test_an_empty_object_comes_back_empty(house):
    put(house, body=b"", headers={"Content-Length": "0"})
    assert ask(house, "GET", "/bkt/key")[::2] == (200, b"")
    assert ask(house, "GET", "/bkt/key", {"Range": "bytes=0-"})[0] == 416


def test_buckets_are_made_listed_asked_for_and_deleted(house):
    assert ask(house, "PUT", "/new-bkt")[1]["location"] == "/new-bkt"
    assert code(ask(house, "PUT", "/new-bkt")) == "BucketAlreadyOwnedByYou"
    tree = read_xml(ask(house, "GET", "/")[2], "ListAllMyBucketsResult")
    assert [bucket.value("Name") for bucket in tree.children[1].children] == ["bkt", "new-bkt"]
    assert ask(house, "HEAD", "/new-bkt")[1]["x-amz-bucket-region"] == "us-east-1"
    assert read_xml(ask(house, "GET", "/new-bkt?location")[2], "LocationConstraint").text == ""
    assert read_xml(ask(house, "GET", "/new-bkt?versioning")[2], "VersioningConfiguration").children == []
    assert ask(house, "DELETE", "/new-bkt")[0] == 204
    assert ask(house, "HEAD", "/new-bkt")[0] == 404
    put(house)
    assert code(ask(house, "DELETE", "/bkt")) == "BucketNotEmpty"


def test_buckets_come_in_pages_when_asked(house):
    for name in ("aaa", "aab", "zzz"):
        house.namespace.buckets[name] = {}
    names, token = [], ""
    for _ in range(9):
        tree = read_xml(ask(house, "GET", f"/?max-buckets=1&prefix=aa{token}")[2], "ListAllMyBucketsResult")
        names += [child.value("Name") for part in tree.children if part.name == "Buckets" for child in part.children]
        if tree.value("ContinuationToken") is None:
            break
        token = "&continuation-token=" + tree.value("ContinuationToken")
    assert names == ["aaa", "aab"]


def configuration(text):
    return f"<CreateBucketConfiguration>{text}</CreateBucketConfiguration>".encode()


def test_a_location_constraint_must_be_this_region(house):
    there = House(region="eu-west-1")
    assert ask(house, "PUT", "/bk1", body=configuration("<LocationConstraint/>"))[0] == 200
    wrong = configuration("<LocationConstraint>mars</LocationConstraint>")
    assert code(ask(house, "PUT", "/bk2", body=wrong)) == "IllegalLocationConstraintException"
    assert code(ask(house, "PUT", "/bk3", body=b"<nonsense")) == "MalformedXML"
    assert code(ask(house, "PUT", "/bk4", body=b"x" * 20_000)) == "MalformedXML"
    assert code(ask(house, "PUT", "/bk5", body=configuration("<Tags/>"))) == "NotImplemented"
    assert code(ask(there, "PUT", "/bk6")) == "AuthorizationHeaderMalformed"


@pytest.mark.parametrize(
    "name", ["ab", "a" * 64, "Abc", "a_b", "-ab", "ab-", "a..b", "a.-b", "1.2.3.4", "xn--a", "a-s3alias", "a%2Fb"]
)
def test_a_bucket_needs_a_legal_name(house, name):
    assert code(ask(house, "PUT", f"/{name}")) == "InvalidBucketName"


def test_lists_page_through_every_key_once_in_order(house):
    keys = [f"k{n:02}" for n in range(7)] + ["d/a", "d/b", "sp ace", "ü"]
    for key in keys:
        house.namespace.buckets["bkt"][key.encode()] = _info(key.encode())
    seen, token = [], ""
    for _ in range(9):
        path = f"/bkt?list-type=2&max-keys=3&delimiter=%2F&encoding-type=url&fetch-owner=true{token}"
        tree = read_xml(ask(house, "GET", path)[2], "ListBucketResult")
        seen += [child.value("Key") for child in tree.children if child.name == "Contents"]
        seen += [child.value("Prefix") for child in tree.children if child.name == "CommonPrefixes"]
        if tree.value("IsTruncated") == "false":
            break
        token = "&continuation-token=" + tree.value("NextContinuationToken")
        house.namespace.buckets["bkt"].pop(seen[-1].encode(), None)
    assert sorted(seen) == sorted(["d/", "sp%20ace", "%C3%BC", *keys[:7]])


def _info(key):
    return ObjectInfo(key, 0, b"e", 0, {"content-type": "x"}, {}, {}), b""


def test_a_list_of_version_one_has_owners_and_markers(house):
    for key in (b"a", b"b", b"c"):
        house.namespace.buckets["bkt"][key] = _info(key)
    tree = read_xml(ask(house, "GET", "/bkt?max-keys=2&marker=a")[2], "ListBucketResult")
    contents = [child for child in tree.children if child.name == "Contents"]
    assert [child.value("Key") for child in contents] == ["b", "c"]
    owner = next(child for child in contents[0].children if child.name == "Owner")
    assert owner.value("DisplayName") == "me"
    assert tree.value("Marker") == "a"


def delete_document(*keys, quiet=False):
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    return f"<Delete>{objects}{'<Quiet>true</Quiet>' if quiet else ''}</Delete>".encode()


def test_many_keys_are_deleted_with_an_outcome_each(house):
    put(house, "a")
    put(house, "b")
    document = delete_document("a", "none", "k" * 1025)
    tree = read_xml(ask(house, "POST", "/bkt?delete", body=document)[2], "DeleteResult")
    assert [(child.name, child.value("Key")) for child in tree.children] == [
        ("Deleted", "a"),
        ("Deleted", "none"),
        ("Error", "k" * 1025),
    ]
    assert list(house.namespace.buckets["bkt"]) == [b"b"]
    quiet = ask(house, "POST", "/bkt?delete", body=delete_document("b", quiet=True))[2]
    assert read_xml(quiet, "DeleteResult").children == []


def test_c06_a_delete_of_too_much_or_of_nothing_is_refused(house):
    for body in (delete_document(*["k"] * 1001), delete_document(), b"", b"x" * (3 << 20), delete_document("")):
        assert code(ask(house, "POST", "/bkt?delete", body=body)) == "MalformedXML"
    wrong = ask(house, "POST", "/bkt?delete", {"Content-MD5": MD5}, delete_document("a"))
    assert code(wrong) == "BadDigest"


def test_what_a_delete_does_not_know_is_not_served_for_that_key_alone(house):
    body = b"<Delete><Object><Key>a</Key><Other>1</Other></Object><Object><Key>b</Key></Object></Delete>"
    tree = read_xml(ask(house, "POST", "/bkt?delete", body=body)[2], "DeleteResult")
    assert [child.name for child in tree.children] == ["Error", "Deleted"]


def test_a_bucket_in_the_host_works_like_one_in_the_path():
    house = House(domain="s3.test")
    house.namespace.buckets["bkt"] = {}
    assert house.ask(signed("V4_HEADER", "PUT", "/key", body=b"hello", host="bkt.s3.test"))[0] == 200
    assert house.ask(signed("V4_HEADER", "GET", "/bkt/key", host="s3.test"))[2] == b"hello"


SUB_RESOURCES = [
    *("accelerate", "acl", "analytics", "cors", "encryption", "intelligent-tiering", "inventory"),
    *("legal-hold", "lifecycle", "logging", "metrics", "notification", "object-lock", "ownershipControls"),
    *("policy", "policyStatus", "publicAccessBlock", "replication", "requestPayment", "restore"),
    *("retention", "select", "tagging", "torrent", "versionId=1", "versions", "website"),
    *("renameObject", "made-up", "append"),
]


def served(method, level):
    """Return the parameters that some operation of this method knows."""
    found = {key[2] for key in ROUTES if key[:2] == (method, level)}
    return found.union(*(operation.params for key, operation in ROUTES.items() if key[:2] == (method, level)))


@pytest.mark.parametrize("sub_resource", SUB_RESOURCES)
def test_a_sub_resource_that_is_not_served_is_never_the_plain_operation(house, sub_resource):
    put(house)
    before = dict(house.namespace.buckets["bkt"])
    for method in ("GET", "PUT", "POST", "DELETE"):
        for path, level in (("/bkt", Level.BUCKET), ("/bkt/key", Level.OBJECT)):
            if sub_resource.partition("=")[0] in served(method, level):
                continue
            body = b"<x/>" if method in ("PUT", "POST") else b""
            assert code(ask(house, method, f"{path}?{sub_resource}", body=body)) == "NotImplemented", (method, path)
    assert house.namespace.buckets["bkt"] == before


def test_methods_that_s3_does_not_have_are_not_allowed(house):
    assert code(ask(house, "PATCH", "/bkt/key")) == "MethodNotAllowed"
    assert code(ask(house, "TRACE", "/bkt/key")) == "MethodNotAllowed"
    assert code(ask(house, "POST", "/bkt/key")) == "NotImplemented"
