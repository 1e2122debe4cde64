"""What every repair of a volume is made of: a look at a row, one small fenced commit, a note of what was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from foundation.crash import crash_point
from metastore.records import Change, Edge, Inode, Reclaim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from foundation.clock import Clock
    from metastore.api import Finding, MetaStore
    from metastore.records import RowType

    #: Repairs what a finding tells; returns what was and what is, or None where it leaves it.
    Step: TypeAlias = Callable[[Finding], Awaitable[tuple[str, str] | None]]

after_step = crash_point("repair.after_step")

#: Rows of one step that works in chunks.
CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Repaired:
    """One thing that was wrong and is right now."""

    vol: int
    rule: str
    subject: str
    was: str
    now: str


class RepairWork:
    """The repair of one volume: its rows, and what was done."""

    def __init__(self, metastore: MetaStore, clock: Clock, vol: int) -> None:
        """Repair *vol*, which the caller has taken."""
        self._metastore = metastore
        self._clock = clock
        self._vol = vol
        self._in_doubt = True
        self.done: list[Repaired] = []

    def _note(self, rule: str, subject: str, was: str, now: str) -> None:
        self.done.append(Repaired(self._vol, rule, subject, was, now))

    async def _inode(self, ino: int) -> Inode | None:
        return next(iter(await self._metastore.load_inodes(self._vol, [ino])), None)

    async def _edge(self, found: Finding) -> Edge | None:
        named = await self._metastore.load_edges(self._vol, [(found.number, found.name)])
        return named[0].edge if named else None

    async def _commit(
        self,
        *puts: Inode | Edge | Reclaim,
        drops: tuple[tuple[RowType, tuple[int | bytes, ...]], ...] = (),
        refs: tuple[tuple[int, int], ...] = (),
    ) -> None:
        await self._commit_change(Change(self._vol, puts, drops, (), refs))

    async def _commit_change(self, change: Change) -> None:
        await self._metastore.wait(self._vol, self._metastore.commit(change))
        after_step()
