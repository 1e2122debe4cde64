"""How many bytes of users fit on nodes of different sizes: N copies of each, on N different nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_engine.api import Space

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_engine.wire.messages import NodeStat


def space_of(copies: int, stats: Iterable[NodeStat]) -> Space:
    """Return the room for users' bytes by the nodes' reports; a file system that nodes share counts once."""
    held: dict[str, int] = {}
    live: dict[str, int] = {}
    available: dict[str, int] = {}
    nodes: dict[str, int] = {}
    for stat in stats:
        name = stat.filesystem
        held[name] = held.get(name, 0) + stat.held_bytes
        live[name] = live.get(name, 0) + stat.live_bytes
        available[name] = max(available.get(name, 0), stat.available_bytes)
        nodes[name] = nodes.get(name, 0) + 1
    total = usable(copies, [(held[name] + available[name], nodes[name]) for name in nodes])
    free = usable(copies, [(held[name] - live[name] + available[name], nodes[name]) for name in nodes])
    return Space(total, free)


def usable(copies: int, places: list[tuple[int, int]]) -> int:
    """Return the most bytes of which *copies* fit; a place is (bytes, nodes), and a node takes one copy of each byte.

    So of a node that is far larger than the others some is never used. While fewer nodes than copies have reported, the
    rest are taken to be like them.
    """
    most = sum(size for size, _ in places) // copies
    if sum(nodes for _, nodes in places) >= copies:
        while (fits := sum(min(size, nodes * most) for size, nodes in places) // copies) < most:
            most = fits
    return most
