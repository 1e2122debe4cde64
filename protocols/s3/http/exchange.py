"""One request and its answer."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, TypeAlias

from protocols.s3.http.body import Body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocols.s3.http.head import Head, Refused

#: An unread rest of a body up to this is read and dropped to keep the connection; above it, closing is cheaper.
MAX_DROPPED_BYTES = 256 << 10

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}
_CONTINUE_LINES = ("HTTP/1.1 100 Continue", "")
_BODILESS = frozenset({204, 304})


Buffer: TypeAlias = bytes | memoryview


class Link(Protocol):
    """What an exchange needs of its connection."""

    @property
    def closing(self) -> bool:
        """Return whether the connection ends after this answer."""

    def common_headers(self) -> str:
        """Return the header lines that every answer carries."""

    def asked(self, exchange: Exchange) -> None:
        """Know that the body of *exchange* is being read."""

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send *buffers* in order."""

    async def drained(self) -> None:
        """Return when the client has taken what was sent; raise Disconnected."""


class Exchange:
    """A request, the body it brings, and the answer that goes back."""

    __slots__ = ("_chunked", "_link", "body", "close", "continued", "head", "left", "refusal", "sent_bytes", "status")

    def __init__(self, head: Head | None, link: Link, refusal: Refused | None = None) -> None:
        """Begin with *head*; without one, *refusal* says what was wrong with it."""
        self.head = head
        self.refusal = refusal
        self.body = Body(head.length if head is not None else 0, self._asked)
        self.status = 0  # of the answer; 0: none was begun
        self.sent_bytes = 0  # of the answer's body
        self.left = 0  # bytes of the answer's body still owed
        self.close = True  # the connection ends after this exchange
        self.continued = False
        self._chunked = False
        self._link = link

    def _asked(self) -> None:
        self._link.asked(self)

    def begin(
        self, status: int, headers: Sequence[tuple[str, str]], length: int | None, first: Sequence[Buffer] = ()
    ) -> None:
        """Send the head of the answer and the *first* of its *length* bytes, in one send.

        Without *length* the answer goes in chunks (RFC 9112, section 7.1), with nothing first, until `end`. To HEAD,
        and with a status that has none, no body is sent whatever was given.
        """
        self.close = self._must_close()
        lines = [*self._interim(), _STATUS_LINES[status]]
        lines += [f"{name}: {value}" for name, value in headers]
        if status not in _BODILESS:
            lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
        if self.close:
            lines.append("connection: close")
        elif self.head is not None and self.head.old:
            lines.append("connection: keep-alive")
        lines.append(self._link.common_headers())
        text = "\r\n".join(lines)
        # One header block, whatever a stored value holds: no response splitting.
        if not text.count("\r") == text.count("\n") == len(lines) + 3:
            raise ValueError("a header value holds a line break")
        head = text.encode()
        self.status = status
        if status in _BODILESS or (self.head is not None and self.head.method == "HEAD"):
            self._link.send([head])
            return
        self._chunked = length is None
        self.left = 1 if length is None else length  # of chunks, the last is owed until the end
        self._account(first)
        self._link.send([head, *first])

    def _interim(self) -> Sequence[str]:
        """Return `100 Continue` for a client that waits for it with an empty body, which nobody read.

        RFC 9110, section 10.1.1, lets a server leave it out, but an awscli whose connection stays open then takes the
        next answer's status line for a header and reads its body until the connection ends.
        """
        if self.head is None or not self.head.expects_continue or self.continued or not self.body.complete:
            return ()
        self.continued = True
        return _CONTINUE_LINES

    async def write(self, buffers: Sequence[Buffer]) -> None:
        """Send more of the answer and return when there is room for more; raise Disconnected."""
        if self._chunked:
            size = sum(len(buffer) for buffer in buffers)
            self.sent_bytes += size
            self._link.send([b"%x\r\n" % size, *buffers, b"\r\n"])
        elif self.left:
            self._account(buffers)
            self._link.send(buffers)
        del buffers  # what the socket did not take, the link has
        await self._link.drained()

    async def end(self) -> None:
        """Say that an answer in chunks is whole; raise Disconnected."""
        self.left = 0
        self._link.send([b"0\r\n\r\n"])
        await self._link.drained()

    async def room(self) -> None:
        """Return when the client has taken what was sent; raise Disconnected."""
        await self._link.drained()

    def _account(self, buffers: Sequence[Buffer]) -> None:
        count = sum(len(buffer) for buffer in buffers)
        self.left -= count
        self.sent_bytes += count
        if self.left < 0:
            raise ValueError("the answer is longer than it said")

    def _must_close(self) -> bool:
        if self.head is None or self.refusal is not None or not self.head.keep_alive or self._link.closing:
            return True
        if self.body.complete:
            return False
        if self.body.failed:
            return True
        # A client that was not told to go on may send the body or not; nobody can tell where the next head begins.
        waits = self.head.expects_continue and not self.continued
        return waits or self.body.length is None or self.body.length > MAX_DROPPED_BYTES
