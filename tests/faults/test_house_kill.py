"""kill -9 under mixed load: nothing acknowledged is lost, nothing deleted returns, and `gatefold check` is clean."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest
from ledger import Ledger
from load import start_workers, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from house import House

_VICTIMS = ("gateway", "node", "postgres")
#: Acknowledgements before the kill, and again after the house has recovered.
_BEFORE, _AFTER = 60, 40


def wait_until(holds: Callable[[], bool], seconds: float, what: str, house: House) -> None:
    """Poll until *holds*; fail with the house's log."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}{house.log_tail()}"
        time.sleep(0.02)


def test_no_acknowledged_byte_is_lost_when_a_component_is_killed(
    own_house: House, tmp_path: Path, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
):
    cycles = pytestconfig.getoption("cycles")
    assert cycles > 0
    dice = random.Random(20_250)
    with Ledger(tmp_path / "manifest") as ledger:
        for cycle in range(cycles):
            victim = _VICTIMS[cycle % len(_VICTIMS)]
            line = kill_under_load(own_house, ledger, victim, cycle, dice)
            with capsys.disabled():
                print(f"\n  cycle {cycle + 1}: {line}", end="")
        assert ledger.acknowledged >= cycles * (_BEFORE + _AFTER)
        assert ledger.lost, "no kill hit an operation under way"


def kill_under_load(house: House, ledger: Ledger, victim: str, cycle: int, dice: random.Random) -> str:
    """Load, kill, recover, load, stop, verify, check; return a line about it."""
    workers = start_workers(house, "faults", ledger, seed=1000 * cycle)
    start, failed, lost = ledger.acknowledged, ledger.failed, ledger.lost
    wait_until(lambda: ledger.acknowledged >= start + _BEFORE, 60, f"{_BEFORE} acknowledgements", house)
    time.sleep(dice.random() * 0.3)  # so that the kill hits another moment of the commits each time
    before, under_way = ledger.acknowledged - start, ledger.under_way
    which = dice.randrange(len(house.components(victim)))
    killed = house.kill(victim, which)
    fell = time.monotonic()
    house.wait_replaced(victim, killed)
    down = time.monotonic() - fell
    back = ledger.acknowledged
    wait_until(lambda: ledger.acknowledged >= back + _AFTER, 60, f"{_AFTER} acknowledgements after recovery", house)
    for worker in workers:
        worker.stop()
    errors = ledger.failed - failed
    if victim == "gateway":
        assert errors, "the gateway died and no client noticed: the kill hit nothing"
    if victim == "node":
        assert not errors, f"one node down cost {errors} client-visible errors (D7){house.log_tail()}"
    names = verify(house, "faults", ledger)
    house.check()
    return (
        f"{victim}: {before} acknowledged, {under_way} under way at the kill, replaced in {down:.2f} s,"
        f" {errors} refused, {ledger.lost - lost} of them without an answer,"
        f" {ledger.acknowledged - start} acknowledged in all, {names} names verified"
    )


@pytest.mark.parametrize("with_all_below", [True, False], ids=["everything", "the supervisor alone"])
def test_a_killed_house_starts_again_with_all_that_was_acknowledged(
    own_house: House, tmp_path: Path, with_all_below: bool
):
    with Ledger(tmp_path / "manifest") as ledger:
        workers = start_workers(own_house, "faults", ledger, seed=77)
        wait_until(lambda: ledger.acknowledged >= _BEFORE, 60, "load", own_house)
        own_house.kill_serve(with_all_below=with_all_below)
        for worker in workers:
            worker.stop()
        assert ledger.failed, "the house died and no client noticed"
        own_house.start()
        assert verify(own_house, "faults", ledger) > 0
        own_house.check()
