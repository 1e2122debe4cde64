"""One figure: timed work, what it cost the client and each of the house's processes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.house import House

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """One run of a measurement."""

    done: float  # operations, or MiB
    seconds: float
    client_cpu: float  # seconds
    gateway_cpu: float  # seconds
    others_cpu: float  # seconds: nodes, PostgreSQL, supervisor


@dataclass
class Figure:
    """A measurement over all its runs, beside its limit."""

    name: str
    unit: str  # per second
    limit_name: str
    runs: list[Run] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        return median(run.done / run.seconds for run in self.runs)

    @property
    def limit(self) -> float:
        return median(self.limits)

    @property
    def gateway_us(self) -> float:
        """Return the gateway's CPU time per operation or MiB, in us."""
        return median(run.gateway_cpu / run.done for run in self.runs) * 1e6

    @property
    def client_share(self) -> float:
        """Return the client's part of all CPU time that was used."""
        return median(
            run.client_cpu / max(run.client_cpu + run.gateway_cpu + run.others_cpu, 1e-9) for run in self.runs
        )


class Meter:
    """Reads the CPU time of the house's processes around a piece of work."""

    def __init__(self, house: House) -> None:
        self._gateway = {process.pid for process in house.components("gateway")}
        self._others = {process.pid for process in house.processes()} - self._gateway

    def measure(self, work: Callable[[], float]) -> Run:
        """Run *work*, which returns how much it did, and say what it took."""
        gateway, others, client = _cpu(self._gateway), _cpu(self._others), time.process_time()
        started = time.perf_counter()
        done = work()
        seconds = time.perf_counter() - started
        return Run(
            done,
            seconds,
            time.process_time() - client,
            _cpu(self._gateway) - gateway,
            _cpu(self._others) - others,
        )


def _cpu(pids: set[int]) -> float:
    """Return the user and system time of *pids* so far, in seconds; one that has ended counts nothing."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total * _TICK_SECONDS


def deadline(seconds: float) -> Callable[[], bool]:
    """Return a function that says whether *seconds* have passed."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() > end
