"""The body map of one content: extents by offset, as far as they are known, and how they change.

An `ExtentMap` is memory. A plan tries its changes on a `Draft` of it, which tells what they mean for the rows and for
the blobs' references; install makes the draft the map.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from metastore.records import Extent
from namespace.intervals import IntervalSet

if TYPE_CHECKING:
    from collections.abc import Sequence

_offset = attrgetter("offset")


class ExtentMap:
    """Known extents of one content, in order, and the byte ranges in which they are all known."""

    __slots__ = ("content", "extents", "known")

    def __init__(self, content: int) -> None:
        """Know nothing of *content*."""
        self.content = content
        self.extents: list[Extent] = []
        self.known: IntervalSet[int] = IntervalSet()

    def touching(self, start: int, end: int | None) -> tuple[int, int]:
        """Return the slice [i, j) of extents that have a byte in [start, end)."""
        first = bisect_right(self.extents, start, key=_offset)
        if first and _end(self.extents[first - 1]) > start:
            first -= 1
        last = first
        while last < len(self.extents) and (end is None or self.extents[last].offset < end):
            last += 1
        return first, last

    def learn(self, loaded: Sequence[Extent], start: int, end: int | None) -> None:
        """Enter what a load found in [start, end): what is known already is newer and stays.

        An extent that lies across *start* is then known whole. If its first bytes were not, a later load would bring
        it again, and over what a change has made of it meanwhile.
        """
        for extent in loaded:
            if not self.known.covers(extent.offset):
                first, _ = self.touching(extent.offset, _end(extent))
                self.extents.insert(first, extent)
        self.known.add(min(start, loaded[0].offset) if loaded else start, end)


class Draft:
    """A plan's copy of a body map, and what it has changed so far."""

    __slots__ = ("_scratch", "added", "base", "removed")

    def __init__(self, base: ExtentMap) -> None:
        """Begin with *base* unchanged."""
        self.base = base
        self.removed: set[Extent] = set()
        self.added: set[Extent] = set()
        self._scratch = ExtentMap(base.content)
        self._scratch.extents = list(base.extents)

    @property
    def extents(self) -> list[Extent]:
        """Return the extents as changed, in order, as far as they are known."""
        return self._scratch.extents

    def replace(self, start: int, end: int | None, by: Sequence[Extent] = ()) -> None:
        """Give the bytes [start, end), which must be known, to *by*: extents in order that lie inside."""
        first, last = self._scratch.touching(start, end)
        before: list[Extent] = []
        after: list[Extent] = []
        for extent in self.extents[first:last]:
            self._take(extent)
            if extent.offset < start:
                before.append(part_of(extent, extent.offset, start))
            if end is not None and _end(extent) > end:
                after.append(part_of(extent, end, _end(extent)))
        now = [*before, *by, *after]
        for extent in now:
            self._give(extent)
        self.extents[first:last] = now

    def _take(self, extent: Extent) -> None:
        if extent in self.added:
            self.added.discard(extent)
        else:
            self.removed.add(extent)

    def _give(self, extent: Extent) -> None:
        if extent in self.removed:
            self.removed.discard(extent)
        else:
            self.added.add(extent)

    @property
    def changed(self) -> bool:
        """Tell whether the map differs from its base."""
        return bool(self.removed or self.added)

    @property
    def used_delta(self) -> int:
        """Return by how many bytes the content's extents grow."""
        return sum(extent.length for extent in self.added) - sum(extent.length for extent in self.removed)

    def reference_deltas(self) -> dict[int, int]:
        """Return how many references each blob gains or loses, zeros left out."""
        deltas: dict[int, int] = {}
        for extent in self.added:
            deltas[extent.blob] = deltas.get(extent.blob, 0) + 1
        for extent in self.removed:
            deltas[extent.blob] = deltas.get(extent.blob, 0) - 1
        return {blob: delta for blob, delta in deltas.items() if delta}


def adjoins(first: Extent, second: Extent) -> bool:
    """Tell whether *second* goes on where *first* ends, in the content and in one blob."""
    return (
        first.blob == second.blob
        and first.offset + first.length == second.offset
        and first.blob_offset + first.length == second.blob_offset
    )


def joined(first: Extent, second: Extent) -> Extent:
    """Return two extents that adjoin as one."""
    return replace(first, length=first.length + second.length)


def _end(extent: Extent) -> int:
    return extent.offset + extent.length


def part_of(extent: Extent, start: int, end: int) -> Extent:
    """Return the bytes [start, end) of *extent*."""
    shift = start - extent.offset
    return Extent(extent.vol, extent.content, start, end - start, extent.blob, extent.blob_offset + shift)
