"""One TCP connection of an RPC client: records in, replies out in the order they are done.

A call that is served from the cache is answered within `dataReceived`. Replies of one reactor turn leave in one
system call. Reading stops while the calls in flight, the replies that the peer has not taken, or the budget that all
connections share are at their limit; it goes on from where it stopped, so nothing is lost and nothing is buffered.
"""
# ruff: noqa: N802 - methods have the names of Twisted's interfaces

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from foundation.aio import Promise, deliver
from foundation.stream import DirectWriter, tune_socket
from protocols.nfs.codec.record import RecordError, RecordReader, record_mark
from protocols.nfs.codec.xdr import Buffer, XdrError, gather
from protocols.nfs.dispatch import Call, Dispatcher, Peer

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from foundation.clock import Clock
    from protocols.nfs.budget import Budget, Limits
    from protocols.nfs.listener import RpcListener

log = Logger()
#: Replies are sent in the middle of a turn when there are so many bytes of them.
_FLUSH_BYTES = 1 << 18
#: A call that moves so many bytes takes as long as one more small call.
_SMALL_CALL_BYTES = 1 << 16
#: Received at once, ordinarily and in the middle of a long record.
_RECEIVE_BYTES = 1 << 16
_RECEIVE_LONG_BYTES = 1 << 18


