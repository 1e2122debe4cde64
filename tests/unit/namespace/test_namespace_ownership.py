"""Leases, take-over and zombies over one memory database, each gateway with a clock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hall import ROOT, MemoryHall, begin, run
from twisted.python.failure import Failure

from foundation.crash import crash_points
from foundation.errors import (
    BucketExists,
    BucketNotEmpty,
    BucketNotFound,
    BucketOwned,
    HeldElsewhere,
    NoReply,
    NotFound,
    StaleHandle,
    Unavailable,
)
from metastore.api import VolumeTaken
from namespace.api import Caller, Conditions, CreateMode, ListRequest, PutRequest, SetAttr, Stability
from namespace.lease import Terms
from storage_engine.api import BlobId, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

TERMS = Terms()
#: Until when a holder may answer after a renewal, and how long an observer must see it stand still.
USABLE = TERMS.lease_seconds - TERMS.margin_seconds
PATIENCE = TERMS.lease_seconds + TERMS.margin_seconds
#: An observer that looks round once a second has seen enough after this.
TAKEN_OVER = PATIENCE + 2 * TERMS.watch_seconds


@pytest.fixture
def hall() -> Iterator[MemoryHall]:
    """Return the first gateway's hall; crash points that a test armed are no-ops afterwards."""
    yield MemoryHall()
    for point in crash_points().values():
        point.disarm()


def outcome(deferred: Any) -> Any:
    """Return what *deferred* has ended with, an exception as a value."""
    result = deferred.result
    if isinstance(result, Failure):
        deferred.addErrback(lambda _: None)
        return result.value
    return result


def advance(seconds: float, *halls: MemoryHall) -> None:
    """Move the clocks of *halls* on together, in small steps: the others' processes are stopped."""
    steps = round(seconds * 10) + 1  # so that what is due at the end is done, however the tenths add up
    for _ in range(steps):
        for each in halls:
            each.clock.advance(0.1)


def wake(hall: MemoryHall, seconds: float) -> None:
    """Let a stopped process find that *seconds* have passed, before any of its timers has fired."""
    hall.clock.jump(seconds)


def create(hall: MemoryHall, name: bytes) -> Any:
    return hall.ns.create(ROOT, hall.root, name, CreateMode.GUARDED, SetAttr(mode=0o644), b"")


def names(hall: MemoryHall) -> list[bytes]:
    return [info.key for info in run(hall.ns.list_objects(ROOT, "bucket", ListRequest())).contents]


def holder(hall: MemoryHall) -> tuple[int, int]:
    row = hall.database.volumes[hall.vol]
    return row.holder, row.epoch


# ------------------------------------------------------------------ who may take what


def test_what_a_living_gateway_holds_is_refused_with_its_address(hall: MemoryHall) -> None:
    second = hall.second()
    advance(3 * TAKEN_OVER, hall, second)
    for work in (
        second.ns.getattr(ROOT, hall.root),
        create(second, b"a"),
        second.ns.head_object(ROOT, "bucket", b"a", Conditions()),
        second.ns.delete_bucket(ROOT, "bucket"),
    ):
        with pytest.raises(HeldElsewhere) as refused:
            run(work)
        assert refused.value.address == "127.0.0.1:1"
    run(create(hall, b"a"))
    assert holder(hall)[0] == hall.metastore.gateway_id


def test_a_stopped_gateways_volume_is_taken_when_its_beat_stood_still_for_a_lease(hall: MemoryHall) -> None:
    hall.put(b"a", b"12345")
    second = hall.second()
    advance(PATIENCE - 0.2, second)
    assert holder(hall)[0] == hall.metastore.gateway_id
    with pytest.raises(HeldElsewhere):
        second.get(b"a")
    advance(TAKEN_OVER - PATIENCE, second)
    assert holder(second)[0] == second.metastore.gateway_id
    assert second.get(b"a") == b"12345"


def test_a_request_takes_what_is_free_without_waiting_for_the_look_round(hall: MemoryHall) -> None:
    second = hall.second()
    advance(PATIENCE - 0.3, second)
    second.clock.jump(0.4)  # no timer of it has fired
    run(second.ns.getattr(ROOT, hall.root))


def test_an_observer_that_starts_anew_waits_a_whole_lease_again(hall: MemoryHall) -> None:
    second = hall.second()
    advance(PATIENCE - 0.5, second)
    third = hall.second()
    advance(PATIENCE - 0.5, third)
    assert holder(hall)[0] == hall.metastore.gateway_id
    advance(TAKEN_OVER, third)
    assert holder(hall)[0] == third.metastore.gateway_id


