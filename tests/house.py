"""A whole installation for tests: set up in a folder, served as a subprocess, killed in parts, checked, taken away.

Nothing here looks inside the product: it drives `gatefold` as a user would, and finds the components' processes
below the one it started, so that it can end no process that is not its own.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parent.parent
_PORTS = os.environ.get("GATEFOLD_TEST_PORTS", "26000-26999")
_POLL_SECONDS = 0.02
_MAX_NODES = 5  # ports kept free for them
#: How a component's process is told from the others below `serve`, by its command line.
_MARKS = {"gateway": "gateway", "node": "node", "postgres": "postgres"}


class HouseError(AssertionError):
    """The house did not do what it must; the message ends with its log."""


@dataclass(frozen=True)
class Process:
    """One process below `serve`."""

    pid: int
    parent: int
    started: int  # clock ticks after boot: with the pid, the process's identity
    command: str


class House:
    """One installation. Made by `set_up`; used as a context manager it is stopped at the end."""

    def __init__(self, home: Path, listen: str, ports: tuple[int, int, int]) -> None:
        """Describe the installation in *home*; *ports* are those of S3, NFS and MOUNT."""
        self.home, self.listen = home, listen
        self.s3_port, self.nfs_port, self.mount_port = ports
        self.log_path = home.with_name(home.name + ".log")
        self.status: dict[str, Any] = {}
        self._options: tuple[str, ...] = ()  # further ones of `serve`
        self._serve: subprocess.Popen[bytes] | None = None
        self._keys: tuple[str, str] | None = None

    @classmethod
    def set_up(cls, home: Path, *options: str, listen: str = "127.0.0.1") -> Self:
        """Run `gatefold setup` with defaults, free ports and further *options*; nothing runs afterwards."""
        first = free_ports(3 + _MAX_NODES)
        house = cls(home, listen, (first, first + 1, first + 2))
        numbered = enumerate(("--s3-port", "--nfs-port", "--mount-port", "--node-port"), first)
        arguments = [word for number, name in numbered for word in (name, str(number))]
        house.gatefold("setup", "--defaults", *arguments, "--no-portmap", "--listen", listen, *options)
        return house

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    # ------------------------------------------------------------------ commands

    def gatefold(
        self, *arguments: str, ok: bool = True, timeout_seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run one `gatefold` command on this home; raise HouseError if it fails and *ok*."""
        command = [*_gatefold(), *arguments, "--home", str(self.home)]
        done = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, check=False, timeout=timeout_seconds
        )
        if ok and done.returncode:
            raise HouseError(
                f"gatefold {' '.join(arguments)} ended with {done.returncode}: {done.stderr}{self.log_tail()}"
            )
        return done

    def json(self, *arguments: str) -> Any:
        """Run one `gatefold` command and return what it prints as JSON; raise HouseError if it fails."""
        return json.loads(self.gatefold(*arguments, "--json").stdout)

    def check(self) -> dict[str, Any]:
        """Run `gatefold check` and return its report; raise HouseError unless all is consistent."""
        report = self.report()
        if not report["clean"]:
            raise HouseError(f"gatefold check found faults: {json.dumps(report, indent=1)}{self.log_tail()}")
        return report

    def report(self) -> dict[str, Any]:
        """Run `gatefold check` and return its report, whatever it says; raise HouseError if it says nothing."""
        done = self.gatefold("check", "--json", ok=False, timeout_seconds=300)
        try:
            report: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise HouseError(f"gatefold check ended with {done.returncode}: {done.stderr}{self.log_tail()}") from None
        if report["clean"] != (done.returncode == 0):
            raise HouseError(f"gatefold check says {report['clean']} and ended with {done.returncode}")
        return report

    # ------------------------------------------------------------------ life

    def start(self, ready_seconds: float = 90) -> Self:
        """Start `gatefold serve` and wait until both doors answer."""
        assert self._serve is None, "it is running"
        with self.log_path.open("ab") as log:
            self._serve = subprocess.Popen(
                [*_gatefold(), "serve", "--home", str(self.home), *self._options],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.wait_ready(ready_seconds)
            self.status = json.loads(self.gatefold("status", "--json").stdout)
        except BaseException:
            self.kill_serve(with_all_below=True)
            raise
        return self

    def wait_ready(self, seconds: float = 60) -> None:
        """Wait until S3, NFS and MOUNT all answer a request."""
        self._wait(seconds, "the doors to answer", self.answers)

    def answers(self) -> bool:
        """Return whether all three doors answer a request now."""
        if self._serve is None or self._serve.poll() is not None:
            raise HouseError(f"gatefold serve ended with {self._serve and self._serve.returncode}{self.log_tail()}")
        host = "127.0.0.1"
        return (
            _http_answers(host, self.s3_port)
            and rpc_null(host, self.nfs_port, 100003, 3)
            and rpc_null(host, self.mount_port, 100005, 3)
        )

    def stop(self) -> None:
        """End `serve` as Ctrl-C does; raise HouseError if anything of it survives or it ends badly."""
        if self._serve is None:
            return
        serve, self._serve = self._serve, None
        below = self._below(serve.pid)
        serve.send_signal(signal.SIGTERM)
        try:
            serve.wait(60)
        except subprocess.TimeoutExpired:
            serve.kill()
            serve.wait()
        left = [process for process in below if _is_same(process)]
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        if serve.returncode or left:
            raise HouseError(f"gatefold serve ended with {serve.returncode}, leaving {left}{self.log_tail()}")

    def remove(self) -> None:
        """Stop what runs and delete the installation: its database may lie outside a home that only root can enter."""
        try:
            self.stop()
        finally:
            with (self.home / "gatefold.toml").open("rb") as file:
                database = tomllib.load(file)["database"]
            # Of a database that is not managed, both are empty: they are the home itself, which goes once.
            for folder in dict.fromkeys((database["socket_directory"], database["directory"], "")):
                shutil.rmtree(self.home / folder, ignore_errors=folder != "")

    def kill_serve(self, *, with_all_below: bool) -> None:
        """Kill -9 `serve`, and *with_all_below* at the same moment; return when all its processes are gone.

        Raise HouseError if what `serve` ran lives on without it.
        """
        assert self._serve is not None
        serve, self._serve = self._serve, None
        below = self._below(serve.pid)
        serve.kill()
        for process in below if with_all_below else ():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        serve.wait()
        # Until init has reaped it, PostgreSQL takes its dead postmaster for a living one.
        self._wait(30, "all below the killed `serve` to go", lambda: not any(_exists(process) for process in below))

    # ------------------------------------------------------------------ components

    def components(self, kind: str) -> list[Process]:
        """Return the processes of *kind* (gateway, node, postgres): the topmost ones, by pid."""
        assert self._serve is not None
        below = self._below(self._serve.pid)
        fitting = {process.pid: process for process in below if _kind_of(process) == kind}
        return sorted((each for each in fitting.values() if each.parent not in fitting), key=lambda each: each.pid)

    def kill(self, kind: str, which: int = 0) -> Process:
        """Kill -9 one component and return what it was; raise HouseError unless it ran and is gone."""
        found = self.components(kind)
        if len(found) <= which:
            raise HouseError(f"there is no {kind} number {which} to kill, only {found}{self.log_tail()}")
        victim = found[which]
        os.kill(victim.pid, signal.SIGKILL)
        self._wait(10, f"{kind} {victim.pid} to be gone", lambda: not _is_same(victim))
        return victim

    def wait_replaced(self, kind: str, victim: Process, seconds: float = 60) -> None:
        """Wait until the supervisor runs as many of *kind* again as before *victim* died, and the doors answer."""
        expected = len(self.status["nodes"]) if kind == "node" else 1

        def replaced() -> bool:
            now = self.components(kind)
            return len(now) == expected and victim.pid not in {process.pid for process in now} and self.answers()

        self._wait(seconds, f"{kind} to be replaced", replaced)

    def pause_serve(self) -> None:
        """Stop `serve` itself (SIGSTOP): it restarts nothing until `resume_serve`; what it runs goes on."""
        assert self._serve is not None
        self._serve.send_signal(signal.SIGSTOP)

    def resume_serve(self) -> None:
        """Let `serve` go on."""
        assert self._serve is not None
        self._serve.send_signal(signal.SIGCONT)

    def send(self, kind: str, number: signal.Signals) -> Process:
        """Send a signal to the first component of *kind* and return what it is."""
        process = self.components(kind)[0]
        os.kill(process.pid, number)
        return process

    def further_gateway(self, name: str) -> House:
        """Add a gateway called *name* to this home and return the house of it alone, which is not started yet."""
        first = free_ports(3)
        numbered = zip(("--s3-port", "--nfs-port", "--mount-port"), range(first, first + 3), strict=True)
        self.gatefold("gateway", "add", name, *(word for option, port in numbered for word in (option, str(port))))
        house = House(self.home, self.listen, (first, first + 1, first + 2))
        house.log_path = self.home.with_name(f"{self.home.name}-{name}.log")
        house._options = ("--gateway", name)
        return house

    def processes(self) -> list[Process]:
        """Return all living processes of the house, `serve` first."""
        assert self._serve is not None
        root = _read_process(Path("/proc", str(self._serve.pid)))
        return ([root] if root else []) + self._below(self._serve.pid)

    def _below(self, root: int) -> list[Process]:
        """Return all living processes below *root*."""
        everyone = [process for entry in Path("/proc").iterdir() if (process := _read_process(entry)) is not None]
        found, parents = [], {root}
        while fresh := [process for process in everyone if process.parent in parents]:
            found += fresh
            parents = {process.pid for process in fresh}
        return found

    # ------------------------------------------------------------------ what a user needs

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.s3_port}"

    @property
    def export(self) -> str:
        """Return the path by which the first bucket is mounted."""
        return f"/{self.bucket}"

    @property
    def bucket(self) -> str:
        """Return the name of the bucket that setup made."""
        name: str = self.status["volumes"][0]["name"]
        return name

    @property
    def keys(self) -> tuple[str, str]:
        """Return access key and secret."""
        if self._keys is None:
            shown = json.loads(self.gatefold("account", "key", "show", "--json").stdout)
            self._keys = _find_keys(shown)
        return self._keys

    def database_dsn(self) -> str:
        """Return how to reach the managed PostgreSQL, as the user who runs the house."""
        with (self.home / "gatefold.toml").open("rb") as file:
            database = tomllib.load(file)["database"]
        return f"host={self.home / database['socket_directory']} port=5432 dbname=gatefold user=gatefold"

    def s3(self, *, attempts: int = 1, read_timeout_seconds: float = 60) -> Any:
        """Return a boto3 client that tries each request *attempts* times."""
        import boto3  # noqa: PLC0415 - it takes half a second, and unit tests load this module too
        from botocore.config import Config  # noqa: PLC0415

        access_key, secret_key = self.keys
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(
                retries={"total_max_attempts": attempts, "mode": "standard"},
                s3={"addressing_style": "path"},
                connect_timeout=5,
                read_timeout=read_timeout_seconds,
                max_pool_connections=16,
            ),
        )

    def log_tail(self, lines: int = 60) -> str:
        """Return the end of the log, for a failure's message."""
        if not self.log_path.exists():
            return ""
        text = self.log_path.read_text(errors="replace").splitlines()[-lines:]
        return "\n--- the house's log ends:\n" + "\n".join(text)

    def _wait(self, seconds: float, what: str, holds: Callable[[], bool]) -> None:
        """Poll until *holds*: other processes' states send no event."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise HouseError(f"waited {seconds:g} s for {what}{self.log_tail()}")
            time.sleep(_POLL_SECONDS)


def free_ports(count: int) -> int:
    """Return the first of *count* ports in a row, in the tests' range (GATEFOLD_TEST_PORTS), that nobody listens on."""
    first, _, last = _PORTS.partition("-")
    candidates = list(range(int(first), int(last) + 2 - count, count))
    random.shuffle(candidates)  # two test runs side by side must not race for the same
    for candidate in candidates:
        if all(_is_free(port) for port in range(candidate, candidate + count)):
            return candidate
    raise HouseError(f"no {count} free ports in a row in {_PORTS}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def rpc_null(host: str, port: int, program: int, version: int) -> bool:
    """Return whether the program's NULL procedure answers within 2 s."""
    words = (0x80000028, 0x67666C64, 0, 2, program, version, 0, 0, 0, 0, 0)
    call = b"".join(word.to_bytes(4, "big") for word in words)
    try:
        with socket.create_connection((host, port), 2) as sock:
            sock.sendall(call)
            return len(sock.recv(28, socket.MSG_WAITALL)) == 28  # a header and an accepted, empty reply
    except OSError:
        return False


def _http_answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 2) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            return sock.recv(12, socket.MSG_WAITALL)[:7] == b"HTTP/1."
    except OSError:
        return False


def _gatefold() -> list[str]:
    return [sys.executable, "-m", "appliance"]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}


def _read_process(entry: Path) -> Process | None:
    """Return the process of a folder in /proc, or None: it is no process, has just gone, or is dead already."""
    if not entry.name.isdigit():
        return None
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    return None if fields[0] == "Z" else Process(int(entry.name), int(fields[1]), int(fields[19]), command)


def _exists(process: Process) -> bool:
    """Return whether there is something of *process* still, be it dead and not yet reaped."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return int(fields[19]) == process.started


def _is_same(process: Process) -> bool:
    """Return whether *process* still lives; its pid may be another's by now."""
    now = _read_process(Path("/proc", str(process.pid)))
    return now is not None and now.started == process.started


def _kind_of(process: Process) -> str | None:
    """Return what component *process* is, by the words of its command."""
    words = [Path(word).name.rstrip(":") for word in process.command.split()]
    for kind, mark in _MARKS.items():
        if mark in words:
            return kind
    return None


def _find_keys(shown: Any) -> tuple[str, str]:
    """Return access key and secret from `account key show`, which may print one key or a list."""
    first = shown[0] if isinstance(shown, list) else shown
    return first["access_key"], first["secret_key"]
