"""`PgMetaStore`: the metastore over PostgreSQL, put together from its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.aio import gather
from metastore.grouping import CommitBooks
from metastore.postgres.audit import PgAudit
from metastore.postgres.garbage import PgGarbage
from metastore.postgres.gateways import PgGateways
from metastore.postgres.loading import PgLoads
from metastore.postgres.paging import PgPages
from metastore.postgres.pruning import Pruner
from metastore.postgres.registry import PgDirectory
from metastore.postgres.uploading import PgUploads
from metastore.postgres.volumes import PgVolumes

if TYPE_CHECKING:
    from foundation.clock import Clock
    from metastore.records import Change


class PgMetaStore(PgLoads, PgPages, PgUploads, PgGateways, PgVolumes, PgGarbage, PgDirectory, PgAudit, CommitBooks):
    """One gateway's metastore: `open` connects, `register_gateway` begins a run that may commit."""

    def __init__(self, reactor: Any, dsn: str, clock: Clock, gateway_name: str) -> None:
        """Describe the store; *gateway_name* shows in pg_stat_activity."""
        super().__init__(reactor, dsn, clock, gateway_name)
        self._won = {}
        self._pruner = Pruner(self._maintenance, clock, self._ledger, self._committer)

    async def open(self) -> None:
        """Connect; raise Unfit for a server or schema that must not be used, ConnectionLost if there is none."""
        await gather([self._pool.open(), self._link.open(), self._lease.open(), self._maintenance.open()])
        self._pruner.start()

    async def close(self) -> None:
        """Write what is queued and disconnect."""
        self._pruner.stop()
        await self._committer.close()
        for part in (self._pool, self._link, self._lease, self._maintenance):
            part.close()

    def commit(self, change: Change) -> int:
        """Queue *change* and return its batch's number; raise NoReply if its volume is not served."""
        return self._committer.commit(change)

    async def wait(self, vol: int, batch: int) -> None:
        """Return when *batch* is durable; raise NoReply if it was lost with *vol*."""
        await self._ledger.wait(vol, batch)
