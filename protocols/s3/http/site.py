"""What the connections of one listening port share: limits, clock, the door behind them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct
from twisted.internet.protocol import Factory

from foundation.aio import Promise
from protocols.s3.codec.dates import format_http
from protocols.s3.http.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.internet.interfaces import IAddress

    from foundation.clock import Clock, Timer
    from protocols.s3.http.exchange import Exchange

_NS = 1_000_000_000
_SWEEP_SECONDS = 1.0


class Limits(Struct, frozen=True):
    """How much of the gateway one port and one client may hold."""

    connections: int = 4096
    connections_per_host: int = 3072  # one host, though it be a proxy, leaves room for others
    head_seconds: float = 20.0  # for a whole head, from its first byte
    idle_seconds: float = 90.0  # between requests
    stall_seconds: float = 60.0  # for the next piece of a body, either way
    linger_seconds: float = 5.0  # for a client to read an early answer
    drain_seconds: float = 30.0  # for running requests when the port closes


class Site(Factory):
    """Makes connections and keeps count, time and order among them."""

    noisy = False

    def __init__(self, handle: Callable[[Exchange], Awaitable[None]], clock: Clock, limits: Limits) -> None:
        """Let *handle* answer every request; it raises nothing but Disconnected."""
        self.handle = handle
        self.clock = clock
        self.limits = limits
        self.draining = False
        self._connections: set[Connection] = set()
        self._of_host: Counter[str] = Counter()
        self._empty: Promise[None] | None = None
        self._timer: Timer | None = None
        self._second = -1
        self._common = ""

    def buildProtocol(self, addr: IAddress | None) -> Connection:  # noqa: N802 - Twisted's name
        """Make the server's side of a new connection."""
        return Connection(self, getattr(addr, "host", ""))

    def open(self) -> None:
        """Begin to watch deadlines."""
        self._timer = self.clock.call_later(_SWEEP_SECONDS, self._sweep)

    async def drain(self) -> None:
        """Close idle connections, let running requests finish, and close what is left at the deadline."""
        self.draining = True
        for connection in list(self._connections):
            connection.close_if_idle()
        if self._connections:
            self._empty = Promise()
            last = self.clock.call_later(self.limits.drain_seconds, self._abort_all)
            await self._empty
            last.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def admit(self, connection: Connection) -> bool:
        """Count *connection* in, or return False: there are too many, or the port is closing."""
        too_many = len(self._connections) >= self.limits.connections
        if self.draining or too_many or self._of_host[connection.peer] >= self.limits.connections_per_host:
            return False
        self._connections.add(connection)
        self._of_host[connection.peer] += 1
        return True

    def forget(self, connection: Connection) -> None:
        """Count *connection* out, if it was counted in."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._of_host[connection.peer] -= 1
            if not self._of_host[connection.peer]:
                del self._of_host[connection.peer]
        if self._empty is not None and not self._connections and not self._empty.done:
            self._empty.resolve(None)

    def common_headers(self) -> str:
        """Return the header lines that every answer carries and the blank line; made once a second."""
        second = self.clock.now_ns() // _NS
        if second != self._second:
            self._second = second
            date = format_http(second)
            self._common = f"date: {date}\r\nserver: Gatefold\r\nx-content-type-options: nosniff\r\n\r\n"
        return self._common

    def _sweep(self) -> None:
        """Look at every deadline: one timer for all costs a request nothing but setting a number."""
        now = self.clock.boottime_seconds()
        for connection in [each for each in self._connections if each.deadline <= now]:
            connection.expire()
        self._timer = self.clock.call_later(_SWEEP_SECONDS, self._sweep)

    def _abort_all(self) -> None:
        for connection in list(self._connections):
            connection.abort()
