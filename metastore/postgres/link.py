"""A connection that is re-opened when it is lost: back-off by timer, and requests that wait for it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from foundation.aio import Promise, pause, spawn
from foundation.errors import NoReply, Unavailable
from metastore.postgres.connector import Unfit, open_session
from metastore.postgres.session import ConnectionLost, SqlError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from psycopg.pq.abc import PGresult

    from foundation.clock import Clock, Timer
    from metastore.postgres.session import Call, Session

_log = Logger()

#: Seconds between attempts: doubled from the first to the last, with up to as much again at random.
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 2.0
#: How long a look-up waits for PostgreSQL to come back before its caller is told Unavailable.
PATIENCE_SECONDS = 10.0

#: Errors that say nothing against the request: deadlock, serialization, lock timeout, out of disk, memory or
#: connections, a server going down or coming up, a server that became a standby.
_PASSING = ("40", "53", "57", "55P03", "58030", "25006")


def is_passing(error: SqlError) -> bool:
    """Say whether the same request may succeed later."""
    return error.sqlstate.startswith(_PASSING)


class Link:
    """One session at a time; `prepare` is run on each new one before anyone may use it."""

    def __init__(self, reactor: Any, clock: Clock, conninfo: str) -> None:
        """Describe a link; `open` connects it."""
        self._reactor = reactor
        self._clock = clock
        self._conninfo = conninfo
        self._session: Session | None = None
        self._waiters: list[Promise[None]] = []
        self._timer: Timer | None = None
        self._pause = _FIRST_PAUSE
        self._closed = False
        self.prepare: Callable[[Session], Awaitable[None]] | None = None

    @property
    def waiting(self) -> int:
        """Return how many requests are on their way, to choose the least busy of several links."""
        return self._session.waiting if self._session is not None else 1 << 30

    @property
    def is_open(self) -> bool:
        """Say whether a request could be sent now."""
        return self._session is not None and self._session.is_open

    async def open(self) -> None:
        """Connect; raise Unfit, or ConnectionLost when the first attempt fails."""
        await self._connect()

    def close(self) -> None:
        """Disconnect for good; whoever waits is told NoReply."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._session is not None:
            self._session.abandon("closed")
        self._wake()

    def cut(self, why: str) -> None:
        """Give up the current session; a new one is opened."""
        if self._session is not None:
            self._session.abandon(why)

    async def session(self, deadline: float | None = None) -> Session:
        """Return an open session; raise NoReply once the link is closed, Unavailable after *deadline* (boot time)."""
        while self._session is None or not self._session.is_open:
            if self._closed:
                raise NoReply("the metastore is closed")
            await self._change(None if deadline is None else deadline - self._clock.boottime_seconds())
        return self._session

    async def _change(self, seconds: float | None) -> None:
        """Wait for the next change of the link's state; raise Unavailable after *seconds*."""
        change: Promise[None] = Promise()
        self._waiters.append(change)
        if seconds is None:
            await change
            return
        timer = self._clock.call_later(max(0.0, seconds), lambda: _give_up(change))
        await change
        timer.cancel()

    async def query(self, calls: Sequence[Call]) -> list[PGresult]:
        """Run *calls* that may safely run twice; raise Unavailable when PostgreSQL stays away, or SqlError."""
        deadline = self._clock.boottime_seconds() + PATIENCE_SECONDS
        while True:
            try:
                return await (await self.session(deadline)).run(calls)
            except ConnectionLost:
                continue
            except SqlError as error:
                if not is_passing(error) or self._clock.boottime_seconds() >= deadline:
                    raise
            await pause(self._clock, _FIRST_PAUSE)

    # -- connecting -----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        session = await open_session(self._reactor, self._clock, self._conninfo)
        try:
            if self.prepare is not None:
                await self.prepare(session)
        except BaseException as error:
            session.abandon(str(error))
            raise
        if self._closed:
            session.abandon("closed")
            return
        self._session, self._pause = session, _FIRST_PAUSE
        spawn("watch a session", self._watch(session))
        self._wake()

    async def _watch(self, session: Session) -> None:
        await session.lost
        if not self._closed:
            _log.warn("connection to PostgreSQL lost: {why}", why=session.why)
            self._session = None
            self._try_later()

    def _try_later(self) -> None:
        seconds = self._pause * (1 + random.random())  # noqa: S311 - spreads attempts, guards nothing
        self._pause = min(2 * self._pause, _LAST_PAUSE)
        self._timer = self._clock.call_later(seconds, lambda: spawn("reconnect", self._connect(), self._failed))

    def _failed(self, error: BaseException) -> None:
        if self._closed:
            return
        if isinstance(error, Unfit):
            _log.critical("PostgreSQL must not be used any more: {error}", error=error)
        elif not isinstance(error, ConnectionLost):
            _log.error("could not set up a connection to PostgreSQL: {error}", error=error)
        self._try_later()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done:
                waiter.resolve(None)


def _give_up(change: Promise[None]) -> None:
    if not change.done:
        change.fail(Unavailable("PostgreSQL cannot be reached"))
