"""The house put together: plain constructor calls, top to bottom; only here are concrete classes known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.home import DATABASE
from appliance.postgres.server import PostgresServer

if TYPE_CHECKING:
    from appliance.config import Config
    from appliance.home import Home
    from foundation.clock import Clock
    from metastore.api import MetaStore
    from storage_engine.api import BodyStore


class NotFounded(Exception):
    """The database holds no installation."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """The two rooms, open."""

    metastore: MetaStore
    bodies: BodyStore


def database_dsn(reactor: Any, clock: Clock, home: Home, config: Config) -> str:
    """Return how to reach the database."""
    if config.database.managed:
        return PostgresServer(reactor, clock, home, config.database, config.lifecycle).dsn
    return home.secret(DATABASE).decode()
