"""The gateway's connection to one node: kept up, requests side by side, and a dead node found fast.

A node is *silent* when requests wait and not a byte has come for `SILENT_TICKS`. It is then dropped with all that
waits on it, and is not asked again until it has answered a whole new handshake: a process that is stopped (SIGSTOP)
or hangs accepts connections and nothing more, so it costs one short wait, not one per request. Idle links are asked
for their STAT, so that silence shows there too. Silence is counted in ticks of a timer and not in time: when this
process itself was held up, one late tick passes, not the node's patience.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from uuid import UUID  # noqa: TC003 - msgspec reads the annotations

from msgspec import Struct
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger

from foundation.aio import Promise, spawn
from storage_engine.streaming import FrameProtocol
from storage_engine.wire import handshake
from storage_engine.wire.frames import MAX_PAYLOAD_BYTES, BrokenStream, Frame, Kind, Refusal, Status, encode_frame
from storage_engine.wire.messages import decode_stat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.python.failure import Failure

    from foundation.clock import Clock, Timer
    from storage_engine.wire.messages import NodeStat

_log = Logger()
TICK_SECONDS = 0.25
#: A node that waits longer than this with an answer, and with everything else, is taken for dead.
SILENT_TICKS = 6
_STAT_TICKS = 4
#: A request with a longer body is sent without waiting for others.
_LARGE_BYTES = 64 << 10
_CONNECT_SECONDS = 3.0
_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 3.0


class NodeAddress(Struct, frozen=True):
    """A node and where it listens."""

    id: int
    uuid: UUID
    host: str
    port: int
    zone: str = ""


class Unreachable(Exception):
    """The node is down, or did not answer in time: what became of the request is not known."""


class _Request:
    __slots__ = ("answer", "due", "size")

    def __init__(self, due: int, size: int) -> None:
        self.due = due
        self.size = size
        self.answer: Promise[memoryview] = Promise()


class NodeLink:
    """One node, as one gateway reaches it."""

    def __init__(self, reactor: Any, clock: Clock, secret: bytes, address: NodeAddress) -> None:
        """Reach the node at *address*; `start` begins."""
        self.address = address
        self.stat: NodeStat | None = None  # its last report
        self.detail = "not connected yet"  # why it is down; empty when it is up
        self.waiting_bytes = 0  # of requests under way: how busy it is
        self.came_up: Callable[[NodeLink], object] = lambda _link: None
        self.settled: Promise[None] = Promise()  # the first attempt to connect has ended
        self._reactor = reactor
        self.clock = clock
        self._secret = secret
        self._connection: LinkConnection | None = None
        self._requests: dict[int, _Request] = {}
        self._last_request = 0
        self._ticks = 0
        self._quiet_ticks = 0
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._timer: Timer | None = None
        self._retry: Timer | None = None
        self._open = False

    @property
    def up(self) -> bool:
        """Return whether requests may be sent."""
        return self._connection is not None

    # Requests

    def ask(
        self, kind: Kind, payload: Sequence[bytes | memoryview], deadline_seconds: float, size: int = 0
    ) -> Promise[memoryview]:
        """Send a request and return the promise of its answer; *size* is about how many bytes move.

        The promise fails with Unreachable or with the node's Refusal. The buffers must stay unchanged until then.
        """
        request = _Request(self._ticks + int(deadline_seconds / TICK_SECONDS) + 1, size + 256)
        if self._connection is None:
            request.answer.fail(Unreachable(f"node {self.address.id} is down: {self.detail}"))
            return request.answer
        self._last_request += 1
        if not self._requests:
            self._quiet_ticks = 0
        self._requests[self._last_request] = request
        self.waiting_bytes += request.size
        self._connection.send_soon(encode_frame(kind, 0, self._last_request, payload))
        return request.answer

    def answered(self, frame: Frame) -> None:
        """Take an answer; one that nobody waits for any more is dropped."""
        request = self._requests.pop(frame.request, None)
        if request is None:
            return
        self.waiting_bytes -= request.size
        if frame.status == Status.OK:
            request.answer.resolve(frame.payload)
        else:
            request.answer.fail(Refusal(frame.status, bytes(frame.payload).decode(errors="replace")))

    def heard(self) -> None:
        """Note that the node sent something."""
        self._quiet_ticks = 0

    # Up and down

    def start(self) -> None:
        """Connect, and keep connected."""
        self._open = True
        self._timer = self.clock.call_later(TICK_SECONDS, self._tick)
        self._connect()

    def stop(self) -> None:
        """Disconnect for good; what waits fails."""
        self._open = False
        for timer in (self._timer, self._retry):
            if timer is not None:
                timer.cancel()
        self._drop("closed")
        self._settle()

    def _connect(self) -> None:
        spawn(f"connect to node {self.address.id}", self._try_to_connect(), self._not_connected)

    async def _try_to_connect(self) -> None:
        host, port = self.address.host, self.address.port
        endpoint = TCP4ClientEndpoint(self._reactor, host, port, timeout=_CONNECT_SECONDS)
        factory: Any = _LinkFactory(self, self._secret)
        connection: LinkConnection = await endpoint.connect(factory)  # type: ignore[assignment]  # what it builds
        try:
            await connection.proven
        except Exception:
            connection.transport.abortConnection()
            raise
        if not self._open:
            connection.transport.abortConnection()
            return
        self._connection, self.detail = connection, ""
        self._quiet_ticks = 0
        _log.info("node {id} is up at {host}:{port}", id=self.address.id, host=host, port=port)
        self.came_up(self)
        spawn("stat", self._ask_stat())
        self._settle()

    def _not_connected(self, error: BaseException) -> None:
        detail = str(error) or type(error).__name__
        if detail != self.detail:
            _log.warn("node {id} is down: {detail}", id=self.address.id, detail=detail)
        self.detail = detail
        self._settle()
        if self._open:
            # Spread, so that the gateways do not all return at the same moment.
            seconds = self._retry_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret
            self._retry_seconds = min(_LAST_RETRY_SECONDS, self._retry_seconds * 2)
            self._retry = self.clock.call_later(seconds, self._connect)

    def _settle(self) -> None:
        if not self.settled.done:
            self.settled.resolve(None)

    def lost(self, connection: LinkConnection, why: str) -> None:
        """Take note that *connection* is gone, and connect again."""
        if connection is self._connection:
            self._drop(why)
            if self._open:
                self._not_connected(Unreachable(why))

    def _drop(self, why: str) -> None:
        """Close the connection and fail what waits on it."""
        connection, self._connection = self._connection, None
        requests, self._requests = self._requests, {}
        self.waiting_bytes = 0
        if connection is not None:
            connection.transport.abortConnection()
        for request in requests.values():
            request.answer.fail(Unreachable(f"node {self.address.id}: {why}"))

    # The watch

    def _tick(self) -> None:
        self._timer = self.clock.call_later(TICK_SECONDS, self._tick)
        self._ticks += 1
        if self._connection is None:
            return
        if self._requests:
            self._quiet_ticks += 1
            if self._quiet_ticks > SILENT_TICKS:
                self.lost(self._connection, "it does not answer")
                return
        if self._ticks % _STAT_TICKS == 0:
            # While requests flow the retry delay is back to its first value: the node is well.
            self._retry_seconds = _FIRST_RETRY_SECONDS
            spawn("stat", self._ask_stat())
        self._fail_overdue()

    def _fail_overdue(self) -> None:
        overdue = [number for number, request in self._requests.items() if request.due <= self._ticks]
        for number in overdue:
            request = self._requests.pop(number, None)
            if request is not None:
                self.waiting_bytes -= request.size
                request.answer.fail(Unreachable(f"node {self.address.id} did not answer in time"))

    async def _ask_stat(self) -> None:
        try:
            self.stat = decode_stat(await self.ask(Kind.STAT, [], SILENT_TICKS * TICK_SECONDS * 4))
        except Unreachable:
            return  # the watch has seen to it
        except (Refusal, BrokenStream) as error:
            _log.warn("node {id} gives no report: {error}", id=self.address.id, error=error)


class _LinkFactory(Factory):
    noisy = False

    def __init__(self, link: NodeLink, secret: bytes) -> None:
        self._link = link
        self._secret = secret

    def buildProtocol(self, _addr: object) -> LinkConnection:  # noqa: N802 - Twisted's name
        return LinkConnection(self._link, self._secret)


class LinkConnection(FrameProtocol):
    """One connection: the handshake, then answers."""

    def __init__(self, link: NodeLink, secret: bytes) -> None:
        """Belong to *link*; prove and demand *secret*."""
        super().__init__()
        self.proven: Promise[None] = Promise()
        self._link = link
        self._secret = secret
        self._nonce = handshake.new_nonce()
        self._named = handshake.Named(link.address.id, link.address.uuid)
        self._deadline: Timer | None = None
        self._outgoing: list[bytes | memoryview] = []

    def send_soon(self, frame: list[bytes | memoryview]) -> None:
        """Send *frame* at the end of this turn of the reactor, with others of the turn; a large one at once.

        A send wakes the node's process; for small requests that costs both ends more than the request itself.
        """
        self._outgoing.extend(frame)
        if sum(map(len, frame)) >= _LARGE_BYTES:
            self._flush()
        elif len(self._outgoing) == len(frame):
            self._link.clock.call_later(0, self._flush)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self.writer is not None:
            self.writer.send(outgoing)

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Begin the handshake."""
        super().connectionMade()
        self._deadline = self._link.clock.call_later(_CONNECT_SECONDS, self._too_late)
        self.send(Kind.HELLO, 0, 0, [handshake.encode_client_hello(self._nonce)])

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take answers."""
        self._link.heard()
        super().dataReceived(data)

    def frame_received(self, frame: Frame) -> None:
        """Take an answer, or a step of the handshake."""
        if self.proven.done:
            self._link.answered(frame)
        elif frame.kind == Kind.HELLO:
            try:
                proof = handshake.check_server_hello(frame.payload, self._secret, self._named, self._nonce)
            except handshake.NotProven as error:
                raise BrokenStream(str(error)) from error
            self.send(Kind.PROOF, 0, 0, [proof])
        elif frame.kind == Kind.PROOF and frame.status == Status.OK:
            self.frames.limit = MAX_PAYLOAD_BYTES
            self._settle(None)
        else:
            raise BrokenStream("an answer before the handshake")

    def broken(self, error: BaseException) -> None:
        """Give the connection up."""
        _log.error("node {id}: {error}", id=self._named.id, error=error)
        self._end(str(error))
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Tell the link."""
        self.writer = None
        self._end(reason.getErrorMessage())

    def _too_late(self) -> None:
        self._deadline = None
        self._end("it does not answer the handshake")
        self.transport.abortConnection()

    def _end(self, why: str) -> None:
        self._settle(Unreachable(why))
        self._link.lost(self, why)

    def _settle(self, error: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.proven.done:
            return
        if error is None:
            self.proven.resolve(None)
        else:
            self.proven.fail(error)
