"""Requests that nobody signed: they come from nobody, who may do what an ACL grants to everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from namespace.api import ANONYMOUS
from protocols.s3.auth.credential import AuthType, Credential, Identity, PayloadMode

if TYPE_CHECKING:
    from protocols.s3.auth.credential import Credentials
    from protocols.s3.auth.received import Received

#: Nobody, under S3's canonical user id for them; a `-` in the access log.
NOBODY = Credential("-", "", ANONYMOUS, "65a011a29cdf8ec533ec3d1ccaae921c", "")


def accept(received: Received, mode: PayloadMode, _credentials: Credentials) -> Identity:
    """Return the identity of who did not sign; a digest of the body that is announced must be its digest."""
    sha256 = received.headers["x-amz-content-sha256"] if mode is PayloadMode.SIGNED else None
    return Identity(NOBODY, AuthType.ANONYMOUS, mode, sha256, received.headers, received.params)
