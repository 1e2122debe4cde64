"""Runs of gateway processes: their rows, and the beat by which others know that they live."""

from __future__ import annotations

from foundation.crash import crash_point
from metastore import schema
from metastore.api import GatewayGone
from metastore.postgres.committer import LOCK_CLASS
from metastore.postgres.decoding import tuples
from metastore.postgres.encoding import INT8, TEXT, bigint
from metastore.postgres.parts import Parts
from metastore.postgres.rows import quoted
from metastore.postgres.session import Statement
from metastore.records import Gateway

_renew_after_commit = crash_point("renew.after_commit")

_REGISTER = Statement(
    "register",
    "INSERT INTO gateway (name, started, address, beat) VALUES ($1, $2, $3, 0) RETURNING id",
    (TEXT, INT8, TEXT),
)
_RENEW = Statement("renew", "UPDATE gateway SET beat = beat + 1 WHERE id = $1 AND beat >= 0 RETURNING beat", (INT8,))
_GATEWAYS = Statement("gateways", "SELECT id, name, started, address, beat FROM gateway ORDER BY id", ())
#: The committer of a connected gateway holds an advisory lock under the gateway's number.
_CONNECTED = Statement(
    "connected gateways",
    f"""
    SELECT DISTINCT {quoted(schema.gateway.columns, "g.")} FROM pg_locks l JOIN gateway g ON g.id = l.objid::bigint
    WHERE l.locktype = 'advisory' AND l.granted AND l.classid = {LOCK_CLASS} AND g.id <> $1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY 1
    """,
    (INT8,),
)
_END = Statement("end gateway", "UPDATE gateway SET beat = -1 WHERE id = $1", (INT8,))
#: Two statements, for the second must see what was committed before the first had the row: a take holds it shared.
_LOCK = Statement("lock gateway", "SELECT id FROM gateway WHERE id = $1 FOR UPDATE", (INT8,))
_FORGET = Statement(
    "forget gateway",
    "DELETE FROM gateway g WHERE g.id = $1 AND g.beat = $2"
    " AND NOT EXISTS (SELECT 1 FROM volume v WHERE v.holder = g.id) RETURNING g.id",
    (INT8, INT8),
)


class PgGateways(Parts):
    """The gateway rows of `metastore.api.Volumes` over PostgreSQL.

    Each call may be sent twice when a connection is lost in the middle: a row that nobody uses is left then, which
    others forget in time, or the beat grows by two.
    """

    async def register_gateway(self, name: str, address: str = "") -> Gateway:
        """Insert a row for this run, and start committing under its number."""
        started = self._clock.now_ns()
        rows = await self._query((_REGISTER, [name.encode(), bigint(started), address.encode()]))
        gateway = Gateway(rows[0][0], name, started, address)
        await self._committer.start(gateway.id)
        self._gateway = gateway.id
        return gateway

    @property
    def gateway_id(self) -> int:
        """Return the number under which this run acts; 0 before it has one."""
        return self._gateway

    async def renew(self) -> None:
        """Add one to this run's beat, durably; raise GatewayGone."""
        (result,) = await self._lease.query([(_RENEW, [bigint(self._gateway)])])
        _renew_after_commit()
        if not result.ntuples:
            raise GatewayGone(f"gateway {self._gateway} has no living row")

    async def gateways(self) -> list[Gateway]:
        """Return every run that has a row, by id."""
        return [Gateway(*row) for row in await self._query((_GATEWAYS, []))]

    async def connected_gateways(self) -> list[Gateway]:
        """Return the other gateways whose committer is connected, by number."""
        return [Gateway(*row) for row in await self._query((_CONNECTED, [bigint(self._gateway)]))]

    async def end_gateway(self) -> None:
        """Mark this run as ended."""
        await self._query((_END, [bigint(self._gateway)]))

    async def forget_gateway(self, gateway: Gateway) -> bool:
        """Remove a dead run's row if it holds nothing and its beat stood still."""
        lock = (_LOCK, [bigint(gateway.id)])
        forget = (_FORGET, [bigint(gateway.id), bigint(gateway.beat)])
        return bool(tuples((await self._link.query([lock, forget]))[1]))
