"""Named crash points: places where a test kills the process, no-ops otherwise.

A room declares its points once, at import, with `crash_point(name)`, and calls the result where the sequence may be
cut. `GATEFOLD_CRASH=name` or `name:nth` in the environment arms one: the nth pass kills the process as `kill -9`
would. With `GATEFOLD_CRASH_TOKEN=FILE` it does so only where it can take that file away, so once: a supervisor's next
process lives. In-process tests `arm` a callable instead, which may raise.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_points: dict[str, CrashPoint] = {}


class CrashPoint:
    """One named place; calling it does nothing unless the point is armed."""

    __slots__ = ("_action", "_left", "name", "passes")

    def __init__(self, name: str) -> None:
        """Name the place; `crash_point` is the way to get one."""
        self.name = name
        self.passes = 0
        self._action: Callable[[], object] | None = None
        self._left = 0

    def __call__(self) -> None:
        """Pass the point."""
        if self._action is None:
            return
        self.passes += 1
        self._left -= 1
        if self._left == 0:
            self._action()

    def arm(self, action: Callable[[], object], nth: int = 1) -> None:
        """Do *action* at the *nth* pass from now, once."""
        self._action, self._left, self.passes = action, nth, 0

    def disarm(self) -> None:
        """Make the point a no-op again."""
        self._action = None


def _die() -> None:
    token = os.environ.get("GATEFOLD_CRASH_TOKEN")
    if token is not None:
        try:
            Path(token).unlink()
        except FileNotFoundError:
            return
    os.kill(os.getpid(), signal.SIGKILL)


def crash_point(name: str) -> CrashPoint:
    """Return the crash point *name*, armed if the environment says so."""
    point = _points.get(name)
    if point is None:
        point = _points[name] = CrashPoint(name)
        wanted, _, nth = os.environ.get("GATEFOLD_CRASH", "").partition(":")
        if wanted == name:
            point.arm(_die, int(nth or 1))
    return point


def crash_points() -> dict[str, CrashPoint]:
    """Return every point declared so far, by name: tests assert that each was hit."""
    return dict(_points)
