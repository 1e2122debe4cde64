"""One put: to all N nodes at once, answered after W, with hand-off to the next live node where one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from foundation.aio import Promise, spawn
from foundation.errors import AlreadyExists, FsError, NoSpace, Unavailable
from storage_engine.api import Placement
from storage_engine.cluster.link import Unreachable
from storage_engine.wire.frames import Kind, Refusal, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foundation.clock import Clock
    from storage_engine.api import BlobId
    from storage_engine.cluster.link import NodeLink

_log = Logger()
#: One node's time for one copy, and the time for all of it.
ATTEMPT_SECONDS = 10.0
TOTAL_SECONDS = 25.0


class Placing:
    """The copies of one blob on their way.

    The placement that `run` returns says what is true when it returns: a position whose node has not answered yet is
    *missing*. With W < N its copy goes on in the background, and if it arrives the row says less than there is, never
    more; a late failure needs no report. With W = N nothing is under way when `run` returns.
    """

    def __init__(self, blob: BlobId, payload: Sequence[bytes | memoryview], size: int, quorum: int) -> None:
        """Store the PUT *payload* of *blob*, with *size* bytes of body."""
        self._blob = blob
        self._payload = payload
        self._size = size
        self._quorum = quorum
        self._taken: list[bool] = []  # by ring position
        self._handoffs: list[int] = []
        self._spares: list[NodeLink] = []
        self._under_way = 0
        self._refusals: list[Exception] = []
        self._done: Promise[None] = Promise()

    async def run(
        self, ring_epoch: int, targets: Sequence[NodeLink | None], spares: Sequence[NodeLink], clock: Clock
    ) -> Placement:
        """Return where the copies are, once W of them are durable; *targets* are the N nodes by ring position.

        Raise NoSpace, Unavailable (too few nodes, too late, or the epoch is closed) or AlreadyExists.
        """
        self._taken = [False] * len(targets)
        self._spares = list(spares)
        self._under_way = len(targets)
        timer = clock.call_later(TOTAL_SECONDS, self._too_late)
        for position, target in enumerate(targets):
            spawn("put a copy", self._place(position, target))
        try:
            await self._done
        finally:
            timer.cancel()
        missing = sum(1 << position for position, taken in enumerate(self._taken) if not taken)
        return Placement(ring_epoch, missing, b"".join(node.to_bytes(2) for node in self._handoffs))

    async def _place(self, position: int, target: NodeLink | None) -> None:
        """Store the copy of *position* on *target*, or else on the first spare node that takes it."""
        if target is not None and await self._put(target):
            self._taken[position] = True
        else:
            while (spare := self._next_spare()) is not None:
                if await self._put(spare):
                    self._handoffs.append(spare.address.id)
                    break
        self._under_way -= 1
        self._look()

    def _next_spare(self) -> NodeLink | None:
        while self._spares and not self._done.done:
            spare = self._spares.pop(0)
            if spare.up:
                return spare
        return None

    async def _put(self, link: NodeLink) -> bool:
        try:
            await link.ask(Kind.PUT, self._payload, ATTEMPT_SECONDS, self._size)
        except Unreachable as error:
            self._refusals.append(error)
            return False
        except Refusal as refusal:
            _log.warn("node {id} refuses {blob}: {refusal}", id=link.address.id, blob=self._blob, refusal=refusal)
            self._refusals.append(refusal)
            if refusal.status in {Status.EPOCH_CLOSED, Status.USED}:
                self._fail(self._error())  # no other node would, or should, take it
            return False
        return True

    def _look(self) -> None:
        """End the wait when enough copies are durable, or when no more can be."""
        if sum(self._taken) + len(self._handoffs) >= self._quorum:
            if not self._done.done:
                self._done.resolve(None)
        elif not self._under_way:
            self._fail(self._error())

    def _too_late(self) -> None:
        self._fail(Unavailable(f"blob {self._blob.vol}/{self._blob.id}: too few copies in {TOTAL_SECONDS:.0f} s"))

    def _fail(self, error: FsError) -> None:
        if not self._done.done:
            self._done.fail(error)

    def _error(self) -> FsError:
        """Return what the refusals amount to."""
        statuses = {each.status for each in self._refusals if isinstance(each, Refusal)}
        detail = "; ".join(map(str, self._refusals)) or "no node"
        if Status.USED in statuses:
            return AlreadyExists(detail)
        if Status.NO_SPACE in statuses and Status.EPOCH_CLOSED not in statuses:
            return NoSpace(detail)
        return Unavailable(detail)
