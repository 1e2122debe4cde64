"""The one place where a request proves who sent it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from protocols.s3.auth import anonymous, form, version2, version4
from protocols.s3.auth.credential import AuthType, Identity, PayloadMode
from protocols.s3.auth.received import V2_PARAMETERS, V4_PARAMETERS
from protocols.s3.codec.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocols.s3.auth.credential import Credentials
    from protocols.s3.auth.received import Received

#: The closed table: what is not in it is refused, whatever its signature.
ALLOWED: dict[AuthType, frozenset[PayloadMode]] = {
    AuthType.V4_HEADER: frozenset(PayloadMode),
    AuthType.V4_QUERY: frozenset({PayloadMode.ABSENT, PayloadMode.SIGNED, PayloadMode.UNSIGNED}),
    AuthType.V2_HEADER: frozenset({PayloadMode.ABSENT, PayloadMode.UNSIGNED}),
    AuthType.V2_QUERY: frozenset({PayloadMode.ABSENT, PayloadMode.UNSIGNED}),
    AuthType.ANONYMOUS: frozenset(
        {PayloadMode.ABSENT, PayloadMode.SIGNED, PayloadMode.UNSIGNED, PayloadMode.STREAMING_UNSIGNED_TRAILER}
    ),
    AuthType.V4_FORM: frozenset({PayloadMode.ABSENT}),
    AuthType.V2_FORM: frozenset({PayloadMode.ABSENT}),
}
_VERIFY: dict[AuthType, Callable[[Received, PayloadMode, Credentials], Identity]] = {
    AuthType.V4_HEADER: version4.verify_header,
    AuthType.V4_QUERY: version4.verify_query,
    AuthType.V2_HEADER: version2.verify_header,
    AuthType.V2_QUERY: version2.verify_query,
    AuthType.ANONYMOUS: anonymous.accept,
    AuthType.V4_FORM: form.verify_form4,
    AuthType.V2_FORM: form.verify_form2,
}
_FORM_FIELDS = {AuthType.V4_FORM: form.V4_FIELDS, AuthType.V2_FORM: form.V2_FIELDS}
_MODES = {mode.value: mode for mode in PayloadMode if mode is not PayloadMode.SIGNED}
_SHA256 = re.compile("[0-9a-f]{64}")


def authenticate(received: Received, credentials: Credentials) -> Identity:
    """Return who sent *received*; raise S3Error.

    After this, what the operation reads (headers, parameters, key) is what was signed.
    """
    auth = _auth_type(received)
    received = received.with_hoisted_headers() if auth in (AuthType.V4_QUERY, AuthType.V2_QUERY) else received
    mode = _payload_mode(received, auth)
    if mode not in ALLOWED[auth]:
        raise S3Error("AccessDenied", "This payload mode does not go with this kind of signature.")
    token = "x-amz-security-token" in received.headers
    if token or (received.form is not None and "x-amz-security-token" in received.form):
        # No temporary credentials are issued here, so no token is a good one.
        raise S3Error("InvalidToken")
    return _VERIFY[auth](received, mode, credentials)


def _auth_type(received: Received) -> AuthType:
    """Return the only kind of authentication in the request, ANONYMOUS for none; raise S3Error for two."""
    params, authorization = received.params, received.headers.get("authorization")
    found = []
    if authorization is not None:
        if authorization.startswith("AWS4-"):
            found.append(AuthType.V4_HEADER)
        elif authorization.startswith("AWS "):
            found.append(AuthType.V2_HEADER)
        else:
            raise S3Error("InvalidArgument", "Unsupported Authorization Type", ArgumentName="Authorization")
    if not V4_PARAMETERS.isdisjoint(params):
        found.append(AuthType.V4_QUERY)
    if not V2_PARAMETERS.isdisjoint(params):
        found.append(AuthType.V2_QUERY)
    if received.form is not None:
        found += [auth for auth, names in _FORM_FIELDS.items() if not received.form.keys().isdisjoint(names)]
        if not found:
            raise S3Error("AccessDenied")  # a form says what it may by its policy alone
    if len(found) > 1:
        raise S3Error("InvalidArgument", "Only one auth mechanism allowed.")
    return found[0] if found else AuthType.ANONYMOUS


def _payload_mode(received: Received, auth: AuthType) -> PayloadMode:
    text = received.headers.get("x-amz-content-sha256", "")
    if _SHA256.fullmatch(text):
        return PayloadMode.SIGNED
    mode = _MODES.get(text)
    if mode is None:
        raise S3Error("InvalidArgument", "x-amz-content-sha256 is not valid.", ArgumentName="x-amz-content-sha256")
    if mode is PayloadMode.ABSENT and auth is AuthType.V4_HEADER and received.has_body:
        # curl 7.88 leaves the header out; without a body its hash is known, with one the body would go unproven.
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if mode is PayloadMode.ABSENT and auth is AuthType.ANONYMOUS and _is_chunked(received):
        return PayloadMode.STREAMING_UNSIGNED_TRAILER  # botocore names the mode only where it signs
    return mode


def _is_chunked(received: Received) -> bool:
    codings = received.headers.get("content-encoding", "").split(",")
    return any(coding.strip() == "aws-chunked" for coding in codings)
