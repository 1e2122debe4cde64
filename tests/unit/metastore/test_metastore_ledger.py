"""The books of group commit: numbers, waiters, and what a crash takes with it."""

import pytest
from twisted.logger import globalLogPublisher

from foundation.aio import start
from foundation.errors import NoReply
from metastore import grouping
from metastore.grouping import BatchRefused, Ledger
from metastore.records import Change, Inode


def change(vol, ino=2):
    return Change(vol, (Inode(vol, ino, 1, 1, 0, 0, 0, 1),))


def serving(*vols):
    ledger = Ledger()
    for vol in vols:
        ledger.serve(vol, 1)
    return ledger


def outcome_of(ledger, vol, number, outcomes, name):
    async def observe():
        try:
            await ledger.wait(vol, number)
        except NoReply:
            outcomes.append((name, "lost"))
        else:
            outcomes.append((name, "durable"))

    start(observe())


def test_changes_gather_until_the_batch_is_sent():
    ledger = serving(1)
    assert ledger.add(change(1)) == ledger.add(change(1)) == 1
    assert ledger.next_batch().number == 1
    assert ledger.add(change(1)) == 2
    assert ledger.next_batch().number == 2
    assert ledger.next_batch() is None


def test_a_full_batch_takes_no_more(monkeypatch):
    monkeypatch.setattr(grouping, "MAX_BATCH_ROWS", 5)
    ledger = serving(1)
    numbers = [ledger.add(change(1, ino)) for ino in range(2, 7)]
    assert numbers == [1, 1, 2, 2, 3]
    assert [ledger.next_batch().number for _ in range(3)] == [1, 2, 3]


def test_one_change_larger_than_a_batch_goes_alone(monkeypatch):
    monkeypatch.setattr(grouping, "MAX_BATCH_ROWS", 1)
    ledger = serving(1)
    assert [ledger.add(change(1)) for _ in range(2)] == [1, 2]


def test_waiters_wake_in_order_and_may_wait_again_at_once():
    ledger, woken = serving(1), []

    async def commit_and_wait(left):
        while left:
            await ledger.wait(1, ledger.add(change(1)))
            woken.append(left)
            left -= 1

    start(commit_and_wait(3))
    start(commit_and_wait(2))
    for number in (1, 2, 3):
        batch = ledger.next_batch()
        assert batch.number == number
        ledger.settle(batch)
    assert woken == [3, 2, 2, 1, 1]
    assert ledger.pending_bytes == 0


def test_a_refusal_takes_the_queue_of_its_volumes_and_leaves_the_others():
    ledger, outcomes, crashed = serving(1, 2, 3), [], []
    ledger.refused = lambda vol, error: crashed.append((vol, str(error)))
    for vol in (1, 2):
        outcome_of(ledger, vol, ledger.add(change(vol)), outcomes, f"sent {vol}")
    batch = ledger.next_batch()
    for vol in (1, 3):
        outcome_of(ledger, vol, ledger.add(change(vol)), outcomes, f"queued {vol}")
    ledger.refuse(batch, BatchRefused("no"))
    assert crashed == [(1, "no"), (2, "no")]
    assert sorted(outcomes) == [("queued 1", "lost"), ("sent 1", "lost"), ("sent 2", "lost")]
    with pytest.raises(NoReply):
        ledger.add(change(1))
    rest = ledger.next_batch()
    assert [each.vol for each in rest.changes] == [3]
    ledger.settle(rest)
    assert outcomes[-1] == ("queued 3", "durable")
    assert ledger.pending_bytes == 0


def test_refused_is_called_before_anyone_whose_reply_is_lost_runs():
    ledger, order = serving(1), []
    ledger.refused = lambda vol, _error: order.append(f"refused {vol}")
    outcome_of(ledger, 1, ledger.add(change(1)), order, "waiter")
    ledger.refuse(ledger.next_batch(), BatchRefused("no"))
    assert order == ["refused 1", ("waiter", "lost")]


def test_a_volume_taken_again_shares_no_number_with_what_it_lost():
    ledger, outcomes = serving(1, 2), []
    ledger.add(change(1))
    batch = ledger.next_batch()
    lost = ledger.add(change(1))
    assert ledger.add(change(2)) == lost
    ledger.refused = lambda vol, _error: ledger.serve(vol, 2)
    ledger.refuse(batch, BatchRefused("no"))
    kept = ledger.add(change(1))
    assert kept > lost
    outcome_of(ledger, 1, lost, outcomes, "late")
    outcome_of(ledger, 1, kept, outcomes, "new")
    while (batch := ledger.next_batch()) is not None:
        ledger.settle(batch)
    assert outcomes == [("late", "lost"), ("new", "durable")]


def test_a_batch_of_an_older_epoch_does_not_crash_the_volume_taken_again():
    ledger, crashed = serving(1), []
    ledger.refused = lambda vol, _error: crashed.append(vol)
    ledger.add(change(1))
    batch = ledger.next_batch()
    ledger.leave(1)
    ledger.serve(1, 2)
    ledger.refuse(batch, BatchRefused("fenced"))
    assert crashed == []
    assert ledger.add(change(1)) == 2


def test_a_batch_that_a_crash_has_emptied_is_settled_in_its_turn():
    ledger, outcomes = serving(1, 2), []
    ledger.add(change(1))
    batch = ledger.next_batch()
    ledger.add(change(1))
    ledger.refuse(batch, BatchRefused("no"))
    number = ledger.add(change(2))
    outcome_of(ledger, 2, number, outcomes, "other")
    assert ledger.next_batch().number == number
    assert ledger.durable == number - 1


def test_a_callback_that_fails_hides_the_refusal_from_nobody():
    ledger, told, logged = serving(1, 2), [], []

    def refused(vol, _error):
        told.append(vol)
        raise RuntimeError("a bug")

    ledger.refused = refused
    for vol in (1, 2):
        outcome_of(ledger, vol, ledger.add(change(vol)), told, "waiter")
    globalLogPublisher.addObserver(logged.append)
    ledger.refuse(ledger.next_batch(), BatchRefused("no"))
    globalLogPublisher.removeObserver(logged.append)
    assert told == [1, 2, ("waiter", "lost"), ("waiter", "lost")]
    assert len(logged) == 2


def test_waiting_for_a_batch_that_was_never_opened_is_a_bug():
    failures = []
    start(serving(1).wait(1, 1)).addErrback(failures.append)
    with pytest.raises(ValueError, match="never opened"):
        failures[0].raiseException()