def test_one_renewal_in_time_is_enough_to_be_alive(hall: MemoryHall) -> None:
    second = hall.second()
    for _ in range(5):
        advance(PATIENCE - 1.2, second)
        advance(TERMS.renew_seconds, hall)
    assert holder(hall)[0] == hall.metastore.gateway_id


def test_of_two_observers_one_takes_it(hall: MemoryHall) -> None:
    second, third = hall.second(), hall.second()
    advance(TAKEN_OVER, second, third)
    winners = [each for each in (second, third) if holder(hall)[0] == each.metastore.gateway_id]
    assert len(winners) == 1
    assert holder(hall)[1] == 2, "taken once"
    (loser,) = {second, third} - set(winners)
    run(create(winners[0], b"a"))
    with pytest.raises(HeldElsewhere):
        run(create(loser, b"b"))


def test_a_gateway_that_ended_in_order_is_followed_at_the_next_look(hall: MemoryHall) -> None:
    root = hall.root
    run(hall.ns.write(ROOT, run(create(hall, b"a")).file.file, 0, b"unstable", Stability.UNSTABLE))
    second = hall.second()
    run(hall.ns.close())
    assert holder(hall) == (0, 1)
    advance(TERMS.watch_seconds, second)
    assert holder(second) == (second.metastore.gateway_id, 2)
    assert second.get(b"a") == b"unstable"
    run(second.ns.getattr(ROOT, root))
    assert [state.id for state in run(second.ns.gateways())] == [second.metastore.gateway_id], "its row is gone too"


def test_a_successor_with_proof_waits_for_nothing(hall: MemoryHall) -> None:
    hall.put(b"a", b"1")
    successor = hall.reopen()
    assert successor.get(b"a") == b"1"
    advance(TERMS.watch_seconds, successor)
    assert [state.id for state in run(successor.ns.gateways())] == [successor.metastore.gateway_id]


def test_a_dead_gateway_is_told_from_a_living_one(hall: MemoryHall) -> None:
    second = hall.second()
    advance(TAKEN_OVER, hall, second)
    assert {state.id: (state.alive, state.volumes) for state in run(second.ns.gateways())} == {
        hall.metastore.gateway_id: (True, ("bucket",)),
        second.metastore.gateway_id: (True, ()),
    }
    advance(TAKEN_OVER, second)
    assert {state.id: (state.alive, state.volumes) for state in run(second.ns.gateways())} == {
        hall.metastore.gateway_id: (False, ()),
        second.metastore.gateway_id: (True, ("bucket",)),
    }


# ------------------------------------------------------------------ the lease


def test_past_the_deadline_nothing_is_answered_not_even_what_is_cached(hall: MemoryHall) -> None:
    file = run(create(hall, b"a")).file.file
    run(hall.ns.write(ROOT, file, 0, b"x", Stability.FILE_SYNC))
    wake(hall, USABLE - 0.1)
    assert run(hall.ns.getattr(ROOT, file)).size == 1
    wake(hall, 0.1)
    with pytest.raises(NoReply):
        run(hall.ns.getattr(ROOT, file))


@pytest.mark.parametrize("verb", ["getattr", "lookup", "read", "head", "head_bucket", "list", "refusal", "write"])
def test_a_zombie_answers_no_verb(hall: MemoryHall, verb: str) -> None:
    file = run(create(hall, b"a")).file.file
    run(hall.ns.write(ROOT, file, 0, b"old", Stability.FILE_SYNC))
    assert names(hall) == [b"a"]
    second = hall.second()
    advance(TAKEN_OVER, second)
    run(second.ns.write(ROOT, file, 0, b"new!", Stability.FILE_SYNC))
    wake(hall, TAKEN_OVER)
    work = {
        "getattr": lambda: hall.ns.getattr(ROOT, file),
        "lookup": lambda: hall.ns.lookup(ROOT, hall.root, b"a"),
        "read": lambda: hall.ns.read(ROOT, file, 0, 10),
        "head": lambda: hall.ns.head_object(ROOT, "bucket", b"a", Conditions()),
        "head_bucket": lambda: hall.ns.head_bucket(ROOT, "bucket"),
        "list": lambda: hall.ns.list_objects(ROOT, "bucket", ListRequest()),
        "refusal": lambda: hall.ns.lookup(ROOT, hall.root, b"there is none"),
        "write": lambda: hall.ns.write(ROOT, file, 0, b"zombie", Stability.UNSTABLE),
    }[verb]
    if verb == "head_bucket":  # a row of the database, whoever holds the volume
        assert run(work()).name == "bucket"
    else:
        with pytest.raises((NoReply, HeldElsewhere)):
            run(work())
    assert second.get(b"a") == b"new!"
    advance(TERMS.renew_seconds, hall)
    with pytest.raises(HeldElsewhere):
        run(hall.ns.getattr(ROOT, file))


