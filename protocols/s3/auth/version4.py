"""Checking Signature Version 4, in a header and in a presigned URL."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from protocols.s3.auth.credential import AuthType, Identity, PayloadMode
from protocols.s3.auth.received import MAX_SKEW_SECONDS, V4_PARAMETERS
from protocols.s3.codec import sigv4
from protocols.s3.codec.dates import format_basic, parse_basic, parse_http
from protocols.s3.codec.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocols.s3.auth.credential import Credential, Credentials
    from protocols.s3.auth.received import Received

#: The longest life of a presigned URL: seven days.
MAX_EXPIRES_SECONDS = 604_800
_MAX_EXPIRES_DIGITS = 6
_SIGNATURE_DIGITS = 64
#: The region that clients sign with while they ask for the right one.
_DEFAULT_REGION = "us-east-1"
#: Signs for access keys that do not exist, so that they take as long as those that do.
_NO_SECRET = "0" * 40


def verify_header(received: Received, mode: PayloadMode, credentials: Credentials) -> Identity:
    """Check an `Authorization: AWS4-HMAC-SHA256` header; raise S3Error."""
    authorization = sigv4.parse_authorization(received.headers["authorization"])
    if authorization is None:
        raise S3Error("AuthorizationHeaderMalformed")
    check_scope(received, authorization.credential, "AuthorizationHeaderMalformed")
    timestamp = _header_timestamp(received)
    received.refuse_skew(parse_basic(timestamp))
    if not timestamp.startswith(authorization.credential.date):
        raise S3Error("SignatureDoesNotMatch", "The date in the credential scope is not that of the request.")
    payload = received.headers.get("x-amz-content-sha256", sigv4.EMPTY_SHA256)
    credential, key = _check(received, authorization, timestamp, payload, credentials, without="")
    chunks = None
    if mode in (PayloadMode.STREAMING_SIGNED, PayloadMode.STREAMING_SIGNED_TRAILER):
        chunks = sigv4.ChunkSigner(key, timestamp, authorization.credential.scope, authorization.signature)
    sha256 = payload if mode in (PayloadMode.SIGNED, PayloadMode.ABSENT) else None
    return Identity(credential, AuthType.V4_HEADER, mode, sha256, received.headers, received.params, chunks)


def verify_query(received: Received, mode: PayloadMode, credentials: Credentials) -> Identity:
    """Check a URL presigned with SigV4; raise S3Error."""
    params = received.target.params
    authorization = _query_authorization(params)
    check_scope(received, authorization.credential, "AuthorizationQueryParametersError")
    timestamp = params["X-Amz-Date"]
    _check_life(received.now, timestamp, params["X-Amz-Expires"], authorization.credential.date)
    payload = received.headers.get("x-amz-content-sha256", sigv4.UNSIGNED_PAYLOAD)
    credential, _ = _check(received, authorization, timestamp, payload, credentials, without="X-Amz-Signature")
    sha256 = payload if mode is PayloadMode.SIGNED else None
    return Identity(credential, AuthType.V4_QUERY, mode, sha256, received.headers, received.params)


def _header_timestamp(received: Received) -> str:
    """Return the time of signing in basic form: x-amz-date, else Date; raise S3Error."""
    stamp = received.headers.get("x-amz-date")
    if stamp is not None:
        return stamp
    date = received.headers.get("date", "")
    if parse_basic(date) is not None:
        return date
    seconds = parse_http(date)
    received.refuse_skew(seconds)
    assert seconds is not None
    return format_basic(seconds)


def _query_authorization(params: dict[str, str]) -> sigv4.Authorization4:
    if not params.keys() >= V4_PARAMETERS:
        raise S3Error(
            "AuthorizationQueryParametersError",
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        )
    credential = sigv4.parse_credential(params["X-Amz-Credential"])
    if params["X-Amz-Algorithm"] != sigv4.ALGORITHM or credential is None:
        raise S3Error("AuthorizationQueryParametersError")
    return sigv4.Authorization4(credential, tuple(params["X-Amz-SignedHeaders"].split(";")), params["X-Amz-Signature"])


def _check_life(now: int, timestamp: str, expires: str, date: str) -> None:
    """Raise S3Error unless a URL signed at *timestamp* for *expires* seconds is good now."""
    signed_at = parse_basic(timestamp)
    if signed_at is None or not timestamp.startswith(date):
        raise S3Error("AuthorizationQueryParametersError", "X-Amz-Date must be in the ISO8601 Long Format")
    digits = expires.isascii() and expires.isdigit() and len(expires) <= _MAX_EXPIRES_DIGITS
    if not digits or not 1 <= int(expires) <= MAX_EXPIRES_SECONDS:
        raise S3Error("AuthorizationQueryParametersError", "X-Amz-Expires must be between 1 and 604800 seconds")
    if signed_at > now + MAX_SKEW_SECONDS:
        raise S3Error("AccessDenied", "Request is not valid yet")
    if now > signed_at + int(expires):
        raise S3Error("AccessDenied", "Request has expired")


def check_scope(received: Received, credential: sigv4.Credential4, code: str) -> None:
    """Raise S3Error *code* for a scope of another region, service or version."""
    if credential.service != sigv4.SERVICE or credential.terminator != sigv4.TERMINATOR:
        raise S3Error(code, "The credential scope must end in s3/aws4_request.")
    asks_location = "location" in received.params and credential.region == _DEFAULT_REGION
    if credential.region != received.region and not asks_location:
        raise S3Error(
            code, f"The region '{credential.region}' is wrong; expecting '{received.region}'", Region=received.region
        )


def _check(
    received: Received,
    authorization: sigv4.Authorization4,
    timestamp: str,
    payload: str,
    credentials: Credentials,
    *,
    without: str,
) -> tuple[Credential, bytes]:
    """Return the credential whose signature is right, and its signing key; raise S3Error."""
    _check_signed_headers(received, authorization.signed_headers)
    scope = authorization.credential
    credential = credentials(scope.access_key)
    key = sigv4.signing_key(credential.secret if credential else _NO_SECRET, scope.date, scope.region)
    matches = _matches(_expected(received, authorization, timestamp, payload, key, without), authorization.signature)
    if credential is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=scope.access_key)
    if not matches:
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=scope.access_key)
    return credential, key


def _expected(
    received: Received,
    authorization: sigv4.Authorization4,
    timestamp: str,
    payload: str,
    key: bytes,
    without: str,
) -> Iterable[str]:
    """Yield the signatures that are right for this request."""
    names = authorization.signed_headers
    tail = f"{sigv4.canonical_headers(received.headers, names)}\n{';'.join(names)}\n{payload}"
    for path, query in sigv4.canonical_targets(received.target.path, received.target.query, without):
        canonical = f"{received.method}\n{path}\n{query}\n{tail}"
        yield sigv4.sign(key, sigv4.string_to_sign(timestamp, authorization.credential.scope, canonical))


def _matches(expected: Iterable[str], signature: str) -> bool:
    return (
        len(signature) == _SIGNATURE_DIGITS
        and signature.isascii()
        and any(compare_digest(each, signature) for each in expected)
    )


def _check_signed_headers(received: Received, names: tuple[str, ...]) -> None:
    """Raise S3Error unless `host` and every x-amz-* header is signed, in order, and each signed one is there."""
    unique = set(names)
    if "host" not in unique or list(names) != sorted(unique):
        raise S3Error("SignatureDoesNotMatch", "SignedHeaders must be sorted, unique and hold host.")
    sent = received.sent_headers
    if not sent.keys() >= unique:
        raise S3Error("SignatureDoesNotMatch", "A signed header is missing.")
    unsigned = [name for name in sent if name.startswith("x-amz-") and name not in names]
    if unsigned:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(sorted(unsigned)),
        )
