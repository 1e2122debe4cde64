"""What was promised: a manifest outside the house, written and synced only after the acknowledgement.

Each name belongs to one worker, which has at most one operation under way on it. An operation whose outcome is not
known leaves its name with more than one state that it may be in; nobody touches such a name until `settle` has looked.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Version:
    """One content of one name; its bytes follow from these three."""

    name: str
    number: int
    size: int

    def body(self) -> bytes:
        """Return the bytes: a mix of two versions, or a part of one, equals neither."""
        return hashlib.shake_128(f"{self.name}:{self.number}:{self.size}".encode()).digest(self.size)


#: The state of a name that does not exist.
GONE = None


class Ledger:
    """The manifest, and the states that each name may be in."""

    def __init__(self, path: Path) -> None:
        """Start an empty manifest at *path*."""
        self._path = path
        self._file = path.open("x", encoding="utf-8")
        self._lock = threading.Lock()
        self._next = 0
        self._open: dict[str, Version | None] = {}  # operations under way: the state each would bring
        self._unknown: dict[str, set[Version | None]] = {}  # further states of names whose last outcome is not known
        self.acknowledged = self.failed = 0
        self.lost = 0  # answers that were lost: the operation may have happened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()

    def version(self, name: str, size: int) -> Version:
        """Return a content that *name* never had."""
        with self._lock:
            self._next += 1
            return Version(name, self._next, size)

    def begin(self, name: str, state: Version | None) -> None:
        """Say that *name* is about to become *state*."""
        with self._lock:
            assert name not in self._unknown, f"{name} is not settled"
            self._open[name] = state

    def acknowledge(self, name: str) -> None:
        """Write that the operation under way on *name* was acknowledged, and make that durable."""
        with self._lock:
            state = self._open.pop(name)
            self._write(name, state)
            self.acknowledged += 1

    def fail(self, name: str, *, sent: bool) -> None:
        """Say that the operation under way on *name* ended with an error; if it was *sent* it may have happened."""
        with self._lock:
            state = self._open.pop(name)
            if sent:
                self._unknown.setdefault(name, set()).add(state)
                self.lost += 1
            self.failed += 1

    def miss(self) -> None:
        """Count a read that got no answer, or an error."""
        with self._lock:
            self.failed += 1

    @property
    def under_way(self) -> int:
        """Return how many operations are under way now."""
        return len(self._open)

    def usable(self, name: str) -> bool:
        """Return whether the state of *name* is known."""
        return name not in self._unknown

    def promised(self) -> dict[str, set[Version | None]]:
        """Read the manifest back and return the states that each of its names, and of the unknown ones, may be in."""
        states: dict[str, set[Version | None]] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            name = entry["name"]
            states[name] = {Version(name, entry["number"], entry["size"]) if entry["size"] >= 0 else GONE}
        for name, further in self._unknown.items():
            states.setdefault(name, {GONE}).update(further)
        return states

    def settle(self, found: dict[str, Version | None]) -> None:
        """Take what was found as the state of the names whose outcome was not known."""
        with self._lock:
            for name in self._unknown:
                self._write(name, found[name])
            self._unknown.clear()

    def _write(self, name: str, state: Version | None) -> None:
        entry = {"name": name, "number": state.number if state else 0, "size": state.size if state else -1}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
