"""Deleting old rows of `batch` and `reply_cache`, by range, some seconds after nobody can ask for them any more."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.logger import Logger

from foundation.aio import spawn
from metastore.postgres.encoding import INT8_ARRAY, bigint_array
from metastore.postgres.session import Statement

if TYPE_CHECKING:
    from foundation.clock import Clock, Timer
    from metastore.grouping import Ledger
    from metastore.postgres.committer import Committer
    from metastore.postgres.link import Link

_log = Logger()
#: A request is sent again within this time, or never: the kernel's NFS server keeps its replies as long.
REPLY_SECONDS = 120.0
#: How often there is a look.
_TURN_SECONDS = 15.0

_PRUNE = {
    table: Statement(
        f"prune {table}",
        f"DELETE FROM {table} t USING unnest($1, $2, $3) AS k (vol, epoch, number)"
        " WHERE t.vol = k.vol AND (t.epoch, t.number) < (k.epoch, k.number)",
        (INT8_ARRAY, INT8_ARRAY, INT8_ARRAY),
    )
    for table in ("batch", "reply_cache")
}


class Pruner:
    """A background duty of an open store."""

    def __init__(self, link: Link, clock: Clock, ledger: Ledger, committer: Committer) -> None:
        """Prune over *link*; `start` begins."""
        self._link = link
        self._clock = clock
        self._ledger = ledger
        self._committer = committer
        self._timer: Timer | None = None
        # (boot time, last durable batch, epochs served) of the last turns, oldest first
        self._turns: deque[tuple[float, int, dict[int, int]]] = deque()

    def start(self) -> None:
        """Look every few seconds from now on."""
        self._timer = self._clock.call_later(_TURN_SECONDS, self._turn)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self) -> None:
        now = self._clock.boottime_seconds()
        self._turns.append((now, self._ledger.durable, dict(self._ledger.epochs)))
        old = None
        while self._turns and self._turns[0][0] <= now - REPLY_SECONDS:
            old = self._turns.popleft()
        if old is not None:
            spawn("prune", self.prune(old[1], old[2]))
        self.start()

    async def prune(self, number: int, epochs: dict[int, int]) -> None:
        """Delete what is older than batch *number* of volumes that are served at *epochs* still."""
        places = []
        for vol, epoch in epochs.items():
            last = self._committer.last_durable.get(vol)
            # The last batch of a volume stays: a lost connection asks for it.
            if last is not None and last[0] == epoch == self._ledger.epochs.get(vol):
                places.append((vol, epoch, min(number, last[1])))
        if places:
            parameters = [bigint_array(column) for column in zip(*places, strict=True)]
            for statement in _PRUNE.values():
                await self._link.query([(statement, parameters)])
            _log.debug("pruned {count} volumes to batch {number}", count=len(places), number=number)
