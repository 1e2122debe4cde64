"""The dual-protocol model over memory rooms, thousands of steps a second."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from machine import DualMachine

EXAMPLES = int(os.environ.get("GATEFOLD_MODEL_EXAMPLES", "60"))


class TestDualProtocol(DualMachine.TestCase):
    settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
