"""Multipart uploads: begun, filled, completed or aborted, and listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from namespace.api import Completion, UploadListRequest, UploadPage, UploadRequest, UploadTarget
from protocols.s3.call import Answer, xml_answer
from protocols.s3.codec.checksums import DEFAULT_ALGORITHM, announced_kind, check_kind, whole_checksums
from protocols.s3.codec.copysource import parse_copy_source
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.listing import parse_limit
from protocols.s3.codec.multipart import (
    MAX_DOCUMENT_BYTES,
    complete_document,
    copy_document,
    initiate_document,
    initiator,
    parse_completion,
    parse_marker,
    parse_part_number,
    parts_document,
    upload_limit,
    uploads_document,
)
from protocols.s3.codec.uri import url_encode_key
from protocols.s3.intake import Intake, take_body, take_small_body
from protocols.s3.object_headers import put_request, quoted, version_headers, write_conditions

if TYPE_CHECKING:
    from protocols.s3.call import Call

_SIZE = "x-amz-mp-object-size"
_MAX_SIZE_DIGITS = 15


async def create_multipart_upload(call: Call) -> Answer:
    """Answer CreateMultipartUpload: what it says of the object counts at completion."""
    checksum = announced_kind(call.headers)
    said = put_request(call)
    request = UploadRequest(said.key, said.headers, said.user, checksum, said.tags, said.acl)
    upload = await call.namespace.create_upload(call.caller, call.bucket, request)
    algorithm, _, kind = checksum.partition(" ")
    shown = [("x-amz-checksum-algorithm", algorithm.upper()), ("x-amz-checksum-type", kind)] if algorithm else []
    answer = xml_answer(initiate_document(call.bucket, upload))
    return replace(answer, headers=[*answer.headers, *shown])


async def upload_part(call: Call) -> Answer:
    """Answer UploadPart: the body counts only after all that was announced of it is proven."""
    if "content-length" not in call.headers and call.body_length is not None:
        raise S3Error("MissingContentLength")
    number = parse_part_number(call.params.get("partNumber"))
    intake = Intake(call.identity, call.body_length)
    session = await call.namespace.begin_part(call.caller, _target(call), number)
    try:
        algorithm, _, _ = session.checksum.partition(" ")
        intake.prove(algorithm or DEFAULT_ALGORITHM, alone=bool(algorithm))
        await take_body(call, intake, session.write)
        md5, proven = intake.finish()
    except BaseException:
        session.abort()
        raise
    part = await session.finish(md5.hex().encode(), proven)
    sums = [(f"x-amz-checksum-{name}", value) for name, value in part.checksums.items()]
    return Answer(headers=[("etag", quoted(part.etag)), *sums])


async def upload_part_copy(call: Call) -> Answer:
    """Answer UploadPartCopy."""
    number = parse_part_number(call.params.get("partNumber"))
    source = parse_copy_source(call.headers)
    part = await call.namespace.copy_part(call.caller, _target(call), number, source)
    return xml_answer(copy_document("CopyPartResult", part.etag, part.modified, part.checksums, kind=False))


async def complete_multipart_upload(call: Call) -> Answer:
    """Answer CompleteMultipartUpload."""
    size = call.headers.get(_SIZE)
    if size is not None and not (size.isascii() and size.isdigit() and len(size) <= _MAX_SIZE_DIGITS):
        raise S3Error("InvalidArgument", ArgumentName=_SIZE)
    checksums = whole_checksums(call.headers)
    kind = check_kind(call.headers.get("x-amz-checksum-type", ""))
    conditions = write_conditions(call)
    body = await take_small_body(call, MAX_DOCUMENT_BYTES, checksums=False)
    parts = await call.workers.run(parse_completion, body)
    completion = Completion(parts, conditions, checksums, kind, None if size is None else int(size))
    info = await call.namespace.complete_upload(call.caller, _target(call), completion)
    answer = xml_answer(complete_document(call.bucket, _location(call), info))
    return replace(answer, headers=[*answer.headers, *version_headers(info)])


def _location(call: Call) -> str:
    bucket = "" if call.target.virtual else f"{call.bucket}/"
    return f"http://{call.headers['host']}/{bucket}{url_encode_key(call.key)}"


async def abort_multipart_upload(call: Call) -> Answer:
    """Answer AbortMultipartUpload."""
    await call.namespace.abort_upload(call.caller, _target(call))
    return Answer(204)


async def list_parts(call: Call) -> Answer:
    """Answer ListParts."""
    limit = parse_limit(call.params.get("max-parts"), "max-parts")
    marker = parse_marker(call.params.get("part-number-marker"), "part-number-marker")
    page = await call.namespace.list_parts(call.caller, _target(call), marker, max(1, limit))
    if not limit:
        page = replace(page, parts=(), next_after=None)
    who = initiator(_owner(call, page.upload.owner))
    return xml_answer(parts_document(call.bucket, call.params, page, who, (marker, limit)))


async def list_multipart_uploads(call: Call) -> Answer:
    """Answer ListMultipartUploads."""
    key_marker = call.params.get("key-marker", "").encode()
    request = UploadListRequest(
        prefix=call.params.get("prefix", "").encode(),
        delimiter=call.params.get("delimiter", "").encode(),
        key_marker=key_marker,
        # S3 ignores it without a key.
        upload_id_marker=call.params.get("upload-id-marker", "").encode() if key_marker else b"",
        limit=max(1, upload_limit(call.params)),
    )
    page = await call.namespace.list_uploads(call.caller, call.bucket, request)
    if not upload_limit(call.params):
        page = UploadPage((), (), None)
    return xml_answer(uploads_document(call.bucket, call.params, request, page, lambda account: _owner(call, account)))


def _target(call: Call) -> UploadTarget:
    return UploadTarget(call.bucket, call.key, call.params["uploadId"].encode())


def _owner(call: Call, account: str) -> tuple[str, str]:
    """Return (id, display name) of an account."""
    return call.owners.of_account(account)