def test_an_answer_read_before_the_stop_waits_for_its_batch_and_is_refused_after_it(hall: MemoryHall) -> None:
    hall.metastore.hold_commits()
    made = begin(create(hall, b"a"))
    second = hall.second()
    advance(TAKEN_OVER, second)
    wake(hall, TAKEN_OVER)
    hall.metastore.release_commits()
    assert isinstance(outcome(made), NoReply)
    assert names(second) == []
    assert second.findings() == []


def test_a_batch_that_became_durable_is_not_told_past_the_deadline(hall: MemoryHall) -> None:
    hall.metastore.hold_commits()
    made = begin(create(hall, b"a"))
    wake(hall, USABLE)
    hall.metastore.release_commits()
    assert isinstance(outcome(made), NoReply), "it is there, but who knows what has been done to it since"
    hall.clock.advance(TERMS.renew_seconds)
    assert names(hall) == [b"a"]


def test_a_lease_that_ran_out_ends_the_incarnation_though_nobody_took_the_volume(hall: MemoryHall) -> None:
    file = run(create(hall, b"a")).file.file
    verifier = run(hall.ns.write(ROOT, file, 0, b"unstable", Stability.UNSTABLE)).verifier
    wake(hall, USABLE)
    with pytest.raises(NoReply):
        run(hall.ns.getattr(ROOT, file))
    hall.clock.advance(TERMS.renew_seconds)
    assert holder(hall) == (hall.metastore.gateway_id, 2)
    after = run(hall.ns.commit(ROOT, file, 0, 0))
    assert after.verifier != verifier
    assert run(hall.ns.getattr(ROOT, file)).size == 0
    assert hall.findings() == []


def test_a_lease_counts_from_before_its_renewal_was_sent(hall: MemoryHall) -> None:
    hall.metastore.hold_renewals()
    hall.clock.advance(TERMS.renew_seconds)
    wake(hall, 3.0)
    hall.metastore.step_renewals()
    hall.metastore.step_renewals()  # known 3 s after it was sent, and in time
    wake(hall, USABLE - 3.0 - 0.1)
    run(hall.ns.getattr(ROOT, hall.root))
    wake(hall, 0.1)
    with pytest.raises(NoReply):
        run(hall.ns.getattr(ROOT, hall.root))


def test_a_late_renewal_continues_no_lease(hall: MemoryHall) -> None:
    """The hole this closes: a beat that is committed after the observer's last look, and known past the deadline."""
    file = run(create(hall, b"a")).file.file
    second = hall.second()
    hall.metastore.hold_renewals()
    hall.clock.advance(TERMS.renew_seconds)  # a renewal is on its way and does not reach the database
    advance(TAKEN_OVER, second)
    assert holder(hall)[0] == second.metastore.gateway_id
    run(second.ns.write(ROOT, file, 0, b"new", Stability.FILE_SYNC))
    wake(hall, USABLE - TERMS.renew_seconds)
    hall.metastore.step_renewals()  # the beat is written now,
    hall.metastore.step_renewals()  # and known: sent so long ago that it could last a while
    with pytest.raises((NoReply, HeldElsewhere, Unavailable)):
        run(hall.ns.getattr(ROOT, file))
    hall.metastore.release_renewals()
    advance(2.0, hall)
    with pytest.raises(HeldElsewhere):
        run(hall.ns.getattr(ROOT, file))


def test_a_renewal_that_lasts_no_more_when_it_is_known_is_sent_again(hall: MemoryHall) -> None:
    hall.metastore.hold_renewals()
    hall.clock.advance(TERMS.renew_seconds)
    hall.metastore.step_renewals()
    wake(hall, USABLE + 1)
    hall.metastore.release_renewals()
    waiting = begin(hall.ns.getattr(ROOT, hall.root))
    hall.clock.advance(TERMS.retry_seconds)
    assert outcome(waiting).file == hall.root


