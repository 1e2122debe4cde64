"""Drives one coroutine with the real reactor, turn by turn, so that one test process can do it many times."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor as _reactor

from foundation.aio import start

if TYPE_CHECKING:
    from collections.abc import Coroutine

reactor: Any = _reactor


def drive(work: Coroutine[Any, Any, Any], seconds: float = 60) -> Any:
    """Run *work* to its end and return its result; fail after *seconds*."""
    results: list[Any] = []
    failures: list[Any] = []
    deferred = start(work)
    deferred.addCallbacks(results.append, failures.append)
    deadline = time.monotonic() + seconds
    while not results and not failures:
        assert time.monotonic() < deadline, "took too long"
        reactor.iterate(0.05)
    if failures:
        failures[0].raiseException()
    return results[0]
