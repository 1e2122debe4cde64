"""The head of a request, checked: what the parser lets through and this door does not is refused here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TARGET_BYTES = 8 << 10
MAX_HEAD_BYTES = 32 << 10
MAX_HEADERS = 128

#: Headers that a request may repeat; their values are joined (RFC 9110, section 5.3). All others are refused twice.
_LISTS = frozenset({"accept", "accept-encoding", "accept-language", "cache-control", "connection", "via", "te"})
_LISTS_BY_RULE = ("x-amz-meta-", "x-forwarded-")


class Refused(Exception):
    """A request that HTTP itself rules out: answered, and the connection closed behind it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Keep the HTTP *status*, S3's *code* for it, and a *message* for people."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Disconnected(Exception):
    """The client went away, or was too slow: nobody reads an answer."""


class Head(Struct, frozen=True, gc=False):
    """A request's head."""

    method: str
    target: bytes  # as sent
    headers: dict[str, str]  # lower-case names; values as latin-1, one character per byte
    keep_alive: bool
    old: bool  # HTTP/1.0: keep-alive must be said
    length: int | None  # bytes of the body; None: chunked

    @property
    def expects_continue(self) -> bool:
        """Return whether the client waits for `100 Continue` before it sends the body, which may be empty."""
        return self.headers.get("expect", "").lower() == "100-continue" and not self.old


def make_head(
    method: bytes, version: str, target: bytes, pairs: Sequence[tuple[bytes, bytes]], *, keep_alive: bool
) -> Head:
    """Return the head of a request as the parser gave it; raise Refused."""
    if version not in ("1.1", "1.0"):
        raise Refused(505, "InvalidRequest", "HTTP version not supported.")
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
        if name in headers:
            if name not in _LISTS and not name.startswith(_LISTS_BY_RULE):
                raise Refused(400, "InvalidRequest", f"The header {name} is given twice.")
            value = f"{headers[name]},{value}"
        headers[name] = value
    old = version == "1.0"
    if "host" not in headers:
        raise Refused(400, "InvalidRequest", "The Host header is missing.")
    return Head(method.decode("latin-1"), target, headers, keep_alive, old, _body_length(headers, old=old))


def _body_length(headers: dict[str, str], *, old: bool) -> int | None:
    """Return the length of the body, None if it is chunked (RFC 9112, section 6.3); raise Refused."""
    length, encoding = headers.get("content-length"), headers.get("transfer-encoding")
    if encoding is not None:
        if length is not None or old:
            raise Refused(400, "InvalidRequest", "Transfer-Encoding does not go with this request.")
        if encoding.lower() != "chunked":
            raise Refused(501, "NotImplemented", "The only transfer coding served is chunked.")
        return None
    if length is None:
        return 0
    # The parser refuses these too; framing is worth two locks.
    if not (length.isascii() and length.isdigit() and len(length) < 20):  # noqa: PLR2004 - 2**64 has 20 digits
        raise Refused(400, "InvalidRequest", "Content-Length is not valid.")
    return int(length)
