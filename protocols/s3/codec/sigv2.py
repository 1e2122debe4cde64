"""Signature Version 2: boto3 and awscli v1 still presign with it on endpoints of one's own."""

from __future__ import annotations

import re
from base64 import b64encode
from hmac import digest as hmac_digest
from typing import TYPE_CHECKING

from protocols.s3.codec.uri import Level, decode_query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from protocols.s3.codec.uri import Target

#: The parameters that are part of the string to sign (AWS "Signing and authenticating REST requests"), and what
#: botocore adds to them.
SIGNED_PARAMETERS = frozenset(
    {
        *("accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location"),
        *("logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication"),
        *("requestPayment", "restore", "select", "select-type", "storageClass"),
        *("response-cache-control", "response-content-disposition", "response-content-encoding"),
        *("response-content-language", "response-content-type", "response-expires"),
        *("tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"),
    }
)
_HEADER = re.compile(r"AWS ([^: ]{1,256}):([A-Za-z0-9+/]{27}=)")


def parse_authorization(text: str) -> tuple[str, str] | None:
    """Return (access key, base64 signature) of an `Authorization: AWS …` header, or None."""
    match = _HEADER.fullmatch(text)
    return (match[1], match[2]) if match else None


def strings_to_sign(method: str, target: Target, headers: Mapping[str, str], date: str) -> Iterator[str]:
    """Yield what a client may have signed, one character per byte; *date* is the Date line (Expires when presigned).

    botocore sends `/bucket` and signs `/bucket/`; both name the same bucket.
    """
    lines = [method, headers.get("content-md5", ""), headers.get("content-type", ""), date]
    lines += [f"{name}:{headers[name].strip()}" for name in sorted(headers) if name.startswith("x-amz-")]
    head = "\n".join(lines)
    path = target.path.decode("latin-1")
    if target.virtual:
        path = f"/{target.bucket}{path}"
    query = _signed_query(target.query)
    yield f"{head}\n{path}{query}"
    if target.level is Level.BUCKET and not path.endswith("/"):
        yield f"{head}\n{path}/{query}"


def _signed_query(raw: bytes) -> str:
    """Return the part of the CanonicalizedResource that names the parameters which count."""
    signed = sorted((name, value) for name, value in decode_query(raw) if name in SIGNED_PARAMETERS)
    text = "&".join(f"{name}={value}" if value else name for name, value in signed)
    return f"?{text.encode().decode('latin-1')}" if text else ""


def sign(secret: str, text: str) -> str:
    """Return the base64 HMAC-SHA1 of *text*."""
    return b64encode(hmac_digest(secret.encode(), text.encode("latin-1"), "sha1")).decode()
