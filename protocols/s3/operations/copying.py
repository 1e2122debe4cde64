"""CopyObject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from namespace.api import Conditions, CopyDirectives
from protocols.s3.call import xml_answer
from protocols.s3.codec.checksums import ALGORITHMS, FULL_OBJECT, algorithm_of, encode_base64, kind_of
from protocols.s3.codec.copysource import directive, parse_copy_source
from protocols.s3.codec.multipart import copy_document
from protocols.s3.object_headers import put_request, version_headers

if TYPE_CHECKING:
    from namespace.api import CopySource
    from protocols.s3.call import Answer, Call

#: What one read for a checksum asks for.
_READ_BYTES = 1 << 20


async def copy_object(call: Call) -> Answer:
    """Answer CopyObject: inside a bucket by reference, between buckets by bytes."""
    source = parse_copy_source(call.headers)
    anew = directive(call.headers, "x-amz-metadata-directive")
    request, retag = put_request(call), directive(call.headers, "x-amz-tagging-directive")
    algorithm = algorithm_of(call.headers)
    checksums = None
    if algorithm:
        source, checksums = await _checksum(call, source, algorithm)
    directives = CopyDirectives(anew, retag, checksums)
    if not retag:
        request = replace(request, tags={})
    info = await call.namespace.copy_object(call.caller, source, call.bucket, request, directives)
    answer = xml_answer(copy_document("CopyObjectResult", info.etag, info.last_modified, info.checksums, kind=True))
    headers = [*answer.headers, *version_headers(info)]
    if source.version_id:
        headers.append(("x-amz-copy-source-version-id", source.version_id.decode("latin-1")))
    return replace(answer, headers=headers)


async def _checksum(call: Call, source: CopySource, algorithm: str) -> tuple[CopySource, dict[str, str] | None]:
    """Return the checksum of a copy's whole source, and the source bound to the content that it is of.

    It is read only if it does not have that checksum already; then None is returned.
    """
    opened = await call.namespace.open_source(call.caller, source)
    try:
        info = opened.info
        bound = replace(source, conditions=Conditions(if_match=(info.etag,)))
        if kind_of(info.checksums) == FULL_OBJECT and algorithm in info.checksums:
            return bound, None
        digest = ALGORITHMS[algorithm][0]()
        for offset in range(0, info.size, _READ_BYTES):
            for buffer in await opened.read(offset, min(_READ_BYTES, info.size - offset)):
                await call.workers.run(digest.update, bytes(buffer))
    finally:
        opened.close()
    return bound, {algorithm: encode_base64(digest.digest())}