def test_while_there_is_no_lease_a_request_waits_and_is_told_to_come_again(hall: MemoryHall) -> None:
    hall.metastore.hold_renewals()
    wake(hall, USABLE)
    with pytest.raises(NoReply):
        run(hall.ns.getattr(ROOT, hall.root))
    waiting = begin(hall.ns.getattr(ROOT, hall.root))
    hall.clock.advance(9.9)
    assert not waiting.called
    hall.clock.advance(0.2)
    assert isinstance(outcome(waiting), Unavailable)
    hall.metastore.release_renewals()
    hall.clock.advance(TERMS.renew_seconds)
    run(hall.ns.getattr(ROOT, hall.root))


def test_a_take_that_straddles_two_terms_is_not_served(hall: MemoryHall) -> None:
    """Stopped after its take was committed, robbed, and woken: the answer to the take comes under a new lease."""
    second, third = hall.second(), hall.second()

    def stop_and_be_robbed() -> None:
        advance(TAKEN_OVER, third)  # sees `second` hold it and stand still
        assert holder(hall)[0] == third.metastore.gateway_id
        second.clock.jump(TAKEN_OVER)
        begin(second.ns._lease._renew(second.clock.boottime_seconds()))

    crash_points()["volumes.after_take"].arm(stop_and_be_robbed)
    for _ in range(int(10 * TAKEN_OVER)):
        second.clock.advance(0.1)
        if holder(hall)[0] != hall.metastore.gateway_id:
            break
    assert holder(hall)[0] == third.metastore.gateway_id
    with pytest.raises(HeldElsewhere):
        run(second.ns.getattr(ROOT, hall.root))
    run(third.ns.getattr(ROOT, hall.root))


def test_a_holder_that_came_back_keeps_what_a_slow_taker_saw_dead(hall: MemoryHall) -> None:
    """The take compares (holder, epoch) as they were before the look that found the holder dead."""
    file = run(create(hall, b"a")).file.file
    second = hall.second()
    before = run(second.metastore.volume_of(hall.vol))
    assert before is not None
    wake(hall, USABLE)
    hall.clock.advance(TERMS.renew_seconds)  # another term: taken again, at the next epoch
    assert run(hall.ns.getattr(ROOT, file)).size == 0
    with pytest.raises(VolumeTaken):
        run(second.metastore.take_volume(hall.vol, before.holder, before.epoch))
    assert run(hall.ns.getattr(ROOT, file)).size == 0


def test_a_gateway_that_was_forgotten_says_so_and_answers_nothing(hall: MemoryHall) -> None:
    told: list[BaseException] = []
    hall.ns._lease.gone = told.append
    del hall.database.gateways[hall.metastore.gateway_id]
    hall.clock.advance(TERMS.renew_seconds)
    assert len(told) == 1
    waiting = begin(hall.ns.getattr(ROOT, hall.root))
    hall.clock.advance(20)
    assert isinstance(outcome(waiting), (NoReply, Unavailable))
    hall.second()  # whoever opens next takes it at once
    assert holder(hall)[0] != hall.metastore.gateway_id


def test_a_volume_taken_away_is_noticed_without_a_request(hall: MemoryHall) -> None:
    run(create(hall, b"a"))
    second = hall.second()
    row = run(second.metastore.volume_of(hall.vol))
    assert row is not None
    run(second.metastore.take_volume(hall.vol, row.holder, row.epoch))  # by force
    volume = hall.ns._volumes.every()[0]
    hall.clock.advance(TERMS.watch_seconds)
    assert volume.dead


# ------------------------------------------------------------------ what a zombie does in the background


def test_a_zombies_bodies_are_refused_by_closed_epochs(hall: MemoryHall) -> None:
    second = hall.second()
    advance(TAKEN_OVER, second)
    with pytest.raises(Unavailable, match="closed"):
        run(hall.bodies.put(BlobId(hall.vol, 999), [b"late"], Origin(1, 0, 0, 0, 0)))


def test_a_put_under_way_at_the_stop_changes_nothing_after_it(hall: MemoryHall) -> None:
    session = run(hall.ns.begin_put(ROOT, "bucket", PutRequest(b"a", {}, {})))
    run(session.write(b"body"))
    second = hall.second()
    advance(TAKEN_OVER, second)
    wake(hall, TAKEN_OVER)
    with pytest.raises((NoReply, Unavailable)):
        run(session.finish(b"etag", {}))
    with pytest.raises(NotFound):
        second.get(b"a")
    assert second.findings() == []


