"""Group commit to PostgreSQL: one batch in flight, the next one gathering, and a known outcome for each.

The committer has a connection of its own. While it lives it holds an advisory lock under its gateway's number. A new
connection ends the server process that still holds the lock and then waits for it, so when it looks a batch's number
up, the transaction that carried it has ended one way or the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from foundation.aio import Promise, pause, spawn
from foundation.crash import crash_point
from foundation.errors import NoReply
from metastore.grouping import BatchRefused, DurabilityLost, Fenced
from metastore.postgres.encoding import INT8, INT8_ARRAY, bigint, bigint_array
from metastore.postgres.fold import ROLLBACK, Fold
from metastore.postgres.link import Link, is_passing
from metastore.postgres.session import ConnectionLost, SqlError, Statement

if TYPE_CHECKING:
    from foundation.clock import Clock
    from metastore.grouping import Batch, Ledger
    from metastore.postgres.session import Call, Session
    from metastore.records import Change

_log = Logger()
_before_send = crash_point("commit.before_send")
_after_send = crash_point("commit.after_send")
_before_release = crash_point("commit.before_release")

#: Seconds before a batch that met a passing error is sent again: few for a deadlock, more for a disk that stays full.
_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.05, 2.0
#: Seconds that `close` waits for PostgreSQL to take what is queued.
_CLOSE_SECONDS = 10.0
#: SQLSTATE of gatefold_begin_batch: a volume is another's.
_FENCED = "GF001"
#: The class of the advisory lock; its object is the gateway's number.
LOCK_CLASS = 0x6761_7465

#: Ends the server process that commits for gateway $1, whatever it waits for.
END_BACKENDS = Statement(
    "end backends",
    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    f" AND classid = {LOCK_CLASS} AND objid = $1 AND pid <> pg_backend_pid()"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    (INT8,),
)
_TAKE_LOCK = Statement("take lock", f"SELECT pg_advisory_lock({LOCK_CLASS}, $1::int4)", (INT8,))
#: Volumes that this gateway still holds at the epoch it thinks, and whose last durable batch is not there.
_MISSING = Statement(
    "missing batches",
    """
    SELECT t.vol, t.number FROM unnest($2, $3, $4) AS t (vol, epoch, number)
    JOIN volume v ON v.vol = t.vol
    WHERE (v.epoch < t.epoch OR v.epoch = t.epoch AND v.holder = $1)
      AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.vol = t.vol AND b.epoch = t.epoch AND b.number = t.number)
    """,
    (INT8, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY),
)
_IS_COMMITTED = Statement(
    "is committed",
    "SELECT count(*) FROM batch WHERE vol = $1 AND epoch = $2 AND number = $3",
    (INT8, INT8, INT8),
)


class Committer:
    """Writes the batches of a `Ledger`, in order."""

    def __init__(self, reactor: Any, clock: Clock, conninfo: str, ledger: Ledger) -> None:
        """Describe it; `start` connects."""
        self._clock = clock
        self._ledger = ledger
        self._link = Link(reactor, clock, conninfo)
        self._link.prepare = self._prepare
        self._gateway = 0
        self._in_flight: Batch | None = None
        self._pump_is_due = False
        self._idle: Promise[None] | None = None
        self._stopped: BaseException | None = None
        #: The last durable batch of each volume served: (epoch, number).
        self.last_durable: dict[int, tuple[int, int]] = {}

    @property
    def stopped(self) -> BaseException | None:
        """Return why nothing may be served any more, or None."""
        return self._stopped

    async def start(self, gateway: int) -> None:
        """Connect as *gateway*."""
        self._gateway = gateway
        await self._link.open()

    async def close(self) -> None:
        """Write what is queued, as long as PostgreSQL takes it, and disconnect."""
        if self._link.is_open and (self._in_flight is not None or self._ledger.has_queued):
            idle = self._idle = Promise()
            timer = self._clock.call_later(_CLOSE_SECONDS, lambda: None if idle.done else idle.resolve(None))
            self._pump()
            await idle
            timer.cancel()
        self._link.close()

    def commit(self, change: Change) -> int:
        """Queue *change* and return its batch's number; raise NoReply if its volume is not served."""
        number = self._ledger.add(change)
        if self._in_flight is None and not self._pump_is_due:
            # Sent when the reactor has served all that is ready now, so that those Changes share the batch.
            self._pump_is_due = True
            self._clock.call_later(0, self._pump)
        return number

    def _pump(self) -> None:
        self._pump_is_due = False
        if self._in_flight is not None or self._gateway == 0:
            return
        self._in_flight = self._ledger.next_batch()
        if self._in_flight is not None:
            spawn("commit", self._write(self._in_flight))
        elif self._idle is not None and not self._idle.done:
            self._idle.resolve(None)

    async def _write(self, batch: Batch) -> None:
        """Bring *batch* to its end: durable or refused."""
        error: BaseException | None = None
        try:
            await self._make_durable(batch, self._calls(batch))
            _before_release()
        except NoReply:
            return  # closed: nobody is told anything
        except Exception as refusal:  # noqa: BLE001 - whatever it is, the batch is not durable and memory is wrong
            error = refusal
        if error is None:
            self.last_durable.update({vol: (epoch, batch.number) for vol, epoch in batch.epochs.items()})
            self._ledger.settle(batch)
        else:
            _log.error("batch {number} refused: {error}", number=batch.number, error=error)
            self._ledger.refuse(batch, error)
        self._in_flight = None
        self._pump()

    def _calls(self, batch: Batch) -> list[Call]:
        fold = Fold()
        for change in batch.changes:
            fold.add(change)
        return fold.calls(self._gateway, batch.number, batch.epochs)

    async def _make_durable(self, batch: Batch, calls: list[Call]) -> None:
        """Return when *batch* is committed; raise BatchRefused, or NoReply if the store was closed."""
        sent_to: Session | None = None
        retry_seconds = _RETRY_SECONDS
        while True:
            session = await self._link.session()
            if sent_to is not None and sent_to is not session and await self._is_committed(session, batch):
                return
            if self._stopped is not None:
                raise DurabilityLost(str(self._stopped))
            try:
                _before_send()
                sent_to = session
                answer = session.send(calls)
                _after_send()
                await answer
            except ConnectionLost:
                continue
            except SqlError as error:
                await self._roll_back(session)
                if not is_passing(error):
                    raise (Fenced if error.sqlstate == _FENCED else BatchRefused)(str(error)) from error
                _log.warn("batch {number} is sent again: {error}", number=batch.number, error=error)
                await pause(self._clock, retry_seconds)
                retry_seconds = min(2 * retry_seconds, _LAST_RETRY_SECONDS)
            else:
                return

    async def _roll_back(self, session: Session) -> None:
        try:
            await session.run([(ROLLBACK, [])])
        except ConnectionLost:
            _log.debug("the connection was lost before the rollback")

    async def _is_committed(self, session: Session, batch: Batch) -> bool:
        """Look the number of *batch* up, until there is an answer: without one the outcome stays unknown."""
        vol, epoch = next(iter(batch.epochs.items()))
        while True:
            try:
                (result,) = await session.run([(_IS_COMMITTED, [bigint(vol), bigint(epoch), bigint(batch.number)])])
                return int.from_bytes(result.get_value(0, 0) or b"") > 0
            except ConnectionLost:
                session = await self._link.session()
            except SqlError as error:
                _log.warn("batch {number} cannot be looked up yet: {error}", number=batch.number, error=error)
                await pause(self._clock, _LAST_RETRY_SECONDS)

    # -- a new connection -----------------------------------------------------------------------------------------

    async def _prepare(self, session: Session) -> None:
        """Make sure that the old connection's transaction has ended, and that nothing durable is missing."""
        me = bigint(self._gateway)
        await session.run([(END_BACKENDS, [me])])
        await session.run([(_TAKE_LOCK, [me])])
        held = {vol: last for vol, last in self.last_durable.items() if self._ledger.epochs.get(vol) == last[0]}
        if held:
            vols = bigint_array(list(held))
            epochs, numbers = (bigint_array(column) for column in zip(*held.values(), strict=True))
            (result,) = await session.run([(_MISSING, [me, vols, epochs, numbers])])
            if result.ntuples:
                self._stop(f"{result.ntuples} volumes miss a batch that was durable")

    def _stop(self, why: str) -> None:
        """Serve nothing any more: the database went back in time."""
        _log.critical("PostgreSQL has lost committed data, serving stops: {why}", why=why)
        self._stopped = DurabilityLost(why)
        self._ledger.crash_all(self._stopped)
