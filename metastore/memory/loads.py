"""`metastore.api.Loads`, `Pages` and `Uploads` over the memory database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from metastore.memory import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metastore.api import Steer
    from metastore.memory.database import MemoryDatabase
    from metastore.records import Blob, Extent, Inode, KeyEntry, Named, ObjectMeta, Part, Upload

T = TypeVar("T")


class MemoryLoads(ABC):
    """Each returns what it saw when it was called."""

    _database: MemoryDatabase

    @abstractmethod
    async def _after_hold(self, seen: T) -> T:
        """Return what was *seen*, when loads are let through."""

    async def load_inodes(self, vol: int, inos: Sequence[int]) -> list[Inode]:
        """Return the inodes among *inos* that exist."""
        return await self._after_hold(reading.inodes(self._database, vol, inos))

    async def load_edges(self, vol: int, keys: Sequence[tuple[int, bytes]]) -> list[Named]:
        """Return the entries among *keys* that exist."""
        return await self._after_hold(reading.edges(self._database, vol, keys))

    async def load_alias(self, vol: int, parent: int, alias: bytes) -> Named | None:
        """Return the entry of *parent* with that alias."""
        return await self._after_hold(reading.alias(self._database, vol, parent, alias))

    async def resolve_path(self, vol: int, top: int, components: Sequence[bytes]) -> list[Named]:
        """Walk *components* as far as they exist."""
        return await self._after_hold(reading.path(self._database, vol, top, components))

    async def load_extents(self, vol: int, content: int, start: int, limit: int) -> list[Extent]:
        """Return extents that end after *start*."""
        return await self._after_hold(reading.extents(self._database, vol, content, start, limit))

    async def load_blob(self, vol: int, blob: int) -> Blob | None:
        """Return one blob's row."""
        return await self._after_hold(reading.blob(self._database, vol, blob))

    async def load_meta(self, vol: int, ino: int) -> ObjectMeta | None:
        """Return one object's metadata."""
        return await self._after_hold(reading.meta(self._database, vol, ino))

    async def load_upload(self, vol: int, upload_id: bytes) -> Upload | None:
        """Return one upload's row."""
        return await self._after_hold(reading.upload(self._database, vol, upload_id))

    async def load_parts(self, vol: int, upload_id: bytes, after: int, limit: int) -> list[Part]:
        """Return the next parts of an upload."""
        return await self._after_hold(reading.parts(self._database, vol, upload_id, after, limit))

    async def page_uploads(self, vol: int, after: tuple[bytes, bytes], upper: bytes | None, limit: int) -> list[Upload]:
        """Return the next uploads in progress."""
        return await self._after_hold(reading.uploads(self._database, vol, after, upper, limit))

    async def page_by_cookie(self, vol: int, parent: int, after: int, limit: int) -> list[Named]:
        """Return the next entries by cookie."""
        return await self._after_hold(reading.by_cookie(self._database, vol, parent, after, limit))

    async def page_unlisted(self, vol: int, after: tuple[int, bytes], limit: int) -> list[Named]:
        """Return the next entries that are not listed."""
        return await self._after_hold(reading.unlisted(self._database, vol, after, limit))

    async def walk(
        self, vol: int, top: int, lower: bytes, upper: bytes | None, limit: int, steer: Steer | None = None
    ) -> list[KeyEntry]:
        """Return listed keys in byte order of their paths."""
        return await self._after_hold(reading.walk(self._database, vol, top, lower, upper, limit, steer))
