"""The owners that a client expects: a bucket that changed hands is left alone (S3 "Verifying bucket ownership")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import AccessDenied, BucketNotFound
from protocols.s3.codec.copysource import SOURCE, parse_copy_source

if TYPE_CHECKING:
    from protocols.s3.call import Call

EXPECTED = "x-amz-expected-bucket-owner"
EXPECTED_OF_SOURCE = "x-amz-source-expected-bucket-owner"
OWNER_HEADERS = frozenset({EXPECTED, EXPECTED_OF_SOURCE})


async def check_owners(call: Call) -> None:
    """Raise AccessDenied if a bucket of *call* has another owner than expected, S3Error for a bad source."""
    headers = call.headers
    if EXPECTED in headers and call.bucket:
        await _check(call, call.bucket, headers[EXPECTED])
    if EXPECTED_OF_SOURCE in headers and SOURCE in headers:
        await _check(call, parse_copy_source(headers).bucket, headers[EXPECTED_OF_SOURCE])


async def _check(call: Call, bucket: str, expected: str) -> None:
    try:
        owner = await call.namespace.owner_of(bucket)
    except BucketNotFound:
        return  # the operation says so, or makes it
    if owner != expected:
        raise AccessDenied("the bucket belongs to another account than expected")
