from __future__ import annotations

import pytest

from foundation.aio import start
from foundation.clock import ManualClock
from foundation.errors import Corrupt, NoSpace, Unavailable
from storage_engine.api import BlobId, Origin
from storage_engine.memory import MemoryBodyStore

BLOB, ORIGIN = BlobId(1, 1), Origin(1, 2, 3, 4, 5)


def begin(work):
    outcome = []
    start(work).addBoth(outcome.append)
    return outcome


def test_held_puts_wait_until_they_are_released():
    bodies = MemoryBodyStore(ManualClock())
    bodies.hold_puts()
    outcome = begin(bodies.put(BLOB, [b"x"], ORIGIN))
    assert (outcome, bodies.puts_waiting) == ([], 1)
    bodies.release_puts()
    assert len(outcome) == 1
    assert bodies.origin_of(BLOB) == ORIGIN


def test_failed_puts_raise_what_the_test_chose_and_store_nothing():
    bodies = MemoryBodyStore(ManualClock())
    bodies.fail_puts(Unavailable("down"))
    begin(bodies.put(BLOB, [b"x"], ORIGIN))[0].trap(Unavailable)
    assert not bodies.blobs
    begin(bodies.put(BLOB, [b"x"], ORIGIN))
    assert bodies.blobs == {BLOB: b"x"}


def test_slow_puts_take_the_clocks_time():
    clock = ManualClock()
    bodies = MemoryBodyStore(clock)
    bodies.put_seconds = 2.0
    outcome = begin(bodies.put(BLOB, [b"x"], ORIGIN))
    clock.advance(1.9)
    assert not outcome
    clock.advance(0.2)
    assert outcome


def test_a_full_store_refuses_and_takes_again_after_a_delete():
    bodies = MemoryBodyStore(ManualClock(), capacity_bytes=3)
    begin(bodies.put(BLOB, [b"xyz"], ORIGIN))
    begin(bodies.put(BlobId(1, 2), [b"x"], ORIGIN))[0].trap(NoSpace)
    begin(bodies.delete(1, [1]))
    assert not hasattr(begin(bodies.put(BlobId(1, 2), [b"x"], ORIGIN))[0], "trap")


def test_a_damaged_blob_is_never_served():
    bodies = MemoryBodyStore(ManualClock())
    begin(bodies.put(BLOB, [b"x"], ORIGIN))
    bodies.damage(BLOB)
    with pytest.raises(Corrupt):
        begin(bodies.read(BLOB, 0, 1))[0].raiseException()
