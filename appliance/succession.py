"""Whose place a gateway takes: proof that the runs before it, in this home, have ended.

A gateway holds a lock in `run/` as long as its process lives, and the lock goes with the process, however that ends. So
whoever holds the lock now knows that nobody acts any more as a gateway that held *this* lock before, and need not wait
for its lease. Which those are is written beside the lock, before such a gateway takes its first volume.

The record counts only for the same lock file since the same start of the same kernel. A home that was copied, to
another host or on this one, has another lock file or another boot, and so no proof: it waits for the lease.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.config import FIRST_GATEWAY
from appliance.home import write_durably

if TYPE_CHECKING:
    from appliance.home import Home

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def lock_name(gateway: str) -> str:
    """Return the name of the lock, in `run/`, that the process of *gateway* holds."""
    return "gateway.lock" if gateway == FIRST_GATEWAY else f"gateway-{gateway}.lock"


class Succession:
    """The runs of one gateway in one home; the caller holds its lock."""

    def __init__(self, home: Home, gateway: str) -> None:
        """Read what the runs before have left."""
        lock = home.run_path / lock_name(gateway)
        self._path = lock.with_suffix(".runs")
        found = lock.stat()
        self._proof = [_BOOT_ID.read_text(encoding="ascii").strip(), found.st_dev, found.st_ino]
        #: Ids of gateways that have ended for certain.
        self.predecessors = frozenset(self._read())

    def begin(self, run: int) -> None:
        """Record that *run* follows: before it takes anything."""
        self._write([*self.predecessors, run])

    def settle(self, run: int) -> None:
        """Record that *run* has taken what its predecessors held."""
        self._write([run])

    def _read(self) -> list[int]:
        try:
            record: dict[str, Any] = json.loads(self._path.read_text(encoding="ascii"))
            return [int(run) for run in record["runs"]] if record["lock"] == self._proof else []
        except (OSError, ValueError, KeyError, TypeError):
            return []  # no proof: the lease decides

    def _write(self, runs: list[int]) -> None:
        write_durably(self._path, json.dumps({"lock": self._proof, "runs": sorted(runs)}).encode(), 0o600)
