"""The supervisor's order, restarts and stops, over components that are no processes."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from appliance.config import LifecycleConfig
from appliance.process import ChildFailed
from appliance.supervisor import Supervisor
from foundation.aio import Promise, start
from foundation.clock import ManualClock

LIFECYCLE = LifecycleConfig(restart_delay_seconds=1.0, restart_delay_limit_seconds=4.0)


class FakeChild:
    def __init__(self) -> None:
        self.pid = 1
        self.exited: Promise[int] = Promise()


class FakeComponent:
    def __init__(self, name: str, events: list[str]) -> None:
        self.name = name
        self.events = events
        self.child: Any = None
        self.refuse = 0  # how many starts fail from now on
        self.refusal: Exception = ChildFailed("refused")
        self.gate: Promise[None] | None = None

    async def start(self, _on_line: object) -> Any:
        self.events.append(f"start {self.name}")
        if self.gate is not None:
            await self.gate
        if self.refuse:
            self.refuse -= 1
            raise self.refusal
        self.child = FakeChild()
        return self.child

    async def stop(self) -> None:
        self.events.append(f"stop {self.name}")
        if self.gate is not None and not self.gate.done:
            self.gate.fail(ChildFailed("stopped"))
        if self.child is not None and not self.child.exited.done:
            self.child.exited.resolve(-signal.SIGTERM)


class House:
    def __init__(self, *groups: str) -> None:
        self.events: list[str] = []
        self.lines: list[str] = []
        self.clock = ManualClock()
        self.components = {name: FakeComponent(name, self.events) for group in groups for name in group.split()}
        self.supervisor = Supervisor(
            self.clock,
            [[self.components[name] for name in group.split()] for group in groups],
            LIFECYCLE,
            lambda _name, line: self.lines.append(line),
        )

    def run(self) -> Any:
        return start(self.supervisor.run(lambda: self.events.append("up")))


def test_groups_start_in_order_and_stop_in_the_opposite_order() -> None:
    house = House("db", "n1 n2", "gw")
    done = house.run()
    assert house.events == ["start db", "start n1", "start n2", "start gw", "up"]
    house.supervisor.request_stop()
    assert done.called
    assert house.events[5:] == ["stop gw", "stop n1", "stop n2", "stop db"]


def test_a_component_that_dies_is_restarted_after_a_delay() -> None:
    house = House("db", "gw")
    house.run()
    house.components["gw"].child.exited.resolve(-signal.SIGKILL)
    assert "was killed by SIGKILL; restart in 1 s" in house.lines[-1]
    house.clock.advance(0.9)
    assert house.events.count("start gw") == 1
    house.clock.advance(0.2)
    assert house.events.count("start gw") == 2
    assert house.events.count("start db") == 1


def test_the_delay_doubles_up_to_its_limit_and_is_short_again_after_a_steady_run() -> None:
    house = House("db")
    house.run()
    database = house.components["db"]
    delays = []
    for _ in range(4):
        database.child.exited.resolve(1)
        delays.append(house.lines[-1].rpartition("in ")[2])
        house.clock.advance(10)
    house.clock.advance(60)
    database.child.exited.resolve(1)
    delays.append(house.lines[-1].rpartition("in ")[2])
    assert delays == ["1 s", "2 s", "4 s", "4 s", "1 s"]


def test_a_restart_that_fails_is_tried_again() -> None:
    house = House("db")
    house.run()
    house.components["db"].refuse = 2
    house.components["db"].child.exited.resolve(1)
    house.clock.advance(1 + 2 + 4 + 1)
    assert house.events.count("start db") == 4
    assert "is up" in house.lines[-1]


def test_a_restart_that_fails_for_a_reason_nobody_foresaw_is_tried_again() -> None:
    house = House("db")
    house.run()
    house.components["db"].refuse = 1
    house.components["db"].refusal = OSError("no space left on device")
    house.components["db"].child.exited.resolve(1)
    house.clock.advance(1)
    assert "did not start (no space left on device)" in house.lines[-1]
    house.clock.advance(2)
    assert "is up" in house.lines[-1]


def test_a_house_that_does_not_come_up_is_stopped_and_says_why() -> None:
    house = House("db", "gw")
    house.components["gw"].refuse = 1
    done = house.run()
    with pytest.raises(ChildFailed, match="refused"):
        done.result.raiseException()
    done.addErrback(lambda _: None)
    assert house.events[-2:] == ["stop gw", "stop db"]


def test_a_stop_during_the_start_stops_what_was_begun() -> None:
    house = House("db", "gw")
    house.components["db"].gate = Promise()
    done = house.run()
    house.supervisor.request_stop()
    assert done.called
    assert done.result is None
    assert "start gw" not in house.events
    assert "up" not in house.events


def test_a_stop_while_a_restart_is_due_restarts_nothing() -> None:
    house = House("db")
    house.run()
    house.components["db"].child.exited.resolve(1)
    house.supervisor.request_stop()
    house.clock.advance(100)
    assert house.events.count("start db") == 1
