"""Room for UNSTABLE data: bounds per file and over all, the promise of space, and WRITEs that wait (DESIGN 4).

Who finds no room waits in order of arrival. One who waits for its own file lets others pass; one who waits for memory
lets nobody pass. Room is handed over, not announced: exactly those wake who then have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.aio import Promise
from foundation.errors import NoSpace
from namespace.overlay import OVERLAY_COST, RUN_COST, Meter

if TYPE_CHECKING:
    from collections.abc import Callable

    from namespace.cache import InodeEntry
    from namespace.volume import VolumeState
    from storage_engine.api import BodyStore

#: UNSTABLE data, its tables included, may take this much memory over all files.
MEMORY_LIMIT_BYTES = 128 << 20
#: The same for one file.
FILE_LIMIT_BYTES = 32 << 20


class Turn:
    """A WRITE that waits for room, or has got it and not used it yet."""

    __slots__ = ("entry", "granted", "over", "size", "volume")

    def __init__(self, volume: VolumeState, entry: InodeEntry, size: int) -> None:
        """Ask for *size* bytes on behalf of *entry*."""
        self.volume = volume
        self.entry = entry
        self.size = size
        self.granted = False
        self.over: Promise[None] = Promise()  # the wait is


class Room:
    """Bytes of UNSTABLE data that are there, those promised to WRITEs on their way, and who waits."""

    def __init__(self, bodies: BodyStore) -> None:
        """Promise the space of *bodies*."""
        self.meter = Meter()
        self._bodies = bodies
        self._granted = 0  # bytes handed to turns that have not used them yet
        self._waiting: list[Turn] = []

    @property
    def is_sought(self) -> bool:
        """Tell whether anybody waits."""
        return bool(self._waiting)

    @property
    def promised(self) -> int:
        """Return how many bytes the nodes have not got yet, and must have room for."""
        return self.meter.bytes + self.meter.flying + self._granted

    def check_space(self, size: int) -> None:
        """Raise NoSpace unless the nodes have room for *size* bytes beside all that is promised."""
        if self._bodies.room().free < self.promised + size:
            raise NoSpace("the storage nodes are full")

    def has_room(self, entry: InodeEntry, size: int) -> bool:
        """Tell whether *size* bytes may be written to *entry* at once."""
        return not self._waiting and self._fits(size) and file_fits(entry, size)

    def _fits(self, size: int) -> bool:
        held = self.meter.held + self._granted
        return held + size + RUN_COST + OVERLAY_COST <= MEMORY_LIMIT_BYTES or held == 0

    def queue(self, turn: Turn) -> None:
        """Let *turn* wait, which may be over at once."""
        self._waiting.append(turn)
        self.hand_out()

    def hand_out(self) -> None:
        """Give what room there is to those who wait. Never call it from an installation: who wakes, acts at once."""
        while (turn := self._next()) is not None:
            self._waiting.remove(turn)
            turn.granted = True
            self._granted += turn.size
            turn.over.resolve(None)

    def _next(self) -> Turn | None:
        for turn in self._waiting:
            if not self._fits(turn.size):
                return None
            if file_fits(turn.entry, turn.size):
                return turn
        return None

    def use(self, turn: Turn) -> None:
        """Take back what *turn* was granted: its bytes are in an overlay now, or never will be."""
        if turn.granted:
            turn.granted = False
            self._granted -= turn.size

    def waiting(self) -> tuple[Turn, ...]:
        """Return who waits, in order of arrival."""
        return tuple(self._waiting)

    def refuse(self, error: Exception, entry: InodeEntry | None = None) -> None:
        """End with *error* the waits that *entry*'s data keeps; all of them where it keeps everybody, or is None."""

        def kept(turn: Turn) -> bool:
            return entry is None or turn.entry is entry or not self._fits(turn.size)

        for turn in self._remove(kept):
            turn.over.fail(error)

    def end_waits(self, volume: VolumeState) -> None:
        """End the waits in *volume*: who waited looks again, and finds it dead."""
        for turn in self._remove(lambda turn: turn.volume is volume):
            turn.over.resolve(None)

    def _remove(self, ended: Callable[[Turn], bool]) -> list[Turn]:
        gone = [turn for turn in self._waiting if ended(turn)]
        self._waiting = [turn for turn in self._waiting if turn not in gone]
        return gone


def file_fits(entry: InodeEntry, size: int) -> bool:
    """Tell whether one file's bound lets *size* more bytes in; a file with nothing pending may always write."""
    overlay = entry.overlay
    if overlay is None:
        return True
    held = overlay.meter.held
    return held + size <= FILE_LIMIT_BYTES or held <= OVERLAY_COST
