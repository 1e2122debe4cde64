"""The model of the object verbs over memory rooms."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from objects_machine import ObjectMachine

EXAMPLES = int(os.environ.get("GATEFOLD_MODEL_EXAMPLES", "60"))


class TestObjects(ObjectMachine.TestCase):
    settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
