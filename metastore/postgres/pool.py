"""A few links that share the look-ups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.aio import gather
from metastore.postgres.link import Link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.pq.abc import PGresult

    from foundation.clock import Clock
    from metastore.postgres.session import Call


class Pool:
    """Links of one kind; each request takes the one with the fewest before it."""

    def __init__(self, reactor: Any, clock: Clock, conninfo: str, size: int) -> None:
        """Describe *size* links; `open` connects them."""
        self._links = [Link(reactor, clock, conninfo) for _ in range(size)]

    async def open(self) -> None:
        """Connect all; raise Unfit or ConnectionLost."""
        await gather(link.open() for link in self._links)

    def close(self) -> None:
        """Disconnect all."""
        for link in self._links:
            link.close()

    async def query(self, calls: Sequence[Call]) -> list[PGresult]:
        """Run *calls* on the least busy link; raise Unavailable when PostgreSQL stays away."""
        return await min(self._links, key=lambda link: link.waiting).query(calls)
