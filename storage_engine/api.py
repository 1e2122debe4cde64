"""The door of the storage engine: immutable blobs by number, on replicated nodes.

Two implementations pass the same contract tests: `storage_engine.cluster` (nodes) and `storage_engine.memory`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

#: The longest blob, in bytes: a put is held in memory until its quorum has it, so this bounds that memory.
MAX_BLOB_BYTES = 4 << 20


class BlobId(Struct, frozen=True, gc=False):
    """A blob's name everywhere: its volume and its number there."""

    vol: int
    id: int


class Origin(Struct, frozen=True, gc=False):
    """What a blob was written for; kept in its header, for salvage without the database."""

    epoch: int  # the volume's epoch; nodes refuse writes of epochs that are closed
    ino: int
    content: int
    offset: int  # where in the content the blob's first byte belongs
    write_seq: int


class Placement(Struct, frozen=True, gc=False):
    """Where the copies of a new blob are; the metastore's blob row keeps it."""

    ring_epoch: int
    missing: int  # bit i = replica position i took no copy
    handoff: bytes  # node numbers that took one instead, 2 bytes big-endian each


#: How a body store learns where an older blob's copies went; composed from the metastore by the appliance.
PlacementOf: TypeAlias = "Callable[[BlobId], Awaitable[Placement | None]]"


class Held(Struct, frozen=True, gc=False):
    """One copy in a node's inventory."""

    blob: BlobId
    node: int
    size: int
    sound: bool  # every page matched its checksum (always True when pages were not read)


class Space(Struct, frozen=True, gc=False):
    """Bytes for users, after replication: what statfs shows."""

    total: int
    free: int


class NodeState(Struct, frozen=True, gc=False):
    """One node as the gateway sees it."""

    id: int
    address: str
    up: bool
    total_bytes: int
    free_bytes: int
    blobs: int
    detail: str  # why it is down, or empty


class BodyStore(Protocol):
    """Immutable bodies by BlobId."""

    async def put(self, blob: BlobId, body: Sequence[bytes | memoryview], origin: Origin) -> Placement:
        """Store the joined *body* (1..MAX_BLOB_BYTES bytes) and return once W nodes have fsynced it.

        Writes go to all N at once; where a node fails the next live one in ring order takes the copy. Raise NoSpace,
        or Unavailable when fewer than W copies can be made: the blob is garbage then. The caller keeps *body*
        unchanged until the call ends.
        """

    async def read(self, blob: BlobId, offset: int, length: int) -> bytes | memoryview:
        """Return exactly *length* bytes, every page of them verified.

        Tries the current ring, then the recorded placement (asked of `PlacementOf` only then), then hand-offs. Raise
        Unavailable when no copy can be reached, Corrupt when copies were reached and none is sound.
        """

    async def delete(self, vol: int, ids: Sequence[int]) -> list[int]:
        """Drop every copy of doomed blobs; return the ids whose every copy is known to be gone. Idempotent."""

    async def close_epochs(self, vol: int, epoch: int) -> None:
        """Tell the nodes that epochs of *vol* below *epoch* write no more: the gateway that held them is fenced."""

    def inventory(self, vol: int, *, verify: bool) -> AsyncIterator[Held]:
        """Yield every copy on every reachable node; with *verify* read and check each page."""

    def room(self) -> Space:
        """Return the room in the cluster, from the nodes' last reports: for those who may not wait."""

    async def space(self) -> Space:
        """Return the same."""

    async def states(self) -> list[NodeState]:
        """Return every node's state."""

    async def open(self) -> None:
        """Connect to the nodes; a node that is down now may come later."""

    async def close(self) -> None:
        """Disconnect."""
