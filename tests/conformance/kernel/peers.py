"""Guests that do one thing after another as the test says: two of them on one volume, by turns or at the same time."""

from __future__ import annotations

import json
import shlex
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab import Guest
    from place import Place

_AGENT = Path(__file__).parent / "work/peer.py"
_POLL_SECONDS = 0.01
_ANSWER_SECONDS = 120


class PeerError(Exception):
    """What was asked for raised; the text begins with the errno's name, if it has one."""


class Peer:
    """One guest; called with a line of Python it returns the line's value."""

    def __init__(self, guest: Guest, share: Path) -> None:
        self._guest, self._share, self._asked = guest, share, 0

    def __call__(self, line: str) -> Any:
        """Have *line* run in the guest and return its value (bytes as Latin-1 text); raise PeerError if it raises."""
        return self.ask(line)()

    def ask(self, line: str) -> Callable[[], Any]:
        """Let *line* begin; return what waits for its end as a call does."""
        self._asked += 1
        number = self._asked
        part = self._share / "asking"
        part.write_text(line)
        part.rename(self._share / f"{number}.ask")

        def wait() -> Any:
            answer = self._share / f"{number}.answer"
            deadline = time.monotonic() + _ANSWER_SECONDS
            while not answer.exists():
                if not self._guest.running or time.monotonic() > deadline:
                    raise AssertionError(f"no answer to {line!r}: {self._guest.wait(1)}")
                time.sleep(_POLL_SECONDS)
            found = json.loads(answer.read_text())
            if "error" in found:
                raise PeerError(f"{found['error']}: {found['text']}")
            return found["value"]

        return wait

    def refused(self, line: str) -> str:
        """Have *line* run, which must raise, and return the name of its error."""
        try:
            value = self(line)
        except PeerError as error:
            return str(error).partition(":")[0]
        raise AssertionError(f"{line!r} went through: {value!r}")

    def until(self, line: str, expected: object, seconds: float) -> None:
        """Ask *line* until it has the value *expected*, for what a client's cache may hide for *seconds*."""
        deadline = time.monotonic() + seconds
        while (found := self(line)) != expected:
            assert time.monotonic() < deadline, f"{line!r} is {found!r}, not {expected!r}, after {seconds} s"
            time.sleep(_POLL_SECONDS)

    def end(self) -> None:
        """Let the guest go."""
        self._asked += 1
        (self._share / f"{self._asked}.ask").write_text("end")
        self._guest.wait(60).check()


@contextmanager
def peers(place: Place, folder: Path, count: int = 2, opts: str = "") -> Iterator[list[Peer]]:
    """Boot *count* guests side by side in the same folder of the volume; end them."""
    started, guests = [], []
    try:
        for number in range(count):
            share = folder / f"peer{number}"
            share.mkdir()
            script = f"exec python3 {shlex.quote(str(_AGENT))} {shlex.quote(str(share))}"
            guests.append(place.start(script, opts=opts, shares=(share,)))
            started.append(Peer(guests[-1], share))
        yield started
        for peer in started:
            peer.end()
    finally:
        for guest in guests:
            guest.__exit__()
