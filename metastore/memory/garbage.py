"""Freeing what nothing points at, over the memory database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from msgspec.structs import replace

from metastore.records import Blob, Extent, Part, Reclaim, Upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metastore.memory.database import MemoryDatabase


class MemoryGarbage(ABC):
    """`metastore.api.Garbage` over a memory database."""

    _database: MemoryDatabase

    @abstractmethod
    def _own_epoch(self, vol: int) -> int:
        """Return the epoch at which *vol* is served; raise NoReply if it is not."""

    async def reclaim(self, vol: int, limit: int) -> int:
        """Free at most *limit* extents of the oldest detached content."""
        self._own_epoch(vol)
        epoch = self._database.volumes[vol].epoch
        garbage = [row for row in self._database.reclaims(vol) if row.epoch < epoch]
        oldest = min(garbage, key=lambda row: (row.since, row.content), default=None)
        if oldest is None:
            return 0
        extents = self._database.extents.get((vol, oldest.content), {})
        chunk = [extents[offset] for offset in sorted(extents)[:limit]]
        for extent in chunk:
            blob = self._database.rows[Blob].get((vol, extent.blob))
            self._database.drop(Extent, (vol, *extent.key))
            if blob is not None:
                self._database.put(replace(blob, refs=blob.refs - 1))
        if not self._database.extents.get((vol, oldest.content)):
            self._database.drop(Reclaim, (vol, *oldest.key))
        return max(1, len(chunk))

    async def reap_uploads(self, vol: int, now_ns: int, limit: int) -> int:
        """Detach at most *limit* parts of an upload that has ended."""
        self._own_epoch(vol)
        ended = next((upload for upload in self._database.uploads(vol) if upload.ended), None)
        if ended is None:
            return 0
        chunk = [part for part in self._database.parts(vol) if part.upload_id == ended.upload_id][:limit]
        for part in chunk:
            self._database.drop(Part, (vol, *part.key))
            self._database.put(Reclaim(vol, part.content, now_ns))
        if len(chunk) < limit:
            self._database.drop(Upload, (vol, *ended.key))
        return max(1, len(chunk))

    async def doom(self, vol: int, now_ns: int, limit: int) -> int:
        """Give up at most *limit* blobs that have no reference."""
        self._own_epoch(vol)
        given_up = [blob for blob in self._database.blobs(vol) if blob.refs == 0 and not blob.doomed][:limit]
        for blob in given_up:
            self._database.put(replace(blob, doomed=now_ns))
        return len(given_up)

    async def doomed(self, vol: int, before_ns: int, limit: int) -> list[Blob]:
        """Return blobs that were given up before *before_ns*, by number."""
        return [blob for blob in self._database.blobs(vol) if 0 < blob.doomed < before_ns][:limit]

    async def forget_blobs(self, vol: int, ids: Sequence[int]) -> None:
        """Delete the rows of doomed blobs."""
        for number in ids:
            blob = self._database.rows[Blob].get((vol, number))
            if blob is not None and blob.doomed:
                self._database.drop(Blob, (vol, number))

    async def unreferenced(self, vol: int, ids: Sequence[int]) -> list[int]:
        """Return those of *ids* without a row that lie in ranges of closed epochs."""
        volume = self._database.volumes.get(vol)
        closed = [
            each for each in self._database.ranges if each.vol == vol and (volume is None or each.epoch < volume.epoch)
        ]
        blobs = self._database.rows[Blob]
        return [
            number
            for number in ids
            if (vol, number) not in blobs and any(each.first <= number <= each.last for each in closed)
        ]

    async def dropped_volumes(self) -> list[int]:
        """Return the numbers of dropped volumes that still have blobs."""
        return sorted({vol for vol, _ in self._database.rows[Blob]} - set(self._database.volumes))
