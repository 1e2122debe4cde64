"""What the parts of `PgMetaStore` share: the connections, the books and the committer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.errors import NoReply
from metastore.grouping import Ledger
from metastore.postgres.committer import Committer
from metastore.postgres.connector import session_conninfo
from metastore.postgres.decoding import tuples
from metastore.postgres.link import Link
from metastore.postgres.pool import Pool

if TYPE_CHECKING:
    from foundation.clock import Clock
    from metastore.postgres.session import Call

#: SQLSTATE of the schema's functions: the volume is another's.
FENCED = "GF001"
#: Connections that serve look-ups; further ones only help once PostgreSQL has cores to spare.
_LOAD_LINKS = 2


class Parts:
    """One run of one gateway against one database."""

    def __init__(self, reactor: Any, dsn: str, clock: Clock, gateway_name: str) -> None:
        """Describe the connections to the database of *dsn* (libpq); *reactor* is an IReactorFDSet."""
        self._clock = clock
        self._ledger = Ledger()
        self._committer = Committer(reactor, clock, session_conninfo(dsn, f"{gateway_name} commit"), self._ledger)
        self._pool = Pool(reactor, clock, session_conninfo(dsn, f"{gateway_name} load"), _LOAD_LINKS)
        #: For single short requests: volumes, numbers, small tables.
        self._link = Link(reactor, clock, session_conninfo(dsn, f"{gateway_name} admin"))
        #: For renewals alone: a request that waits for a lock must not hold them up.
        self._lease = Link(reactor, clock, session_conninfo(dsn, f"{gateway_name} lease"))
        #: For background work, whose requests are longer.
        self._maintenance = Link(reactor, clock, session_conninfo(dsn, f"{gateway_name} maintenance"))
        self._gateway = 0

    async def _query(self, call: Call) -> list[tuple[Any, ...]]:
        """Run one short request that may safely run twice."""
        return tuples((await self._link.query([call]))[0])

    def _epoch(self, vol: int) -> int:
        """Return the epoch at which *vol* is served; raise NoReply if it is not."""
        epoch = self._ledger.epochs.get(vol)
        if epoch is None:
            raise NoReply(f"volume {vol} is not served")
        return epoch
