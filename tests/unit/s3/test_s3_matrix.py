"""Every operation with every kind of signature and every payload mode: a new operation without a row here fails."""

from __future__ import annotations

import itertools

import pytest
from form_signing import form
from loop import House
from signing import sign, wire

from protocols.s3.auth.authenticate import ALLOWED
from protocols.s3.auth.credential import AuthType, PayloadMode
from protocols.s3.codec.sigv2 import SIGNED_PARAMETERS
from protocols.s3.operations.configurations import ABSENT, EMPTY
from protocols.s3.router import ROUTES

DELETE = b"<Delete><Object><Key>key</Key></Object></Delete>"
COMPLETE = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>"
#: operation -> (method, path, body, status when it is let through)
ROWS = {
    "ListBuckets": ("GET", "/", b"", 200),
    "CreateBucket": ("PUT", "/new-bkt", b"", 200),
    "HeadBucket": ("HEAD", "/bkt", b"", 200),
    "DeleteBucket": ("DELETE", "/empty-bkt", b"", 204),
    "ListObjects": ("GET", "/bkt?prefix=k", b"", 200),
    "ListObjectsV2": ("GET", "/bkt?list-type=2", b"", 200),
    "GetBucketLocation": ("GET", "/bkt?location", b"", 200),
    "ListObjectVersions": ("GET", "/bkt?versions", b"", 200),
    "PostObject": ("POST", "/bkt", b"", 204),
    **{name: ("GET", f"/bkt?{at}", b"", 404) for at, (name, _) in ABSENT.items()},
    **{name: ("GET", f"/bkt?{at}", b"", 200) for at, (name, *_) in EMPTY.items()},
    "GetBucketVersioning": ("GET", "/bkt?versioning", b"", 200),
    "DeleteObjects": ("POST", "/bkt?delete", DELETE, 200),
    "PutObject": ("PUT", "/bkt/key", b"hello", 200),
    "GetObject": ("GET", "/bkt/key", b"", 200),
    "HeadObject": ("HEAD", "/bkt/key", b"", 200),
    "DeleteObject": ("DELETE", "/bkt/key", b"", 204),
    "GetObjectAttributes": ("GET", "/bkt/key?attributes", b"", 200),
    "CopyObject": ("PUT", "/bkt/key2", b"", 200),
    "CreateMultipartUpload": ("POST", "/bkt/key2?uploads", b"", 200),
    "UploadPart": ("PUT", "/bkt/key2?partNumber=1&uploadId=x", b"hello", 200),
    "UploadPartCopy": ("PUT", "/bkt/key2?partNumber=1&uploadId=x", b"", 200),
    "CompleteMultipartUpload": ("POST", "/bkt/key2?uploadId=x", COMPLETE, 200),
    "AbortMultipartUpload": ("DELETE", "/bkt/key2?uploadId=x", b"", 204),
    "ListParts": ("GET", "/bkt/key2?uploadId=x", b"", 200),
    "ListMultipartUploads": ("GET", "/bkt?uploads", b"", 200),
}
READS_BODY = {"CreateBucket", "DeleteObjects", "PutObject", "UploadPart", "CompleteMultipartUpload"}
#: Their sub-resource is none that SigV2 signs.
UNSIGNED_BY_V2 = {
    "GetObjectAttributes",
    *(name for at, (name, *_) in (ABSENT | EMPTY).items() if at not in SIGNED_PARAMETERS),
}
FORMS = {AuthType.V4_FORM, AuthType.V2_FORM}
#: Headers that make an operation what it is.
HEADERS = {name: {"x-amz-copy-source": "bkt/key"} for name in ("CopyObject", "UploadPartCopy")}
HEADERS["GetObjectAttributes"] = {"x-amz-object-attributes": "ETag"}


def test_every_operation_has_a_row_and_every_row_an_operation():
    assert {operation.name for operation in ROUTES.values()} == set(ROWS)


def test_every_kind_of_signature_has_a_line():
    assert set(ALLOWED) == set(AuthType)


@pytest.fixture
def house():
    house = House()
    house.namespace.buckets |= {"bkt": {}, "empty-bkt": {}}
    house.ask(request("PutObject", AuthType.V4_HEADER, PayloadMode.SIGNED))
    return house


def request(name, auth, mode, *, tamper=False):
    method, path, body, _ = ROWS[name]
    if auth in FORMS:
        asked = form(auth.name, {"key": "key"}, path=path, method=method, headers=_said_of_the_body(mode))
        return asked.replace(b"AKID", b"AKIX") if tamper else asked
    headers, sent_body = dict(HEADERS.get(name, {})), body
    if mode.chunked and name in READS_BODY:
        sent_body = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        sent_body += b"0\r\n\r\n"
        headers["x-amz-decoded-content-length"] = str(len(body))
    if mode not in (PayloadMode.ABSENT, PayloadMode.SIGNED):
        headers["x-amz-content-sha256"] = mode.value
    if mode is PayloadMode.SIGNED and auth is not AuthType.V4_HEADER:
        headers["x-amz-content-sha256"] = "0" * 64
    if sent_body:
        headers["Content-Length"] = str(len(sent_body))
    target, sent = sign(auth.name, method, f"http://localhost{path}", headers, sent_body)
    if tamper and "Authorization" in sent:
        sent["Authorization"] = sent["Authorization"].replace("AKID", "AKIX")
    elif tamper:
        target = target.replace("AKID", "AKIX")
    return wire(method, target, sent, sent_body)


def _said_of_the_body(mode):
    if mode is PayloadMode.ABSENT:
        return {}
    return {"x-amz-content-sha256": "0" * 64 if mode is PayloadMode.SIGNED else mode.value}


@pytest.mark.parametrize(("name", "auth", "mode"), list(itertools.product(ROWS, AuthType, PayloadMode)))
def test_what_the_table_allows_gets_through_and_nothing_else_does(house, name, auth, mode):
    status = house.ask(request(name, auth, mode))[0]
    wanted = ROWS[name][3]
    unsigned = name in UNSIGNED_BY_V2 and auth in (AuthType.V2_HEADER, AuthType.V2_QUERY)
    if mode not in ALLOWED[auth] or unsigned or (auth in FORMS and name != "PostObject"):
        assert status == 403
    elif name == "PostObject" and auth not in FORMS:
        assert status == 412
    elif mode in (PayloadMode.STREAMING_SIGNED, PayloadMode.STREAMING_SIGNED_TRAILER) and name in READS_BODY:
        # The chunks of these bodies carry no signatures.
        assert status == 400
    elif mode is PayloadMode.SIGNED and auth is not AuthType.V4_HEADER and name in READS_BODY:
        assert status == 400
    else:
        assert status == wanted


@pytest.mark.parametrize(("name", "auth"), list(itertools.product(ROWS, AuthType)))
def test_a_forged_signature_gets_through_nowhere_and_changes_nothing(house, name, auth):
    before = repr(house.namespace.buckets)
    for mode in ALLOWED[auth]:
        assert house.ask(request(name, auth, mode, tamper=True))[0] == 403, mode
    assert repr(house.namespace.buckets) == before


@pytest.mark.parametrize("name", ROWS)
def test_an_anonymous_request_gets_through_nowhere(house, name):
    method, path, body, _ = ROWS[name]
    before = repr(house.namespace.buckets)
    assert house.ask(wire(method, path, {"Host": "h", "Content-Length": str(len(body))}, body))[0] == 403
    assert repr(house.namespace.buckets) == before
