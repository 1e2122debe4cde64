"""What authentication needs and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from namespace.api import Caller
    from protocols.s3.codec.sigv4 import ChunkSigner


@dataclass(frozen=True, slots=True)
class Credential:
    """An access key, its secret, and whom it stands for."""

    access_key: str
    secret: str = field(repr=False)  # must reach no log
    caller: Caller
    owner: str  # canonical user id
    display_name: str


#: How the door learns a credential; None for a key that does not exist or is disabled.
Credentials: TypeAlias = Callable[[str], "Credential | None"]


class AuthType(Enum):
    """How a request says who asks."""

    V4_HEADER = "AWS4-HMAC-SHA256 header"
    V4_QUERY = "AWS4-HMAC-SHA256 query"
    V2_HEADER = "AWS header"
    V2_QUERY = "AWS query"
    V4_FORM = "AWS4-HMAC-SHA256 form"
    V2_FORM = "AWS form"


class PayloadMode(Enum):
    """How a request protects its body; the values are those of x-amz-content-sha256."""

    ABSENT = ""
    SIGNED = "<hex SHA-256>"
    UNSIGNED = "UNSIGNED-PAYLOAD"
    STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

    @property
    def chunked(self) -> bool:
        """Return whether the body is aws-chunked."""
        return self.value.startswith("STREAMING-")

    @property
    def has_trailer(self) -> bool:
        """Return whether the body ends with announced trailers."""
        return self.value.endswith("-TRAILER")


class Identity(Struct, frozen=True):
    """A request whose signature was right, and what that signature covers."""

    credential: Credential
    auth: AuthType
    payload: PayloadMode
    sha256: str | None  # hex digest that the body must have
    headers: dict[
        str, str
    ]  # with the x-amz-* headers that a presigned URL carries as parameters; of a form, its fields
    params: dict[str, str]  # without those of authentication
    chunks: ChunkSigner | None = None  # the chain for signed chunks
    form: bool = False  # headers and parameters are the fields of a POST form
    length: tuple[int, int] | None = None  # least and greatest bytes of a form's file
