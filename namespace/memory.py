"""The memory that the caches of all volumes share."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from namespace.cache import Cache

#: The part of the limit, in percent, that objects may take. The allocator loses the rest where their sizes change:
#: after a million inodes with names, absent names took 1.45 times what they are counted.
FILLED = 70
#: The caches are looked at together when they have grown by one part in so many of what they share.
LOOK_ROUND = 256


class Memory:
    """The memory that the caches of all volumes share, in bytes: where it runs out, the largest makes room."""

    def __init__(self, limit_bytes: int) -> None:
        """Let the process grow by about *limit_bytes*."""
        self.limit = limit_bytes * FILLED // 100
        self._caches: WeakSet[Cache] = WeakSet()  # an incarnation that ended takes its cache with it
        self._grown = 0

    def join(self, cache: Cache) -> None:
        """Count *cache* from now on."""
        self._caches.add(cache)

    def grew(self, by: int) -> None:
        """Note that a cache has grown by so many bytes, and now and then look at all."""
        self._grown += by
        if self._grown <= self.limit // LOOK_ROUND:
            return
        self._grown = 0
        caches = sorted(self._caches, key=lambda cache: cache.bytes, reverse=True)
        over = sum(cache.bytes for cache in caches) - self.limit
        for cache in caches:
            if over <= 0:
                break
            over -= cache.give(over)
