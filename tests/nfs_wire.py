"""TCP connections to the NFS door without sockets or a reactor: bytes in, bytes out, by a clock that the test moves."""
# ruff: noqa: N802 - the transport's methods have the names of Twisted's interfaces

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address

from foundation.clock import ManualClock
from protocols.nfs.budget import Budget, Limits
from protocols.nfs.codec.record import RecordReader, record_mark
from protocols.nfs.listener import RpcListener

if TYPE_CHECKING:
    from protocols.nfs.dispatch import Dispatcher


class WireTransport:
    """What a connection sees of its socket; while `takes` is False the peer reads nothing."""

    def __init__(self, host: str) -> None:
        self._peer = IPv4Address("TCP", host, 700)
        self.written: list[bytes] = []
        self.reading, self.takes, self.state = True, True, "open"
        self._producer: Any = None

    def getPeer(self) -> IPv4Address:
        return self._peer

    def getHandle(self) -> None:
        return None

    def setTcpNoDelay(self, _on: bool) -> None:
        pass

    def registerProducer(self, producer: Any, _streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def writeSequence(self, buffers: list[bytes]) -> None:
        self.written += buffers
        if not self.takes and buffers and self._producer is not None:
            self._producer.pauseProducing()

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def loseConnection(self) -> None:
        self.state = "closed"

    def abortConnection(self) -> None:
        self.state = "closed"


class NfsWire:
    """A listener for *dispatcher*, with connections made by hand."""

    def __init__(self, dispatcher: Dispatcher, **limits: Any) -> None:
        self.clock = ManualClock()
        self.limits = Limits(**limits)
        self.budget = Budget(self.limits.bytes_in_all, self.clock)
        self.listener = RpcListener(dispatcher, self.limits, self.budget, self.clock)

    def connect(self, host: str = "192.0.2.7") -> Any:
        connection = self.listener.buildProtocol(None)
        connection.makeConnection(WireTransport(host))
        return connection

    def turn(self) -> None:
        """Let the reactor turn once: what is due now is done, and what that makes due has to wait."""
        now = self.clock.boottime_seconds()
        due = [timer for at, _, timer in sorted(self.clock._due[:], key=lambda each: each[:2]) if at <= now]
        self.clock._due = [each for each in self.clock._due if each[2] not in due]
        heapq.heapify(self.clock._due)
        for timer in due:
            if timer.call is not None:
                timer.call()


def framed(*messages: bytes) -> bytes:
    """Return *messages* as records of one fragment each."""
    return b"".join(record_mark(len(message)) + message for message in messages)


def answers(connection: Any) -> list[bytes]:
    """Return the replies that *connection* has sent so far, each of which must be whole."""
    reader = RecordReader(4 << 20)
    reader.feed(b"".join(connection.transport.written))
    replies = list(iter(reader.next_record, None))
    assert not reader.mid_record()
    return replies


def xids(connection: Any) -> list[int]:
    """Return the xids of the replies so far."""
    return [int.from_bytes(reply[:4], "big") for reply in answers(connection)]
