"""Who calls: credentials read from the wire, remembered by their bytes.

A client sends the same AUTH_SYS body with every call of a user, so a body is parsed once.
"""

from __future__ import annotations

from protocols.nfs.codec.rpc import auth_flavor, auth_stat, authsys_parms, opaque_auth, unpack_authsys
from protocols.nfs.codec.xdr import XdrError

_REMEMBERED = 4096
_STAMP_BYTES = 4


class Credential:
    """An accepted credential, compared by identity; `parms` is None for AUTH_NONE."""

    __slots__ = ("parms",)

    def __init__(self, parms: authsys_parms | None) -> None:
        """Hold what the client says of itself."""
        self.parms = parms


ANONYMOUS = Credential(None)


class AuthRefused(Exception):
    """The credential or verifier is not accepted (RFC 5531, section 9: AUTH_ERROR)."""

    def __init__(self, why: auth_stat) -> None:
        """Answer *why*."""
        super().__init__(why.name)
        self.why = why


class Credentials:
    """Reads credentials: AUTH_NONE and AUTH_SYS."""

    def __init__(self) -> None:
        """Remember none."""
        self._known: dict[bytes, Credential] = {}

    def accept(self, cred: opaque_auth, verf: opaque_auth, *, anonymous: bool) -> Credential:
        """Return the caller's credential, AUTH_NONE where *anonymous* will do; raise AuthRefused."""
        if verf.flavor != auth_flavor.AUTH_NONE or verf.body:
            raise AuthRefused(auth_stat.AUTH_BADVERF)
        if cred.flavor == auth_flavor.AUTH_SYS:
            # The stamp in front tells nothing, and some clients change it with each call.
            known = self._known.get(cred.body[_STAMP_BYTES:])
            return known if known is not None else self._read(cred.body)
        if cred.flavor == auth_flavor.AUTH_NONE and anonymous:
            if cred.body:
                raise AuthRefused(auth_stat.AUTH_BADCRED)
            return ANONYMOUS
        short = cred.flavor == auth_flavor.AUTH_SHORT
        raise AuthRefused(auth_stat.AUTH_REJECTEDCRED if short else auth_stat.AUTH_TOOWEAK)

    def _read(self, body: bytes) -> Credential:
        try:
            parms = unpack_authsys(body)
        except XdrError as error:
            raise AuthRefused(auth_stat.AUTH_BADCRED) from error
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        fresh = self._known[body[_STAMP_BYTES:]] = Credential(parms)
        return fresh
