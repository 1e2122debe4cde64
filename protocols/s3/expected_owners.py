"""The owners that a client expects: a bucket that changed hands is left alone (S3 "Verifying bucket ownership")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import AccessDenied, BucketNotFound
from protocols.s3.codec.uri import percent_decode

if TYPE_CHECKING:
    from protocols.s3.call import Call

EXPECTED = "x-amz-expected-bucket-owner"
EXPECTED_OF_SOURCE = "x-amz-source-expected-bucket-owner"
OWNER_HEADERS = frozenset({EXPECTED, EXPECTED_OF_SOURCE})
_SOURCE = "x-amz-copy-source"


async def check_owners(call: Call) -> None:
    """Raise AccessDenied if a bucket that *call* names is another account's than its client expects."""
    headers = call.headers
    if EXPECTED in headers and call.bucket:
        await _check(call, call.bucket, headers[EXPECTED])
    if EXPECTED_OF_SOURCE in headers and _SOURCE in headers:
        source = percent_decode(headers[_SOURCE].encode("latin-1")).removeprefix(b"/").partition(b"/")[0]
        await _check(call, source.decode("latin-1"), headers[EXPECTED_OF_SOURCE])


async def _check(call: Call, bucket: str, expected: str) -> None:
    try:
        owner = await call.namespace.owner_of(bucket)
    except BucketNotFound:
        return  # the operation says so, or makes it
    if owner != expected:
        raise AccessDenied("the bucket belongs to another account than expected")
