"""Operations on an object."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from foundation.aio import start
from foundation.errors import RangeNotSatisfiable
from namespace.api import PutRequest
from protocols.s3.call import Answer, header_text
from protocols.s3.codec.conditions import parse_conditions
from protocols.s3.codec.dates import format_http
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.ranges import ByteRange, Unsatisfiable, resolve_range
from protocols.s3.intake import Intake, take_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from namespace.api import Conditions, ObjectInfo, OpenObject
    from protocols.s3.call import Call

#: What one read of a body asks for, and how many reads run ahead of the client.
READ_BYTES = 1 << 20
READS_AHEAD = 2
MAX_USER_METADATA_BYTES = 2 << 10
DEFAULT_CONTENT_TYPE = "binary/octet-stream"

_NS = 1_000_000_000
_META = "x-amz-meta-"
_CONTENT_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
OVERRIDES = {f"response-{name}": name for name in _CONTENT_HEADERS}


async def put_object(call: Call) -> Answer:
    """Answer PutObject: the body becomes the object's only after all that was announced of it is proven."""
    if "content-length" not in call.headers and call.body_length is not None:
        raise S3Error("MissingContentLength")
    intake = Intake(call.identity, call.body_length)
    request = PutRequest(call.key, _content_headers(call), _user_metadata(call.headers), _write_conditions(call))
    session = await call.namespace.begin_put(call.caller, call.bucket, request)
    try:
        await take_body(call, intake, session.write)
        md5, proven = intake.finish()
    except BaseException:
        session.abort()
        raise
    info = await session.finish(md5.hex().encode(), proven)
    return Answer(headers=[("etag", _quoted(info.etag)), *_checksum_headers(info)])


async def get_object(call: Call) -> Answer:
    """Answer GetObject, whole or one range of it."""
    overrides = _overrides(call.params)
    opened = await call.namespace.open_object(call.caller, call.bucket, call.key, parse_conditions(call.headers))
    try:
        part = _part(call, opened.info)
    except BaseException:
        opened.close()
        raise
    answer = _object_answer(call, opened.info, part, overrides)
    whole = part or ByteRange(0, opened.info.size)
    return Answer(answer.status, answer.headers, length=answer.length, stream=_ObjectStream(opened, whole))


async def head_object(call: Call) -> Answer:
    """Answer HeadObject."""
    overrides = _overrides(call.params)
    info = await call.namespace.head_object(call.caller, call.bucket, call.key, parse_conditions(call.headers))
    return _object_answer(call, info, _part(call, info), overrides)


async def delete_object(call: Call) -> Answer:
    """Answer DeleteObject; a key that is not there is no error."""
    if parse_conditions(call.headers).if_match is not None:
        raise S3Error("NotImplemented")
    await call.namespace.delete_object(call.caller, call.bucket, call.key)
    return Answer(204)


class _ObjectStream:
    """The bytes of an open object, read a little ahead of the client."""

    def __init__(self, opened: OpenObject, part: ByteRange) -> None:
        self._opened = opened
        self._at = part.offset
        self._end = part.offset + part.length
        self._ahead: deque[Deferred[Any]] = deque()

    async def next(self) -> Sequence[bytes | memoryview]:
        """Return the next buffers, none at the end."""
        if not self._ahead and self._end - self._at <= READ_BYTES:
            # The whole of a small object, or the last of a large one: nothing is left to run ahead of.
            at, self._at = self._at, self._end
            return await self._opened.read(at, self._end - at) if at < self._end else ()
        self._read_ahead()
        buffers: Sequence[bytes | memoryview] = await self._ahead.popleft()
        self._read_ahead()
        return buffers

    async def close(self) -> None:
        """Let the content go, once no read of it is under way."""
        while self._ahead:
            await self._ahead.popleft().addErrback(lambda _failure: None)
        self._opened.close()

    def _read_ahead(self) -> None:
        while self._at < self._end and len(self._ahead) < READS_AHEAD:
            length = min(READ_BYTES, self._end - self._at)
            self._ahead.append(start(_read(self._opened, self._at, length)))
            self._at += length


async def _read(opened: OpenObject, offset: int, length: int) -> Sequence[bytes | memoryview]:
    return await opened.read(offset, length)


def _part(call: Call, info: ObjectInfo) -> ByteRange | None:
    """Return the range that the request asks for; raise RangeNotSatisfiable."""
    header = call.headers.get("range")
    if header is None:
        return None
    if_range = call.headers.get("if-range")
    if if_range is not None and if_range not in (_quoted(info.etag), format_http(info.last_modified // _NS)):
        return None
    try:
        return resolve_range(header, info.size)
    except Unsatisfiable:
        raise RangeNotSatisfiable from None


def _object_answer(call: Call, info: ObjectInfo, part: ByteRange | None, overrides: dict[str, str]) -> Answer:
    """Return status, headers and length for an object, with no body yet."""
    headers = [
        ("etag", _quoted(info.etag)),
        ("last-modified", format_http(info.last_modified // _NS)),
        ("accept-ranges", "bytes"),
        *{**info.headers, **overrides}.items(),
        *((_META + name, value) for name, value in info.user.items()),
    ]
    if part is not None:
        headers.append(("content-range", f"bytes {part.offset}-{part.offset + part.length - 1}/{info.size}"))
        return Answer(206, headers, length=part.length)
    if call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        # Of the whole object, so not with a part of it: clients would compare the part.
        headers += _checksum_headers(info)
    return Answer(200, headers, length=info.size)


def _checksum_headers(info: ObjectInfo) -> list[tuple[str, str]]:
    if not info.checksums:
        return []
    values = [(f"x-amz-checksum-{name}", value) for name, value in info.checksums.items()]
    return [*values, ("x-amz-checksum-type", "FULL_OBJECT")]


def _quoted(etag: bytes) -> str:
    return f'"{etag.decode("latin-1")}"'


def _overrides(params: dict[str, str]) -> dict[str, str]:
    """Return the answer's headers that the request sets (response-*); raise S3Error InvalidArgument."""
    found = {header: params[name] for name, header in OVERRIDES.items() if name in params}
    for header, value in found.items():
        if not value.isprintable():
            raise S3Error("InvalidArgument", ArgumentName=f"response-{header}")
    return found


def _content_headers(call: Call) -> dict[str, str]:
    """Return the content headers to keep; aws-chunked was of the way, not of the object."""
    kept = {name: value for name in _CONTENT_HEADERS if (value := call.text_header(name))}
    codings = [each.strip() for each in kept.pop("content-encoding", "").split(",")]
    coding = ",".join(each for each in codings if each and each != "aws-chunked")
    if coding:
        kept["content-encoding"] = coding
    kept.setdefault("content-type", DEFAULT_CONTENT_TYPE)
    return kept


def _user_metadata(headers: dict[str, str]) -> dict[str, str]:
    """Return x-amz-meta-* without the prefix; raise S3Error MetadataTooLarge."""
    found = {name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)}
    if sum(len(name) + len(value) for name, value in found.items()) > MAX_USER_METADATA_BYTES:
        raise S3Error("MetadataTooLarge")
    return {name: header_text(name, value) for name, value in found.items()}


def _write_conditions(call: Call) -> Conditions:
    """Return the conditions of a PUT; S3 knows If-Match and `If-None-Match: *` alone."""
    conditions = parse_conditions(call.headers)
    if conditions.if_none_match not in (None, (b"*",)):
        raise S3Error("NotImplemented", Header="If-None-Match")
    return conditions
