"""Running one coroutine to its end under the house's reactor, from a command."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, TypeVar

from foundation.aio import start

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from twisted.python.failure import Failure

T = TypeVar("T")


def run(main: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Run `main(reactor)` until it ends, and return its result or raise its error.

    SIGTERM, SIGINT and SIGHUP cancel it (it sees CancelledError and can clean up), unless it takes them by
    `on_stop_signal`. The reactor of a process runs once.
    """
    from twisted.internet import reactor as _reactor  # noqa: PLC0415 - importing it installs it

    reactor: Any = _reactor
    outcome: list[T] = []
    failures: list[Failure] = []

    def begin() -> None:
        work = start(main(reactor))
        if not work.called:
            _default_stop(reactor, work.cancel)
        work.addCallbacks(outcome.append, failures.append)
        work.addCallback(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    if failures:
        failures[0].raiseException()
    return outcome[0]


def on_stop_signal(reactor: Any, call: Callable[[], object]) -> None:
    """Call *call* in the reactor's turn whenever SIGTERM, SIGINT or SIGHUP arrives."""

    def handle(_number: int, _frame: object) -> None:
        reactor.callFromThread(call)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, handle)


def _default_stop(reactor: Any, cancel: Callable[[], object]) -> None:
    """Let a stop signal cancel, if the coroutine did not say otherwise before its first wait."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        on_stop_signal(reactor, cancel)
