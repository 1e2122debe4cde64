"""Calls that must not run twice, sent again: by the same connection, by a new one, and after kill -9 of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from house import House
from retransmission import Nine, connect, was_known
from test_house_crash_points import arm
from test_house_kill import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[House]:
    """Return an installation that does not run."""
    house = House.set_up(tmp_path / "home")
    yield house
    house.remove()


def test_each_call_runs_once_whatever_is_lost(stopped: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    house = stopped
    with house:
        lost, told = Nine(house, b"lost"), Nine(house, b"told")
    # The first nine answers of the next gateway are these calls': all are committed when it dies, and one, or more,
    # have no answer yet.
    token = arm(monkeypatch, tmp_path, "engine.before_answer", 9)
    token.touch()
    with house, connect(house) as nfs:
        gateway = house.components("gateway")[0]
        lost.send(nfs)
        wait_until(lambda: not token.exists(), 30, "the gateway to die before it answers", house)
        house.wait_replaced("gateway", gateway)
        again = lost.ask(house)
        assert all(was_known(name, reply) for name, reply in again.items())
        lost.check(house)

        with connect(house) as nfs_2:
            told.send(nfs_2)
            first = told.receive(nfs_2)
            assert not any(was_known(name, reply) for name, reply in first.items())
            told.send(nfs_2)
            assert told.receive(nfs_2) == first
        assert told.ask(house) == first

        house.wait_replaced("gateway", house.kill("gateway"))
        assert all(was_known(name, reply) for name, reply in told.ask(house).items())
        assert all(was_known(name, reply) for name, reply in lost.ask(house).items())
        told.check(house)
        lost.check(house)
        house.check()
