"""The node's TCP server: proves who it is, asks the same of the client, and serves its requests side by side."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from foundation.aio import spawn
from storage_engine.streaming import FrameProtocol
from storage_engine.wire import handshake, messages
from storage_engine.wire.frames import MAX_PAYLOAD_BYTES, BrokenStream, Frame, Kind, Refusal, Status, encode_frame

if TYPE_CHECKING:
    from array import array
    from collections.abc import Awaitable, Callable, Sequence

    from twisted.internet.interfaces import IAddress

    from foundation.clock import Clock, Timer
    from storage_engine.node.store import Store
    from storage_engine.node.turn import Turn
    from storage_engine.wire.messages import Inventory

    Buffers = Sequence[bytes | memoryview]

_log = Logger()
#: How long a client may take to prove who it is, and how many may be about it at a time.
_GREETING_SECONDS = 10.0
_MAX_STRANGERS = 64
#: Bodies waiting for the disk; above it no more requests are read.
_MAX_QUEUED_BYTES = 64 << 20
#: Inventories that one connection may page through at a time.
_MAX_SNAPSHOTS = 4


class NodeServer(ServerFactory):
    """All connections of a node."""

    noisy = False

    def __init__(self, store: Store, named: handshake.Named, secret: bytes, clock: Clock, turn: Turn) -> None:
        """Serve *store* as the node *named* to clients that know *secret*."""
        self.store = store
        self.named = named
        self.secret = secret
        self.clock = clock
        self.turn = turn
        self.connections: set[NodeConnection] = set()
        self.strangers = 0
        self.waiting: list[NodeConnection] = []  # until the log's queue is shorter

    def buildProtocol(self, addr: IAddress | None) -> NodeConnection | None:  # noqa: ARG002, N802 - Twisted's name
        """Return a connection, or None when too many have not proven who they are."""
        if self.strangers >= _MAX_STRANGERS:
            return None
        return NodeConnection(self)

    def resume_waiting(self) -> None:
        """Let connections read again whose bodies have reached the disk."""
        if self.waiting and self.store.log.queued_bytes < _MAX_QUEUED_BYTES // 2:
            waiting, self.waiting = self.waiting, []
            for connection in waiting:
                connection.let("log")

    def close(self) -> None:
        """Drop every connection."""
        for connection in list(self.connections):
            connection.transport.abortConnection()


class NodeConnection(FrameProtocol):
    """One client."""

    def __init__(self, server: NodeServer) -> None:
        """Belong to *server*."""
        super().__init__()
        self._server = server
        self._store = server.store
        self._nonces = b""
        self._trusted = False
        self._greeting: Timer | None = None
        self._answers: list[bytes | memoryview] = []
        self._held: set[str] = set()  # why nothing is read now
        self._snapshots: dict[int, array[int]] = {}
        self._verbs: dict[int, Callable[[memoryview], Awaitable[Buffers]]] = {
            Kind.STAT: self._stat,
            Kind.PUT: self._put,
            Kind.READ: self._read,
            Kind.FETCH: self._fetch,
            Kind.DELETE: self._delete,
            Kind.CLOSE_EPOCHS: self._close_epochs,
            Kind.INVENTORY: self._inventory,
        }

    # The connection

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Give the client some seconds to prove who it is."""
        super().connectionMade()
        self.transport.registerProducer(self, True)
        self._server.connections.add(self)
        self._server.strangers += 1
        self._greeting = self._server.clock.call_later(_GREETING_SECONDS, self.transport.abortConnection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002, N802 - Twisted's name
        """Forget the client; its requests go on and their answers are dropped."""
        self._server.connections.discard(self)
        self._no_stranger()
        self._answers = []
        self.writer = None

    def _no_stranger(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None
            self._server.strangers -= 1

    def broken(self, error: BaseException) -> None:
        """Drop the client and say why in the log."""
        if not isinstance(error, BrokenStream):
            failure = Failure(error)  # type: ignore[no-untyped-call]  # Twisted has no types here
            _log.failure("a request failed in a way that nobody foresaw", failure)
        _log.warn("dropping {peer}: {error}", peer=self.transport.getPeer(), error=error)
        self.transport.abortConnection()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Read no more requests: the client does not take the answers."""
        self.hold("client")

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Read requests again."""
        self.let("client")

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Do nothing: the connection is being lost."""

    def hold(self, reason: str) -> None:
        """Read no more until *reason* is over."""
        self._held.add(reason)
        self.paused = True
        self.transport.pauseProducing()

    def let(self, reason: str) -> None:
        """Read again if *reason* was the last one not to."""
        self._held.discard(reason)
        if not self._held:
            self.paused = False
            self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take requests; those of one piece of the stream share a batch of the log and a send."""
        with self._server.turn:
            super().dataReceived(data)

    # Requests

    def frame_received(self, frame: Frame) -> None:
        """Start a request."""
        if not self._trusted:
            self._greet(frame)
            return
        verb = self._verbs.get(frame.kind)
        if verb is None:
            self._answer(frame, Status.BAD_REQUEST, [b"no such request"])
            return
        spawn("serve a request", self._serve(frame, verb), self.broken)

    async def _serve(self, frame: Frame, verb: Callable[[memoryview], Awaitable[Buffers]]) -> None:
        try:
            payload = await verb(frame.payload)
        except Refusal as refusal:
            self._answer(frame, refusal.status, [refusal.detail.encode()])
        else:
            self._answer(frame, Status.OK, payload)

    def _answer(self, frame: Frame, status: int, payload: Buffers) -> None:
        self._answers.extend(encode_frame(frame.kind, status, frame.request, payload))
        self._server.turn.at_end(self._flush)

    def _flush(self) -> None:
        answers, self._answers = self._answers, []
        if self.writer is not None and answers:
            self.writer.send(answers)

    def _greet(self, frame: Frame) -> None:
        """Take one step of the handshake; raise BrokenStream for anything else."""
        server = self._server
        if frame.kind == Kind.HELLO and not self._nonces:
            client_nonce, nonce = handshake.decode_client_hello(frame.payload), handshake.new_nonce()
            self._nonces = client_nonce + nonce
            hello = handshake.encode_server_hello(server.secret, server.named, client_nonce, nonce)
            self._answer(frame, Status.OK, [hello])
        elif frame.kind == Kind.PROOF and self._nonces:
            try:
                handshake.check_client_proof(frame.payload, server.secret, server.named, self._nonces)
            except handshake.NotProven as error:
                raise BrokenStream(str(error)) from error
            self._trusted = True
            self.frames.limit = MAX_PAYLOAD_BYTES
            self._no_stranger()
            self._answer(frame, Status.OK, [])
        else:
            raise BrokenStream("a request before the handshake")

    async def _stat(self, payload: memoryview) -> Buffers:
        if payload:
            raise BrokenStream("STAT has no payload")
        return [messages.encode_stat(self._store.stat())]

    async def _put(self, payload: memoryview) -> Buffers:
        put = messages.decode_put(payload)
        if self._store.log.queued_bytes > _MAX_QUEUED_BYTES and "log" not in self._held:
            self._server.waiting.append(self)
            self.hold("log")
        await self._store.put(put)
        self._server.resume_waiting()
        return []

    async def _read(self, payload: memoryview) -> Buffers:
        read = messages.decode_read(payload)
        sound = await self._store.read(read.blob, read.offset, read.length)
        return messages.encode_range(sound.sums, sound.data)

    async def _fetch(self, payload: memoryview) -> Buffers:
        return messages.encode_put(await self._store.fetch(messages.decode_blob(payload)))

    async def _delete(self, payload: memoryview) -> Buffers:
        delete = messages.decode_delete(payload)
        await self._store.delete(delete.vol, delete.fence, delete.ids)
        return []

    async def _close_epochs(self, payload: memoryview) -> Buffers:
        close = messages.decode_close_epochs(payload)
        await self._store.close_epochs(close.vol, close.epoch)
        return []

    async def _inventory(self, payload: memoryview) -> Buffers:
        inventory = messages.decode_inventory(payload)
        ids = self._snapshot(inventory)
        page, eof = await self._store.inventory(ids, inventory)
        if eof:
            self._snapshots.pop(inventory.vol, None)
        return [messages.encode_page(page, eof=eof)]

    def _snapshot(self, inventory: Inventory) -> Sequence[int]:
        """Return the ids from `inventory.first` on: sorted once per inventory, not once per page."""
        if inventory.first == 0 or inventory.vol not in self._snapshots:
            if len(self._snapshots) >= _MAX_SNAPSHOTS:
                self._snapshots.pop(next(iter(self._snapshots)))
            self._snapshots[inventory.vol] = self._store.snapshot(inventory.vol)
        ids = self._snapshots[inventory.vol]
        return ids[bisect_left(ids, inventory.first) :]
