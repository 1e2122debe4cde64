"""CopyObject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from protocols.s3.call import xml_answer
from protocols.s3.codec.copysource import directive, parse_copy_source
from protocols.s3.codec.multipart import copy_document
from protocols.s3.object_headers import put_request, version_headers

if TYPE_CHECKING:
    from protocols.s3.call import Answer, Call


async def copy_object(call: Call) -> Answer:
    """Answer CopyObject: inside a bucket by reference, between buckets by bytes."""
    source = parse_copy_source(call.headers)
    anew = directive(call.headers, "x-amz-metadata-directive")
    info = await call.namespace.copy_object(call.caller, source, call.bucket, put_request(call), replace=anew)
    answer = xml_answer(copy_document("CopyObjectResult", info.etag, info.last_modified, info.checksums, kind=True))
    headers = [*answer.headers, *version_headers(info)]
    if source.version_id:
        headers.append(("x-amz-copy-source-version-id", source.version_id.decode("latin-1")))
    return replace(answer, headers=headers)
