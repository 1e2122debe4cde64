"""What Linux clients left of files that were open when they were removed, and never came back for (DESIGN 3.2).

A client that dies between the rename to a silly name and the removal at the last close leaves an entry that S3 does
not list and nobody asks for. It goes a week after its last change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.log import Logger
from metastore.records import FileType
from namespace.attributes import attr_of
from namespace.edit import Edit, Planned
from namespace.silly import is_silly_name
from namespace.tree import unlink

if TYPE_CHECKING:
    from collections.abc import Callable

    from metastore.records import Edge
    from namespace.hall import Hall
    from namespace.view import View
    from namespace.volume import VolumeState

_log = Logger()
#: How long after its last change a silly name goes.
AGE_NS = 7 * 24 * 3600 * 1_000_000_000
#: How long after a look at all unlisted entries of a volume the next one begins.
REST_NS = 3600 * 1_000_000_000
#: Entries looked at in one turn: a volume may have any number of symbolic links.
PAGE = 1000
_START = (0, b"")


class Remains:
    """Looks through the unlisted entries of each volume, a page at a turn."""

    def __init__(self, hall: Hall) -> None:
        """Look after *hall*."""
        self._hall = hall
        self._places: dict[int, tuple[int, bytes]] = {}  # volume -> the entry looked at last
        self._resting: dict[int, int] = {}  # volume -> ns until which there is nothing to do

    async def turn(self, volume: VolumeState) -> int:
        """Look at one page, unless the volume was looked through lately; return how many entries were removed."""
        now = self._hall.clock.now_ns()
        if now < self._resting.get(volume.vol, 0):
            return 0
        after = self._places.pop(volume.vol, _START)
        page = await self._hall.engine.metastore.page_unlisted(volume.vol, after, PAGE)
        removed = 0
        for named in page:
            old = named.inode.type == FileType.REGULAR and named.inode.ctime < now - AGE_NS
            if old and is_silly_name(named.edge.skey):
                removed += await self._hall.engine.run(volume, self._plan(named.edge, now))
        if len(page) == PAGE:
            self._places[volume.vol] = page[-1].edge.key
        else:
            self._resting[volume.vol] = now + REST_NS
        if removed:
            _log.info("{count} silly names of {name} removed", count=removed, name=volume.row.name)
        return removed

    @staticmethod
    def _plan(seen: Edge, now_ns: int) -> Callable[[View], Planned[int]]:
        """Return the plan that removes the entry, if it is still what the page showed."""

        def plan(view: View) -> Planned[int]:
            edge = view.edge(seen.parent, seen.skey)
            if edge is None or edge.listed or edge.ino != seen.ino:
                return Planned(lambda: 0)
            entry, _ = view.live(edge.ino)
            parent, _ = view.live(edge.parent)
            if attr_of(entry).ctime >= now_ns - AGE_NS:
                return Planned(lambda: 0)
            edit = Edit(view, now_ns)
            unlink(edit, entry, edge)
            edit.touch_directory(parent, entries=-1)
            return edit.planned(lambda: 1)

        return plan
