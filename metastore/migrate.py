"""Bringing a database to the schema of this program, and refusing one that is newer.

This blocks, on a connection of its own: `setup` and `upgrade` run it, never a gateway that serves.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from metastore.postgres.committer import LOCK_CLASS
from metastore.schema import SCHEMA

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: An advisory lock that keeps two migrations apart; the number is arbitrary and ours.
_MIGRATION_LOCK = 0x6761_7465_0001


class SchemaNewer(Exception):
    """The database was written by a newer program; this one would damage it."""


class SchemaOlder(Exception):
    """The database must be migrated before it can be used."""


class StillServed(Exception):
    """Gateways are connected: they would go on with what they know of the old schema."""


def upgrade(dsn: str, revision: str = "head") -> tuple[int, int]:
    """Bring the database of *dsn* (a libpq connection string) to *revision*, in one transaction.

    Return the versions before and after. Raise SchemaNewer, or StillServed if there is something to do and a gateway
    is connected; then nothing has changed.
    """
    engine = _engine(dsn)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            before = _version(connection)
            _refuse_newer(before)
            if before < SCHEMA:
                _refuse_served(connection)
                config = Config()
                config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
                config.set_main_option("path_separator", "os")
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
            return before, _version(connection)
    finally:
        engine.dispose()


def check(dsn: str) -> None:
    """Raise SchemaNewer or SchemaOlder unless the database of *dsn* has this program's schema."""
    engine = _engine(dsn)
    try:
        with engine.connect() as connection:
            version = _version(connection)
    finally:
        engine.dispose()
    _refuse_newer(version)
    if version < SCHEMA:
        raise SchemaOlder(f"the database has schema {version}, this program needs {SCHEMA}")


def _engine(dsn: str) -> Engine:
    """Make an engine that hands *dsn* to libpq as it is."""
    return create_engine("postgresql+psycopg://", connect_args=dict(conninfo_to_dict(dsn)), poolclass=NullPool)


def _version(connection: Connection) -> int:
    """Return the schema's version, 0 for an empty database."""
    return int(MigrationContext.configure(connection).get_current_revision() or 0)


def _refuse_served(connection: Connection) -> None:
    """Raise StillServed while a gateway holds the lock that it commits under."""
    served = connection.execute(
        text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = :class"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
        {"class": LOCK_CLASS},
    ).scalar_one()
    if served:
        raise StillServed(f"{served} gateways are connected to the database; stop them first")


def _refuse_newer(version: int) -> None:
    if version > SCHEMA:
        raise SchemaNewer(f"the database has schema {version}, this program knows {SCHEMA} at most")
