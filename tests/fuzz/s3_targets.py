"""Fuzz targets of the S3 door's decoders: every function that reads a client's bytes."""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from form_signing import BOUNDARY, covering, form_body, signed_fields
from fuzz_registry import Target, add
from signing import CREDENTIAL, REGION, credentials, sign

from protocols.s3.auth.authenticate import authenticate
from protocols.s3.auth.received import Received
from protocols.s3.codec import dates, sigv4
from protocols.s3.codec.acl import GRANT_HEADERS, MAX_GRANTS, header_grants
from protocols.s3.codec.chunked import MAX_LINE_BYTES, ChunkedDecoder
from protocols.s3.codec.conditions import MAX_ETAGS, delete_conditions, entry_conditions, parse_conditions
from protocols.s3.codec.copysource import SOURCE, parse_copy_source
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.form import MAX_FIELDS_BYTES, FormDecoder, parse_boundary
from protocols.s3.codec.listing import MAX_KEYS, decode_token, encode_token, parse_list
from protocols.s3.codec.policy import check_policy, parse_policy
from protocols.s3.codec.ranges import Unsatisfiable, resolve_range
from protocols.s3.codec.tagging import OBJECT_TAGS_MAX, header_tags
from protocols.s3.codec.uri import MAX_KEY_BYTES, decode_query, parse_target, percent_decode, percent_encode
from protocols.s3.codec.versions import parse_versions
from protocols.s3.codec.xmlread import MAX_DEPTH, Element, read_xml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOMAIN = "s3.test"
#: Documents of requests, by their roots.
DOCUMENTS = {
    "Delete": b"<Delete><Quiet>true</Quiet><Object><Key>a&amp;b</Key><VersionId>null</VersionId></Object></Delete>",
    "CompleteMultipartUpload": b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;e&quot;</ETag>"
    b"<ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></CompleteMultipartUpload>",
    "CreateBucketConfiguration": b"<?xml version='1.0'?><CreateBucketConfiguration xmlns='http://s3.amazonaws.com/doc/"
    b"2006-03-01/'><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>",
    "Tagging": b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
    "AccessControlPolicy": b"<AccessControlPolicy><Owner><ID>f</ID></Owner><AccessControlList><Grant><Grantee"
    b" xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:type='CanonicalUser'><ID>f</ID></Grantee>"
    b"<Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>",
}


def _s3_target(name: str, run: Callable[[bytes], None], seeds: Callable[[], Iterable[bytes]]) -> None:
    add(Target(f"s3-{name}", run, seeds))


def _expect(error: S3Error, *codes: str) -> None:
    """Check that a refusal is one of *codes*, or at least the client's fault."""
    assert error.code in codes or (not codes and error.status in {400, 403}), error


def _lines(data: bytes, count: int) -> list[str]:
    """Return *data* as so many texts, one character per byte."""
    return (data.decode("latin-1").split("\n", count - 1) + [""] * count)[:count]


