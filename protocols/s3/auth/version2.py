"""Checking Signature Version 2, in a header and in a presigned URL."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from protocols.s3.auth.credential import AuthType, Identity
from protocols.s3.auth.received import V2_PARAMETERS
from protocols.s3.codec import sigv2
from protocols.s3.codec.dates import parse_basic, parse_http
from protocols.s3.codec.errors import S3Error

if TYPE_CHECKING:
    from protocols.s3.auth.credential import Credential, Credentials, PayloadMode
    from protocols.s3.auth.received import Received

_MAX_EPOCH_DIGITS = 11
#: Signs for access keys that do not exist, so that they take as long as those that do.
_NO_SECRET = "0" * 40


def verify_header(received: Received, mode: PayloadMode, credentials: Credentials) -> Identity:
    """Check an `Authorization: AWS` header; raise S3Error."""
    headers = received.headers
    authorization = sigv2.parse_authorization(headers["authorization"])
    if authorization is None:
        raise S3Error("InvalidArgument", "AWS authorization header is invalid.", ArgumentName="Authorization")
    date = headers.get("x-amz-date", headers.get("date", ""))
    received.refuse_skew(parse_basic(date) or parse_http(date))
    # x-amz-date is among the x-amz-* lines already; then the Date line is empty.
    line = "" if "x-amz-date" in headers else date
    credential = _check(received, *authorization, line, credentials)
    return Identity(credential, AuthType.V2_HEADER, mode, None, headers, received.params)


def verify_query(received: Received, mode: PayloadMode, credentials: Credentials) -> Identity:
    """Check a URL presigned with SigV2; raise S3Error."""
    params = received.target.params
    if not params.keys() >= V2_PARAMETERS:
        raise S3Error(
            "AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        )
    expires = params["Expires"]
    if not (expires.isascii() and expires.isdigit() and len(expires) <= _MAX_EPOCH_DIGITS):
        raise S3Error("AccessDenied", "Invalid date (should be seconds since epoch)")
    if received.now > int(expires):
        raise S3Error("AccessDenied", "Request has expired")
    credential = _check(received, params["AWSAccessKeyId"], params["Signature"], expires, credentials)
    return Identity(credential, AuthType.V2_QUERY, mode, None, received.headers, received.params)


def _check(received: Received, access_key: str, signature: str, date: str, credentials: Credentials) -> Credential:
    """Return the credential whose signature is right; raise S3Error."""
    credential = credentials(access_key)
    secret = credential.secret if credential else _NO_SECRET
    texts = sigv2.strings_to_sign(received.method, received.target, received.headers, date)
    matches = any(compare_digest(sigv2.sign(secret, text).encode(), signature.encode()) for text in texts)
    if credential is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    if not matches:
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access_key)
    return credential
