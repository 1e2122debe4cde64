"""Access times, as `relatime` keeps them (mount(8)): moved in memory by reads, written when there is an occasion.

A read moves atime only where it is older than mtime or ctime, or a day old. It makes no Change: the next Change of the
inode carries it, or a lazy duty does. No answer waits for it, and a crash may lose it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from namespace.edit import Edit, Planned

if TYPE_CHECKING:
    from namespace.api import Attr
    from namespace.cache import InodeEntry
    from namespace.engine import Engine
    from namespace.view import View
    from namespace.volume import VolumeState

DAY_NS = 24 * 3600 * 1_000_000_000
#: Access times that wait to be written; more than that are left to the files' next Changes.
MOST_WAITING = 8192
#: Access times written by one Change.
CHUNK = 256


def is_atime_due(attr: Attr, now_ns: int) -> bool:
    """Tell whether a read at *now_ns* moves the access time."""
    atime = attr.atime
    return atime <= attr.mtime or atime <= attr.ctime or now_ns - atime >= DAY_NS


class ReadTimes:
    """Files of one volume whose access time is newer in memory than in the database."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        """Begin with none."""
        self._entries: dict[InodeEntry, None] = {}

    def __len__(self) -> int:
        """Return how many wait to be written."""
        return len(self._entries)

    def mark(self, entry: InodeEntry, now_ns: int) -> None:
        """Note that *entry* was read at *now_ns*."""
        entry.atime = now_ns
        entry.attr = None
        if len(self._entries) < MOST_WAITING:
            self._entries[entry] = None

    def take(self, most: int) -> list[InodeEntry]:
        """Take out at most *most* of those that still wait."""
        taken: list[InodeEntry] = []
        while self._entries and len(taken) < most:
            entry = next(iter(self._entries))
            del self._entries[entry]
            if entry.atime and entry.image is not None:
                taken.append(entry)
        return taken


async def write_read_times(engine: Engine, volume: VolumeState, now_ns: int) -> None:
    """Write the access times that wait, a chunk at a time; nothing else of the inodes changes."""
    while not volume.dead and (entries := volume.read_times.take(CHUNK)):

        def plan(view: View, entries: list[InodeEntry] = entries) -> Planned[None]:
            edit = Edit(view, now_ns)
            for entry in entries:
                if entry.atime and entry.image is not None and view.volume.cache.inodes.get(entry.ino) is entry:
                    edit.set(entry, atime=entry.atime)
            return edit.planned(lambda: None)

        await engine.run(volume, plan)
