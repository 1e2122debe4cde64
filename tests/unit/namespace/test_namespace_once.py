"""Requests that must not run twice: the same answer from whoever serves the volume next, and nothing done again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asked_again import ROOT, VERBS, VERIFIER, Nine, ask_all, check_again, request_of, wcc_of
from hall import MemoryHall, begin, run
from test_namespace_content import make, scatter, short_steps  # noqa: F401
from twisted.python.failure import Failure

from foundation.crash import crash_points
from foundation.errors import AlreadyExists, GuardFailed, HeldElsewhere, NoReply, NotFound, StaleHandle, Unavailable
from namespace.api import CreateMode, SetAttr
from namespace.volumes import PATIENCE_SECONDS, REPLY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metastore.records import Reply


@pytest.fixture
def hall() -> Iterator[MemoryHall]:
    yield MemoryHall()
    for point in crash_points().values():
        point.disarm()


@pytest.fixture
def nine(hall: MemoryHall) -> Nine:
    return run(Nine.prepare(hall.ns, hall.root))


def guard_of(hall: MemoryHall, nine: Nine) -> int:
    return run(hall.ns.getattr(ROOT, nine.file)).ctime


def kept(hall: MemoryHall) -> list[Reply]:
    return hall.database.replies.get(hall.vol, [])


def outcome(deferred: Any) -> Any:
    result = deferred.result
    if isinstance(result, Failure):
        deferred.addErrback(lambda _: None)
        return result.value
    return result


def test_what_was_done_is_answered_as_done_by_the_next_gateway(hall, nine):
    guard = guard_of(hall, nine)
    first = run(ask_all(hall.ns, nine, guard))
    assert all(wcc.before is not None for answer in first.values() for wcc in wcc_of(answer))
    after = hall.reopen()
    run(check_again(after.ns, nine, first, guard))
    assert len(kept(hall)) == len(VERBS), "an answer of before is not kept again"
    run(check_again(after.reopen().ns, nine, first, guard))
    assert after.findings() == []


def test_what_was_done_is_answered_as_done_by_the_next_incarnation(hall, nine):
    guard = guard_of(hall, nine)
    first = run(ask_all(hall.ns, nine, guard))
    hall.ns._volumes.crashed(hall.vol, RuntimeError("a refused batch"))
    run(check_again(hall.ns, nine, first, guard))


def test_a_request_whose_answer_was_lost_is_answered_when_it_is_asked_again(hall, nine):
    def die() -> None:
        hall.ns._volumes.crashed(hall.vol, RuntimeError("between commit and answer"))
        raise NoReply

    for verb, ask in VERBS.items():
        crash_points()["engine.before_answer"].arm(die)
        with pytest.raises(NoReply):
            run(ask(hall.ns, nine, request_of(verb), None))
        again = run(ask(hall.ns, nine, request_of(verb), None))
        assert all(wcc.before is None for wcc in wcc_of(again)), verb
    run(nine.check(hall.ns))


def test_without_its_request_or_with_another_each_fails_or_runs_again(hall, nine):
    guard = guard_of(hall, nine)
    run(ask_all(hall.ns, nine, guard))
    after = hall.reopen()
    refusals = {
        "setattr": GuardFailed,
        "mkdir": AlreadyExists,
        "symlink": AlreadyExists,
        "mknod": AlreadyExists,
        "remove": NotFound,
        "rmdir": NotFound,
        "rename": NotFound,
        "link": AlreadyExists,
    }
    for request in (b"", b"another request"):
        for verb, refusal in refusals.items():
            with pytest.raises(refusal):
                run(VERBS[verb](after.ns, nine, request, guard))


def test_a_refused_request_and_one_that_changes_nothing_leave_no_record(hall, nine):
    with pytest.raises(NotFound):
        run(hall.ns.remove(ROOT, nine.top, b"none", b"r" * 16))
    run(hall.ns.create(ROOT, nine.top, b"file", CreateMode.UNCHECKED, SetAttr(), b"", b"s" * 16))
    run(hall.ns.rename(ROOT, nine.top, b"file", nine.top, b"file", b"t" * 16))
    assert kept(hall) == []


def test_a_truncation_in_steps_that_died_goes_on_although_its_guard_holds_no_more(hall, short_steps):
    class DiedError(BaseException):
        pass

    def die() -> None:
        raise DiedError

    file = make(hall)
    body = scatter(hall, file, 100)
    guard = run(hall.ns.getattr(ROOT, file)).ctime
    asked = (ROOT, file, SetAttr(size=20, mode=0o600), guard, b"s" * 16)
    crash_points()["truncate.after_step"].arm(die, 3)
    with pytest.raises(DiedError):
        run(hall.ns.setattr(*asked))
    after = hall.reopen()
    assert 20 < run(after.ns.getattr(ROOT, file)).size < len(body)
    wcc = run(after.ns.setattr(*asked))
    assert (wcc.after.size, wcc.after.mode) == (20, 0o600)
    assert run(after.reopen().ns.setattr(*asked)).before is None


def test_records_are_small(hall, nine):
    run(ask_all(hall.ns, nine, None))
    assert {len(each.key) for each in kept(hall)} == {16}
    assert {len(each.reply) for each in kept(hall)} == {0, 12}


def test_an_unchecked_create_that_cut_a_file_does_not_cut_it_again(hall, nine):
    run(hall.ns.setattr(ROOT, nine.file, SetAttr(size=9), None))
    arguments = (ROOT, nine.top, b"file", CreateMode.UNCHECKED, SetAttr(size=0), b"", b"c" * 16)
    made = run(hall.ns.create(*arguments))
    after = hall.reopen()
    run(after.ns.setattr(ROOT, nine.file, SetAttr(size=5), None))
    again = run(after.ns.create(*arguments))
    assert (again.file.file, again.file.size) == (made.file.file, 5)


def test_what_was_made_and_is_gone_since_was_made_all_the_same(hall, nine):
    made = run(VERBS["create"](hall.ns, nine, b"c" * 16, None))
    run(VERBS["link"](hall.ns, nine, b"l" * 16, None))
    for name in (b"create", b"file", b"link"):
        run(hall.ns.remove(ROOT, nine.top, name))
    after = hall.reopen()
    again = run(VERBS["create"](after.ns, nine, b"c" * 16, None))
    assert again.file is None
    assert again.directory.after.file == made.directory.after.file
    assert run(VERBS["link"](after.ns, nine, b"l" * 16, None)).file is None


def test_a_change_in_a_directory_that_is_gone_was_made_all_the_same(hall, nine):
    run(VERBS["rename"](hall.ns, nine, b"1" * 16, None))
    run(hall.ns.remove(ROOT, nine.other, b"renamed", b"2" * 16))
    run(hall.ns.rmdir(ROOT, nine.top, b"other"))
    after = hall.reopen()
    again = run(after.ns.remove(ROOT, nine.other, b"renamed", b"2" * 16))
    assert (again.before, again.after) == (None, None)
    moved = run(VERBS["rename"](after.ns, nine, b"1" * 16, None))
    assert moved.source.after is not None
    assert moved.target.after is None
    with pytest.raises(StaleHandle):
        run(after.ns.remove(ROOT, nine.other, b"renamed"))


def test_records_are_forgotten_when_nobody_asks_any_more(hall, nine):
    run(ask_all(hall.ns, nine, None))
    after = hall.reopen()
    volume = run(after.ns._volumes.numbered(after.vol))
    after.clock.advance(REPLY_SECONDS - 1)
    assert len(volume.replies) == len(VERBS)
    after.clock.advance(1)
    assert volume.replies == {}


def test_a_request_waits_for_the_volume_of_a_gateway_that_is_dying(hall, nine):
    guard = guard_of(hall, nine)
    first = run(ask_all(hall.ns, nine, guard))
    second = hall.second()
    asked = begin(VERBS["remove"](second.ns, nine, request_of("remove"), None))
    for _ in range(80):
        second.clock.advance(0.1)  # the first gateway's clock stands: its process is dead
    assert outcome(asked).before is None
    run(check_again(second.ns, nine, first, guard))


def test_a_request_for_the_volume_of_a_living_gateway_is_refused_in_the_end(hall, nine):
    second = hall.second()
    asked = begin(VERBS["remove"](second.ns, nine, request_of("remove"), None))
    for _ in range(round(PATIENCE_SECONDS * 10) + 10):
        hall.clock.advance(0.1)
        second.clock.advance(0.1)
    assert isinstance(outcome(asked), HeldElsewhere)
    assert run(hall.ns.lookup(ROOT, nine.top, b"remove"))


def test_nothing_is_answered_while_it_is_not_known_whether_a_request_was_done(hall, nine, monkeypatch):
    run(VERBS["create"](hall.ns, nine, request_of("create"), None))

    async def unreachable(*_arguments: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(hall.metastore, "take_volume", unreachable)
    hall.ns._volumes.crashed(hall.vol, RuntimeError("the database is away"))
    asked = begin(VERBS["create"](hall.ns, nine, request_of("create"), None))
    plain = begin(hall.ns.create(ROOT, nine.top, b"create", CreateMode.EXCLUSIVE, SetAttr(), VERIFIER))
    for _ in range(round(PATIENCE_SECONDS * 10) + 10):
        hall.clock.advance(0.1)
    assert isinstance(outcome(asked), NoReply)
    assert isinstance(outcome(plain), Unavailable)
    monkeypatch.undo()
    hall.clock.advance(1)
    assert run(VERBS["create"](hall.ns, nine, request_of("create"), None)).directory.before is None
