"""Operations on an object."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from foundation.aio import start
from foundation.errors import RangeNotSatisfiable
from protocols.s3.call import Answer
from protocols.s3.codec.conditions import parse_conditions
from protocols.s3.codec.dates import format_http
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.ranges import ByteRange, Unsatisfiable, resolve_range
from protocols.s3.intake import Intake, take_body
from protocols.s3.object_headers import (
    object_answer,
    overrides_of,
    put_request,
    quoted,
    version_of,
    written_headers,
)
from protocols.s3.object_parts import PART_NUMBER, part_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from namespace.api import ObjectInfo, OpenObject
    from protocols.s3.call import Call

#: What one read of a body asks for, and how many reads run ahead of the client.
READ_BYTES = 1 << 20
READS_AHEAD = 2
_NS = 1_000_000_000


async def put_object(call: Call) -> Answer:
    """Answer PutObject: the body becomes the object's only after all that was announced of it is proven."""
    if "content-length" not in call.headers and call.body_length is not None:
        raise S3Error("MissingContentLength")
    intake = Intake(call.identity, call.body_length)
    intake.prove_default()
    session = await call.namespace.begin_put(call.caller, call.bucket, put_request(call))
    try:
        await take_body(call, intake, session.write)
        md5, proven = intake.finish()
    except BaseException:
        session.abort()
        raise
    info = await session.finish(md5.hex().encode(), proven)
    return Answer(headers=written_headers(info))


async def get_object(call: Call) -> Answer:
    """Answer GetObject, whole, one range of it, or one part."""
    overrides = overrides_of(call.params)
    version, conditions = version_of(call.params), parse_conditions(call.headers)
    if version:
        opened = await call.namespace.open_version(call.caller, call.bucket, call.key, version, conditions)
    else:
        opened = await call.namespace.open_object(call.caller, call.bucket, call.key, conditions)
    try:
        part = _part(call, opened.info)
    except BaseException:
        opened.close()
        raise
    answer = object_answer(call, opened.info, part, overrides)
    whole = part or ByteRange(0, opened.info.size)
    return Answer(answer.status, answer.headers, length=answer.length, stream=_ObjectStream(opened, whole))


async def head_object(call: Call) -> Answer:
    """Answer HeadObject."""
    overrides = overrides_of(call.params)
    info = await described(call)
    return object_answer(call, info, _part(call, info), overrides)


async def described(call: Call) -> ObjectInfo:
    """Return what there is to say of the object, or version, that a request names."""
    version, conditions = version_of(call.params), parse_conditions(call.headers)
    if version:
        return await call.namespace.head_version(call.caller, call.bucket, call.key, version, conditions)
    return await call.namespace.head_object(call.caller, call.bucket, call.key, conditions)


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
    """Return the range, or the part, that the request asks for; raise RangeNotSatisfiable, or S3Error."""
    if PART_NUMBER in call.params:
        return part_range(call, info)
    header = call.headers.get("range")
    if header is None:
        return None
    if_range = call.headers.get("if-range")
    if if_range is not None and if_range not in (quoted(info.etag), format_http(info.last_modified // _NS)):
        return None
    try:
        return resolve_range(header, info.size)
    except Unsatisfiable:
        raise RangeNotSatisfiable from None
