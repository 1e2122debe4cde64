"""One TCP connection: reads requests one after the other, and hands each to the door when its turn has come."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

from foundation.aio import Promise, deliver
from foundation.stream import DirectWriter, tune_socket
from protocols.s3.http.exchange import Exchange
from protocols.s3.http.head import Disconnected, Head, Refused
from protocols.s3.http.parser import RequestParser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.python.failure import Failure

    from protocols.s3.http.body import Body
    from protocols.s3.http.site import Site

#: Heads that one read of the socket may bring before the first is answered.
MAX_PIPELINED = 256
_TURNED_AWAY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_log = Logger()


@implementer(IPushProducer)
class _Gate:
    """Open while the transport has room; what waits for room waits here."""

    def __init__(self) -> None:
        self.shut: Promise[None] | None = None

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Shut: the transport holds enough."""
        if self.shut is None:
            self.shut = Promise()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Open: the transport sent all it had."""
        shut, self.shut = self.shut, None
        if shut is not None:
            shut.resolve(None)

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Open: nothing will be sent any more, and whoever waits finds that out."""
        self.resumeProducing()


class Connection(Protocol):
    """The server's side of one connection. One request runs at a time; the heads behind it wait."""

    def __init__(self, site: Site, peer: str = "") -> None:
        """Belong to *site*; *peer* is the client's address as the socket knows it."""
        self.peer = peer
        self.deadline = inf  # boot time at which `expire` is due
        self._site = site
        self._parser = RequestParser(self._on_head)
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._newest: Exchange | None = None
        self._gate = _Gate()
        self._open = False
        self._lingering = False
        self._reading = True
        self._advancing = False
        self._refused = False

    @property
    def closing(self) -> bool:
        """Return whether this connection takes no further request, however well this one ends."""
        return self._site.draining

    @property
    def idle(self) -> bool:
        """Return whether no request is being answered."""
        return self._current is None and not self._queue

    # --- Twisted's side ---

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Start, or turn away when there are too many."""
        if not self._site.admit(self):
            self._turn_away()
            return
        self._open = True
        tune_socket(self.transport)
        self._writer = DirectWriter(self.transport)
        self._transport.registerProducer(self._gate, True)
        self._expire_in(self._site.limits.head_seconds)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take bytes from the client."""
        if self._lingering or not self._open:
            return
        was_in_head = self._parser.in_head
        self._parser.feed(data)
        if self._parser.refusal is not None and not self._refused:
            self._refuse(self._parser.refusal)
        if self.idle and self._parser.in_head and not was_in_head:
            self._expire_in(self._site.limits.head_seconds)
        self._advance()

    def connectionLost(self, reason: Failure | None = None) -> None:  # noqa: ARG002, N802 - Twisted's name
        """Tell everyone who waits."""
        self._open = False
        self.deadline = inf
        for exchange in (self._current, self._newest, *self._queue):
            if exchange is not None:
                exchange.body.fail(Disconnected())
        self._queue.clear()
        self._gate.resumeProducing()
        self._site.forget(self)

    # --- the parser's side ---

    def _on_head(self, head: Head) -> Body:
        if len(self._queue) >= MAX_PIPELINED:
            raise Refused(400, "InvalidRequest", "Too many requests were sent ahead.")
        exchange = self._newest = Exchange(head, self)
        self._queue.append(exchange)
        return exchange.body

    def _refuse(self, refusal: Refused) -> None:
        """Answer the request that broke the rules, after those before it; nothing behind it is parsed."""
        self._refused = True
        newest = self._newest
        if newest is None or newest.body.complete:
            self._queue.append(Exchange(None, self, refusal))
        elif newest is not self._current:
            newest.refusal = refusal

    # --- one request after the other ---

    def _advance(self) -> None:
        """Run what waits, without recursion: a request that never waits is answered inside this loop."""
        if not self._advancing:
            self._advancing = True
            try:
                while self._current is None and self._queue and self._open and not self._lingering:
                    self.deadline = inf
                    self._current = self._queue.popleft()
                    deliver(self._run(self._current), self._finish)
            finally:
                self._advancing = False
        self._steer()

    async def _run(self, exchange: Exchange) -> Exchange:
        try:
            await self._site.handle(exchange)
            await self.drained()
        except Disconnected:
            self.abort()
        except Exception:  # noqa: BLE001 - whatever went wrong, no answer of this connection can be trusted now
            _log.failure("S3 connection closed after a bug")
            self.abort()
        return exchange

    def _finish(self, exchange: Exchange) -> None:
        self._current = None
        if not exchange.body.complete:
            exchange.body.drop()
        if not self._open:
            return
        if not exchange.status or exchange.left:
            # No answer, or half of one: the client must see that it is not whole.
            self.abort()
        elif exchange.close or self._site.draining:
            self._close(whole=exchange.body.complete)
        else:
            self._rest(exchange)
            self._advance()

    def _rest(self, exchange: Exchange) -> None:
        """Wait for the rest of a body that nobody wants, or of a head, or for the next one."""
        limits = self._site.limits
        if not exchange.body.complete:
            self._expire_in(limits.stall_seconds)
        else:
            self._expire_in(limits.head_seconds if self._parser.in_head else limits.idle_seconds)

    def _steer(self) -> None:
        """Read from the socket exactly while there is room for what comes."""
        reading = not self._queue and (self._newest is None or not self._newest.body.full)
        if reading != self._reading and self._open:
            self._reading = reading
            if reading:
                self._transport.resumeProducing()
            else:
                self._transport.pauseProducing()

    # --- the exchange's side (Link) ---

    def common_headers(self) -> str:
        """Return the header lines that every answer carries, with the blank line."""
        return self._site.common_headers()

    def asked(self, exchange: Exchange) -> None:
        """Let the client send on; a reader that waits bounds how slowly."""
        body = exchange.body
        if body.waited_for:
            assert exchange.head is not None
            if exchange.head.expects_continue and not exchange.continued and not body.buffered:
                exchange.continued = True
                self.send([_CONTINUE])
            self._expire_in(self._site.limits.stall_seconds)
        else:
            self.deadline = inf
        self._steer()

    def send(self, buffers: Sequence[bytes | memoryview]) -> None:
        """Send *buffers* in order."""
        if self._open:
            self._writer.send(buffers)

    async def drained(self) -> None:
        """Return when the transport has room; raise Disconnected when the client is gone."""
        if self._gate.shut is not None:
            self._expire_in(self._site.limits.stall_seconds)
            await self._gate.shut
            self.deadline = inf
        if not self._open:
            raise Disconnected

    # --- ends ---

    def expire(self) -> None:
        """Know that the deadline has passed."""
        self.deadline = inf
        current = self._current
        if current is not None and current.body.waited_for:
            # Whoever reads the body answers; what the client sends on is dropped.
            current.body.fail(Refused(400, "RequestTimeout", "The request body did not arrive in time."))
        else:
            self.abort()

    def close_if_idle(self) -> None:
        """Close unless a request is being answered; then the answer closes it."""
        if self.idle and self._open:
            self._close(whole=True)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abortConnection()

    def _close(self, *, whole: bool) -> None:
        """Close once all is sent. If the client may still be sending (not *whole*), let it finish for a moment.

        Closing with unread bytes resets the connection, and a reset overtakes the answer.
        """
        self._transport.unregisterProducer()
        if whole and self._parser.refusal is None:
            self._open = False
            self._transport.loseConnection()
            return
        self._lingering = True
        self._transport.loseWriteConnection()
        if not self._reading:
            self._transport.resumeProducing()
        self._expire_in(self._site.limits.linger_seconds)

    def _turn_away(self) -> None:
        self._transport.write(_TURNED_AWAY)
        self._transport.loseConnection()

    def _expire_in(self, seconds: float) -> None:
        self.deadline = self._site.clock.boottime_seconds() + seconds

    @property
    def _transport(self) -> Any:
        return self.transport
