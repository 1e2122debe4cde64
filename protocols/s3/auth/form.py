"""Checking a POST form: its policy is what was signed, and allows whatever else the form says."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import quote

from protocols.s3.auth.credential import AuthType, Identity
from protocols.s3.auth.received import MAX_SKEW_SECONDS
from protocols.s3.auth.version4 import check_scope
from protocols.s3.codec import sigv2, sigv4
from protocols.s3.codec.dates import parse_basic
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.policy import check_policy, parse_policy
from protocols.s3.codec.xmlread import read_xml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocols.s3.auth.credential import Credential, Credentials, PayloadMode
    from protocols.s3.auth.received import Received

#: Fields that prove who signed, by the version of the signature.
V4_FIELDS = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
V2_FIELDS = ("awsaccesskeyid", "signature")
#: Fields that the operation reads, beside those that count as headers of the object.
PARAMETERS = frozenset({"key", "success_action_redirect", "redirect", "success_action_status"})
_HEADERS = frozenset(
    {
        *("cache-control", "content-disposition", "content-encoding", "content-language", "content-md5"),
        *("content-type", "expires"),
    }
)
#: Signs for access keys that do not exist, so that they take as long as those that do.
_NO_SECRET = "0" * 40


def verify_form4(received: Received, mode: PayloadMode, credentials: Credentials) -> Identity:
    """Check a form signed with Signature Version 4; raise S3Error."""
    fields = _fields(received, V4_FIELDS)
    scope = sigv4.parse_credential(fields["x-amz-credential"])
    if fields["x-amz-algorithm"] != sigv4.ALGORITHM or scope is None:
        raise S3Error("InvalidArgument", "X-Amz-Algorithm only supports AWS4-HMAC-SHA256.")
    check_scope(received, scope, "AuthorizationQueryParametersError")
    signed_at = parse_basic(fields["x-amz-date"])
    if signed_at is None or not fields["x-amz-date"].startswith(scope.date):
        raise S3Error("InvalidArgument", "X-Amz-Date must be formatted via ISO8601 Long format.")
    if signed_at > received.now + MAX_SKEW_SECONDS:
        raise S3Error("AccessDenied", "Request is not valid yet")
    credential = credentials(scope.access_key)
    key = sigv4.signing_key(credential.secret if credential else _NO_SECRET, scope.date, scope.region)
    right = sigv4.sign(key, fields["policy"].encode().decode("latin-1"))
    _check_signature(credential, scope.access_key, right, fields["x-amz-signature"])
    assert credential is not None
    return _allowed(received, AuthType.V4_FORM, mode, credential)


def verify_form2(received: Received, mode: PayloadMode, credentials: Credentials) -> Identity:
    """Check a form signed with Signature Version 2; raise S3Error."""
    fields = _fields(received, V2_FIELDS)
    credential = credentials(fields["awsaccesskeyid"])
    secret = credential.secret if credential else _NO_SECRET
    right = sigv2.sign(secret, fields["policy"].encode().decode("latin-1"))
    _check_signature(credential, fields["awsaccesskeyid"], right, fields["signature"])
    assert credential is not None
    return _allowed(received, AuthType.V2_FORM, mode, credential)


def _fields(received: Received, needed: tuple[str, ...]) -> Mapping[str, str]:
    """Return the form's fields, *needed* and the policy among them; raise S3Error."""
    assert received.form is not None
    for name in (*needed, "policy"):
        if name not in received.form:
            raise S3Error("InvalidArgument", f"Bucket POST must contain a field named '{name}'.", ArgumentName=name)
    unsigned = sorted(name for name in received.headers if name.startswith("x-amz-"))
    if unsigned:
        # A form's signature is over its policy, and a policy speaks of fields.
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(unsigned),
        )
    return received.form


def _check_signature(credential: Credential | None, access_key: str, right: str, signature: str) -> None:
    matches = compare_digest(right.encode(), signature.encode())
    if credential is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    if not matches:
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access_key)


def _allowed(received: Received, auth: AuthType, mode: PayloadMode, credential: Credential) -> Identity:
    """Return what the policy lets the form say; raise S3Error for anything else in it."""
    assert received.form is not None
    policy = parse_policy(received.form["policy"])
    check_policy(policy, received.form, received.target.bucket, received.now)
    headers = _object_headers(received.form)
    params = {name: value for name, value in received.form.items() if name in PARAMETERS}
    return Identity(credential, auth, mode, None, headers, params, form=True, length=policy.length)


def _object_headers(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that a PUT of the same object would have; raise S3Error."""
    said = {name: value for name, value in fields.items() if name in _HEADERS or name.startswith("x-amz-")}
    for name in V4_FIELDS:
        said.pop(name, None)
    if "acl" in fields:
        said["x-amz-acl"] = fields["acl"]
    if "tagging" in fields:
        said["x-amz-tagging"] = _tagging(fields["tagging"])
    for name, value in said.items():
        if not value.isprintable():
            raise S3Error("InvalidArgument", "A form field is not valid.", ArgumentName=name)
    return {name: value.encode().decode("latin-1") for name, value in said.items()}


def _tagging(text: str) -> str:
    """Return a Tagging document as the header x-amz-tagging says it."""
    pairs = [
        (tag.value("Key") or "", tag.value("Value") or "")
        for tag_set in read_xml(text.encode(), "Tagging").children
        for tag in tag_set.children
    ]
    return "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs)
