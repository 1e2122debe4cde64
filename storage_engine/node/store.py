"""What a node does with blobs: put, read, fetch, delete, close epochs, inventory. No sockets here.

Every answer that says "done" is given after the log's fdatasync; every byte that leaves was verified on its way.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from foundation.aio import Promise, Semaphore
from foundation.errors import NoSpace
from storage_engine.api import BlobId
from storage_engine.checksum import page_checksums, whole_checksum
from storage_engine.node.index import Location
from storage_engine.node.log import LogFailed
from storage_engine.node.reading import Damaged, NotCached, Place, Sound, read_range
from storage_engine.node.records import (
    NO_BLOB,
    NO_ORIGIN,
    Kind,
    Record,
    Tombstone,
    encode_epochs,
    encode_tombstones,
    span_of,
)
from storage_engine.wire.frames import Refusal, Status
from storage_engine.wire.messages import HeldHere, NodeStat, Put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foundation.clock import Clock
    from storage_engine.node.index import Index
    from storage_engine.node.log import Log
    from storage_engine.node.quarantine import Quarantine
    from storage_engine.node.room import Room
    from storage_engine.node.segments import SegmentFile, SegmentFolder
    from storage_engine.node.threads import Runner
    from storage_engine.wire.messages import Inventory

#: How much one page of a verifying inventory reads: it bounds how long the answer takes.
_VERIFY_BYTES = 16 << 20


class Store:
    """The blobs of one node."""

    def __init__(  # noqa: PLR0913 - the parts of a node, joined in one place
        self,
        *,
        folder: SegmentFolder,
        index: Index,
        room: Room,
        log: Log,
        quarantine: Quarantine,
        read: Runner,
        clock: Clock,
        filesystem: str,
    ) -> None:
        """Serve what *index* says that *folder* holds; *read* runs reads that must wait for the disk."""
        self.index = index
        self.room = room
        self.log = log
        self._folder = folder
        self._quarantine = quarantine
        self._read = read
        self._clock = clock
        self._filesystem = filesystem
        self._putting: dict[BlobId, Promise[None]] = {}
        self._fences = dict(index.closed)  # as `index.closed`, but from the moment a close is asked for
        self._closing = Semaphore(1)

    # Changes

    async def put(self, put: Put) -> None:
        """Make *put* durable; idempotent. Raise Refusal (BAD_REQUEST, NO_SPACE, USED, EPOCH_CLOSED, FAILED).

        A copy that is held and damaged is replaced by the one that comes.
        """
        sums = page_checksums(put.body)
        if sums != put.pages or whole_checksum(sums, put.length) != put.whole:
            raise Refusal(Status.BAD_REQUEST, "the checksums do not match the body")
        while put.blob in self._putting:
            await self._putting[put.blob]
        self._check_fence(put.blob.vol, put.fence)
        if self.index.is_deleted(put.blob):
            raise Refusal(Status.USED, "the blob was deleted")
        self._putting[put.blob] = done = Promise[None]()
        try:
            if not await self._holds_same(put):
                await self._append_blob(put)
        finally:
            del self._putting[put.blob]
            done.resolve(None)

    async def _append_blob(self, put: Put) -> None:
        if not self.room.has(span_of(put.length)):
            raise Refusal(Status.NO_SPACE, "the disk is full up to its head-room")
        record = Record(Kind.BLOB, put.blob, put.origin, put.length, put.whole, put.pages)
        segment, position = await self._append(record, put.body)
        self.index.add(put.blob, Location(segment, position, put.length))

    async def _holds_same(self, put: Put) -> bool:
        """Return whether the blob is held and sound; raise Refusal (USED) when it is held with other bytes."""
        location = self.index.find(put.blob)
        if location is None:
            return False
        try:
            sound = await self._read_at(put.blob, location, 0, location.length)
        except Refusal:
            return False
        if sound.record.pages != put.pages:
            raise Refusal(Status.USED, "the blob is held with other bytes")
        return True

    async def delete(self, vol: int, fence: int, ids: Sequence[int]) -> None:
        """Bury blobs, held or not, durably; idempotent. Raise Refusal (EPOCH_CLOSED, NO_SPACE, FAILED)."""
        self._check_fence(vol, fence)
        blobs = [BlobId(vol, number) for number in dict.fromkeys(ids)]
        tombstones = [Tombstone(blob, fence) for blob in blobs if not self.index.is_deleted(blob)]
        if not tombstones:
            return
        segment, _ = await self._append_body(Kind.TOMBSTONES, encode_tombstones(tombstones))
        now_seconds = self._clock.boottime_seconds()
        for tombstone in tombstones:
            self.index.bury(tombstone, segment, now_seconds)

    async def close_epochs(self, vol: int, epoch: int) -> None:
        """Refuse puts and deletes of *vol* below *epoch* from now on, durably."""
        if epoch > self._fences.get(vol, 0):
            # At once: a put that came after this must not be answered after this was.
            self._fences[vol] = epoch
        async with self._closing:
            if epoch > self.index.closed.get(vol, 0):
                await self.write_epochs({**self.index.closed, vol: epoch})

    async def write_epochs(self, closed: dict[int, int]) -> None:
        """Append an EPOCHS record and take it in."""
        segment, _ = await self._append_body(Kind.EPOCHS, encode_epochs(closed))
        self.index.close_epochs(closed, segment)

    async def move(self, put: Put, source: Location) -> None:
        """Copy the live blob that lies at *source* to the end of the log, for compaction."""
        record = Record(Kind.BLOB, put.blob, put.origin, put.length, put.whole, put.pages)
        segment, position = await self._append(record, put.body, essential=True)
        assert (segment, position) != (source.segment, source.position)
        self.index.add(put.blob, Location(segment, position, put.length))

    async def rebury(self, tombstones: Sequence[Tombstone]) -> None:
        """Write tombstones again at the end of the log, for compaction."""
        segment, _ = await self._append_body(Kind.TOMBSTONES, encode_tombstones(tombstones))
        for tombstone in tombstones:
            self.index.bury(tombstone, segment, self._clock.boottime_seconds())

    async def _append_body(self, kind: Kind, body: bytes) -> tuple[int, int]:
        pages = page_checksums([body])
        record = Record(kind, NO_BLOB, NO_ORIGIN, len(body), whole_checksum(pages, len(body)), pages)
        return await self._append(record, [body], essential=True)

    async def _append(
        self, record: Record, body: Sequence[bytes | memoryview], *, essential: bool = False
    ) -> tuple[int, int]:
        try:
            return await self.log.append(record, body, essential=essential)
        except NoSpace as error:
            raise Refusal(Status.NO_SPACE, str(error)) from error
        except LogFailed as error:
            raise Refusal(Status.FAILED, str(error)) from error

    def _check_fence(self, vol: int, epoch: int) -> None:
        closed = self._fences.get(vol, 0)
        if epoch < closed:
            raise Refusal(Status.EPOCH_CLOSED, f"epoch {epoch} of volume {vol} is closed, {closed} is not")

    # Reads

    async def read(self, blob: BlobId, offset: int, length: int) -> Sound:
        """Return a range of *blob*, verified. Raise Refusal (NOT_HELD, BAD_REQUEST, DAMAGED)."""
        location = self.index.find(blob)
        if location is None:
            raise Refusal(Status.NOT_HELD)
        if offset + length > location.length:
            raise Refusal(Status.BAD_REQUEST, f"the blob has {location.length} bytes")
        return await self._read_at(blob, location, offset, length)

    async def fetch(self, blob: BlobId) -> Put:
        """Return *blob* whole, with all that its header says. Raise Refusal (NOT_HELD, DAMAGED)."""
        location = self.index.find(blob)
        if location is None:
            raise Refusal(Status.NOT_HELD)
        return await self.fetch_at(blob, location)

    async def fetch_at(self, blob: BlobId, location: Location) -> Put:
        """Return the blob whose record lies at *location*."""
        sound = await self._read_at(blob, location, 0, location.length)
        record = sound.record
        return Put(blob, record.origin, 0, record.length, record.whole, record.pages, (sound.data,))

    async def _read_at(self, blob: BlobId, location: Location, offset: int, length: int) -> Sound:
        segment = self.room.segments[location.segment]
        try:
            place = Place(self._folder.fd(segment), segment.header, location, blob)
            try:
                return read_range(place, offset, length, wait=False)
            except NotCached:
                return await self._read_in_thread(segment, place, offset, length)
        except (Damaged, OSError) as error:
            self._note(location, blob, str(error))
            raise Refusal(Status.DAMAGED, str(error)) from error

    async def _read_in_thread(self, segment: SegmentFile, place: Place, offset: int, length: int) -> Sound:
        self._folder.hold(segment)
        try:
            return await self._read(lambda: read_range(place, offset, length, wait=True))
        finally:
            self._folder.release(segment)

    def _note(self, location: Location, blob: BlobId, detail: str) -> None:
        self._quarantine.note((location.segment, location.position), detail, self._clock.now_ns(), blob)
        self.index.use(location.segment).pinned = "holds damage"

    def note_damage(self, segment: int, detail: str) -> None:
        """Note that *segment* as a whole is not as it was written; it is never reclaimed."""
        self._quarantine.note((segment, 0), detail, self._clock.now_ns())
        self.index.use(segment).pinned = "holds damage"

    # Reports

    def snapshot(self, vol: int) -> array[int]:
        """Return the ids of the blobs of *vol* that are held now, ascending, for the pages of one inventory."""
        return array("Q", self.index.ids(vol))

    async def inventory(self, ids: Sequence[int], inventory: Inventory) -> tuple[list[HeldHere], bool]:
        """Return the page of *ids* (ascending) that is asked for, and whether it is the last one."""
        page: list[HeldHere] = []
        read_bytes = 0
        for index, number in enumerate(ids):
            if len(page) >= inventory.limit or read_bytes >= _VERIFY_BYTES:
                return page, index == len(ids)
            blob = BlobId(inventory.vol, number)
            location = self.index.find(blob)
            if location is None:
                continue  # deleted since the snapshot
            sound = True
            if inventory.verify:
                sound = await self._is_sound(blob, location)
                read_bytes += location.length
            page.append(HeldHere(number, location.length, sound))
        return page, True

    async def _is_sound(self, blob: BlobId, location: Location) -> bool:
        try:
            await self._read_at(blob, location, 0, location.length)
        except Refusal:
            return False
        return True

    def stat(self) -> NodeStat:
        """Return the node's report."""
        return NodeStat(
            blobs=self.index.blobs,
            live_bytes=self.index.live_bytes,
            held_bytes=self.room.file_bytes,
            available_bytes=self.room.available_bytes(),
            filesystem=self._filesystem,
            taking_writes=self.log.error is None,
            detail="" if self.log.error is None else f"the disk failed: {self.log.error}",
        )
