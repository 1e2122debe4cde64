"""The reply cache: a call that must not run twice is run once, however often it comes (RFC 1813, section 4.9).

A call is known by its client's address and by its whole record, so xid, credential, procedure and arguments: another
client, another user or another request never meets its reply. While it runs, its duplicates, from whatever connection,
wait for the same reply; afterwards they get it from memory for two minutes, as far as the limits allow. What memory
has lost, with the process or with an outcome that was not known, the namespace remembers (ADR 0022).
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING

from msgspec import Struct

from foundation.aio import Promise

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from foundation.clock import Clock
    from protocols.nfs.codec.xdr import Buffer
    from protocols.nfs.dispatch import Call

_FINGERPRINT_BYTES = 16
#: What a reply is taken to weigh beside its own bytes, in bytes: measured (tests/unit/nfs/test_nfs_replies.py).
ENTRY_BYTES = 256


class ReplyLimits(Struct, frozen=True):
    """How much is kept of replies that were given: what runs is not limited here, and never forgotten."""

    bytes_per_host: int = 16 << 20  # some 30,000 replies: a whole network may come from one address
    bytes_in_all: int = 64 << 20
    seconds: float = 120.0  # as the kernel's NFS server has it


def fingerprint(host: str, record: bytes) -> bytes:
    """Return what names a call of the client at *host* for ever, in 16 bytes."""
    return blake2b(b"%b\0%b" % (host.encode(), record), digest_size=_FINGERPRINT_BYTES).digest()


class _Given(Struct, frozen=True, gc=False):
    """A reply that was given."""

    reply: bytes
    at: float  # boot time, in seconds


class _Host:
    """The replies given to one client address, oldest first."""

    __slots__ = ("given", "size")

    def __init__(self) -> None:
        """Begin with none."""
        self.given: OrderedDict[bytes, _Given] = OrderedDict()
        self.size = 0  # in bytes

    def forget_oldest(self) -> int:
        """Forget one reply; return its weight."""
        _, given = self.given.popitem(last=False)
        weight = len(given.reply) + ENTRY_BYTES
        self.size -= weight
        return weight


class ReplyCache:
    """The replies of one service, shared by all its connections."""

    def __init__(self, clock: Clock, limits: ReplyLimits | None = None) -> None:
        """Keep replies within *limits*."""
        self._clock = clock
        self._limits = limits or ReplyLimits()
        #: By fingerprint; a promise from the first duplicate on.
        self._running: dict[bytes, Promise[list[Buffer] | None] | None] = {}
        self._hosts: OrderedDict[str, _Host] = OrderedDict()  # the one that was answered last is last
        self._size = 0  # of all hosts, in bytes

    async def once(self, call: Call, run: Callable[[Call], Awaitable[list[Buffer] | None]]) -> list[Buffer] | None:
        """Return the reply to *call*; let *run* find it if it is not known.

        None, where nothing may be answered, is not kept: who asks again is served anew.
        """
        request, host = call.request, call.peer.host
        known = self._known(host, request)
        if known is not None:
            return [known]
        if request in self._running:
            return await self._joined(request)
        self._running[request] = None
        reply: list[Buffer] | None = None
        try:
            buffers = await run(call)
            if buffers is not None:
                joined = b"".join(buffers)
                reply = [joined]
                self._keep(host, request, joined)
        finally:
            promise = self._running.pop(request)
            if promise is not None:
                promise.resolve(reply)
        return reply

    async def _joined(self, request: bytes) -> list[Buffer] | None:
        """Wait for the reply to *request*, which runs."""
        promise = self._running[request]
        if promise is None:
            promise = self._running[request] = Promise()
        return await promise

    def _known(self, host: str, request: bytes) -> bytes | None:
        """Return the reply that was given to *request*, unless that was too long ago."""
        known = self._hosts.get(host)
        given = None if known is None else known.given.get(request)
        if known is None or given is None:
            return None
        if given.at > self._clock.boottime_seconds() - self._limits.seconds:
            return given.reply
        known.given.move_to_end(request, last=False)
        self._forget(host)
        return None

    def _keep(self, host: str, request: bytes, reply: bytes) -> None:
        """Keep *reply*, and forget what is too old or too much."""
        now = self._clock.boottime_seconds()
        mine = self._hosts.get(host)
        if mine is None:
            mine = self._hosts[host] = _Host()
        else:
            self._hosts.move_to_end(host)
        weight = len(reply) + ENTRY_BYTES
        mine.given[request] = _Given(reply, now)
        mine.size += weight
        self._size += weight
        limits = self._limits
        while mine.size > limits.bytes_per_host:
            self._forget(host)
        while self._size > limits.bytes_in_all:
            # Who has more than an equal share makes room; else who has been quiet the longest.
            self._forget(host if mine.size * len(self._hosts) > self._size else next(iter(self._hosts)))
        self._expire(now - limits.seconds)

    def _expire(self, old: float) -> None:
        """Forget what the quietest host was given at *old* or before: two replies at most, as one has come."""
        for _ in range(2):
            host = next(iter(self._hosts), None)
            if host is None or next(iter(self._hosts[host].given.values())).at > old:
                return
            self._forget(host)

    def _forget(self, host: str) -> None:
        """Forget the oldest reply of *host*, and the host with its last."""
        known = self._hosts[host]
        self._size -= known.forget_oldest()
        if not known.given:
            del self._hosts[host]
