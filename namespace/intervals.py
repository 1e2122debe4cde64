"""Sets of half-open intervals over any ordered type: what is known of a directory's names or a content's bytes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, Generic, TypeVar

K = TypeVar("K", bytes, int)


class IntervalSet(Generic[K]):
    """Disjoint intervals [lower, upper) in order; an upper of None has no bound."""

    __slots__ = ("_lowers", "_uppers")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lowers: list[K] = []
        self._uppers: list[K | None] = []

    def __len__(self) -> int:
        """Return how many intervals there are."""
        return len(self._lowers)

    def clear(self) -> None:
        """Forget everything."""
        self._lowers.clear()
        self._uppers.clear()

    def covers(self, point: K) -> bool:
        """Tell whether *point* lies in the set."""
        index = bisect_right(self._lowers, point) - 1
        return index >= 0 and not _before(self._uppers[index], point)

    def covers_range(self, lower: K, upper: K | None) -> bool:
        """Tell whether all of [lower, upper) lies in one interval."""
        index = bisect_right(self._lowers, lower) - 1
        if index < 0:
            return False
        end = self._uppers[index]
        return end is None or (upper is not None and upper <= end)

    def add(self, lower: K, upper: K | None) -> None:
        """Add [lower, upper), joining what it touches."""
        if upper is not None and upper <= lower:
            return
        first = bisect_left(self._lowers, lower)
        if first and _reaches(self._uppers[first - 1], lower):
            first -= 1
            lower = self._lowers[first]
        last = first
        while last < len(self._lowers) and _reaches(upper, self._lowers[last]):
            end = self._uppers[last]
            upper = None if upper is None or end is None else max(upper, end)
            last += 1
        self._lowers[first:last] = [lower]
        self._uppers[first:last] = [upper]

    def cut(self, lower: K, upper: K | None) -> None:
        """Take [lower, upper) out."""
        if upper is not None and upper <= lower:
            return
        first = bisect_right(self._lowers, lower) - 1
        if first < 0 or _before(self._uppers[first], lower):
            first += 1
        lowers: list[K] = []
        uppers: list[K | None] = []
        last = first
        while last < len(self._lowers) and (upper is None or self._lowers[last] < upper):
            start, end = self._lowers[last], self._uppers[last]
            if start < lower:
                lowers.append(start)
                uppers.append(lower)
            if upper is not None and (end is None or upper < end):
                lowers.append(upper)
                uppers.append(end)
            last += 1
        self._lowers[first:last] = lowers
        self._uppers[first:last] = uppers

    def drop_next_to(self, point: K) -> None:
        """Take out the interval next below *point*, or else the one above: the set gets one interval smaller."""
        if self._lowers:
            index = max(0, bisect_right(self._lowers, point) - 1)
            del self._lowers[index], self._uppers[index]


def _before(upper: Any, point: Any) -> bool:
    """Tell whether an interval that ends at *upper* ends at or before *point*."""
    return upper is not None and bool(upper <= point)


def _reaches(upper: Any, point: Any) -> bool:
    """Tell whether an interval that ends at *upper* touches one that starts at *point*."""
    return upper is None or bool(point <= upper)
