"""The model of buckets that keep versions, over memory rooms."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from versions_machine import VersionsMachine

EXAMPLES = int(os.environ.get("GATEFOLD_MODEL_EXAMPLES", "60"))


class TestVersions(VersionsMachine.TestCase):
    settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
