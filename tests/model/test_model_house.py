"""The same machine over PostgreSQL and storage nodes that are processes of their own.

Each example has a database of its own, a copy of one that is migrated, and a volume number that no earlier one had: the
nodes serve all of them. The namespace's clock is moved by hand, so that idle flush and garbage come when the model
expects them.
"""

from __future__ import annotations

import itertools
import os

import psycopg
import pytest
from hall import ROOT, MemoryHall, run, turned_by
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from machine import DualMachine
from postgres_server import postgres  # noqa: F401 - a fixture
from storage_nodes import CLOCK, Nodes, drive
from twisted.internet import reactor
from versions_machine import VersionsMachine

from foundation.aio import pause
from foundation.clock import ManualClock
from metastore.postgres import PgMetaStore
from namespace.duties import ROUND_SECONDS
from namespace.service import GatefoldNamespace
from namespace.writeback import IDLE_SECONDS

EXAMPLES = int(os.environ.get("GATEFOLD_MODEL_EXAMPLES", "6"))
FIRST_PORT = int(os.environ.get("GATEFOLD_TEST_PORTS", "26000-26999").partition("-")[0]) + 300
_volumes = itertools.count(1)
#: Less than between two renewals of the lease: each must be answered before the next is due.
STEP_SECONDS = 1.0


class TurnedClock(ManualClock):
    """A clock moved by hand that lets what fell due end."""

    def __init__(self) -> None:
        super().__init__()
        self.ns = None

    def advance(self, seconds: float) -> None:
        """Move on in few steps: what one began ends before the next."""
        passed = 0.0
        while seconds > 0:
            step = min(seconds, STEP_SECONDS)
            super().advance(step)
            seconds -= step
            passed += step
            drive(self._quiet(idle=passed > IDLE_SECONDS + 2 * ROUND_SECONDS))

    async def _quiet(self, *, idle: bool) -> None:
        """Wait until no duty runs, and, if files were *idle* for long enough, until no UNSTABLE data is left."""
        while self._is_open() and (self._is_renewing() or self.ns._duties._running or (idle and self._is_dirty())):
            await pause(CLOCK, 0.001)

    def _is_open(self) -> bool:
        """Tell whether there is a namespace to wait for: one that is closed renews and flushes nothing any more."""
        return self.ns is not None and self.ns._duties._timer is not None

    def _is_renewing(self) -> bool:
        return self.ns._engine._lease.deadline < self.boottime_seconds() + 2.0

    def _is_dirty(self) -> bool:
        return any(entry.overlay is not None for entry in self.ns._writeback._dirty)


class PostgresHall(MemoryHall):
    """What `MemoryHall` is, over a database and nodes."""

    def __init__(self, dsn: str, bodies, *, made: bool = False) -> None:
        self.dsn, self.bodies, self.clock = dsn, bodies, TurnedClock()
        self.metastore = PgMetaStore(reactor, dsn, CLOCK, "model")
        run(self.metastore.open())
        dead = frozenset(gateway.id for gateway in run(self.metastore.gateways()))
        run(self.metastore.register_gateway("model"))
        self.ns = self.clock.ns = GatefoldNamespace(self.metastore, self.bodies, self.clock, predecessors=dead)
        run(self.ns.open())
        if not made:
            run(self.ns.create_bucket(ROOT, "bucket"))
        self.vol = run(self.ns.head_bucket(ROOT, "bucket")).vol
        self.root = run(self.ns.root(self.vol))

    def reopen(self) -> PostgresHall:
        run(self.metastore.close())
        return PostgresHall(self.dsn, self.bodies, made=True)


class OnHouse:
    """Over the rooms of `server` and `bodies`."""

    server = None
    bodies = None

    def make_hall(self) -> PostgresHall:
        dsn = self.server.new_migrated_database()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"ALTER TABLE volume ALTER COLUMN vol RESTART WITH {next(_volumes)}")
        return PostgresHall(dsn, self.bodies)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            if hasattr(self, "hall"):
                run(self.hall.metastore.close())


class HouseMachine(OnHouse, DualMachine):
    """One bucket as it is."""


class VersionsHouseMachine(OnHouse, VersionsMachine):
    """One bucket that may keep versions."""


@pytest.fixture(scope="module")
def bodies(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("model-nodes"), FIRST_PORT)
    nodes.start()
    store = nodes.body_store()
    try:
        drive(store.open())
        yield store
        drive(store.close())
    finally:
        nodes.stop()


@pytest.mark.parametrize("machine", [HouseMachine, VersionsHouseMachine])
def test_both_doors_show_the_model_over_postgresql_and_nodes(postgres, bodies, machine):
    OnHouse.server, OnHouse.bodies = postgres, bodies
    with turned_by(lambda: reactor.iterate(0.02)):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
