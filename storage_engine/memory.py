"""A body store in memory: the fake that passes the same contract tests as the nodes, with hooks for tests.

It keeps the rules that callers lean on: blobs never change, a number once deleted is never taken again, closed epochs
write no more. Its hooks make what a test needs happen at a moment the test chooses: puts that wait (`hold_puts`), are
slow (`put_seconds`) or fail (`fail_puts`), and blobs that are damaged (`damage`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.aio import Promise, pause
from foundation.errors import AlreadyExists, Corrupt, InvalidArgument, NoSpace, Unavailable
from storage_engine.api import MAX_BLOB_BYTES, BlobId, Held, NodeState, Placement, Space

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from foundation.clock import Clock
    from storage_engine.api import Origin

#: The number of the one node that this store claims to be.
NODE_ID = 1
#: The ring epoch of every placement.
RING_EPOCH = 1


class MemoryBodyStore:
    """Blobs in a dictionary."""

    def __init__(self, clock: Clock, capacity_bytes: int = 1 << 40) -> None:
        """Hold at most *capacity_bytes*; slow puts wait on *clock*."""
        self.put_seconds = 0.0
        self.blobs: dict[BlobId, bytes] = {}
        self._clock = clock
        self._capacity_bytes = capacity_bytes
        self._used_bytes = 0
        self._origins: dict[BlobId, Origin] = {}
        self._deleted: set[BlobId] = set()
        self._damaged: set[BlobId] = set()
        self._closed_below: dict[int, int] = {}
        self._gate: Promise[None] | None = None
        self._put_errors: list[Exception] = []
        self.puts_waiting = 0

    # The BodyStore verbs

    async def put(self, blob: BlobId, body: Sequence[bytes | memoryview], origin: Origin) -> Placement:
        """Keep the joined *body*; raise what `fail_puts` queued, NoSpace, Unavailable or AlreadyExists."""
        data = b"".join(body)
        if not 0 < len(data) <= MAX_BLOB_BYTES:
            raise InvalidArgument(f"a blob has 1..{MAX_BLOB_BYTES} bytes, not {len(data)}")
        self.puts_waiting += 1
        try:
            if self.put_seconds:
                await pause(self._clock, self.put_seconds)
            if self._gate is not None:
                await self._gate
        finally:
            self.puts_waiting -= 1
        if self._put_errors:
            raise self._put_errors.pop(0)
        self._check_new(blob, data, origin)
        if blob not in self.blobs:
            self.blobs[blob] = data
            self._origins[blob] = origin
            self._used_bytes += len(data)
        return Placement(RING_EPOCH, 0, b"")

    def _check_new(self, blob: BlobId, data: bytes, origin: Origin) -> None:
        """Raise what a node would answer instead of taking the blob."""
        if origin.epoch < self._closed_below.get(blob.vol, 0):
            raise Unavailable(f"epoch {origin.epoch} of volume {blob.vol} is closed")
        if blob in self._deleted or self.blobs.get(blob, data) != data:
            raise AlreadyExists(f"blob {blob.vol}/{blob.id} was used before")
        if self._used_bytes + len(data) > self._capacity_bytes:
            raise NoSpace("the body store is full")

    async def read(self, blob: BlobId, offset: int, length: int) -> bytes | memoryview:
        """Return *length* bytes; raise Corrupt for a blob that is damaged or gone, as no copy is sound."""
        data = self.blobs.get(blob)
        if data is None or blob in self._damaged:
            raise Corrupt(f"no sound copy of blob {blob.vol}/{blob.id}")
        if offset < 0 or length < 0 or offset + length > len(data):
            raise InvalidArgument(f"blob {blob.vol}/{blob.id} has {len(data)} bytes")
        return memoryview(data)[offset : offset + length]

    async def delete(self, vol: int, ids: Sequence[int]) -> list[int]:
        """Drop blobs; all are gone at once."""
        for number in ids:
            blob = BlobId(vol, number)
            self._used_bytes -= len(self.blobs.pop(blob, b""))
            self._origins.pop(blob, None)
            self._deleted.add(blob)
        return list(ids)

    async def close_epochs(self, vol: int, epoch: int) -> None:
        """Refuse later puts of *vol* whose epoch is below *epoch*."""
        self._closed_below[vol] = max(epoch, self._closed_below.get(vol, 0))

    async def inventory(self, vol: int, *, verify: bool) -> AsyncIterator[Held]:
        """Yield every blob of *vol* by number."""
        for blob in sorted((each for each in self.blobs if each.vol == vol), key=lambda each: each.id):
            yield Held(blob, NODE_ID, len(self.blobs[blob]), not (verify and blob in self._damaged))

    async def space(self) -> Space:
        """Return the capacity and what is left of it."""
        return self.room()

    def room(self) -> Space:
        """Return the same."""
        return Space(self._capacity_bytes, self._capacity_bytes - self._used_bytes)

    async def states(self) -> list[NodeState]:
        """Return one node that is up."""
        space = await self.space()
        return [NodeState(NODE_ID, "memory", True, space.total, space.free, len(self.blobs), "")]

    async def open(self) -> None:
        """Do nothing: memory is there."""

    async def close(self) -> None:
        """Do nothing: what was stored stays, so that a test may open the store again."""

    # Hooks for tests

    def origin_of(self, blob: BlobId) -> Origin | None:
        """Return what *blob* was written for, or None when it is not held."""
        return self._origins.get(blob)

    def hold_puts(self) -> None:
        """Make puts wait, those on their way included, until `release_puts`."""
        if self._gate is None:
            self._gate = Promise()

    def release_puts(self) -> None:
        """Let held puts go on, in order, and later ones pass."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.resolve(None)

    def fail_puts(self, *errors: Exception) -> None:
        """Make the next puts raise *errors*, one each; held puts count when they are released."""
        self._put_errors.extend(errors)

    def damage(self, blob: BlobId) -> None:
        """Make every read of *blob* find it corrupt."""
        self._damaged.add(blob)
