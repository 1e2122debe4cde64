"""One authenticated request on its way through an operation, and the answer that comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from protocols.s3.codec.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namespace.api import Caller, ObjectVerbs
    from protocols.s3.auth.credential import Credentials, Identity
    from protocols.s3.codec.form import FormDecoder
    from protocols.s3.codec.uri import Target
    from protocols.s3.http.body import Body
    from protocols.s3.ownership import Owners
    from protocols.s3.workers import Workers


class Call(Struct, frozen=True):
    """What an operation works with."""

    namespace: ObjectVerbs
    workers: Workers
    region: str
    identity: Identity
    target: Target
    body: Body
    body_length: int | None  # None: HTTP-chunked
    credentials: Credentials
    owners: Owners
    host: str = ""  # as the client calls this door
    form: FormDecoder | None = None  # of a POST form, whose fields have been read

    def confirm(self) -> None:
        """Raise S3Error InvalidAccessKeyId if the request's key was removed since it was proven.

        A body may take hours: what it was sent for is done only if its key is still good when the body is whole.
        """
        credential = self.identity.credential
        if credential.caller.anonymous:
            return
        now = self.credentials(credential.access_key)
        if now is None or now.secret != credential.secret:
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=credential.access_key)

    @property
    def caller(self) -> Caller:
        """Return who asks, as the namespace knows them."""
        return self.identity.credential.caller

    @property
    def bucket(self) -> str:
        """Return the bucket's name."""
        return self.target.bucket

    @property
    def key(self) -> bytes:
        """Return the object's key."""
        return self.target.key

    @property
    def params(self) -> dict[str, str]:
        """Return the query parameters that are not of authentication."""
        return self.identity.params

    @property
    def headers(self) -> dict[str, str]:
        """Return the request's headers, one character per byte."""
        return self.identity.headers

    def text_header(self, name: str) -> str | None:
        """Return a header as text; raise S3Error InvalidArgument if it is not UTF-8."""
        value = self.headers.get(name)
        return None if value is None else header_text(name, value)


def header_text(name: str, value: str) -> str:
    """Decode a header *value* that holds one character per byte; raise S3Error InvalidArgument."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidArgument", "A header is not UTF-8.", ArgumentName=name) from None


class Stream(Protocol):
    """The body of an answer that is too long to hold."""

    async def next(self) -> Sequence[bytes | memoryview]:
        """Return the next buffers, none at the end."""

    async def close(self) -> None:
        """Let go of what is held."""


class Answer(Struct, frozen=True):
    """What goes back: a short *body*, or a *stream* of *length* bytes, or of as many as it has (None)."""

    status: int = 200
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    length: int | None = 0  # of the stream; counts only with one, or for HEAD
    stream: Stream | None = None


def xml_answer(body: bytes, status: int = 200) -> Answer:
    """Return an answer with an XML document."""
    return Answer(status, [("content-type", "application/xml")], body)
