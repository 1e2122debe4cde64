"""The gateway is killed again and again under real programs: they only pause, and all they did is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from house import House
from place import Place
from works import Work, done_right, each_work, kill_while_it_works

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab import KernelLab

_MOST_KILLS = 8


@pytest.fixture(scope="module")
def hurt_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House.set_up(tmp_path_factory.mktemp("hurt") / "home")
    try:
        yield house.start()
    finally:
        house.remove()


@pytest.mark.parametrize(("work", "size"), each_work(["git"]))
def test_while_the_gateway_is_killed(hurt_house: House, lab: KernelLab, tmp_path: Path, work: Work, size: str):
    place = Place(hurt_house, lab)
    most = 2 if size == work.small else _MOST_KILLS
    with place.start(work.script(size, tmp_path), shares=(tmp_path,)) as guest:
        kills = kill_while_it_works(place, guest, tmp_path, most)
        done_right(guest.wait(3600))
    assert kills >= 2, "the work was over before the gateway was killed twice"
    hurt_house.check()