class RpcConnection(Protocol):
    """The server's side of one connection; also the push producer of its own transport's writes."""

    def __init__(
        self, listener: RpcListener, dispatcher: Dispatcher, limits: Limits, budget: Budget, clock: Clock
    ) -> None:
        """Answer calls by *dispatcher*, within *limits* and *budget*."""
        self._listener = listener
        self._dispatcher = dispatcher
        self._limits = limits
        self._budget = budget
        self._clock = clock
        self._reader = RecordReader(limits.record_bytes)
        self._outbox: list[Buffer] = []
        self._outbox_bytes = 0
        self._calls = 0  # in flight
        self._bytes = 0  # that they, and replies not yet taken by the peer, may hold
        self._owed = 0  # the part of `_bytes` whose replies are done
        self._reserved = 0  # of the budget, for a long record that is on its way
        self._serving = False  # inside `_serve`: replies wait for its end
        self._turn_due = False
        self._choked = False  # the peer does not take what we send
        self._reading = True
        self._queued = False  # waiting for the budget
        self._awaits_room = False  # waiting to reserve
        self._closing = False  # no further call is begun
        self._records = 0
        self._state: tuple[int, bool, bool] | None = None  # what `sweep` saw last, and since when
        self._since = 0.0
        self.closed: Promise[None] = Promise()

    def connectionMade(self) -> None:
        """Take part in the listener's limits, and prepare the socket."""
        transport: Any = self.transport
        address = transport.getPeer()
        local = ipaddress.ip_address(address.host.partition("%")[0]).is_loopback
        self.peer = Peer(address.host, address.port, local, datagram=False)
        if not self._listener.admit(self):
            self.abort()
            return
        tune_socket(transport)
        self._writer = DirectWriter(transport)
        transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the peer and answer what can be answered at once."""
        self._reader.feed(data)
        self._serve()
        transport: Any = self.transport
        missing = self._reader.missing()
        transport.bufferSize = _RECEIVE_LONG_BYTES if missing > _RECEIVE_BYTES else _RECEIVE_BYTES

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Forget what was not sent; calls in flight run to their end unheard."""
        del reason
        self._closing = True
        self._outbox.clear()
        self._settle()
        self._unreserve()
        self._listener.gone(self)
        if not self.closed.done:
            self.closed.resolve(None)

    # The transport's view of its producer: it calls these when its own write buffer fills and when it is empty.

    def pauseProducing(self) -> None:
        """Begin no further call until the peer has taken what was sent."""
        self._choked = True

    def resumeProducing(self) -> None:
        """Go on: the peer has taken everything."""
        self._choked = False
        self._settle()
        self._turn_soon()

    def stopProducing(self) -> None:
        """End: the connection is lost."""
        self._closing = True

    def drain(self) -> None:
        """Begin no further call, send what is under way, then close."""
        self._closing = True
        self._turn_soon()

    def abort(self) -> None:
        """Close now; what was not sent is lost."""
        self._closing = True
        transport: Any = self.transport
        transport.abortConnection()

    def sweep(self, now_seconds: float) -> None:
        """Close the connection if its peer has kept it waiting too long (called every few seconds)."""
        state = (self._records, self._reader.mid_record(), self._choked)
        ours = not self._choked and not self._closing and (self._calls or not self._reading)
        if ours or state != self._state:
            self._state, self._since = state, now_seconds
        elif now_seconds - self._since > self._patience():
            log.info("closing {host}: nothing came in time", host=self.peer.host)
            self.abort()

    def _patience(self) -> float:
        limits = self._limits
        if self._choked:
            # Who does not read may keep its own memory for long, but not what everybody needs.
            needed = self._budget.exhausted() or (self._reserved and not self._budget.may_reserve())
            return limits.record_seconds if needed else limits.stuck_seconds
        if self._reader.mid_record():
            return limits.record_seconds
        return limits.idle_seconds if self._records else limits.first_record_seconds

    def _serve(self) -> None:
        """Begin the calls that have arrived, as far as the limits allow, and send what is done."""
        self._serving = True
        turns = self._limits.calls_per_turn
        try:
            while turns > 0 and not self._full():
                record = self._reader.next_record()
                if record is None:
                    break
                turns -= self._begin(record)
        except (RecordError, XdrError) as error:
            log.info("closing {host}: {error}", host=self.peer.host, error=str(error))
            self.abort()
        finally:
            self._serving = False
        if self._reader.begun() > _RECEIVE_BYTES:
            self._reserve()
        self._flush()
        self._steer()

    def _full(self) -> bool:
        limits = self._limits
        return (
            self._calls >= limits.calls_per_connection
            or self._bytes >= limits.bytes_per_connection
            or self._choked
            or self._closing
            or self._awaits_room
            or (self._bytes > _SMALL_CALL_BYTES and self._bytes >= self._budget.share())
            # What has room reserved must come to its end, or all that wait for room would wait for ever.
            or (self._budget.exhausted() and not self._reserved)
        )

    def _reserve(self) -> None:
        """Count a long record before it is here: slow writers must not hold more than the budget allows."""
        if self._reserved or self._awaits_room or self._closing:
            return
        if self._budget.may_reserve():
            self._reserved = self._limits.record_bytes
            self._budget.reserve(self._reserved)
        else:
            self._awaits_room = True
            self._budget.wait_to_reserve(self._room)

    def _room(self) -> None:
        self._awaits_room = False
        self._reserve()
        self._turn_soon()

    def _unreserve(self) -> None:
        """Give back what was counted for a record that is here, or will not come."""
        if self._reserved:
            reserved, self._reserved = self._reserved, 0
            self._budget.unreserve(reserved)

    def _begin(self, record: bytes) -> int:
        """Run the call in *record*, which may end before this returns; return how many small calls it weighs."""
        self._records += 1
        if self._reserved:
            self._unreserve()
        call = self._dispatcher.open(record, self.peer)
        if not isinstance(call, Call):
            self._post([call])
            return 1
        reply_bytes = call.procedure.reply_bytes
        cost = len(record) + (reply_bytes(call.args) if reply_bytes is not None else 0)
        self._calls += 1
        self._bytes += cost
        self._budget.take(cost)
        deliver(self._dispatcher.run(call), self._ended, cost)
        return 1 + cost // _SMALL_CALL_BYTES

    def _ended(self, reply: list[Buffer] | None, cost: int) -> None:
        """Send *reply*, or close the connection where there must be none (DESIGN 8, D4)."""
        self._calls -= 1
        self._owed += cost
        if reply is None:
            self._closing = True
        elif not self.closed.done:
            self._post(reply)
        if self._serving:
            if self._outbox_bytes >= _FLUSH_BYTES:
                self._flush()
        elif self._calls or not self._reading or self._closing:
            # More replies may come in this turn of the reactor: they leave together.
            self._turn_soon()
        else:
            self._flush()

    def _post(self, reply: list[Buffer]) -> None:
        length = sum(map(len, reply))
        self._outbox.append(record_mark(length))
        self._outbox += reply
        self._outbox_bytes += length

    def _turn_soon(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self._clock.call_later(0.0, self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        if self.closed.done:
            self._settle()
        elif self._closing:
            self._flush()
            if not self._calls:
                self._close()
        else:
            self._serve()

    def _flush(self) -> None:
        """Hand all replies to the transport, which may call `pauseProducing` from within."""
        if self._outbox:
            outbox, self._outbox, self._outbox_bytes = self._outbox, [], 0
            self._writer.send(gather(outbox))
        if not self._choked:
            self._settle()

    def _settle(self) -> None:
        """Give back what replies held that are gone."""
        owed, self._owed = self._owed, 0
        self._bytes -= owed
        if owed:
            self._budget.give(owed)

    def _steer(self) -> None:
        """Read on, or stop reading while there is no room or bytes are left over."""
        if self.closed.done:
            return
        transport: Any = self.transport
        full = self._full()
        if full or self._reader.backlog():
            if self._reading:
                self._reading = False
                transport.pauseProducing()
            if not full or (self._closing and not self._calls):
                self._turn_soon()
            elif self._budget.exhausted() and not self._queued:
                self._queued = True
                self._budget.wait(self._budget_free)
        elif not self._reading:
            self._reading = True
            transport.resumeProducing()

    def _budget_free(self) -> None:
        self._queued = False
        self._turn_soon()

    def _close(self) -> None:
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()
