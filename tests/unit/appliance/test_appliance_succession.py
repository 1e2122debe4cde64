"""Who may follow whom without waiting for a lease: only the same lock file, since the same boot."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from appliance import succession
from appliance.config import FIRST_GATEWAY
from appliance.home import Home
from appliance.succession import Succession, lock_name

if TYPE_CHECKING:
    from pathlib import Path


def follow(home: Home, run: int, *, settled: bool = True, gateway: str = FIRST_GATEWAY) -> set[int]:
    """Let *run* follow in *home*, and return whom it may take from at once."""
    with home.lock(lock_name(gateway), "test"):
        place = Succession(home, gateway)
        place.begin(run)
        if settled:
            place.settle(run)
        return set(place.predecessors)


def test_each_run_follows_the_one_before_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert [follow(home, run) for run in (1, 4, 9)] == [set(), {1}, {4}]


def test_a_run_that_died_before_it_had_taken_everything_adds_to_those_before_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    follow(home, 1)
    follow(home, 2, settled=False)
    follow(home, 3, settled=False)
    assert follow(home, 4) == {1, 2, 3}
    assert follow(home, 5) == {4}


def test_gateways_of_other_names_are_no_predecessors(tmp_path: Path) -> None:
    home = Home(tmp_path)
    follow(home, 1)
    assert follow(home, 2, gateway="west") == set()
    assert follow(home, 3) == {1}


def test_a_copied_home_proves_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    follow(home, 1)
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    assert follow(Home(tmp_path / "copy"), 2) == set()
    assert follow(home, 3) == {1}


def test_a_boot_ends_the_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    follow(home, 1)
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(succession, "_BOOT_ID", tmp_path / "boot_id")
    assert follow(home, 2) == set()


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"lock": 1, "runs": [1]}', "\0"])
def test_a_damaged_record_proves_nothing(tmp_path: Path, damage: str) -> None:
    home = Home(tmp_path)
    follow(home, 1)
    record = home.run_path / "gateway.runs"
    assert json.loads(record.read_text())["runs"] == [1]
    record.write_text(damage)
    assert follow(home, 2) == set()
