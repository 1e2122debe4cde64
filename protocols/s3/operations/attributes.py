"""GetObjectAttributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from namespace.api import ObjectParts
from protocols.s3.call import xml_answer
from protocols.s3.codec.checksums import checksum_elements
from protocols.s3.codec.dates import format_http
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.listing import parse_limit
from protocols.s3.codec.multipart import parse_marker
from protocols.s3.codec.xmlwrite import document, element
from protocols.s3.object_headers import version_headers
from protocols.s3.operations.objects import described

if TYPE_CHECKING:
    from namespace.api import ObjectInfo
    from protocols.s3.call import Answer, Call

WANTED = "x-amz-object-attributes"
MAX_PARTS, MARKER = "x-amz-max-parts", "x-amz-part-number-marker"
_NAMES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})
_NS = 1_000_000_000


async def get_object_attributes(call: Call) -> Answer:
    """Answer GetObjectAttributes: of what the request names, what there is."""
    wanted = {name.strip() for name in call.headers.get(WANTED, "").split(",") if name.strip()}
    if not wanted or wanted - _NAMES:
        raise S3Error("InvalidArgument", "Invalid attribute name specified.", ArgumentName=WANTED)
    limit = parse_limit(call.headers.get(MAX_PARTS), MAX_PARTS)
    marker = parse_marker(call.headers.get(MARKER), MARKER)
    info = await described(call)
    shown = (
        element("ETag", info.etag.decode("latin-1")) if "ETag" in wanted else "",
        _within("Checksum", checksum_elements(info.checksums, kind=True)) if "Checksum" in wanted else "",
        _within("ObjectParts", _parts(info, marker, limit)) if "ObjectParts" in wanted else "",
        element("StorageClass", "STANDARD") if "StorageClass" in wanted else "",
        element("ObjectSize", info.size) if "ObjectSize" in wanted else "",
    )
    answer = xml_answer(document("GetObjectAttributesResponse", "".join(shown)))
    modified = ("last-modified", format_http(info.last_modified // _NS))
    return replace(answer, headers=[*answer.headers, modified, *version_headers(info)])


def _within(name: str, content: str) -> str:
    return f"<{name}>{content}</{name}>" if content else ""


def _parts(info: ObjectInfo, marker: int, limit: int) -> str:
    """Return a page of the object's parts; nothing for an object that was not uploaded in parts."""
    parts = ObjectParts(info.parts)
    if not parts.count:
        return ""
    page = parts.page(marker, limit)
    last = page[-1].number if page else marker
    head = [
        element("PartsCount", parts.count),
        element("PartNumberMarker", marker),
        element("NextPartNumberMarker", last),
        element("MaxParts", limit),
        element("IsTruncated", "true" if page and last < parts.count else "false"),
    ]
    for part in page:
        numbers = element("PartNumber", part.number) + element("Size", part.size)
        head.append(_within("Part", numbers + checksum_elements(part.checksums)))
    return "".join(head)
