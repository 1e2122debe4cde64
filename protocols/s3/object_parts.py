"""One part of an object, as GetObject and HeadObject read it by `partNumber`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from namespace.api import ObjectParts
from protocols.s3.codec.checksums import kind_of
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.multipart import parse_part_number
from protocols.s3.codec.ranges import ByteRange

if TYPE_CHECKING:
    from namespace.api import ObjectInfo
    from protocols.s3.call import Call

PART_NUMBER = "partNumber"


def part_range(call: Call, info: ObjectInfo) -> ByteRange | None:
    """Return the bytes of the part that a request names; None: all of an empty object.

    An object that was not uploaded in parts is its own part 1. Raise S3Error InvalidPartNumber, InvalidArgument for
    what is no number, InvalidRequest beside a range.
    """
    if "range" in call.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    number, parts = parse_part_number(call.params[PART_NUMBER]), ObjectParts(info.parts)
    if not parts.count and number == 1:
        return ByteRange(0, info.size) if info.size else None
    part = parts.part(number)
    if part is None:
        raise S3Error("InvalidPartNumber", ActualPartCount=str(max(1, parts.count)), PartNumberRequested=str(number))
    return ByteRange(part.offset, part.size) if info.size else None


def part_headers(call: Call, info: ObjectInfo, *, checksums: bool) -> list[tuple[str, str]]:
    """Return what an answer says of the part that the request names, with its *checksums* if they are known."""
    parts = ObjectParts(info.parts)
    part = parts.part(parse_part_number(call.params[PART_NUMBER])) if parts.count else None
    sums = info.checksums if part is None else part.checksums
    headers = [("x-amz-mp-parts-count", str(parts.count))] if part is not None else []
    if checksums and sums:
        headers += [(f"x-amz-checksum-{name}", value) for name, value in sums.items()]
        headers.append(("x-amz-checksum-type", kind_of(info.checksums)))
    return headers
