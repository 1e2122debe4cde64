"""What an object's headers say, both ways: those of a request as values, and those of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from namespace.api import CANNED_ACL_NAMES, PutRequest
from protocols.s3.call import Answer, header_text
from protocols.s3.codec.checksums import kind_of
from protocols.s3.codec.conditions import parse_conditions
from protocols.s3.codec.dates import format_http
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.tagging import header_tags
from protocols.s3.object_parts import PART_NUMBER, part_headers

if TYPE_CHECKING:
    from namespace.api import Conditions, ObjectInfo
    from protocols.s3.call import Call
    from protocols.s3.codec.ranges import ByteRange

MAX_USER_METADATA_BYTES = 2 << 10
DEFAULT_CONTENT_TYPE = "binary/octet-stream"

_NS = 1_000_000_000
_META = "x-amz-meta-"
#: A canned ACL of buckets that take another bucket's access log.
_LOG_ACL = "log-delivery-write"
_CONTENT_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
OVERRIDES = {f"response-{name}": name for name in _CONTENT_HEADERS}


def put_request(call: Call) -> PutRequest:
    """Return what a request says of the object that it makes."""
    headers, user = content_headers(call), user_metadata(call.headers)
    return PutRequest(call.key, headers, user, write_conditions(call), tags_of(call), acl_of(call))


def tags_of(call: Call) -> dict[str, str]:
    """Return the tags that x-amz-tagging gives; raise S3Error InvalidTag, InvalidArgument or BadRequest."""
    return header_tags(call.headers.get("x-amz-tagging", ""))


def acl_of(call: Call) -> str:
    """Return the canned ACL that x-amz-acl names, empty for none; raise S3Error InvalidArgument."""
    acl = call.headers.get("x-amz-acl", "")
    if acl == _LOG_ACL:
        raise S3Error("NotImplemented", Header="x-amz-acl")
    if acl and acl not in CANNED_ACL_NAMES:
        raise S3Error("InvalidArgument", ArgumentName="x-amz-acl", ArgumentValue=acl[:64])
    return acl


def bucket_acl(call: Call) -> str:
    """Return the canned ACL that x-amz-acl names for a bucket: those of objects alone are `private` there, as in S3."""
    acl = acl_of(call)
    return "private" if acl.startswith("bucket-owner-") else acl


def object_answer(call: Call, info: ObjectInfo, part: ByteRange | None, overrides: dict[str, str]) -> Answer:
    """Return status, headers and length for an object, with no body yet."""
    headers = [
        ("etag", quoted(info.etag)),
        ("last-modified", format_http(info.last_modified // _NS)),
        ("accept-ranges", "bytes"),
        *version_headers(info),
        *{**info.headers, **overrides}.items(),
        *((_META + name, value) for name, value in info.user.items()),
    ]
    if info.tags and not call.caller.anonymous:
        headers.append(("x-amz-tagging-count", str(len(info.tags))))
    checksums = call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    if PART_NUMBER in call.params:
        headers += part_headers(call, info, checksums=checksums)
    if part is not None:
        headers.append(("content-range", f"bytes {part.offset}-{part.offset + part.length - 1}/{info.size}"))
        return Answer(206, headers, length=part.length)
    if checksums and PART_NUMBER not in call.params:
        # Of the whole object, so not with a part of it: clients would compare the part.
        headers += checksum_headers(info)
    return Answer(200, headers, length=info.size)


def written_headers(info: ObjectInfo) -> list[tuple[str, str]]:
    """Return what an answer says of an object that the request has made."""
    return [("etag", quoted(info.etag)), *version_headers(info), *checksum_headers(info)]


def version_of(params: dict[str, str]) -> bytes:
    """Return the version that a request names, b"" for the current one; raise S3Error InvalidArgument."""
    if "versionId" not in params:
        return b""
    if not params["versionId"]:
        raise S3Error("InvalidArgument", "Version id cannot be the empty string.", ArgumentName="versionId")
    return params["versionId"].encode()


def checksum_headers(info: ObjectInfo) -> list[tuple[str, str]]:
    """Return what an answer says of an object's checksums."""
    if not info.checksums:
        return []
    values = [(f"x-amz-checksum-{name}", value) for name, value in info.checksums.items()]
    return [*values, ("x-amz-checksum-type", kind_of(info.checksums))]


def version_headers(info: ObjectInfo) -> list[tuple[str, str]]:
    """Return what an answer says of an object's version; nothing in a bucket that never kept any."""
    return [("x-amz-version-id", info.version_id.decode("latin-1"))] if info.version_id else []


def quoted(etag: bytes) -> str:
    """Return an ETag as headers and documents show it."""
    return f'"{etag.decode("latin-1")}"'


def overrides_of(params: dict[str, str]) -> dict[str, str]:
    """Return the answer's headers that the request sets (response-*); raise S3Error InvalidArgument."""
    found = {header: params[name] for name, header in OVERRIDES.items() if name in params}
    for header, value in found.items():
        if not value.isprintable():
            raise S3Error("InvalidArgument", ArgumentName=f"response-{header}")
    return found


def content_headers(call: Call) -> dict[str, str]:
    """Return the content headers to keep; aws-chunked was of the way, not of the object."""
    kept = {name: value for name in _CONTENT_HEADERS if (value := call.text_header(name))}
    codings = [each.strip() for each in kept.pop("content-encoding", "").split(",")]
    coding = ",".join(each for each in codings if each and each != "aws-chunked")
    if coding:
        kept["content-encoding"] = coding
    kept.setdefault("content-type", DEFAULT_CONTENT_TYPE)
    return kept


def user_metadata(headers: dict[str, str]) -> dict[str, str]:
    """Return x-amz-meta-* without the prefix; raise S3Error MetadataTooLarge."""
    found = {name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)}
    if sum(len(name) + len(value) for name, value in found.items()) > MAX_USER_METADATA_BYTES:
        raise S3Error("MetadataTooLarge")
    return {name: header_text(name, value) for name, value in found.items()}


def write_conditions(call: Call) -> Conditions:
    """Return the conditions of a PUT; S3 knows If-Match and `If-None-Match: *` alone."""
    conditions = parse_conditions(call.headers)
    if conditions.if_none_match not in (None, (b"*",)):
        raise S3Error("NotImplemented", Header="If-None-Match")
    return conditions
