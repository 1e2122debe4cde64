"""The RPC transports: a TCP port with its connections, and a UDP port (RFC 5531, section 10)."""
# ruff: noqa: N802 - methods have the names of Twisted's interfaces

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.logger import Logger

from foundation.aio import deliver
from protocols.nfs.codec.xdr import Buffer, XdrError
from protocols.nfs.connection import RpcConnection
from protocols.nfs.dispatch import Call, Dispatcher, Peer

if TYPE_CHECKING:
    from foundation.clock import Clock
    from protocols.nfs.budget import Budget, Limits

log = Logger()
#: The longest reply by UDP: what every IP path carries in one piece or a few.
_MAX_DATAGRAM_BYTES = 8192


class RpcListener(Factory):
    """Makes the connections of one TCP port and holds them to the limits."""

    noisy = False

    def __init__(self, dispatcher: Dispatcher, limits: Limits, budget: Budget, clock: Clock) -> None:
        """Serve *dispatcher*'s programs."""
        self._dispatcher = dispatcher
        self._limits = limits
        self._budget = budget
        self._clock = clock
        self._by_host: Counter[str] = Counter()
        self._sweeping = False
        self.connections: set[RpcConnection] = set()

    def buildProtocol(self, _address: Any) -> RpcConnection:
        """Return the protocol of a new connection."""
        return RpcConnection(self, self._dispatcher, self._limits, self._budget, self._clock)

    def admit(self, connection: RpcConnection) -> bool:
        """Count *connection* in, unless there are too many of its host or in all."""
        host = connection.peer.host
        if (
            len(self.connections) >= self._limits.connections
            or self._by_host[host] >= self._limits.connections_per_host
        ):
            log.warn("refused a connection from {host}: too many", host=host)  # noqa: G010 - the name in twisted.logger
            return False
        self.connections.add(connection)
        self._by_host[host] += 1
        if not self._sweeping:
            self._sweeping = True
            self._clock.call_later(self._limits.sweep_seconds, self._sweep)
        return True

    def gone(self, connection: RpcConnection) -> None:
        """Count *connection* out."""
        if connection in self.connections:
            self.connections.discard(connection)
            self._by_host[connection.peer.host] -= 1
            if not self._by_host[connection.peer.host]:
                del self._by_host[connection.peer.host]

    def _sweep(self) -> None:
        """Look at every connection once in a while; a timer of its own would cost each call more than this."""
        now = self._clock.boottime_seconds()
        for connection in tuple(self.connections):
            connection.sweep(now)
        self._sweeping = bool(self.connections)
        if self._sweeping:
            self._clock.call_later(self._limits.sweep_seconds, self._sweep)


class RpcDatagrams(DatagramProtocol):
    """Answers calls that come in one datagram each; where no reply may be given, or no room is, it stays silent."""

    noisy = False

    def __init__(self, dispatcher: Dispatcher, limits: Limits) -> None:
        """Serve *dispatcher*'s programs."""
        self._dispatcher = dispatcher
        self._limits = limits
        self._calls = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer one call."""
        host, port = addr[:2]
        local = ipaddress.ip_address(host.partition("%")[0]).is_loopback
        try:
            call = self._dispatcher.open(datagram, Peer(host, port, local, datagram=True))
        except XdrError:
            return
        if not isinstance(call, Call):
            self._send([call], addr)
        elif self._calls < self._limits.datagrams:
            self._calls += 1
            deliver(self._dispatcher.run(call), self._ended, addr)

    def _ended(self, reply: list[Buffer] | None, addr: Any) -> None:
        self._calls -= 1
        if reply is not None:
            self._send(reply, addr)

    def _send(self, reply: list[Buffer], addr: Any) -> None:
        datagram = b"".join(reply)
        transport: Any = self.transport
        if transport is None:
            return
        if len(datagram) > _MAX_DATAGRAM_BYTES:
            log.warn("a reply of {size} bytes does not fit a datagram", size=len(datagram))  # noqa: G010 - the name in twisted.logger
            return
        transport.write(datagram, addr)
