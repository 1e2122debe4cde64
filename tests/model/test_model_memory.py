"""The dual-protocol model over memory rooms, thousands of steps a second."""

from __future__ import annotations

import os

from hall import MemoryHall, run
from hypothesis import HealthCheck, settings
from machine import DualMachine
from msgspec.structs import replace

EXAMPLES = int(os.environ.get("GATEFOLD_MODEL_EXAMPLES", "60"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


class StrictMachine(DualMachine):
    """The same in a bucket that takes only names both doors say alike."""

    strict = True

    def make_hall(self) -> MemoryHall:
        hall = MemoryHall()
        volumes = hall.database.volumes
        volumes[hall.vol] = replace(volumes[hall.vol], settings={"strict": "true"})
        run(hall.ns.close())
        return hall.reopen()


class TestDualProtocol(DualMachine.TestCase):
    settings = SETTINGS


class TestStrict(StrictMachine.TestCase):
    settings = SETTINGS