def _pieces(data: bytes) -> tuple[list[bytes], bytes]:
    """Return *data* behind its first 33 bytes, cut where these say, and as a whole."""
    cuts, stream = list(data[1 : 1 + data[0] % 32]) if data else [], data[33:]
    edges = sorted({0, len(stream), *(cut * len(stream) // 255 for cut in cuts)})
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)], stream


def _cut(streams: Iterable[bytes]) -> Iterable[bytes]:
    """Return inputs for `_pieces`, whole and cut."""
    for stream in streams:
        for cuts in (b"\0", b"\5\1\2\3\4\5", b"\37" + bytes(range(0, 248, 8))):
            yield cuts.ljust(33, b"\0") + stream


# ---------------------------------------------------------------------- targets of requests


def uri(data: bytes) -> None:
    """Parse the second line as a target for the host of the first: bucket and key are what the path says, once."""
    host, text = _lines(data, 2)
    try:
        target = parse_target(text.encode("latin-1"), host, DOMAIN)
        canonical = list(sigv4.canonical_targets(target.path, target.query))
    except S3Error:
        return
    assert canonical
    assert len(target.key) <= MAX_KEY_BYTES
    assert target.key.decode().encode() == target.key
    path = percent_decode(target.path)
    assert path == b"/" + target.key if target.virtual else path.startswith(b"/" + target.bucket.encode("latin-1"))


def key(data: bytes) -> None:
    """Encode *data* as a client does: it comes back, or it is no key."""
    try:
        target = parse_target(b"/b/" + percent_encode(data, "/").encode(), "h", None)
    except S3Error as error:
        _expect(error, "KeyTooLongError", "InvalidURI")
        return
    assert target.key == data


def query(data: bytes) -> None:
    """Parse the parameters of every kind of listing."""
    try:
        params = dict(decode_query(data))
    except S3Error:
        return
    for parse in (partial(parse_list, version=1), partial(parse_list, version=2), parse_versions):
        try:
            request: Any = parse(params)
        except S3Error as error:
            _expect(error)
        else:
            assert 0 <= request.limit <= MAX_KEYS


def token(data: bytes) -> None:
    """Decode a continuation token: there is one spelling of each."""
    text = data.decode("latin-1")
    try:
        after = decode_token(text)
    except S3Error:
        return
    assert encode_token(after) == text


_s3_target("target", uri, lambda: [b"h\n/bkt/a%20b?x=1&y", b"bkt.s3.test:9000\n/k%2Fl", b"h\nhttp://h/b/k?acl"])
_s3_target("key", key, lambda: [b"a/b c", "a/\u00e9\U0001f600".encode(), b"../\0"])
_s3_target(
    "list-query",
    query,
    lambda: [
        b"prefix=a%2F&delimiter=/&max-keys=7&encoding-type=url&marker=m",
        b"list-type=2&continuation-token=" + encode_token(b"a").encode() + b"&fetch-owner=true",
        b"versions&key-marker=k&version-id-marker=v",
    ],
)
_s3_target("token", token, lambda: [encode_token(b"").encode(), encode_token(b"a/b\xff").encode()])

# ---------------------------------------------------------------------- headers


def date(data: bytes) -> None:
    """Parse a date in each form; what is one can be said again."""
    text = data.decode("latin-1")
    for parse, say in ((dates.parse_basic, dates.format_basic), (dates.parse_http, dates.format_http)):
        seconds = parse(text)
        if seconds is not None and 0 <= seconds < 1 << 37:
            assert parse(say(seconds)) == seconds
    seconds = dates.parse_xml(text)
    assert (seconds or -1) < 0 or dates.parse_xml(dates.format_xml(seconds * 10**9)) == seconds


def byte_range(data: bytes) -> None:
    """Resolve a range in objects of several sizes: the part lies within."""
    text = data.decode("latin-1")
    for size in (0, 1, 10, 1 << 40):
        try:
            part = resolve_range(text, size)
        except Unsatisfiable:
            continue
        assert part is None or (0 <= part.offset < part.offset + part.length <= size)


def conditions(data: bytes) -> None:
    """Parse the headers of all conditions."""
    match, none_match, since, unmodified, size, time = _lines(data, 6)
    headers = {"if-match": match, "if-none-match": none_match}
    found = parse_conditions({**headers, "if-modified-since": since, "if-unmodified-since": unmodified})
    assert len(found.if_match or ()) <= MAX_ETAGS
    for parse in (
        lambda: delete_conditions({"if-match": match, "x-amz-if-match-size": size}),
        lambda: entry_conditions(match, size, time),
    ):
        try:
            parse()
        except S3Error as error:
            _expect(error, "InvalidArgument")


def copy_source(data: bytes) -> None:
    """Parse what a copy is of: a bucket's name and a key."""
    name, part, match = _lines(data, 3)
    headers = {SOURCE: name, "x-amz-copy-source-if-match": match}
    if part:
        headers["x-amz-copy-source-range"] = part
    try:
        source = parse_copy_source(headers)
    except S3Error as error:
        _expect(error)
        return
    assert "/" not in source.bucket
    assert 0 < len(source.key) <= MAX_KEY_BYTES


def tags(data: bytes) -> None:
    """Read the tags of a header: no more than an object may have, each once."""
    try:
        found = header_tags(data.decode("latin-1"))
    except S3Error as error:
        _expect(error)
        return
    assert len(found) <= OBJECT_TAGS_MAX


def grants(data: bytes) -> None:
    """Read the grants of two headers."""
    try:
        found = header_grants(dict(zip(GRANT_HEADERS, _lines(data, 2), strict=False)))
    except S3Error as error:
        _expect(error, "InvalidArgument")
        return
    assert len(found) <= MAX_GRANTS


_s3_target("tags", tags, lambda: [b"a=b&c=d%20e", b"k"])
_s3_target("grants", grants, lambda: [b'id="f", uri="http://x/"\nemailAddress=a'])
_s3_target(
    "date", date, lambda: [b"20130524T000000Z", b"Sun, 06 Nov 1994 08:49:37 GMT", b"2009-10-12T17:50:30.000Z", b"1 a 1"]
)
_s3_target("range", byte_range, lambda: [b"bytes=0-9", b"bytes=-5", b"bytes=3-", b"bytes=0-1,3-4"])
_s3_target(
    "conditions",
    conditions,
    lambda: [b'"a", W/"b"\n*\nSun, 06 Nov 1994 08:49:37 GMT\nx\n5\nSun, 06 Nov 1994 08:49:37 GMT', b"a\n\n\n\n5\n"],
)
_s3_target(
    "copy-source",
    copy_source,
    lambda: [b"/bkt/a%20b?versionId=null\nbytes=0-9\n*", b"bkt/k", b"http://bkt/k", b"bkt%2Fk"],
)

# ---------------------------------------------------------------------- bodies


def chunked(signed: bool, data: bytes) -> None:
    """Decode an aws-chunked body at once and in pieces: the same comes out, and no line is kept beyond its limit."""
    pieces, stream = _pieces(data)
    assert _decoded(signed, pieces) == _decoded(signed, [stream])


def _decoded(signed: bool, pieces: list[bytes]) -> Any:
    signer = sigv4.ChunkSigner(b"key", "20130524T000000Z", "scope", "seed") if signed else None
    decoder = ChunkedDecoder(signer, frozenset({"x-amz-checksum-crc32"}), None)
    out = []
    try:
        for piece in pieces:
            out.append(decoder.feed(piece))
            assert len(decoder._line) <= MAX_LINE_BYTES
        return b"".join(out), decoder.finish()
    except S3Error as error:
        return error.code


def _chunks(*, signed: bool) -> Iterable[bytes]:
    signer = sigv4.ChunkSigner(b"key", "20130524T000000Z", "scope", "seed")
    body = b""
    for data in (b"hello", b"x" * 100, b""):
        proof = f";chunk-signature={signer.chunk(sigv4.sha256(data).hexdigest())}".encode() if signed else b""
        body += b"%x%s\r\n%s" % (len(data), proof, data + b"\r\n" if data else b"")
    block = b"x-amz-checksum-crc32:AAAAAA=="
    proof = b"x-amz-trailer-signature:%s\r\n" % signer.trailer(block + b"\n").encode() if signed else b""
    yield body + block + b"\r\n" + proof + b"\r\n"


def xml(root: str, data: bytes) -> None:
    """Read a document: a tree no deeper than it may be."""
    try:
        tree = read_xml(data, root)
    except S3Error as error:
        _expect(error, "MalformedXML")
        return
    assert _depth(tree) <= MAX_DEPTH


def _depth(element: Element) -> int:
    return 1 + max(map(_depth, element.children), default=0)


def form(data: bytes) -> None:
    """Decode a form at once and in pieces: the same comes out, from bounded memory."""
    pieces, stream = _pieces(data)
    assert _form(pieces) == _form([stream])


def _form(pieces: list[bytes]) -> Any:
    decoder = FormDecoder(BOUNDARY.encode())
    file = None
    try:
        for piece in pieces:
            if file is not None:
                file += decoder.feed(piece)
            elif decoder.feed_fields(piece):
                file = decoder.feed(decoder.rest)
        assert len(decoder._buffer) <= MAX_FIELDS_BYTES
        if file is None:
            return None
        decoder.finish()
    except S3Error as error:
        # Which of two things that are wrong is found first may depend on the cuts.
        return error.status
    return decoder.fields, decoder.filename, file


def policy(data: bytes) -> None:
    """Read a policy and hold it against a form."""
    try:
        check_policy(parse_policy(data.decode("latin-1")), {"key": "k", "content-type": "a/b,c/d"}, "bkt", 0)
    except S3Error as error:
        _expect(error, "InvalidPolicyDocument", "AccessDenied")


def boundary(data: bytes) -> None:
    """Read the boundary of a Content-Type."""
    try:
        found = parse_boundary(data.decode("latin-1"))
    except S3Error as error:
        _expect(error, "MalformedPOSTRequest")
        return
    assert found is None or 1 <= len(found) <= 70


def _policies() -> Iterable[bytes]:
    for conditions_ in (covering({"key": "k"}), [["starts-with", "$key", "a"], ["content-length-range", 1, "9"]]):
        yield signed_fields("V2_FORM", {"key": "k"}, conditions_)["policy"].encode()


_s3_target("chunked-signed", partial(chunked, True), lambda: _cut(_chunks(signed=True)))
_s3_target("chunked-unsigned", partial(chunked, False), lambda: _cut(_chunks(signed=False)))
for _root, _document in DOCUMENTS.items():
    _s3_target(f"xml-{_root.lower()}", partial(xml, _root), lambda document=_document: [document])
_s3_target("form", form, lambda: _cut([form_body({"key": "a", "acl": "private"}), form_body({}, file=b"\r\n--xYz")]))
_s3_target("policy", policy, _policies)
_s3_target("boundary", boundary, lambda: [b"multipart/form-data; boundary=abc", b'multipart/form-data;boundary="a b"'])

# ---------------------------------------------------------------------- who asks

#: What every seed was signed for; no change of its bytes may make a signature of anything else.
_SIGNED_FOR = ("GET", "bkt", b"k")
_AUTHS = ("V4_HEADER", "V4_QUERY", "V2_HEADER", "V2_QUERY")


def who_asks(data: bytes) -> None:
    """Authenticate a request: nobody's, or that of the one who signed it for just this."""
    method, target, *lines = [*data.decode("latin-1").split("\n"), ""]
    headers = {"host": "localhost"}
    for line in lines[:64]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    now = dates.parse_http(headers.get("x-now", "")) or 0
    try:
        parsed = parse_target(target.encode("latin-1"), headers["host"], DOMAIN)
        received = Received(method, parsed, headers, parsed.params, False, now, REGION, headers)
        identity = authenticate(received, credentials)
    except S3Error as error:
        _expect(error)
        return
    if identity.credential is CREDENTIAL:
        assert (method, parsed.bucket, parsed.key) == _SIGNED_FOR


def _signed() -> Iterable[bytes]:
    for auth in _AUTHS:
        target, headers = sign(auth, "GET", "http://localhost/bkt/k?x-id=GetObject")
        now = dates.format_http(int(time.time()))
        yield "\n".join(["GET", target, f"x-now: {now}", *(f"{n}: {v}" for n, v in headers.items())]).encode()


_s3_target("authorization", who_asks, _signed)
