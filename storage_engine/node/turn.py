"""What is put together during one turn of the reactor is finished once, at its end.

Requests that arrive in one piece of the stream share a batch of the log, and answers that become ready together share
one send: without a timer, and so without delay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Turn:
    """A context, entered again at will, whose outermost exit makes the calls that were put off."""

    __slots__ = ("_calls", "_depth")

    def __init__(self) -> None:
        """Start outside of any turn."""
        self._depth = 0
        self._calls: dict[Callable[[], object], None] = {}

    def at_end(self, call: Callable[[], object]) -> None:
        """Make *call* once at the end of the turn, or now when there is none."""
        if self._depth:
            self._calls[call] = None
        else:
            call()

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_exc: object) -> None:
        self._depth -= 1
        while self._calls and not self._depth:
            calls, self._calls = self._calls, {}
            for call in calls:
                call()
