"""Bringing a database to the schema of this program, and refusing one that is newer.

This blocks, on a connection of its own: setup runs it, never a gateway that serves.
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

from metastore.schema import SCHEMA

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: An advisory lock that keeps two migrations apart; the number is arbitrary and ours.
_MIGRATION_LOCK = 0x6761_7465_0001


class SchemaNewer(Exception):
    """The database was written by a newer program; this one would damage it."""


class SchemaOlder(Exception):
    """The database must be migrated before it can be used."""


def upgrade(dsn: str) -> None:
    """Bring the database of *dsn* (a libpq connection string) to this program's schema; raise SchemaNewer."""
    engine = _engine(dsn)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            _refuse_newer(_version(connection))
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
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


def _refuse_newer(version: int) -> None:
    if version > SCHEMA:
        raise SchemaNewer(f"the database has schema {version}, this program knows {SCHEMA} at most")
