"""Readable log lines: children write what happened, the supervisor adds when and who."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogBeginner
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.logger import LogEvent

_NAME_WIDTH = 8
_CHATTER = ("twisted.", "log_legacy")


class LineLog:
    """The supervisor's log on standard output."""

    def __init__(self) -> None:
        """Write until the reader goes away; then the house goes on without a log."""
        self._open = True

    def write(self, name: str, text: str) -> None:
        """Write one line of component *name* with the time, to the millisecond."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        self.plain(f"{stamp}.{int(now * 1000) % 1000:03d} {name:<{_NAME_WIDTH}} | {text}")

    def plain(self, text: str) -> None:
        """Write *text* as it is."""
        if not self._open:
            return
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except OSError:  # `gatefold serve | head`: files are served on, whoever reads the log
            self._open = False


@implementer(ILogObserver)
def line_observer(event: LogEvent) -> None:
    """Write an event to standard error as one line; a traceback follows on its own lines."""
    level = event.get("log_level", LogLevel.info)
    # Twisted tells of every port that it opens and closes; our own lines say what matters of it.
    if level is LogLevel.debug or (level is LogLevel.info and event["log_namespace"].startswith(_CHATTER)):
        return
    mark = "" if level is LogLevel.info else f"{level.name}: "
    text = formatEvent(event)
    failure = event.get("log_failure")
    if failure is not None:
        text = f"{text}\n{failure.getTraceback()}"
    sys.stderr.write(f"{mark}{text}\n")


def log_to_parent() -> None:
    """Send this process's log to standard error, where the supervisor reads it."""
    globalLogBeginner.beginLoggingTo([line_observer], redirectStandardIO=False)
