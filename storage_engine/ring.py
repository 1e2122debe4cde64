"""The ring: a fixed number of partitions, and for each the nodes that hold its blobs, in order.

The first `copies` nodes of a partition hold its blobs; those behind them take over, in order, where one fails. The
order comes from weighted rendezvous hashing: every node draws a number for every partition from its id and weight
alone, and the highest come first. So a node that comes takes only what is now its own, a node that goes gives up only
what was its own, and nothing else moves, however many changes there were before.
"""

from __future__ import annotations

import hashlib
import math
import struct
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage_engine.api import BlobId

#: Never changed: a blob's partition follows from it.
PARTITIONS = 1024
#: How many nodes behind the copies a partition names for hand-off.
HANDOFFS = 4
_BLOB = struct.Struct(">QQ")


class RingNode(Struct, frozen=True):
    """A node that may hold copies."""

    id: int
    weight: int = 1  # its share of the blobs, relative to the others; 0 = none
    zone: str = ""  # copies go to different zones as far as there are enough


class Ring(Struct, frozen=True):
    """One epoch of the ring."""

    epoch: int
    copies: int
    partitions: tuple[tuple[int, ...], ...]  # node ids: `copies` first, then in order of hand-off

    @property
    def checksum(self) -> str:
        """Return SHA-256, in hex, over the canonical form: equal rings have equal checksums, in every process."""
        text = [f"{self.epoch} {self.copies}", *(" ".join(map(str, nodes)) for nodes in self.partitions)]
        return hashlib.sha256("\n".join(text).encode()).hexdigest()

    def nodes_of(self, blob: BlobId) -> tuple[int, ...]:
        """Return the nodes for *blob*: its copies first, then in order of hand-off."""
        return self.partitions[partition_of(blob)]


class TooFewNodes(Exception):
    """There are fewer nodes with a weight than copies are wanted."""


def partition_of(blob: BlobId) -> int:
    """Return the partition of *blob*."""
    digest = hashlib.blake2b(_BLOB.pack(blob.vol, blob.id), digest_size=4).digest()
    return int.from_bytes(digest) % PARTITIONS


def build_ring(nodes: Sequence[RingNode], copies: int, previous: Ring | None = None) -> Ring:
    """Return the ring over *nodes* that follows *previous*; raise TooFewNodes.

    The same nodes give the same partitions, so that the epoch stays, too, when nothing changes.
    """
    able = [node for node in nodes if node.weight > 0]
    if copies < 1 or len(able) < copies:
        raise TooFewNodes(f"{copies} copies need as many nodes; there are {len(able)}")
    partitions = tuple(_order(partition, able, copies) for partition in range(PARTITIONS))
    if previous is None:
        return Ring(1, copies, partitions)
    if (previous.copies, previous.partitions) == (copies, partitions):
        return previous
    return Ring(previous.epoch + 1, copies, partitions)


def _order(partition: int, nodes: Sequence[RingNode], copies: int) -> tuple[int, ...]:
    """Return the ids of *nodes* for *partition*: by their draw, but zones that have a copy come after others."""
    waiting = sorted(nodes, key=lambda node: (-_draw(partition, node), node.id))
    order: list[RingNode] = []
    while waiting and len(order) < copies + HANDOFFS:
        zones = {node.zone for node in order}
        fresh = next((node for node in waiting if node.zone not in zones), waiting[0])
        waiting.remove(fresh)
        order.append(fresh)
    return tuple(node.id for node in order)


def _draw(partition: int, node: RingNode) -> float:
    """Return a number > 0 whose chance to be the highest is in proportion to the node's weight."""
    digest = hashlib.blake2b(struct.pack(">II", partition, node.id), digest_size=8).digest()
    # 52 bits, so that adding a half is exact and the result is never 0 or 1.
    uniform = ((int.from_bytes(digest) >> 12) + 0.5) / (1 << 52)
    return -node.weight / math.log(uniform)
