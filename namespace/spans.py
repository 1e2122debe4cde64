"""Spans of bytes in order of their offsets, never overlapping: the extents of a content, the runs of an overlay.

A file may have a million of them. They are kept in chunks, so that finding and replacing those of a range costs what
is touched and the logarithm of the rest.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Span(Protocol):
    """Bytes [offset, end)."""

    @property
    def offset(self) -> int: ...
    @property
    def end(self) -> int: ...


S = TypeVar("S", bound=Span)
_offset = attrgetter("offset")
#: A chunk that grows to twice this is split.
CHUNK = 512


class SpanList(Generic[S]):
    """Spans in order."""

    __slots__ = ("_chunks", "_count", "_firsts")

    def __init__(self, spans: Iterable[S] = ()) -> None:
        """Begin with *spans*, which are in order and do not overlap."""
        self._chunks: list[list[S]] = []  # none is empty
        self._firsts: list[int] = []  # the offset at which each chunk begins
        self._count = 0
        if first := list(spans):
            self._fill(0, 0, first)
            self._count = len(first)

    def __len__(self) -> int:
        """Return how many spans there are."""
        return self._count

    def __iter__(self) -> Iterator[S]:
        """Yield every span."""
        for chunk in self._chunks:
            yield from chunk

    @property
    def end(self) -> int:
        """Return the offset behind the last byte; 0 if there is none."""
        return self._chunks[-1][-1].end if self._chunks else 0

    def starting(self, start: int) -> Iterator[S]:
        """Yield the spans that end after *start*; the list must not change meanwhile."""
        index, place = self._find(start)
        while index < len(self._chunks):
            yield from self._chunks[index][place:] if place else self._chunks[index]
            index, place = index + 1, 0

    def touching(self, start: int, end: int | None) -> list[S]:
        """Return the spans that have a byte in [start, end); an *end* of None has no bound."""
        index, place = self._find(start)
        last, stop = self._upto(index, place, end)
        if index == last:
            return self._chunks[index][place:stop] if index < len(self._chunks) else []
        found = self._chunks[index][place:]
        for chunk in self._chunks[index + 1 : last]:
            found += chunk
        return found + self._chunks[last][:stop] if last < len(self._chunks) else found

    def append(self, span: S) -> None:
        """Add *span*, which lies behind all others."""
        if self._chunks and len(self._chunks[-1]) < CHUNK:
            self._chunks[-1].append(span)
        else:
            self._chunks.append([span])
            self._firsts.append(span.offset)
        self._count += 1

    def replace(self, start: int, end: int | None, by: Sequence[S] = ()) -> list[S]:
        """Take out the spans that touch [start, end), put *by* in their place, and return what was taken.

        *by* is in order, touches nothing that stays, and lies where it was cut.
        """
        index, place = self._find(start)
        last, stop = self._upto(index, place, end)
        if index == last and index < len(self._chunks):
            chunk = self._chunks[index]
            taken = chunk[place:stop]
            chunk[place:stop] = by
            self._settle(index)
        else:
            taken = self.touching(start, end)
            head = self._chunks[index][:place] if index < len(self._chunks) else []
            tail = self._chunks[last][stop:] if last < len(self._chunks) else []
            self._fill(index, min(last + 1, len(self._chunks)), [*head, *by, *tail])
        self._count += len(by) - len(taken)
        return taken

    def clear(self) -> None:
        """Forget all."""
        self._chunks.clear()
        self._firsts.clear()
        self._count = 0

    def _find(self, start: int) -> tuple[int, int]:
        """Return (chunk, place) of the first span that ends after *start*; a new one at *start* belongs there."""
        index = max(0, bisect_right(self._firsts, start) - 1)
        if index == len(self._chunks):
            return index, 0
        chunk = self._chunks[index]
        place = bisect_right(chunk, start, key=_offset)
        if place and chunk[place - 1].end > start:
            place -= 1
        return index, place

    def _upto(self, index: int, place: int, end: int | None) -> tuple[int, int]:
        """Return (chunk, place) behind the last span that begins before *end*, from (*index*, *place*) on."""
        if end is None:
            last = len(self._chunks) - 1
            return (last, len(self._chunks[last])) if last >= index else (index, place)
        while index < len(self._chunks):
            chunk = self._chunks[index]
            place = bisect_left(chunk, end, place, key=_offset)
            if place < len(chunk) or index + 1 == len(self._chunks) or self._firsts[index + 1] >= end:
                break
            index, place = index + 1, 0
        return index, place

    def _settle(self, index: int) -> None:
        """Keep chunk *index*, which has changed, neither empty nor too long."""
        chunk = self._chunks[index]
        if chunk and len(chunk) < 2 * CHUNK:
            self._firsts[index] = chunk[0].offset
        else:
            self._fill(index, index + 1, chunk)

    def _fill(self, first: int, last: int, spans: list[S]) -> None:
        """Put *spans* in place of the chunks [first, last)."""
        chunks = [spans[start : start + CHUNK] for start in range(0, len(spans), CHUNK)]
        self._chunks[first:last] = chunks
        self._firsts[first:last] = [chunk[0].offset for chunk in chunks]
