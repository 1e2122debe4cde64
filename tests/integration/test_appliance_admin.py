"""The admin socket for real: answers, errors, long paths, and who may ask."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from appliance_drive import drive, reactor

from appliance.admin import AdminServer, NotAnswering, NotRunning, ask
from appliance.home import Home
from foundation.aio import pause
from foundation.clock import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

CLOCK = SystemClock(reactor)


async def _facts() -> dict[str, Any]:
    return {"state": "fine"}


async def _set(bucket: str, changes: dict[str, str]) -> dict[str, Any]:
    return {bucket: changes}


async def _broken() -> dict[str, Any]:
    raise RuntimeError("no ring")


def asked(home: Home, question: str, **of: Any) -> dict[str, Any]:
    """Serve, and ask from a thread as another process would."""
    server = AdminServer(reactor, home, {"status": _facts, "broken": _broken, "set bucket": _set})
    outcome: list[Any] = []

    def put() -> None:
        try:
            outcome.append(ask(home, question, **of))
        except NotRunning as error:
            outcome.append(error)

    async def main() -> None:
        server.start()
        try:
            thread = threading.Thread(target=put)
            thread.start()
            while thread.is_alive():
                await pause(CLOCK, 0.01)
        finally:
            await server.stop()

    drive(main())
    if isinstance(outcome[0], NotRunning):
        raise outcome[0]
    return outcome[0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home with a path longer than a socket's address may be."""
    home = Home(tmp_path / ("long" * 30))
    home.run_path.mkdir(parents=True, mode=0o700)
    return home


def test_a_question_is_answered_however_long_the_path(home: Home) -> None:
    assert asked(home, "status") == {"state": "fine"}
    assert asked(home, "status") == {"state": "fine"}, "the socket of the first run is in the way"


def test_a_question_may_be_of_something(home: Home) -> None:
    assert asked(home, "set bucket", bucket="a {b", changes={"c": "d"}) == {"a {b": {"c": "d"}}
    with pytest.raises(NotAnswering, match="TypeError"):
        asked(home, "set bucket")


def test_a_question_nobody_knows_is_an_error(home: Home) -> None:
    with pytest.raises(NotRunning, match="no such question: weather"):
        asked(home, "weather")


def test_an_answer_that_fails_is_told_to_who_asked(home: Home) -> None:
    with pytest.raises(NotAnswering, match="RuntimeError: no ring"):
        asked(home, "broken")


def test_a_home_where_nothing_runs_is_not_running(home: Home) -> None:
    with pytest.raises(NotRunning):
        ask(home, "status")
    with pytest.raises(NotRunning):
        ask(Home(home.path / "none"), "status")
