"""The checker first: it must refuse histories that are known to be wrong, and allow those that are odd but right."""

from __future__ import annotations

import pytest
import registers
from linearizable import NEVER, BudgetSpentError, Op, linearizable


def op(step, call, ret=NEVER, *, answered=True):
    return Op("", call, ret, answered, step)


def lost(step, call, ret=NEVER):
    return op(step, call, ret, answered=False)


EMPTY = (None, None)
create, remove, rename, show = registers.create, registers.remove, registers.rename, registers.show

RIGHT = {
    "one after the other": [op(create(0, "ok", 7), 0, 1), op(show({0: 7}), 2, 3)],
    "a look at the same time sees it or not": [op(create(0, "ok", 7), 0, 9), op(show({0: 7}), 1, 2)],
    "and not": [op(create(0, "ok", 7), 0, 9), op(show({0: None}), 1, 2)],
    "who came second was refused": [op(create(0, "ok", 7), 0, 9), op(create(0, "AlreadyExists", None), 1, 8)],
    "one without an answer happened": [lost(create(0, None, "t"), 0), op(show({0: True}), 5, 6)],
    "one without an answer did not": [lost(create(0, None, "t"), 0), op(show({0: None}), 5, 6)],
    "it happened late": [
        lost(create(0, None, ("t", 1)), 0),
        op(show({0: None}), 5, 6),
        op(show({0: 8}), 7, 8),
        op(show({0: 8}), 9, 10),
    ],
    "a rename moves the inode": [
        op(create(0, "ok", 7), 0, 1),
        op(rename(0, 1, "ok"), 2, 5),
        op(show({0: 7, 1: None}), 3, 4),
        op(show({0: None, 1: 7}), 6, 7),
    ],
}
WRONG = {
    "a stale look": [op(create(0, "ok", 7), 0, 1), op(show({0: None}), 2, 3)],
    "a look back": [op(create(0, "ok", 7), 0, 9), op(show({0: 7}), 1, 2), op(show({0: None}), 3, 4)],
    "two made it": [op(create(0, "ok", 7), 0, 9), op(create(0, "ok", 8), 1, 8)],
    "refused though nothing was there": [op(create(0, "AlreadyExists", None), 0, 1)],
    "lost what was answered": [op(create(0, "ok", 7), 0, 1), op(remove(0, "NotFound"), 2, 3)],
    "a refused batch came back later": [
        lost(create(0, None, "t"), 0, 3),
        op(show({0: None}), 4, 5),
        op(show({0: True}), 6, 7),
    ],
    "another inode": [op(create(0, "ok", 7), 0, 1), op(show({0: 8}), 2, 3)],
    "one token, two inodes": [op(registers.put(0, ("t", 1)), 0, 1), op(show({0: 8}), 2, 3), op(show({0: 9}), 4, 5)],
    "half a rename": [op(create(0, "ok", 7), 0, 1), op(rename(0, 1, "ok"), 2, 9), op(show({0: 7, 1: 7}), 3, 4)],
    "neither name": [op(create(0, "ok", 7), 0, 1), op(rename(0, 1, "ok"), 2, 9), op(show({0: None, 1: None}), 3, 4)],
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_history_is_allowed(case):
    assert linearizable(RIGHT[case], EMPTY)


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_history_is_refused(case):
    assert not linearizable(WRONG[case], EMPTY)


BYTES_RIGHT = {
    "order of writes at the same time is free": [
        op(registers.write(0, 1), 0, 9),
        op(registers.write(0, 2), 0, 9),
        op(registers.read((1,)), 10, 11),
    ],
    "a hole": [op(registers.write(1, 5), 0, 1), op(registers.read((0, 5)), 2, 3)],
    "cut and grown": [
        op(registers.replace((1, 1)), 0, 1),
        op(registers.truncate(1), 2, 3),
        op(registers.truncate(2), 4, 5),
        op(registers.read((1, 0)), 6, 7),
    ],
}
BYTES_WRONG = {
    "a mix of two bodies": [
        op(registers.replace((1, 1)), 0, 9),
        op(registers.replace((2, 2)), 0, 9),
        op(registers.read((1, 2)), 3, 4),
    ],
    "bytes came back": [
        op(registers.replace((1, 1)), 0, 1),
        op(registers.truncate(1), 2, 3),
        op(registers.truncate(2), 4, 5),
        op(registers.read((1, 1)), 6, 7),
    ],
    "new, then old": [
        op(registers.replace((1,)), 0, 1),
        op(registers.replace((2,)), 2, 9),
        op(registers.read((2,)), 3, 4),
        op(registers.read((1,)), 5, 6),
    ],
}


@pytest.mark.parametrize("case", BYTES_RIGHT)
def test_a_right_history_of_bytes_is_allowed(case):
    assert linearizable(BYTES_RIGHT[case], ())


@pytest.mark.parametrize("case", BYTES_WRONG)
def test_a_wrong_history_of_bytes_is_refused(case):
    assert not linearizable(BYTES_WRONG[case], ())


def test_a_search_that_is_given_up_is_no_proof():
    history = [op(registers.write(0, value), 0, 99) for value in range(1, 12)]
    with pytest.raises(BudgetSpentError):
        linearizable([*history, op(registers.read((99,)), 100, 101)], (), budget=1000)


def test_bytes_are_cells():
    assert registers.to_cells(registers.to_bytes((1, 0, 1 << 31))) == (1, 0, 1 << 31)