def test_a_zombie_deletes_no_blob_that_its_successor_gave_up(hall: MemoryHall) -> None:
    """Stopped between two steps of a collection; its wall clock is ahead, so every doomed blob seems old to it."""
    hall.put(b"a", b"pinned")
    second = hall.second()
    hall.clock.set_wall(hall.clock.now_ns() + 3600 * 10**9)
    readers: list[Any] = []

    def stop_and_be_followed() -> None:
        advance(TAKEN_OVER, second)
        readers.append(run(second.ns.open_object(ROOT, "bucket", b"a", Conditions())))
        run(second.ns.delete_object(ROOT, "bucket", b"a"))
        advance(5, second)
        wake(hall, TAKEN_OVER + 5)

    crash_points()["garbage.after_doom"].arm(stop_and_be_followed)
    volume = hall.ns._volumes.every()[0]
    with pytest.raises(NoReply):
        run(hall.ns._duties.collect(volume))
    assert [blob.doomed > 0 for blob in hall.database.blobs(hall.vol)] == [True]
    assert b"".join(run(readers[0].read(0, 6))) == b"pinned"


# ------------------------------------------------------------------ buckets of several gateways


def test_each_gateway_serves_what_it_makes_and_all_list_the_same(hall: MemoryHall) -> None:
    second = hall.second()
    made = run(second.ns.create_bucket(ROOT, "other"))
    for each in (hall, second):
        assert [bucket.name for bucket in run(each.ns.list_buckets(ROOT))] == ["bucket", "other"]
        assert run(each.ns.head_bucket(ROOT, "other")).vol == made.vol
    with pytest.raises(HeldElsewhere):
        run(hall.ns.root(made.vol))
    run(second.ns.root(made.vol))
    with pytest.raises(BucketOwned):
        run(hall.ns.create_bucket(ROOT, "other"))
    with pytest.raises(BucketExists):
        run(hall.ns.create_bucket(Caller(1, 1, account="stranger"), "other"))
    run(second.ns.delete_bucket(ROOT, "other"))
    with pytest.raises(BucketNotFound):
        run(hall.ns.head_object(ROOT, "other", b"a", Conditions()))
    with pytest.raises(StaleHandle):
        run(hall.ns.root(made.vol))
    run(hall.ns.create_bucket(ROOT, "other"))
    with pytest.raises(HeldElsewhere):
        run(second.ns.head_object(ROOT, "other", b"a", Conditions()))


def test_a_bucket_that_is_not_empty_is_served_on(hall: MemoryHall) -> None:
    hall.put(b"a", b"1")
    with pytest.raises(BucketNotEmpty):
        run(hall.ns.delete_bucket(ROOT, "bucket"))
    assert hall.get(b"a") == b"1"


def test_all_volumes_of_a_dead_gateway_are_taken(hall: MemoryHall) -> None:
    for number in range(40):
        run(hall.ns.create_bucket(ROOT, f"bucket{number}"))
    second = hall.second()
    advance(TAKEN_OVER, second)
    assert {row.holder for row in hall.database.volumes.values()} == {second.metastore.gateway_id}


# ------------------------------------------------------------------ deaths at the named points


class Died(BaseException):
    """The process ended here."""


def die() -> None:
    raise Died


@pytest.mark.parametrize(
    "point",
    [
        "take_volume.after_commit",
        "volumes.after_take",
        "release_volume.after_commit",
        "volumes.after_release",
        "renew.after_commit",
        "lease.after_renewal",
    ],
)
def test_who_dies_in_the_middle_is_followed_and_nothing_is_lost(hall: MemoryHall, point: str) -> None:
    hall.put(b"a", b"12345")
    dying = hall.second()
    crash_points()[point].arm(die)
    try:
        if point.startswith(("release", "volumes.after_release")):
            run(hall.ns.close())
        elif "renew" in point:
            hall.clock.advance(TERMS.renew_seconds)
        else:
            advance(TAKEN_OVER, dying)
    except Died:
        pass
    assert crash_points()[point].passes == 1
    crash_points()[point].disarm()
    third = hall.second()
    advance(2 * TAKEN_OVER, third)
    assert holder(hall)[0] == third.metastore.gateway_id
    assert third.get(b"a") == b"12345"
    assert third.findings() == []
