"""Every crash point of the gateway, each hit in runs of its own: acknowledged is there, the rest whole or absent."""

from __future__ import annotations

import os

import pytest
from crashing import mortal
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from foundation.crash import crash_points

#: Points where others die: the tests of the storage engine, and of repair; those (objects_machine,
#: test_namespace_multipart) of copies and uploads, (test_versions) of versions and (test_namespace_access) of ACLs, of
#: which this model knows nothing; and a truncation in steps, which leaves a beginning of the file where this model
#: knows of whole and absent alone (ADR 0062).
_ROOMS = ("node.", "body.", "repair.", "truncate.", "versioning.", "bucket_acl.")
_OBJECTS = {"complete.after_name", "copy.after_name", "draft.after_chunk", "reap.after_chunk"}
POINTS = sorted(name for name in crash_points() if not name.startswith(_ROOMS) and name not in _OBJECTS)
EXAMPLES = int(os.environ.get("GATEFOLD_MODEL_EXAMPLES", "10"))
#: A rare point is given so many runs to be passed.
MOST_RUNS = 3


@pytest.mark.parametrize("point", POINTS)
def test_what_was_acknowledged_survives_a_death_at(point):
    machine = mortal(point)
    for _ in range(MOST_RUNS):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
                database=None,
            ),
        )
        if machine.hits:
            return
    pytest.fail(f"no run ever passed {point}")
