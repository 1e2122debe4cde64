"""The async seam: every coroutine of the house is driven by Twisted's `Deferred.fromCoroutine`.

A coroutine runs eagerly: one that never waits finishes inside `spawn` without touching the reactor. Rooms that may
not import Twisted (the namespace) wait with these pieces alone, so tests drive them with no reactor at all.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable

    from foundation.clock import Clock

T = TypeVar("T")
_log = Logger()


class Promise(Generic[T]):
    """A value that arrives once and that any number of coroutines may await."""

    __slots__ = ("_error", "_value", "_waiters", "done")

    def __init__(self) -> None:
        """Make a promise that is still open."""
        self.done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._waiters: list[Deferred[None]] = []

    def resolve(self, value: T) -> None:
        """Deliver *value*; a second delivery is a bug and raises RuntimeError."""
        self._settle(value, None)

    def fail(self, error: BaseException) -> None:
        """Deliver *error*: each waiter raises it."""
        self._settle(None, error)

    def _settle(self, value: T | None, error: BaseException | None) -> None:
        if self.done:
            raise RuntimeError("promise delivered twice")
        self.done, self._value, self._error = True, value, error
        # Taken before they are fired: an eager waiter may await this promise, or others, again.
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for the value."""
        if not self.done:
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            yield from waiter.__await__()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # resolve() set it


class Semaphore:
    """At most so many holders at a time, served in order of arrival."""

    __slots__ = ("_free", "_handing_out", "_queue")

    def __init__(self, places: int) -> None:
        """Let *places* coroutines hold it together."""
        self._free = places
        self._handing_out = False
        self._queue: deque[Promise[None]] = deque()

    async def __aenter__(self) -> None:
        """Take a place, waiting for one if need be."""
        if self._free and not self._queue:
            self._free -= 1
            return
        turn: Promise[None] = Promise()
        self._queue.append(turn)
        await turn

    async def __aexit__(self, *_exc: object) -> None:
        """Hand the place to the first who waits."""
        self._free += 1
        if self._handing_out:
            return  # the loop below goes on: holders that end at once must not wake each other ever deeper
        self._handing_out = True
        try:
            while self._free and self._queue:
                self._free -= 1
                self._queue.popleft().resolve(None)
        finally:
            self._handing_out = False


def start(work: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Run *work* up to its first wait and return the Deferred of its result."""
    return Deferred.fromCoroutine(work)


def deliver(work: Coroutine[Any, Any, T], then: Callable[..., object], *args: object) -> None:
    """Run *work* and call *then* with its result and *args*: before returning, if it never waits.

    For paths where a Deferred per call (2.4 us) counts. What *work* raises before its first wait is raised here.
    """
    try:
        waited = work.send(None)
    except StopIteration as end:
        then(end.value, *args)
    else:
        Deferred.fromCoroutine(_resumed(work, waited)).addCallback(then, *args)


def _resumed(work: Coroutine[Any, Any, T], waited: Any) -> Generator[Any, Any, T]:
    """Go on with *work*, which waits for *waited*, as if it were begun here."""
    while True:
        try:
            value = yield waited
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:  # noqa: BLE001 - handed on to the coroutine, whatever it is
            step: Callable[[Any], Any] = work.throw
            given = error
        else:
            step, given = work.send, value
        try:
            waited = step(given)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration does not know its type


def spawn(name: str, work: Coroutine[Any, Any, Any], failed: Callable[[BaseException], object] | None = None) -> None:
    """Run *work* with nobody waiting for it; hand an error to *failed*, or log it under *name*."""

    def on_error(failure: Failure) -> None:
        if failed is not None:
            failed(_error_of(failure))
        else:
            _log.failure("background work {name} failed", failure, name=name)

    Deferred.fromCoroutine(work).addErrback(on_error)


async def gather(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run *works* side by side and return their results in order; after all have ended raise the first error."""
    started = [Deferred.fromCoroutine(work).addErrback(_Raised) for work in works]
    results: list[Any] = [await each for each in started]
    for result in results:
        if isinstance(result, _Raised):
            raise result.error
    return results


def _error_of(failure: Failure) -> BaseException:
    """Return the exception in *failure*."""
    return failure.value or RuntimeError(str(failure))


class _Raised:
    """An error kept as a value until all works of a `gather` have ended."""

    def __init__(self, failure: Failure) -> None:
        self.error = _error_of(failure)


async def pause(clock: Clock, seconds: float) -> None:
    """Wait *seconds* of *clock*."""
    over: Promise[None] = Promise()
    clock.call_later(seconds, lambda: over.resolve(None))
    await over


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, Any]) -> bool:
    """Tell whether *work* ended within *seconds* of *clock*, raising what it raised; later it goes on unheeded."""
    first: Promise[bool] = Promise()

    def settle(outcome: object) -> None:
        if first.done:
            return
        if isinstance(outcome, Failure):
            first.fail(_error_of(outcome))
        else:
            first.resolve(outcome is not timer)

    timer = clock.call_later(seconds, lambda: settle(timer))
    Deferred.fromCoroutine(work).addBoth(settle)
    try:
        return await first
    finally:
        timer.cancel()
