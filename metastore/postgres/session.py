"""One connection to PostgreSQL: libpq in pipeline mode, driven by the reactor.

Every request is a list of prepared statements sent together and ended by a sync point: one round trip, and one
transaction unless it says otherwise. Several requests may be on their way; they are answered in order. There is no
thread and no asyncio: libpq is asked to move bytes when the reactor says that the socket is ready.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from msgspec import Struct
from psycopg import pq
from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

from foundation.aio import Promise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.pq.abc import PGconn, PGresult

_OK = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class ConnectionLost(Exception):
    """The connection is gone; what was on its way may or may not have happened."""


class SqlError(Exception):
    """The server refused a statement; its transaction is rolled back."""

    def __init__(self, sqlstate: str, message: str) -> None:
        """Keep the five characters that name the error (PostgreSQL, appendix A)."""
        super().__init__(f"{sqlstate}: {message}")
        self.sqlstate = sqlstate


class Statement(Struct, frozen=True):
    """A statement prepared at its first use in a session."""

    name: str
    sql: str
    types: tuple[int, ...]  # OIDs of its parameters, which are all sent in binary


#: A statement and its parameters.
Call: TypeAlias = "tuple[Statement, Sequence[bytes | None]]"


class _Request:
    """What was sent up to one sync point, and what has come back of it."""

    __slots__ = ("answer", "error", "prepares", "results")

    def __init__(self, prepares: str | None) -> None:
        self.prepares = prepares  # the statement's name, if that is all that the request does
        self.results: list[PGresult] = []
        self.error: SqlError | None = None
        self.answer: Promise[list[PGresult]] = Promise()


@implementer(IReadWriteDescriptor)
class Session:
    """An open connection; `connector.open_session` makes it. It is used until it is lost, never repaired."""

    def __init__(self, reactor: Any, connection: PGconn) -> None:
        """Take over *connection*, which is connected."""
        self._reactor = reactor
        self._connection = connection
        self._prepared: set[str] = set()
        self._requests: deque[_Request] = deque()
        self._error: ConnectionLost | None = None
        self.lost: Promise[None] = Promise()
        connection.nonblocking = 1
        connection.enter_pipeline_mode()
        # A descriptor of our own for the same socket: libpq closes its one when it finds the connection broken, and
        # the reactor must still be able to let go of it, by a number that nobody else has got meanwhile.
        self._descriptor = os.dup(connection.socket)
        reactor.addReader(self)

    @property
    def backend_pid(self) -> int:
        """Return the server process that libpq was told of when it connected."""
        return self._connection.backend_pid

    @property
    def waiting(self) -> int:
        """Return how many requests are not answered yet."""
        return len(self._requests)

    @property
    def why(self) -> str:
        """Return why the session was lost, or an empty text."""
        return str(self._error or "")

    @property
    def is_open(self) -> bool:
        """Say whether requests can be sent."""
        return self._error is None

    async def run(self, calls: Sequence[Call]) -> list[PGresult]:
        """Send *calls* together and return their results; raise SqlError, or ConnectionLost."""
        return await self.send(calls)

    def send(self, calls: Sequence[Call]) -> Promise[list[PGresult]]:
        """Send *calls* together and promise their results; raise ConnectionLost if none of it was sent."""
        if self._error is not None:
            raise ConnectionLost(self.why)
        try:
            return self._send(calls).answer
        except psycopg.Error as error:
            self.abandon(str(error))
            raise ConnectionLost(str(error)) from error

    def _send(self, calls: Sequence[Call]) -> _Request:
        connection = self._connection
        for statement in {call[0].name: call[0] for call in calls if call[0].name not in self._prepared}.values():
            # Each under a sync point of its own: an error in another request must not skip it.
            connection.send_prepare(statement.name.encode(), statement.sql.encode(), statement.types)
            self._end_request(prepares=statement.name)
            self._prepared.add(statement.name)
        for statement, parameters in calls:
            formats = [1] * len(parameters)
            connection.send_query_prepared(statement.name.encode(), parameters, formats, result_format=1)
        request = self._end_request()
        self._flush()
        return request

    def _end_request(self, prepares: str | None = None) -> _Request:
        self._connection.pipeline_sync()
        request = _Request(prepares)
        self._requests.append(request)
        return request

    def _flush(self) -> None:
        if self._connection.flush():
            self._reactor.addWriter(self)
        else:
            self._reactor.removeWriter(self)

    def abandon(self, why: str) -> None:
        """Close the connection at once; everything on its way raises ConnectionLost."""
        if self._error is not None:
            return
        self._error = ConnectionLost(why)
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._connection.finish()
        os.close(self._descriptor)
        requests, self._requests = self._requests, deque()
        for request in requests:
            request.answer.fail(ConnectionLost(why))
        self.lost.resolve(None)

    # -- IReadWriteDescriptor: called by the reactor --------------------------------------------------------------

    def fileno(self) -> int:
        """Return the socket's number."""
        return self._descriptor

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return what the reactor logs for it."""
        return "postgres"

    def doWrite(self) -> None:  # noqa: N802 - Twisted's name
        """Send more of what is queued."""
        try:
            self._flush()
        except psycopg.Error as error:
            self.abandon(str(error))

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Take what has arrived and answer the requests that it completes."""
        try:
            self._connection.consume_input()
            done = self._collect()
        except psycopg.Error as error:
            self.abandon(str(error))
            return
        for request in done:
            if request.error is None:
                request.answer.resolve(request.results)
            else:
                request.answer.fail(request.error)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        """Give up: the reactor found the socket closed."""
        self.abandon(str(reason))

    def _collect(self) -> list[_Request]:
        """Return the requests that are complete now; none of them is answered before libpq has been left."""
        connection, done = self._connection, []
        while self._requests and not connection.is_busy():
            result = connection.get_result()
            if result is None:
                continue  # the end of one command's results
            request = self._requests[0]
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                done.append(self._requests.popleft())
                self._pass_on(request)
            elif result.status in _OK:
                request.results.append(result)
            elif result.status == pq.ExecStatus.FATAL_ERROR:
                error = _sql_error(result)
                if error is None:
                    self.abandon(_message(result))
                    return done
                request.error = request.error or error
        return done

    def _pass_on(self, request: _Request) -> None:
        """Let a statement that could not be prepared fail the request that needed it, and not by its unknown name."""
        if request.prepares is not None and request.error is not None:
            self._prepared.discard(request.prepares)
            if self._requests:
                self._requests[0].error = request.error


def _message(result: PGresult) -> str:
    return result.error_message.decode("utf-8", "replace").strip()


def _sql_error(result: PGresult) -> SqlError | None:
    """Return the error of a statement, or None for one that ends the connection: that says nothing of a commit."""
    if result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) in (b"FATAL", b"PANIC"):
        return None
    sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE)
    if sqlstate is None:  # made by libpq itself: the connection broke
        return None
    primary = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b""
    detail = result.error_field(pq.DiagnosticField.MESSAGE_DETAIL) or b""
    return SqlError(sqlstate.decode(), b"; ".join(filter(None, (primary, detail))).decode("utf-8", "replace"))
