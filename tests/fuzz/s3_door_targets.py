"""Fuzz targets of the S3 door as a whole: bytes in, answers or a closed connection out, and never a bug."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from form_signing import form, form_body, signed_fields
from fuzz_registry import Target, add
from loop import House, Wire
from s3_targets import DOCUMENTS
from signing import CREDENTIAL, signed
from twisted.logger import globalLogPublisher

import protocols.s3.door
from protocols.s3.auth.credential import AuthType, Identity, PayloadMode
from protocols.s3.cors import CorsRules
from protocols.s3.http.body import HIGH_WATER_BYTES
from protocols.s3.router import ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from protocols.s3.auth.received import Received

UNSIGNED = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
LONGEST = 4096
#: Operations that read a document: method and path, by the document's root.
DOCUMENT_OF = {
    "Delete": ("POST", "/bkt?delete"),
    "CompleteMultipartUpload": ("POST", "/bkt/k?uploadId=x"),
    "CreateBucketConfiguration": ("PUT", "/new-bkt"),
    "Tagging": ("PUT", "/bkt/k?tagging"),
    "AccessControlPolicy": ("PUT", "/bkt/k?acl"),
}


class _Door:
    """A door over the fake namespace; it is made anew before it has grown, and its requests are signed anew."""

    RUNS = 300

    def __init__(self) -> None:
        self._left = 0
        self._heads: dict[tuple[str, str], bytes] = {}
        self.bugs: list[Any] = []
        globalLogPublisher.addObserver(self._observe)

    def _observe(self, event: Any) -> None:
        if "log_failure" in event:
            self.bugs.append(event["log_failure"])

    def renew(self) -> None:
        """Make the house of the next run."""
        if not self._left:
            self._left = self.RUNS
            self._heads.clear()
            self.house = House(domain="s3.test", cors=CorsRules(("http://a.test",)))
            self.house.namespace.buckets["bkt"] = {}
            self.send(signed("V4_HEADER", "PUT", "/bkt/k", body=b"hello"))
        self._left -= 1
        self.bugs.clear()

    def head(self, method: str, path: str) -> bytes:
        """Return the signed head of a request for *path* that says nothing of its body yet, less its blank line."""
        if (method, path) not in self._heads:
            lines = signed("V4_HEADER", method, path, UNSIGNED).splitlines(keepends=True)[:-1]
            self._heads[method, path] = b"".join(line for line in lines if not line.startswith(b"Content-Length"))
        return self._heads[method, path]

    def send(self, *pieces: bytes) -> Wire:
        """Send *pieces* over a connection of their own, then end it; raise what was logged as a bug."""
        wire = self.house.connect()
        for piece in pieces:
            if wire.connected and wire.reading:
                wire.protocol.dataReceived(piece)
        body = wire.protocol._newest.body if wire.protocol._newest is not None else None
        assert body is None or body.buffered <= HIGH_WATER_BYTES + LONGEST
        wire.lose()
        if self.bugs:
            self._left = 0
            self.bugs.pop().raiseException()
        assert self.house.namespace.opened == self.house.namespace.closed
        assert not self.house.site._connections
        return wire


_door: list[_Door] = []


def _the_door() -> _Door:
    if not _door:
        _door.append(_Door())
    _door[0].renew()
    return _door[0]


def _no_bug(wire: Wire) -> None:
    """Check that what was answered is answers, and none of them our own fault."""
    data = wire.taken()
    assert not data or data.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in data


def stream(data: bytes) -> None:
    """Send *data* as it is, in two pieces."""
    half = len(data) // 2
    _no_bug(_the_door().send(data[:half], data[half:]))


def body(method: str, path: str, data: bytes) -> None:
    """Send *data* as the body of a signed request."""
    door = _the_door()
    head = door.head(method, path)
    wire = door.send(head + b"Content-Length: %d\r\n\r\n" % len(data), data)
    assert b"SignatureDoesNotMatch" not in b"".join(wire.sent)
    _no_bug(wire)


def http_chunked(data: bytes) -> None:
    """Send *data* as the framed body of a signed request: it is stored whole or not at all."""
    door = _the_door()
    before = door.house.namespace.finished + door.house.namespace.aborted
    wire = door.send(door.head("PUT", "/bkt/c") + b"Transfer-Encoding: chunked\r\n\r\n", data)
    _no_bug(wire)
    assert door.house.namespace.finished + door.house.namespace.aborted == before + 1


def posted(data: bytes) -> None:
    """Send *data* as a form."""
    door = _the_door()
    head = b"POST /bkt HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=xYzZY\r\n"
    _no_bug(door.send(head + b"Content-Length: %d\r\n\r\n" % len(data), data))


def _trusted(received: Received, *_: Any) -> Identity:
    """Believe any request, so that whatever is in it reaches an operation."""
    headers = {"x-amz-content-sha256": "", **received.headers}
    modes = {mode.value: mode for mode in PayloadMode if not mode.chunked and mode is not PayloadMode.SIGNED}
    mode = modes.get(headers["x-amz-content-sha256"], PayloadMode.UNSIGNED)
    return Identity(CREDENTIAL, AuthType.V4_HEADER, mode, None, received.headers, received.params)


def trusted(data: bytes) -> None:
    """Send a request that need not be signed: target and headers are the first lines, the body follows a blank one."""
    head, _, content = data.partition(b"\n\n")
    lines = head.split(b"\n")
    request = [lines[0] + b" HTTP/1.1", b"Host: localhost", *lines[1:], b"Content-Length: %d" % len(content), b"", b""]
    with patch.object(protocols.s3.door, "authenticate", _trusted):
        _no_bug(_the_door().send(b"\r\n".join(request), content))


def _streams() -> Iterable[bytes]:
    get = signed("V4_HEADER", "GET", "/bkt/k")
    yield get * 2
    yield signed("V4_QUERY", "GET", "/bkt?list-type=2")
    yield signed("V2_HEADER", "PUT", "/bkt/k", {"Expect": "100-continue"}, b"hello")
    yield b"OPTIONS /bkt/k HTTP/1.1\r\nHost: h\r\nOrigin: http://a.test\r\nAccess-Control-Request-Method: GET\r\n\r\n"
    yield b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n" + get
    yield form("V4_FORM", {"key": "k"})


def _requests() -> Iterable[bytes]:
    places = {"service": b"/", "bucket": b"/bkt", "object": b"/bkt/k"}
    for (method, level, sub_resource), operation in ROUTES.items():
        name, plus, _ = sub_resource.partition("+")
        query = b"&".join([name.encode(), *(b"%s=1" % each.encode() for each in sorted(operation.params))]).strip(b"&")
        lines = [b"%s %s?%s" % (method.encode(), places[level.value], query)]
        lines += [b"%s: a=b" % each.encode() for each in sorted(operation.headers) if each != "x-amz-copy-source"]
        lines += [b"x-amz-copy-source: bkt/k"] if plus else []
        lines += [b"range: bytes=1-2", b'if-match: "a"', b"x-amz-meta-a: b", b"content-md5: a"] if name == "" else []
        yield b"\n".join(lines) + b"\n\n" + b"".join(DOCUMENTS.values()) * (method in {"PUT", "POST"})


def _add(name: str, run: Callable[[bytes], None], seeds: Callable[[], Iterable[bytes]]) -> None:
    add(Target(f"s3-door-{name}", run, seeds, LONGEST))


_add("stream", stream, _streams)
_add("request", trusted, _requests)
_add("chunked", http_chunked, lambda: [b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n"])
_add("form", posted, lambda: [form_body(signed_fields("V2_FORM", {"key": "k"}, [{"bucket": "bkt"}, {"key": "k"}]))])
for _root, (_method, _path) in DOCUMENT_OF.items():
    _add(f"body-{_root.lower()}", partial(body, _method, _path), lambda root=_root: [DOCUMENTS[root], b""])
