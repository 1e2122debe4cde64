"""`ClusterBodyStore`: the BodyStore over a ring of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from foundation.aio import Promise, gather, spawn
from foundation.crash import crash_point
from foundation.errors import InvalidArgument, Unavailable
from storage_engine.api import MAX_BLOB_BYTES, BlobId, Held, NodeState, Space
from storage_engine.checksum import page_checksums, whole_checksum
from storage_engine.cluster.capacity import space_of
from storage_engine.cluster.healing import Healing
from storage_engine.cluster.link import NodeLink, Unreachable
from storage_engine.cluster.placing import Placing
from storage_engine.cluster.reading import TOTAL_SECONDS, Reading
from storage_engine.wire.frames import Kind, Refusal
from storage_engine.wire.messages import (
    MAX_DELETE,
    MAX_INVENTORY,
    CloseEpochs,
    Delete,
    Inventory,
    Put,
    Read,
    decode_page,
    encode_close_epochs,
    encode_delete,
    encode_inventory,
    encode_put,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from foundation.clock import Clock
    from storage_engine.api import Origin, Placement, PlacementOf
    from storage_engine.cluster.link import NodeAddress
    from storage_engine.ring import Ring
    from storage_engine.wire.messages import NodeStat

_log = Logger()
_AFTER_QUORUM = crash_point("body.put.after_quorum")
_DEADLINE_SECONDS = 10.0
#: A page that is verified reads up to 16 MiB, from a disk that may be busy.
_VERIFY_SECONDS = 60.0
#: How long `open` waits for nodes; those that come later are used when they come.
_OPEN_SECONDS = 3.0


class ClusterBodyStore:
    """Immutable bodies on the nodes of a ring."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a gateway knows of its cluster
        self,
        reactor: Any,
        clock: Clock,
        secret: bytes,
        nodes: Sequence[NodeAddress],
        ring: Ring,
        write_quorum: int,
        placement_of: PlacementOf,
    ) -> None:
        """Store N = `ring.copies` copies, answering after *write_quorum* of them; `open` connects."""
        if not 1 <= write_quorum <= ring.copies:
            raise ValueError(f"a write quorum of {write_quorum} with {ring.copies} copies")
        self.bad_copies = 0  # met by reads: damaged, or missing where the ring says they should be
        self._clock = clock
        self._ring = ring
        self._quorum = write_quorum
        self._placement_of = placement_of
        self._links = {node.id: NodeLink(reactor, clock, secret, node) for node in nodes}
        self._healing = Healing()
        self._reported: tuple[NodeStat, ...] = ()
        self._space = Space(0, 0)  # of what was reported
        self._fences: dict[int, int] = {}  # volume -> the epoch that this gateway has, or closed all below of

    @property
    def healed_copies(self) -> int:
        """Return how many bad copies were replaced by good ones."""
        return self._healing.healed

    # Life

    async def open(self) -> None:
        """Connect to the nodes; wait for the slow ones a few seconds."""
        over: Promise[None] = Promise()
        for link in self._links.values():
            link.came_up = self._came_up
            link.start()

        async def settled() -> None:
            await gather(_wait(link.settled) for link in self._links.values())
            if not over.done:
                over.resolve(None)

        spawn("connect to the nodes", settled())
        timer = self._clock.call_later(_OPEN_SECONDS, lambda: None if over.done else over.resolve(None))
        await over
        timer.cancel()

    async def close(self) -> None:
        """Disconnect; what is under way fails."""
        for link in self._links.values():
            link.stop()

    def _came_up(self, link: NodeLink) -> None:
        """Tell a node that was away which epochs were closed meanwhile, before anything else."""
        for vol, epoch in self._fences.items():
            spawn("close epochs", self._close_on(link, CloseEpochs(vol, epoch)))

    # Bodies

    async def put(self, blob: BlobId, body: Sequence[bytes | memoryview], origin: Origin) -> Placement:
        """Store *body* on N nodes and return once W have it; see `BodyStore.put`.

        Raise NoSpace, Unavailable, AlreadyExists (the id was used before) or InvalidArgument (its length).
        """
        length = sum(map(len, body))
        if not 0 < length <= MAX_BLOB_BYTES:
            raise InvalidArgument(f"a blob has 1..{MAX_BLOB_BYTES} bytes, not {length}")
        if self._quorum < self._ring.copies:
            # Copies go on after the answer, when the caller may use its buffers again.
            body = [bytes(each) for each in body]
        pages = page_checksums(body)
        put = Put(blob, origin, origin.epoch, length, whole_checksum(pages, length), pages, body)
        self._learn(blob.vol, origin.epoch)
        nodes = self._ring.nodes_of(blob)
        targets = [self._links.get(node) for node in nodes[: self._ring.copies]]
        placing = Placing(blob, encode_put(put), length, self._quorum)
        placement = await placing.run(self._ring.epoch, targets, self._others(nodes), self._clock)
        _AFTER_QUORUM()
        return placement

    def _others(self, nodes: Sequence[int]) -> list[NodeLink]:
        """Return the nodes behind the copies: in the partition's order, then any other."""
        copies = self._ring.copies
        ordered = dict.fromkeys([*nodes[copies:], *self._links])
        return [self._links[node] for node in ordered if node in self._links and node not in nodes[:copies]]

    async def read(self, blob: BlobId, offset: int, length: int) -> bytes | memoryview:
        """Return *length* verified bytes from *offset* on; see `BodyStore.read`.

        A copy that is damaged, or missing where it should be, is replaced in the background. Raise Unavailable,
        Corrupt, or InvalidArgument when the range does not lie in the blob.
        """
        if offset < 0 or not 0 <= length <= MAX_BLOB_BYTES or offset + length > MAX_BLOB_BYTES:
            raise InvalidArgument(f"a range of {length} bytes from {offset}")
        if length == 0:
            return b""
        started = self._clock.boottime_seconds()
        reading = Reading(Read(blob, offset, length), started + TOTAL_SECONDS)
        nodes = self._ring.nodes_of(blob)
        owners = self._known(nodes[: self._ring.copies])
        data = await reading.ask(owners, started)
        if data is None:
            placement = await self._placement_of(blob)
            handoff = b"" if placement is None else placement.handoff
            taken = [int.from_bytes(handoff[at : at + 2]) for at in range(0, len(handoff), 2)]
            data = await reading.ask(self._known(taken), self._clock.boottime_seconds())
        if data is None:
            data = await reading.ask(self._others(nodes), self._clock.boottime_seconds())
        self._heal(blob, reading, owners)
        if data is None:
            raise reading.error()
        return data

    def _known(self, nodes: Iterable[int]) -> list[NodeLink]:
        return [self._links[node] for node in nodes if node in self._links]

    def _heal(self, blob: BlobId, reading: Reading, owners: Sequence[NodeLink]) -> None:
        """Replace the bad copies that *reading* met: damaged ones anywhere, missing ones where the ring wants them."""
        bad = reading.damaged + [link for link in reading.absent if link in owners]
        self.bad_copies += len(bad)
        fence = self._fences.get(blob.vol)
        if reading.source is None or fence is None:
            return  # nothing to heal from, or this process does not serve the volume and only looks
        for target in bad:
            spawn("heal", self._healing.heal(blob, reading.source, target, fence))

    async def delete(self, vol: int, ids: Sequence[int]) -> list[int]:
        """Delete on every node; return the ids that every node confirmed.

        All nodes are asked, not only those that should hold a copy: hand-offs and late copies may be anywhere. A node
        that is down leaves its ids unconfirmed: ask again later. `put` or `close_epochs` must have named the
        gateway's epoch of *vol* before, or nodes that know a later one refuse.
        """
        gone: list[int] = []
        for start in range(0, len(ids), MAX_DELETE):
            some = tuple(ids[start : start + MAX_DELETE])
            payload = [encode_delete(Delete(vol, self._fences.get(vol, 0), some))]
            if all(await gather(self._confirmed(link, Kind.DELETE, payload) for link in self._links.values())):
                gone.extend(some)
        return gone

    async def close_epochs(self, vol: int, epoch: int) -> None:
        """Close the epochs of *vol* below *epoch* on every node; one that is down hears of it when it comes up."""
        self._learn(vol, epoch)
        await gather(self._close_on(link, CloseEpochs(vol, epoch)) for link in self._links.values())

    async def _close_on(self, link: NodeLink, close: CloseEpochs) -> None:
        await self._confirmed(link, Kind.CLOSE_EPOCHS, [encode_close_epochs(close)])

    async def _confirmed(self, link: NodeLink, kind: Kind, payload: Sequence[bytes]) -> bool:
        """Return whether the node at *link* did as it was asked."""
        try:
            await link.ask(kind, payload, _DEADLINE_SECONDS)
        except Unreachable:
            return False
        except Refusal as refusal:
            _log.warn("node {id} refuses {kind}: {refusal}", id=link.address.id, kind=kind.name, refusal=refusal)
            return False
        return True

    def _learn(self, vol: int, epoch: int) -> None:
        if epoch > self._fences.get(vol, -1):
            self._fences[vol] = epoch

    # Reports

    async def inventory(self, vol: int, *, verify: bool) -> AsyncIterator[Held]:
        """Yield every copy on every node that is up, node by node, by id.

        Raise Unavailable when a node fails on the way: half a list must not pass for a whole one.
        """
        for link in [each for each in self._links.values() if each.up]:
            first, eof = 0, False
            while not eof:
                request = Inventory(vol, first, MAX_INVENTORY, verify)
                seconds = _VERIFY_SECONDS if verify else _DEADLINE_SECONDS
                try:
                    page, eof = decode_page(await link.ask(Kind.INVENTORY, [encode_inventory(request)], seconds))
                except (Unreachable, Refusal) as error:
                    raise Unavailable(f"node {link.address.id} did not finish its inventory: {error}") from error
                for held in page:
                    yield Held(BlobId(vol, held.id), link.address.id, held.size, held.sound)
                if not page:
                    break
                first = page[-1].id + 1

    async def space(self) -> Space:
        """Return what `room` does."""
        return self.room()

    def room(self) -> Space:
        """Return the room for users' bytes by the nodes' last reports."""
        stats = tuple([link.stat for link in self._links.values() if link.stat is not None])
        if stats != self._reported:  # every WRITE asks, and reports are seconds old
            self._reported, self._space = stats, space_of(self._ring.copies, stats)
        return self._space

    async def states(self) -> list[NodeState]:
        """Return every node, by number."""
        return [_state(link) for _, link in sorted(self._links.items())]


def _state(link: NodeLink) -> NodeState:
    address, stat = link.address, link.stat
    total = free = blobs = 0
    detail = link.detail
    if stat is not None:
        total = stat.held_bytes + stat.available_bytes
        free = total - stat.live_bytes
        blobs = stat.blobs
        detail = detail or stat.detail
    return NodeState(address.id, f"{address.host}:{address.port}", link.up, total, free, blobs, detail)


async def _wait(promise: Promise[None]) -> None:
    await promise
