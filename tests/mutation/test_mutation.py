"""Each rule's test passes with the rule and fails without it: a proof that the test watches the rule."""

from __future__ import annotations

import inspect
import signal
from contextlib import contextmanager

import pytest
import test_rules
from mutants import MUTANTS

#: A house without a rule may turn for ever, which its test has noticed too.
PATIENCE_SECONDS = 5.0


@contextmanager
def patience():
    def over(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_a_rule_that_is_taken_out_is_missed(mutant, monkeypatch):
    mutant.test()
    mutant.take_out(monkeypatch)
    try:
        with patience():
            mutant.test()
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever the broken house raises, the test has noticed
        return
    pytest.fail(f"{mutant.test.__name__} passes without the rule that {mutant.rule}")


def test_every_named_rule_has_a_mutant():
    named = {function for name, function in inspect.getmembers(test_rules, inspect.isfunction) if name[:5] == "test_"}
    assert named == {mutant.test for mutant in MUTANTS}
