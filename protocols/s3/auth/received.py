"""A request as authentication sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from protocols.s3.codec.errors import S3Error

if TYPE_CHECKING:
    from protocols.s3.codec.uri import Target

V4_PARAMETERS = frozenset(
    {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"}
)
V2_PARAMETERS = frozenset({"AWSAccessKeyId", "Signature", "Expires"})
_HOISTED = frozenset({"content-md5", "content-type"})  # botocore moves them into a SigV2 URL, beside all x-amz-*
MAX_SKEW_SECONDS = 900


class Received(Struct, frozen=True):
    """One request, not yet proven."""

    method: str
    target: Target
    headers: dict[str, str]  # lower-case names, latin-1
    params: dict[str, str]
    has_body: bool
    now: int  # seconds since 1970
    region: str
    sent_headers: dict[str, str]  # `headers` less those that came in the query
    form: dict[str, str] | None = None  # the fields of a POST form, by lower-case name

    def with_hoisted_headers(self) -> Received:
        """Return the request with headers that a presigned URL carries as parameters turned into headers.

        The signature of a presigned URL covers its parameters, so they count as signed. Raise S3Error if one is
        given both ways with two values.
        """
        headers, params = dict(self.headers), {}
        for name, value in self.params.items():
            lower = name.lower()
            if name in V4_PARAMETERS or name in V2_PARAMETERS:
                continue
            if not lower.startswith("x-amz-") and lower not in _HOISTED:
                params[name] = value
                continue
            if not value.isprintable():
                raise S3Error("InvalidArgument", "A header in the query is not valid.", ArgumentName=name)
            header = value.encode().decode("latin-1")
            if headers.setdefault(lower, header) != header:
                raise S3Error("InvalidRequest", f"{lower} has one value as a header and another as a parameter.")
        return replace(self, headers=headers, params=params)

    def refuse_skew(self, moment: int | None) -> None:
        """Raise S3Error unless *moment* (seconds) is within 15 minutes of now."""
        if moment is None:
            raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
        if abs(self.now - moment) > MAX_SKEW_SECONDS:
            raise S3Error("RequestTimeTooSkewed")
