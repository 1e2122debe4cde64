"""Rewriting fragmented files: many small extents that adjoin become one blob, with nobody noticing (DESIGN 4).

A file is noticed when a flush, or a load of its body map, shows it in many small extents. Then a window of it at a
time is read, written as one blob (*body first*), and swapped for the extents it was read from in one Change, whose
plan checks that exactly those are still there: a write or truncation that came meanwhile wins, and the new blob is
garbage. Size, times, ETag and write sequence stay: the bytes are the same. Readers under way keep the old blobs; a
copy under way notices by the number of extents, which always falls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from foundation.crash import crash_point
from metastore.records import Blob, Extent
from namespace.edit import Edit, Planned
from namespace.extents import Draft
from namespace.reading import committed_pieces, fetch
from storage_engine.api import MAX_BLOB_BYTES, BlobId, Origin

if TYPE_CHECKING:
    from metastore.records import Inode
    from namespace.api import Buffer
    from namespace.hall import Hall
    from namespace.view import View
    from namespace.volume import VolumeState
    from storage_engine.api import Placement

_after_put = crash_point("rewrite.after_put")
_before_commit = crash_point("rewrite.before_commit")
#: A file with no more extents than this is left as it is.
FEW_EXTENTS = 64
#: Extents that are shorter than this on the average are worth rewriting, if so many of them adjoin.
SHORT_BYTES = MAX_BLOB_BYTES // 16
LEAST_EXTENTS = 4
#: Extents looked at by one step, and windows rewritten in one round of the duties: 8 MiB a second.
LOOKED_AT = 1024
WINDOWS_PER_ROUND = 2
#: Pieces read side by side: the nodes have others to serve.
READS_AT_ONCE = 16
#: With more than this not durable yet the rewriting waits for a quieter round.
BUSY_BYTES = 1 << 20
#: Files remembered; more will be noticed again.
MOST_NOTICED = 1024


class Window(Struct, frozen=True):
    """Extents of one content that adjoin, as one plan saw them."""

    ino: int
    content: int
    write_seq: int
    extents: tuple[Extent, ...]

    @property
    def start(self) -> int:
        """Return the offset of the first byte."""
        return self.extents[0].offset

    @property
    def end(self) -> int:
        """Return the offset behind the last byte."""
        return self.extents[-1].end


class Rewriter:
    """Rewrites the files of all volumes, one at a time."""

    def __init__(self, hall: Hall) -> None:
        """Notice what flushes and loads of *hall* show."""
        self._engine = hall.engine
        self._bodies = hall.bodies
        self._clock = hall.clock
        self._room = hall.writeback.room
        self._files: dict[tuple[VolumeState, int], int] = {}  # (volume, inode) -> where to go on
        hall.writeback.flushed = hall.engine.loader.mapped = self.notice

    def notice(self, volume: VolumeState, image: Inode) -> None:
        """Remember the file if it is fragmented."""
        if is_fragmented(image) and len(self._files) < MOST_NOTICED:
            self._files.setdefault((volume, image.ino), 0)

    @property
    def has_work(self) -> bool:
        """Tell whether any file waits to be rewritten."""
        return bool(self._files)

    async def rewrite_some(self) -> int:
        """Rewrite a few windows, fewer where others have much to do; return how many."""
        done = 0
        while done < WINDOWS_PER_ROUND and self._files and not self._is_busy:
            (volume, ino), cursor = next(iter(self._files.items()))
            if volume.assembling:
                break  # a copy begins anew when the extents of its source change
            window, go_on = (None, None) if volume.dead else await self._next_window(volume, ino, cursor)
            if go_on is None:
                del self._files[volume, ino]
            else:
                self._files[volume, ino] = go_on
            if window is not None:
                await self._rewrite(volume, window)
                done += 1
        return done

    @property
    def _is_busy(self) -> bool:
        return self._room.is_sought or self._engine.metastore.pending_bytes > BUSY_BYTES

    async def _next_window(self, volume: VolumeState, ino: int, cursor: int) -> tuple[Window | None, int | None]:
        """Return extents worth rewriting at or after *cursor*, if they were found, and where to go on, if anywhere."""

        def plan(view: View) -> Planned[tuple[Window | None, int | None]]:
            entry = view.entry(ino)
            image = entry.image
            if image is None or not is_fragmented(image) or cursor >= image.size:
                return Planned(lambda: (None, None))
            known = view.extents(entry, cursor, cursor + 1)
            group, upto = _first_group(known.looked_at(cursor, LOOKED_AT))
            go_on = upto if upto > cursor else None
            window = Window(ino, image.content, image.write_seq, tuple(group)) if group else None
            return Planned(lambda: (window, go_on))

        return await self._engine.run(volume, plan)

    async def _rewrite(self, volume: VolumeState, window: Window) -> None:
        """Write the window's bytes as one blob and swap its extents for it."""
        pool = volume.numbers["blob"]
        while (number := pool.take()) is None:
            await self._engine.loader.reserve(volume, "blob")
        token = volume.begin_read(self._clock.now_ns())
        try:
            body = await self._read(volume, window)
        finally:
            volume.end_read(token)
        origin = Origin(volume.epoch, window.ino, window.content, window.start, window.write_seq)
        placement = await self._bodies.put(BlobId(volume.vol, number), body, origin)
        _after_put()
        _before_commit()
        await self._engine.run(volume, lambda view: self._plan_swap(view, window, number, placement))

    async def _read(self, volume: VolumeState, window: Window) -> list[Buffer]:
        """Return the window's bytes; raise Corrupt rather than write what no copy has sound."""
        buffers: list[Buffer] = []
        for first in range(0, len(window.extents), READS_AT_ONCE):
            some = window.extents[first : first + READS_AT_ONCE]
            pieces = committed_pieces(some, some[0].offset, some[-1].end - some[0].offset)
            buffers += await fetch(self._bodies, volume, pieces)
        return buffers

    def _plan_swap(self, view: View, window: Window, number: int, placement: Placement) -> Planned[bool]:
        """Plan to put the new blob in place of exactly the extents that it was read from; else do nothing."""
        entry = view.entry(window.ino)
        image = entry.image
        if image is None or image.content != window.content or view.volume.assembling:
            return Planned(lambda: False)
        known = view.extents(entry, window.start, window.end)
        if tuple(known.touching(window.start, window.end)) != window.extents:
            return Planned(lambda: False)
        size = window.end - window.start
        draft = Draft(known)
        draft.replace(window.start, window.end, [Extent(image.vol, image.content, window.start, size, number, 0)])
        edit = Edit(view, self._clock.now_ns())
        blob = Blob(image.vol, number, size, 0, placement.ring_epoch, placement.missing, placement.handoff)
        edit.redraw(entry, draft, [blob])
        return edit.planned(lambda: True)


def is_fragmented(image: Inode) -> bool:
    """Tell whether the file lies in many extents that are short on the average."""
    return image.extents > FEW_EXTENTS and image.used < image.extents * SHORT_BYTES


def _first_group(extents: list[Extent]) -> tuple[list[Extent], int]:
    """Return the first extents that adjoin and are worth rewriting, and the offset behind what was looked at."""
    group: list[Extent] = []
    size = 0
    for extent in extents:
        if group and (group[-1].end != extent.offset or size + extent.length > MAX_BLOB_BYTES):
            if _is_worth_it(group, size):
                return group, group[-1].end
            group, size = [], 0
        group.append(extent)
        size += extent.length
    upto = extents[-1].end if extents else 0
    return (group, upto) if group and _is_worth_it(group, size) else ([], upto)


def _is_worth_it(group: list[Extent], size: int) -> bool:
    return len(group) >= LEAST_EXTENTS and size < len(group) * SHORT_BYTES
