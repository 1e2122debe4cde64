"""The body map of one content: extents by offset, as far as they are known, and how they change.

An `ExtentMap` is memory. A plan tries its changes on a `Draft` of it, which tells what they mean for the rows and for
the blobs' references; install applies the draft to the map. Both cost what they touch, however long the map is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from metastore.records import Extent
from namespace.intervals import IntervalSet
from namespace.spans import SpanList

if TYPE_CHECKING:
    from collections.abc import Sequence


class ExtentMap:
    """Known extents of one content, in order, and the byte ranges in which they are all known.

    A range begins and ends between extents, never inside one: so a late load is known to be late by the offsets of
    its rows alone.
    """

    __slots__ = ("content", "extents", "known")

    def __init__(self, content: int) -> None:
        """Know nothing of *content*."""
        self.content = content
        self.extents: SpanList[Extent] = SpanList()
        self.known: IntervalSet[int] = IntervalSet()

    def touching(self, start: int, end: int | None) -> list[Extent]:
        """Return the extents that have a byte in [start, end)."""
        return self.extents.touching(start, end)

    def looked_at(self, start: int, most: int) -> list[Extent]:
        """Return at most *most* extents from *start* on, which is known, up to where the next ones are not."""
        found: list[Extent] = []
        position = start
        for extent in self.extents.starting(start):
            if len(found) == most or not self.known.covers_range(position, extent.end):
                break
            found.append(extent)
            position = extent.end
        return found

    def learn(self, loaded: Sequence[Extent], start: int, end: int | None) -> None:
        """Enter what a load found in [start, end): what is known already is newer and stays.

        An extent that lies across *start* is then known whole. If its first bytes were not, a later load would bring
        it again, and over what a change has made of it meanwhile.
        """
        for extent in loaded:
            if not self.known.covers(extent.offset):
                self.extents.replace(extent.offset, extent.end, [extent])
        if loaded:
            start = min(start, loaded[0].offset)
            end = None if end is None else max(end, loaded[-1].end)
        self.known.add(start, end)


class Draft:
    """What a plan has changed of a body map so far; the map itself stays as it is until `install`."""

    __slots__ = ("_added", "_base", "removed")

    def __init__(self, base: ExtentMap) -> None:
        """Begin with *base* unchanged."""
        self._base = base
        self._added: SpanList[Extent] = SpanList()
        self.removed: set[Extent] = set()

    @property
    def added(self) -> SpanList[Extent]:
        """Return the extents that the base has not, in order."""
        return self._added

    def touching(self, start: int, end: int | None) -> list[Extent]:
        """Return the extents, as changed, that have a byte in [start, end)."""
        kept = [extent for extent in self._base.touching(start, end) if extent not in self.removed]
        added = self._added.touching(start, end)
        return sorted([*kept, *added], key=lambda extent: extent.offset) if kept and added else kept or added

    def replace(self, start: int, end: int | None, by: Sequence[Extent] = ()) -> None:
        """Give the bytes [start, end), which must be known, to *by*: extents in order that lie inside."""
        before: list[Extent] = []
        after: list[Extent] = []
        for extent in self.touching(start, end):
            self._take(extent)
            if extent.offset < start:
                before.append(part_of(extent, extent.offset, start))
            if end is not None and extent.end > end:
                after.append(part_of(extent, end, extent.end))
        for extent in (*before, *by, *after):
            self._give(extent)

    def _take(self, extent: Extent) -> None:
        if extent in self._added.touching(extent.offset, extent.end):
            self._added.replace(extent.offset, extent.end)
        else:
            self.removed.add(extent)

    def _give(self, extent: Extent) -> None:
        if extent in self.removed:
            self.removed.discard(extent)
        else:
            self._added.replace(extent.offset, extent.end, [extent])

    def install(self) -> ExtentMap:
        """Apply the changes to the base and return it."""
        extents = self._base.extents
        for extent in self.removed:
            extents.replace(extent.offset, extent.end)
        for extent in self._added:
            extents.replace(extent.offset, extent.end, [extent])
        return self._base

    @property
    def changed(self) -> bool:
        """Tell whether the map differs from its base."""
        return bool(self.removed or self._added)

    @property
    def count(self) -> int:
        """Return how many extents are known, as changed."""
        return len(self._base.extents) + self.count_delta

    @property
    def count_delta(self) -> int:
        """Return by how many extents the content grows."""
        return len(self._added) - len(self.removed)

    @property
    def used_delta(self) -> int:
        """Return by how many bytes the content's extents grow."""
        return sum(extent.length for extent in self._added) - sum(extent.length for extent in self.removed)

    def reference_deltas(self, cut: int | None = None) -> dict[int, int]:
        """Return how many references each blob gains or loses, zeros left out; a cut at *cut* gives back its own."""
        deltas: dict[int, int] = {}
        for extent in self._added:
            deltas[extent.blob] = deltas.get(extent.blob, 0) + 1
        for extent in self.removed:
            if cut is None or extent.offset < cut:
                deltas[extent.blob] = deltas.get(extent.blob, 0) - 1
        return {blob: delta for blob, delta in deltas.items() if delta}


def adjoins(first: Extent, second: Extent) -> bool:
    """Tell whether *second* goes on where *first* ends, in the content and in one blob."""
    return (
        first.blob == second.blob
        and first.end == second.offset
        and first.blob_offset + first.length == second.blob_offset
    )


def joined(first: Extent, second: Extent) -> Extent:
    """Return two extents that adjoin as one."""
    return replace(first, length=first.length + second.length)


def part_of(extent: Extent, start: int, end: int) -> Extent:
    """Return the bytes [start, end) of *extent*."""
    shift = start - extent.offset
    return Extent(extent.vol, extent.content, start, end - start, extent.blob, extent.blob_offset + shift)
