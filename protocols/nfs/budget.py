"""Limits of the RPC transports, and the memory that all calls in flight share."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from foundation.clock import Clock


class Limits(Struct, frozen=True):
    """What one peer, and all together, may take. Bytes count a call's record and the longest reply it asks for.

    Memory is bounded by `bytes_in_all` and, beside it, by what a connection holds uncounted: a few KiB while it is
    idle, and the first 64 KiB of a record on its way, which is 256 MiB if all connections there may be do it.
    """

    record_bytes: int = (1 << 20) + 8192  # wtmax and room for the head of a call
    calls_per_connection: int = 256
    bytes_per_connection: int = 16 << 20
    bytes_in_all: int = 256 << 20
    calls_per_turn: int = 64  # small ones of one connection, before others get their turn
    connections: int = 4096
    connections_per_host: int = 1024  # a whole network may come from one address
    datagrams: int = 64  # UDP calls in flight; more are dropped, as UDP may
    first_record_seconds: float = 30.0
    record_seconds: float = 10.0  # from a record's first byte to its last
    idle_seconds: float = 360.0  # longer than the 5 minutes after which Linux closes the connection itself
    stuck_seconds: float = 300.0  # a peer that does not read its replies
    sweep_seconds: float = 2.0


#: A connection may hold so large a part of the whole while nobody else holds any.
_SHARE = 16
#: Records on their way may hold so large a part of the whole, so that calls can go on beside them.
_ON_THEIR_WAY = 2


class Budget:
    """Bytes that all calls in flight, all unsent replies and all long records on their way share."""

    def __init__(self, limit_bytes: int, clock: Clock) -> None:
        """Allow *limit_bytes*; one call more may pass the limit, so that the largest always can run."""
        self._limit = limit_bytes
        self._clock = clock
        self._waiting: deque[Callable[[], object]] = deque()
        self._waiting_to_reserve: deque[Callable[[], object]] = deque()
        self._waking = False
        self._reserved = 0
        self.used = 0

    def exhausted(self) -> bool:
        """Tell whether no further call may start."""
        return self.used >= self._limit

    def share(self) -> int:
        """Return how many bytes one connection may hold now: a sixteenth of all, and ever less of what is free.

        So a hundred peers that take no replies leave room for all others, whoever came first.
        """
        free = max(0, self._limit - self.used)
        return free * free // (self._limit * _SHARE)

    def take(self, size: int) -> None:
        """Count *size* bytes."""
        self.used += size

    def give(self, size: int) -> None:
        """Give *size* bytes back and let those who wait go on, in order."""
        self.used -= size
        if self._waiting and not self._waking:
            self._waking = True
            self._clock.call_later(0.0, self._wake)

    def wait(self, go_on: Callable[[], object]) -> None:
        """Call *go_on* once there is room."""
        self._waiting.append(go_on)

    def may_reserve(self) -> bool:
        """Tell whether a long record may come now."""
        return self._reserved < self._limit // _ON_THEIR_WAY

    def reserve(self, size: int) -> None:
        """Count *size* bytes of a record that is on its way."""
        self._reserved += size
        self.take(size)

    def unreserve(self, size: int) -> None:
        """Give *size* reserved bytes back and let those who wait for them reserve, in order."""
        self._reserved -= size
        self.give(size)
        while self._waiting_to_reserve and self.may_reserve():
            self._waiting_to_reserve.popleft()()

    def wait_to_reserve(self, reserve: Callable[[], object]) -> None:
        """Call *reserve* once a long record may come."""
        self._waiting_to_reserve.append(reserve)

    def _wake(self) -> None:
        self._waking = False
        # Who finds no room again queues behind the others: only those who wait now have their turn.
        for _ in range(len(self._waiting)):
            if self.exhausted():
                return
            self._waiting.popleft()()
