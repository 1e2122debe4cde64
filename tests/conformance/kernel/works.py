"""The works of the campaign, and how one is done on a mount, with the gateway left alone or killed again and again."""

from __future__ import annotations

import random
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab import Guest, Outcome
    from place import Place

_FOLDER = Path(__file__).parent / "work"
_POLL_SECONDS = 0.05
#: Between two kills the client finds the new gateway (3 s), and gets some work done.
_BETWEEN_SECONDS = (0.4, 3.5)


@dataclass(frozen=True)
class Work:
    """One script of `work/`: *small* is its size in `make test`, *large* that of `make kernel`."""

    name: str
    promise: str
    small: str
    large: str

    def script(self, size: str, share: Path) -> str:
        """Return what the guest runs."""
        settings = f"export HERE={shlex.quote(str(_FOLDER))} SHARE={shlex.quote(str(share))} {size}\n"
        return settings + f'. "$HERE/prelude.sh"\n. "$HERE/{self.name}.sh"\ncalm\necho done\n'


WORKS = (
    Work("git", "a cloned C project builds and git finds it whole", "MODULES=12", "MODULES=80"),
    Work("tar", "tar unpacks a tree that it finds the same", "FILES=60", "FILES=1000"),
    Work("cp", "cp -a keeps links, times and special files", "FILES=60", "FILES=1000"),
    Work("rsync", "rsync's second run has nothing to do", "FILES=60", "FILES=1000"),
    Work("sqlite", "a database holds what was committed", "ROWS=300", "ROWS=3000"),
    Work("fio", "fio reads what it wrote", "SIZE=8M SMALL=1M", "SIZE=128M SMALL=16M"),
    Work(
        "exerciser",
        "random operations leave what they leave on a local file",
        "STEPS=500 SEEDS=1",
        "STEPS=3000 SEEDS='11 12'",
    ),
    Work("find", "find, du and df count right", "DIRS=12 FILES=20", "DIRS=100 FILES=50"),
    Work("many", "a directory of very many files lists each of them once", "FILES=2000", "FILES=100000"),
    Work("big", "a big file comes back as it went", "MIB=64", "MIB=1024"),
    Work("sparse", "a sparse file costs what it holds", "MIB=64", "MIB=5120"),
)


def each_work(small: Iterable[str]) -> list[object]:
    """Return parameters (work, size): those named *small* in their small size, all in their large one."""
    few = [pytest.param(work, work.small, id=work.promise) for work in WORKS if work.name in small]
    return few + [
        pytest.param(work, work.large, id=f"{work.promise} ({work.large})", marks=pytest.mark.kernel) for work in WORKS
    ]


def done_right(outcome: Outcome) -> None:
    """Raise AssertionError unless the script came to its end."""
    assert outcome.check().text.endswith("done\n"), outcome.text


def kill_while_it_works(place: Place, guest: Guest, share: Path, most: int) -> int:
    """Kill the gateway again and again while the work is under way, *most* times; return how often."""
    dice = random.Random(place.name)
    begun, ended = share / "begun", share / "ended"
    while not begun.exists():
        assert guest.running, guest.wait(1).check()
        time.sleep(_POLL_SECONDS)
    kills = 0
    try:
        while kills < most:
            time.sleep(dice.uniform(*_BETWEEN_SECONDS))  # another moment of the work each time
            if ended.exists() or not guest.running:
                break
            place.house.wait_replaced("gateway", place.house.kill("gateway"))
            kills += 1
    finally:
        (share / "quiet").touch()
    return kills
