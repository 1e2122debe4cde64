"""Opening a session without blocking, with the settings that the metastore needs, and refusing an unfit server.

The settings travel in the connection's start-up packet, so no request can run before they hold. libpq looks host
names up synchronously: a DSN should name a socket folder or an address, or a name that resolves at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

from foundation.aio import Promise
from metastore.postgres.encoding import INT8
from metastore.postgres.session import ConnectionLost, Session, SqlError, Statement
from metastore.schema import SCHEMA

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

    from foundation.clock import Clock

#: Seconds after which an attempt to connect is given up.
CONNECT_SECONDS = 10
#: A dead network shows after this long, in ms: what was sent and not acknowledged is given up.
_TCP_USER_TIMEOUT_MS = 10_000

#: Every session. The answer to a commit means fsync; plans do not depend on the values of one call.
_SETTINGS = {
    "synchronous_commit": "on",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "max_parallel_workers_per_gather": "0",
    "default_transaction_isolation": "read\\ committed",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "60s",
    "search_path": "public",
    # Whatever the statistics say, only plans whose cost does not grow with the tables; background work is no
    # exception, because it goes by keys and in chunks.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    # A page is a walk along an index that ends at its limit; a bitmap would be read to its end first.
    "enable_bitmapscan": "off",
}

_FITNESS = Statement(
    "fitness",
    """
    SELECT pg_backend_pid()::bigint, current_setting('fsync'), current_setting('server_encoding'),
           current_setting('synchronous_commit'), pg_is_in_recovery(), current_setting('server_version_num')::bigint,
           (SELECT max(version_num)::bigint FROM alembic_version)
    WHERE $1 = 0
    """,
    (INT8,),
)
#: INSERT ... ON CONFLICT, exclusion constraints and pipelines all are older; nothing below this is tested.
_OLDEST_SERVER = 150000
_UNDEFINED_TABLE = "42P01"


class Unfit(Exception):
    """The server or database must not be used; waiting does not help."""


class Outdated(Unfit):
    """The database has an older schema: `metastore.migrate` brings it to this program's."""


def session_conninfo(dsn: str, name: str) -> str:
    """Return *dsn* with the settings of a session called *name*."""
    given = conninfo_to_dict(dsn)
    options = " ".join([str(given.get("options", "")), *(f"-c {key}={value}" for key, value in _SETTINGS.items())])
    return make_conninfo(
        dsn,
        options=options.strip(),
        application_name=f"gatefold {name}"[:63],
        client_encoding="UTF8",
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=_TCP_USER_TIMEOUT_MS,
    )


async def open_session(reactor: Any, clock: Clock, conninfo: str) -> Session:
    """Connect and check; raise ConnectionLost if it may work later, Unfit if it never will."""
    connection = pq.PGconn.connect_start(conninfo.encode())
    handshake = _Handshake(reactor, connection)
    timer = clock.call_later(CONNECT_SECONDS, handshake.give_up)
    handshake.step()
    try:
        await handshake.over
    finally:
        timer.cancel()
    session = Session(reactor, connection)
    try:
        await _check_fitness(session)
    except BaseException as error:
        session.abandon(str(error))
        raise
    return session


async def _check_fitness(session: Session) -> None:
    """Raise Unfit if an answered commit could be lost, if a pooler sits between, or if the schema is not ours."""
    try:
        (result,) = await session.run([(_FITNESS, [bytes(8)])])
    except SqlError as error:
        if error.sqlstate == _UNDEFINED_TABLE:
            raise Unfit("the database has no schema yet: it must be migrated first") from error
        raise
    pid, fsync, encoding, synchronous, recovering, version, schema = (result.get_value(0, n) or b"" for n in range(7))
    if int.from_bytes(pid) != session.backend_pid:
        raise Unfit("a connection pooler sits before PostgreSQL: sessions need a server process of their own")
    if fsync != b"on":
        raise Unfit("PostgreSQL runs with fsync=off: it may lose what it has committed")
    if synchronous != b"on":
        raise Unfit("PostgreSQL did not take synchronous_commit=on")
    if encoding != b"UTF8":
        raise Unfit(f"the database's encoding is {encoding.decode()}, not UTF8")
    if int.from_bytes(version) < _OLDEST_SERVER:
        raise Unfit(f"PostgreSQL {int.from_bytes(version) // 10000} is too old: 15 or newer is needed")
    if int.from_bytes(schema) != SCHEMA:
        kind = Outdated if int.from_bytes(schema) < SCHEMA else Unfit
        raise kind(f"the database has schema {int.from_bytes(schema)}, this program needs {SCHEMA}")
    if recovering == b"\x01":
        # A standby may be promoted, and the DSN may lead elsewhere at the next attempt.
        raise ConnectionLost("the server is a standby")


@implementer(IReadWriteDescriptor)
class _Handshake:
    """libpq's connection state machine, stepped when its socket is ready."""

    def __init__(self, reactor: Any, connection: PGconn) -> None:
        self._reactor = reactor
        self._connection = connection
        self._descriptor = -1
        self.over: Promise[None] = Promise()

    def step(self) -> None:
        """Go on as far as possible, and wait for what libpq wants next."""
        self._unregister()
        if self.over.done:
            return
        if self._connection.status == pq.ConnStatus.BAD:
            self._fail(self._connection.get_error_message())
            return
        wanted = self._connection.connect_poll()
        if wanted == pq.PollingStatus.OK:
            self.over.resolve(None)
        elif wanted == pq.PollingStatus.FAILED:
            self._fail(self._connection.get_error_message())
        else:
            self._descriptor = self._connection.socket  # libpq may change it between steps
            add = self._reactor.addReader if wanted == pq.PollingStatus.READING else self._reactor.addWriter
            add(self)

    def give_up(self) -> None:
        """Fail: it takes too long."""
        self._unregister()
        if not self.over.done:
            self._fail(f"no connection within {CONNECT_SECONDS} s")

    def _fail(self, why: str) -> None:
        self._connection.finish()
        self.over.fail(ConnectionLost(why.strip()))

    def _unregister(self) -> None:
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)

    def fileno(self) -> int:
        """Return the socket's number."""
        return self._descriptor

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return what the reactor logs for it."""
        return "postgres"

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Go on."""
        self.step()

    def doWrite(self) -> None:  # noqa: N802 - Twisted's name
        """Go on."""
        self.step()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        """Fail: the reactor found the socket closed."""
        self._unregister()
        if not self.over.done:
            self._fail(str(reason))
