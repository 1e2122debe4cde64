"""From bytes to requests: httptools (llhttp, strict) with limits on everything that it would collect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import httptools

from protocols.s3.http.head import MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES, Head, Refused, make_head

if TYPE_CHECKING:
    from collections.abc import Callable


class BodySink(Protocol):
    """Where the body of one request goes."""

    def feed(self, data: bytes) -> None:
        """Take more of the body."""

    def end(self) -> None:
        """Know that the body is whole."""

    def fail(self, error: Exception) -> None:
        """Know that the body will never be whole."""


class RequestParser:
    """Parses the requests of one connection; once it refused something it parses no more."""

    def __init__(self, on_head: Callable[[Head], BodySink]) -> None:
        """Call *on_head* for every head, and feed the sink that it returns."""
        self.refusal: Refused | None = None
        self._on_head = on_head
        self._parser = httptools.HttpRequestParser(self)
        self._sink: BodySink | None = None
        self._in_head = False
        self._open_bytes = 0  # fed since the parser last gave anything out
        self._gave = False
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._pairs: list[tuple[bytes, bytes]] = []
        self._bytes = 0

    @property
    def in_head(self) -> bool:
        """Return whether a head has begun and is not complete."""
        return self._in_head

    def feed(self, data: bytes) -> None:
        """Parse *data*; afterwards `refusal` is set if it broke a rule."""
        if self.refusal is not None:
            return
        self._gave = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(_no_upgrade())
        except httptools.HttpParserError as error:
            # The text is llhttp's and names the rule, never the bytes.
            self._refuse(Refused(400, "InvalidRequest", f"The request is not HTTP/1.1: {error}"))
        # The parser keeps what it cannot give out yet: a head, or the trailer behind a body in chunks.
        self._open_bytes = 0 if self._gave else self._open_bytes + len(data)
        if self._open_bytes > 2 * MAX_HEAD_BYTES:
            self._refuse(_too_large())

    def _refuse(self, refusal: Refused) -> None:
        if self.refusal is None:
            self.refusal = refusal
            if self._sink is not None:
                self._sink.fail(refusal)
                self._sink = None

    # What follows is called by httptools, which swallows no exception well: refusals are kept, not raised.

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._in_head = True
        self._reset()

    def on_url(self, part: bytes) -> None:
        """Take a piece of the request target."""
        self._target += part
        if len(self._target) > MAX_TARGET_BYTES:
            self._refuse(Refused(414, "URITooLong", "Your request URI is too long."))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer of a chunked body, which is dropped."""
        self._bytes += len(name) + len(value)
        if self._bytes > MAX_HEAD_BYTES or len(self._pairs) >= MAX_HEADERS:
            self._refuse(_too_large())
        elif self._in_head:
            self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        """End a head."""
        self._in_head = False
        if self.refusal is not None:
            return
        parser = self._parser
        try:
            if parser.should_upgrade():
                # The parser would take the body for another protocol: a PUT would store nothing.
                raise _no_upgrade()
            head = make_head(
                parser.get_method(),
                parser.get_http_version(),
                self._target,
                self._pairs,
                keep_alive=parser.should_keep_alive(),
            )
        except Refused as refusal:
            self._refuse(refusal)
            return
        self._sink = self._on_head(head)

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._gave = True
        if self._sink is not None:
            self._sink.feed(data)

    def on_message_complete(self) -> None:
        """End a request."""
        self._gave = True
        if self._sink is not None:
            self._sink.end()
            self._sink = None


def _no_upgrade() -> Refused:
    return Refused(501, "NotImplemented", "No other protocol is offered here.")


def _too_large() -> Refused:
    return Refused(431, "RequestHeaderSectionTooLarge", "Your request header section is too large.")
