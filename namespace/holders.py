"""Who holds which volume, as far as this process can tell: which gateways live, and whose volumes may be taken.

The order of two reads carries the safety of a take-over. **First the volume's row, then the gateways**: when a
holder's beat has stood still up to the second read, whatever it does later it does in another term
(`namespace.lease`), at another epoch, and so not under the (holder, epoch) that the first read saw and that
`take_volume` compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from foundation.clock import Clock
    from metastore.api import MetaStore
    from metastore.records import Gateway
    from namespace.lease import Terms

#: The row of a dead gateway that holds nothing stays so long, for those who ask what happened, in seconds.
MEMORY_SECONDS = 3600.0


class Beat(Struct, frozen=True):
    """A beat, and the boot time at which an answer first showed it."""

    beat: int
    since: float


class GatewayState(Struct, frozen=True):
    """One run of a gateway, as this process sees it."""

    id: int
    name: str
    address: str
    alive: bool  # False: it has ended, or gave no sign for a whole lease
    volumes: tuple[str, ...]  # names of those it holds


class Sight(Struct, frozen=True):
    """What one look has shown."""

    rows: dict[int, Gateway]
    free: frozenset[int]  # whose volumes may be taken: oneself, and the dead
    forgettable: tuple[Gateway, ...]

    def is_free(self, holder: int) -> bool:
        """Return whether a volume of *holder*, whose row was read before this look began, may be taken."""
        return holder == 0 or holder in self.free or holder not in self.rows

    def address_of(self, holder: int) -> str:
        """Return where the doors of *holder* are, or an empty string."""
        row = self.rows.get(holder)
        return "" if row is None else row.address


class Holders:
    """Watches the beats of all gateways."""

    def __init__(self, metastore: MetaStore, clock: Clock, terms: Terms, predecessors: frozenset[int]) -> None:
        """Know nothing yet, but that *predecessors* (gateway ids) have ended: the caller has proof of it."""
        self._metastore = metastore
        self._clock = clock
        self._patience = terms.lease_seconds + terms.margin_seconds
        self._predecessors = predecessors
        self._seen: dict[int, Beat] = {}

    async def look(self) -> Sight:
        """Read the gateways; raise what the metastore raises."""
        asked = self._clock.boottime_seconds()
        rows = await self._metastore.gateways()
        return self._see(rows, asked, self._clock.boottime_seconds())

    def _see(self, rows: list[Gateway], asked: float, answered: float) -> Sight:
        """Judge by what a read that was sent after *asked* and had returned at *answered* has shown."""
        me = self._metastore.gateway_id
        free, forgettable = {me}, []
        for row in rows:
            seen = self._seen.get(row.id)
            if seen is None or seen.beat != row.beat:
                seen = self._seen[row.id] = Beat(row.beat, answered)
            still = asked - seen.since
            ended = row.beat < 0 or row.id in self._predecessors
            if row.id != me and (ended or still >= self._patience):
                free.add(row.id)
                if ended or still >= MEMORY_SECONDS:
                    forgettable.append(row)
        known = {row.id: row for row in rows}
        self._seen = {number: seen for number, seen in self._seen.items() if number in known}
        return Sight(known, frozenset(free), tuple(forgettable))
