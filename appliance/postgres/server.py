"""The running server of a managed database: a component that the supervisor starts, watches and stops."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.postgres.binaries import find_binaries, place_binaries
from appliance.postgres.cluster import NAME, cluster_major, make_cluster, write_settings
from appliance.postgres.identity import choose_identity, named_identity
from appliance.postgres.places import Places, own_directory
from appliance.process import Child, ChildFailed, Program
from foundation.aio import pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.config import DatabaseConfig, LifecycleConfig
    from appliance.home import Home
    from foundation.clock import Clock

_POLL_SECONDS = 0.02
_CRASH_STOP_SECONDS = 10.0
_STATUS_LINE = 7  # of postmaster.pid: what pg_ctl reads to learn that the server takes connections


class PostgresServer:
    """The managed PostgreSQL of one installation."""

    name = "postgres"

    def __init__(
        self, reactor: Any, clock: Clock, home: Home, database: DatabaseConfig, lifecycle: LifecycleConfig
    ) -> None:
        """Prepare to run the database that *database* describes; nothing is started yet."""
        self._reactor = reactor
        self._clock = clock
        self._lifecycle = lifecycle
        self._identity = named_identity(database.user) if database.user else choose_identity()
        self._places = Places(home.inside(database.directory), home.inside(database.socket_directory))
        self._child: Child | None = None
        self._stopping = False

    @property
    def dsn(self) -> str:
        """Return the connection string, in libpq's key=value form; it holds no secret."""
        socket = str(self._places.socket).replace("\\", "\\\\").replace("'", "\\'")
        return f"host='{socket}' port=5432 dbname={NAME} user={NAME}"

    def found(self) -> None:
        """Make the cluster of a new installation; raise NoBinaries, ClusterFailed or UnsafePlace."""
        self._places.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._places.directory.chmod(0o711)
        binaries = place_binaries(find_binaries(), self._identity, self._places.directory)
        make_cluster(binaries, self._places, self._identity)

    async def start(self, on_line: Callable[[str, str], object]) -> Child:
        """Start the server and return it when it takes connections; raise ChildFailed."""
        self._stopping = False
        binaries = find_binaries(cluster_major(self._places.data))
        binaries = place_binaries(binaries, self._identity, self._places.directory)
        own_directory(self._places.socket, self._identity)
        write_settings(self._places)
        deadline = self._clock.boottime_seconds() + self._lifecycle.start_timeout_seconds
        await self._clear_predecessors(deadline)
        conf = self._places.conf / "postgresql.conf"
        program = Program(
            name=self.name,
            argv=(binaries.postgres, "-D", str(self._places.data), "-c", f"config_file={conf}"),
            death_signal=signal.SIGINT,  # a fast, clean shutdown
            identity=self._identity if self._identity.uid != os.geteuid() else None,
            directory=self._places.directory,
            environment={"LC_ALL": "C", "TZ": "UTC"},
        )
        self._child = Child(self._reactor, program, on_line)
        await self._wait_ready(self._child, deadline)
        return self._child

    async def stop(self) -> None:
        """Stop the server: fast and clean, and after the drain timeout as a crash would, which it survives."""
        self._stopping = True
        child = self._child
        if child is None or child.exited.done:
            return
        patience = self._lifecycle.drain_timeout_seconds
        timer = self._clock.call_later(patience, lambda: child.send_signal(signal.SIGQUIT))
        try:
            await child.stop(self._clock, signal.SIGINT, patience + _CRASH_STOP_SECONDS)
        finally:
            timer.cancel()

    async def _wait_ready(self, child: Child, deadline: float) -> None:
        """Return when the server of *child* says `ready` in postmaster.pid, as pg_ctl waits for it."""
        while not child.exited.done:
            lines = _postmaster_file(self._places.data)
            if lines[:1] == [str(child.pid)] and len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready":
                return
            if self._clock.boottime_seconds() > deadline:
                await self.stop()
                raise ChildFailed(f"{self.name} was not ready in {self._lifecycle.start_timeout_seconds:g} s")
            await pause(self._clock, _POLL_SECONDS)
        await child.ready  # fails, saying how it ended

    async def _clear_predecessors(self, deadline: float) -> None:
        """Wait until no process of an earlier run has the cluster open.

        A supervisor that was killed leaves its server stopping; a server that was killed leaves back ends which hold
        its shared memory until they notice, and may itself be left for its next parent to reap: until then a new
        server takes it for a living one.
        """
        while pids := _processes_in(self._places.data) or _unreaped(self._places.data):
            postmaster = _postmaster_file(self._places.data)[:1]
            main = [pid for pid in pids if [str(pid)] == postmaster]
            for pid in main or pids:
                _signal(pid, signal.SIGINT if main else signal.SIGQUIT)
            if self._stopping or self._clock.boottime_seconds() > deadline:
                raise ChildFailed(f"{self.name}: processes {pids} of an earlier run still use {self._places.data}")
            await pause(self._clock, 10 * _POLL_SECONDS)


def _postmaster_file(data: Path) -> list[str]:
    """Return the lines of postmaster.pid, none if there is no such file."""
    try:
        with (data / "postmaster.pid").open(encoding="utf-8", errors="replace") as file:
            return file.read(4096).splitlines()
    except OSError:
        return []


def _processes_in(data: Path) -> list[int]:
    """Return the processes whose working folder is *data*, as every process of a server's is."""
    found = []
    real = str(data.resolve())
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.readlink(entry / "cwd") == real:  # noqa: PTH115 - Path.readlink costs a Path for each process
                    found.append(int(entry.name))
            except OSError:  # it has ended, or belongs to another user, and so not to this cluster
                continue
    return found


def _unreaped(data: Path) -> list[int]:
    """Return the process that postmaster.pid names if it has ended and nobody has asked how."""
    pid = "".join(_postmaster_file(data)[:1])
    try:
        state = Path("/proc", pid, "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return []
    return [int(pid)] if pid.isdecimal() and state == "Z" else []


def _signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
