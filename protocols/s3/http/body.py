"""The body of one request on its way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.aio import Promise
from protocols.s3.http.head import Disconnected

if TYPE_CHECKING:
    from collections.abc import Callable

#: Reading pauses above this, so a connection holds at most this plus one read of the socket.
HIGH_WATER_BYTES = 1 << 20


class Body:
    """Pieces that arrived and were not read yet. One reader at a time."""

    __slots__ = ("_ask", "_error", "_pieces", "_promise", "_wanted", "buffered", "complete", "length")

    def __init__(self, length: int | None, ask: Callable[[], None]) -> None:
        """Expect *length* bytes (None: not known); call *ask* whenever a reader starts to wait."""
        self.length = length
        self.buffered = 0
        self.complete = False
        self._pieces: list[bytes] = []
        self._error: Exception | None = None
        self._promise: Promise[None] | None = None
        self._wanted = 0
        self._ask = ask

    @property
    def full(self) -> bool:
        """Return whether the connection should read no more for now."""
        return self.buffered > HIGH_WATER_BYTES

    @property
    def failed(self) -> bool:
        """Return whether the body will never be whole, or is not wanted."""
        return self._error is not None

    @property
    def waited_for(self) -> bool:
        """Return whether a reader waits."""
        return self._promise is not None

    def feed(self, data: bytes) -> None:
        """Take a piece from the parser."""
        if self._error is not None:
            return
        self._pieces.append(data)
        self.buffered += len(data)
        if self.buffered >= self._wanted:
            self._wake()

    def end(self) -> None:
        """Know that all has come."""
        self.complete = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Raise *error* at whoever reads on."""
        if not self.complete and self._error is None:
            self._error = error
            self._wake()

    def drop(self) -> None:
        """Forget what came and what will come: the answer has been given without it. Who still reads is told."""
        self.fail(Disconnected())
        self._pieces.clear()
        self.buffered = 0

    async def read(self, at_least: int) -> bytes:
        """Return what has come once it is *at_least* so many bytes or the rest; b"" at the end.

        *at_least* is at most HIGH_WATER_BYTES. Raise Refused for broken framing, Disconnected.
        """
        while self._error is None and not self.complete and self.buffered < at_least:
            self._wanted = at_least
            promise = self._promise = Promise()
            self._ask()
            await promise
        if self._error is not None:
            raise self._error
        pieces, self._pieces = self._pieces, []
        self.buffered = 0
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._ask()
        return data

    def _wake(self) -> None:
        promise, self._promise = self._promise, None
        if promise is not None:
            promise.resolve(None)
