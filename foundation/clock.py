"""Time, injected: nothing else in the house asks the operating system what time it is."""

from __future__ import annotations

import heapq
import itertools
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget the call; a call that was made or forgotten already stays so."""


class Clock(Protocol):
    """Wall time, a time that counts sleep, and calls to be made later."""

    def now_ns(self) -> int:
        """Return wall-clock time in ns since 1970; it may jump."""

    def boottime_seconds(self) -> float:
        """Return seconds that never jump and go on while the machine sleeps (CLOCK_BOOTTIME)."""

    def call_later(self, delay_seconds: float, call: Callable[[], object]) -> Timer:
        """Call *call* once after *delay_seconds*."""


class _ReactorTimer:
    """A Twisted delayed call that may be cancelled at any time."""

    def __init__(self, delayed: Any) -> None:
        self._delayed = delayed

    def cancel(self) -> None:
        """Forget the call."""
        if self._delayed.active():
            self._delayed.cancel()


class SystemClock:
    """The clock of the machine and of a Twisted reactor."""

    def __init__(self, reactor: Any) -> None:
        """Let *reactor* (IReactorTime) make the later calls."""
        self._reactor = reactor

    def now_ns(self) -> int:
        """Return wall-clock time in ns since 1970."""
        return time.time_ns()

    def boottime_seconds(self) -> float:
        """Return CLOCK_BOOTTIME in seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def call_later(self, delay_seconds: float, call: Callable[[], object]) -> Timer:
        """Call *call* once after *delay_seconds*."""
        return _ReactorTimer(self._reactor.callLater(delay_seconds, call))


class _ManualTimer:
    """A call that a `ManualClock` makes when it is advanced."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Forget the call."""
        self.call = None


class ManualClock:
    """A clock that moves only when it is told to: for tests and models."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        """Start at *now_ns* of wall time and at 0 s of boot time."""
        self._now_ns = now_ns
        self._boottime = 0.0
        self._due: list[tuple[float, int, _ManualTimer]] = []
        self._order = itertools.count()

    def now_ns(self) -> int:
        """Return the wall time that was set, one ns later at each call, as a real clock would."""
        self._now_ns += 1
        return self._now_ns

    def boottime_seconds(self) -> float:
        """Return the seconds this clock was advanced by."""
        return self._boottime

    def call_later(self, delay_seconds: float, call: Callable[[], object]) -> Timer:
        """Call *call* when the clock has been advanced by *delay_seconds*."""
        timer = _ManualTimer(call)
        heapq.heappush(self._due, (self._boottime + delay_seconds, next(self._order), timer))
        return timer

    def set_wall(self, now_ns: int) -> None:
        """Set the wall time, as an administrator may: nothing that is due moves."""
        self._now_ns = now_ns

    def jump(self, seconds: float) -> None:
        """Move both times on and make no call: what a process finds that was stopped and has just been woken."""
        self._boottime += seconds
        self._now_ns += int(seconds * 1e9)

    def advance(self, seconds: float) -> None:
        """Move both times on and make the calls that fall due, in order."""
        end = self._boottime + seconds
        while self._due and self._due[0][0] <= end:
            due, _, timer = heapq.heappop(self._due)
            late = max(0.0, due - self._boottime)  # after a jump, calls are overdue
            self._now_ns += int(late * 1e9)
            self._boottime += late
            if timer.call is not None:
                timer.call()
        self._now_ns += int((end - self._boottime) * 1e9)
        self._boottime = end
