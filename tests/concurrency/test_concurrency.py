"""Schedules drawn by Hypothesis: many operations under way against loads, batches and puts that end when told to.

Every answer is checked at the moment it leaves against what a crash at that moment would leave, and every history of
names and bytes for an order that explains it.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from world import World

from foundation.errors import Unavailable

EXAMPLES = int(os.environ.get("GATEFOLD_MODEL_EXAMPLES", "80"))
PLACE = st.integers(0, 3)
FILE = st.integers(0, 1)
CELL = st.integers(0, 2)
PICK = st.integers(0, 1 << 16)
#: Where memory is lost all the time, nothing comes of it.
SELDOM = st.sampled_from([False, False, False, True])
#: More operations under way than this make the search for an order long, and find nothing that fewer do not.
MOST_UNDER_WAY = 7


class ConcurrentMachine(RuleBasedStateMachine):
    """Callers of both doors, and a schedule."""

    @initialize(tiny=st.booleans(), cold=st.booleans(), loads=st.booleans(), bodies=st.booleans())
    def begin(self, tiny: bool, cold: bool, loads: bool, bodies: bool) -> None:
        self.world = World(0 if tiny else 1 << 20, cold=cold)
        self._hold(loads, bodies)

    def _hold(self, loads: bool, bodies: bool) -> None:
        self.world.metastore.hold_commits()
        self.world.metastore.gated = loads
        self.world.bodies.gated = bodies
        self.held = (loads, bodies)

    def may_ask(self) -> bool:
        return hasattr(self, "world") and (
            sum(not record.ended for record in self.world.segments[-1].records) < MOST_UNDER_WAY
        )

    # ---------------------------------------------------------------- callers

    @precondition(may_ask)
    @rule(verb=st.sampled_from(["create", "lookup", "remove", "put_name", "delete", "head"]), at=PLACE)
    def ask_of_a_name(self, verb: str, at: int) -> None:
        getattr(self.world, verb)(at)

    @precondition(may_ask)
    @rule(at=PLACE, to=PLACE)
    def rename(self, at: int, to: int) -> None:
        self.world.rename(at, to)

    @precondition(may_ask)
    @rule(verb=st.sampled_from(["stat", "readdir", "list"]), which=PICK)
    def look(self, verb: str, which: int) -> None:
        if verb == "stat":
            self.world.stat(which)
        elif verb == "readdir":
            self.world.readdir(which % 2)
        else:
            self.world.list_keys()

    @precondition(may_ask)
    @rule(which=FILE, cell=CELL, stable=st.booleans())
    def write(self, which: int, cell: int, stable: bool) -> None:
        self.world.write(which, cell, stable=stable)

    @precondition(may_ask)
    @rule(which=FILE, first=st.integers(0, 2), count=st.integers(0, 3))
    def commit(self, which: int, first: int, count: int) -> None:
        self.world.commit(which, range(first, first + count) if count else None)

    @precondition(may_ask)
    @rule(which=FILE, verb=st.sampled_from(["truncate", "put"]), count=st.integers(0, 3))
    def change(self, which: int, verb: str, count: int) -> None:
        getattr(self.world, verb)(which, count)

    @precondition(may_ask)
    @rule(which=FILE, verb=st.sampled_from(["read", "get"]))
    def read(self, which: int, verb: str) -> None:
        getattr(self.world, verb)(which)

    # ---------------------------------------------------------------- the schedule

    @rule(which=PICK)
    def a_load_returns(self, which: int) -> None:
        self._take(self.world.metastore.loads, which)

    @rule(which=PICK, fails=st.sampled_from([False, False, False, True]))
    def a_put_ends(self, which: int, fails: bool) -> None:
        self._take(self.world.bodies.puts, which, Unavailable("no node") if fails else None)

    @rule(which=PICK)
    def a_read_ends(self, which: int) -> None:
        self._take(self.world.bodies.reads, which)

    def _take(self, waiting: list, which: int, error: Exception | None = None) -> None:
        if waiting:
            promise = waiting.pop(which % len(waiting))
            if error is None:
                promise.resolve(None)
            else:
                promise.fail(error)

    @rule()
    def a_batch_is_durable(self) -> None:
        self.world.metastore.release_batch()

    @rule(really=SELDOM)
    def a_batch_is_refused(self, really: bool) -> None:
        if really:
            self.world.refuse_batch()

    @rule(seconds=st.sampled_from([1.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule(really=SELDOM, applied=st.booleans())
    def the_process_dies(self, really: bool, applied: bool) -> None:
        if really:
            self.world.crash(applied=applied)
            self._hold(*self.held)

    # ---------------------------------------------------------------- what must hold

    @invariant()
    def nobody_was_told_wrong(self) -> None:
        if hasattr(self, "world"):
            assert not self.world.faults, "\n\n".join(self.world.faults)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            settle(self.world)


def settle(world: World) -> None:
    """Let everything end, look at everything, and check all of it."""
    world.let_all_through()
    for segment in world.segments:
        hung = [record.what for record in segment.records if not record.ended and segment is world.segments[-1]]
        assert not hung, f"these never ended: {hung}"
    for at in range(4):
        world.lookup(at)
    world.readdir(0)
    world.readdir(1)
    world.list_keys()
    for which in range(2):
        world.read(which)
        world.commit(which)
        world.get(which)
        world.read(which)
    for on in ("names", 0, 1):
        world.check(on)
        world.check_volatile(on)
    world.check_verifiers()
    assert not world.faults, "\n\n".join(world.faults)
    world.clock.advance(60)
    assert world.findings() == []


class TestConcurrency(ConcurrentMachine.TestCase):
    settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
