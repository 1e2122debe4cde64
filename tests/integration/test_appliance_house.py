"""The commands as a user types them: set up, serve, look, check, stop, and whatever interrupts that."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
NOBODY = 65534
PATIENCE_SECONDS = 90


class Installation:
    """One installation, and the processes that a test started for it."""

    def __init__(self, home: Path, *, user: int | None = None) -> None:
        self.home = home
        self.ports = free_ports(7)
        self.user = user
        self.lines: list[str] = []

    def gatefold(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=120, **self.start_options()
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "appliance", *words, "--home", str(self.home)]

    def start_options(self) -> dict[str, Any]:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        options: dict[str, Any] = {"env": environment, "cwd": "/"}
        if self.user is not None:
            options |= {"user": self.user, "group": self.user, "extra_groups": []}
        return options

    def set_up(self, *words: str) -> None:
        s3, nfs, mount, *nodes = map(str, self.ports)
        self.gatefold(
            *("setup", "--defaults", "--s3-port", s3, "--nfs-port", nfs, "--mount-port", mount),
            *("--no-portmap", "--node-port", nodes[0], *words),
        )

    def json(self, *words: str) -> Any:
        return json.loads(self.gatefold(*words, "--json").stdout)

    @contextmanager
    def serve(self) -> Iterator[subprocess.Popen[str]]:
        """Run `serve` while the block lasts; the block starts when the greeting has been printed."""
        with subprocess.Popen(
            self.command("serve"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self.start_options()
        ) as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    self.lines.append(line.rstrip())
                    if "aws --endpoint-url" in line:
                        break
                else:
                    raise AssertionError("\n".join(self.lines))
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
                self.lines += rest.splitlines()

    def pid_of(self, component: str) -> int:
        found = [match for line in self.lines if (match := re.search(rf"{component} is up: process (\d+)", line))]
        return int(found[-1].group(1))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user can reach."""
    path = Path("/tmp", f"gatefold-house-{os.getpid()}-{random.randrange(10**6)}")
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def installation(open_folder: Path) -> Installation:
    made = Installation(open_folder / "home")
    made.set_up()
    return made


def test_an_installation_is_set_up_served_looked_at_and_stopped(installation: Installation) -> None:
    refused = installation.gatefold("setup", "--defaults", check=False)
    assert refused.returncode == 1
    assert "is set up already" in refused.stderr

    stopped = installation.json("status")
    assert (stopped["state"], len(stopped["nodes"])) == ("stopped", 3)
    key = installation.json("account", "key", "show")
    assert installation.json("check")["clean"] is True

    with installation.serve() as serving:
        facts = installation.json("status")
        s3, nfs, mount, *_ = installation.ports
        assert facts["state"] == "running"
        assert facts["s3"]["endpoint"] == f"http://127.0.0.1:{s3}"
        assert (facts["nfs"]["host"], facts["nfs"]["port"], facts["nfs"]["mount_port"]) == ("127.0.0.1", nfs, mount)
        assert [export["path"] for export in facts["exports"]] == ["/"]
        assert [volume["name"] for volume in facts["volumes"]] == ["data"]
        assert facts["accounts"][0]["access_keys"] == [key["access_key"]]
        assert [node["up"] for node in facts["nodes"]] == [True, True, True]
        assert installation.json("check")["clean"] is True
        assert installation.json("account", "key", "show") == key
        assert [bucket["name"] for bucket in installation.json("bucket", "list")] == ["data"]
        assert [export["path"] for export in installation.json("export", "list")] == ["/"]
        assert "127.0.0.1" in installation.gatefold("status").stdout

        second = installation.gatefold("serve", check=False)
        assert second.returncode == 1
        assert f"in use by `gatefold serve`, process {serving.pid}" in second.stderr

        greeting = "\n".join(installation.lines)
        assert f"port={nfs},mountport={mount}" in greeting
        assert key["secret_key"] in greeting
    assert serving.returncode == 0
    downs = [line.split("| ")[1].split(" is down")[0] for line in installation.lines if " is down" in line]
    assert downs[0] == "gateway"
    assert downs[-1] == "postgres"
    assert processes_of(installation.home) == []
    everything = "\n".join(installation.lines)
    secret = (installation.home / "secrets" / "cluster").read_text().strip()
    assert secret not in everything


def test_killed_components_come_back_and_a_killed_supervisor_leaves_nothing(installation: Installation) -> None:
    with installation.serve() as serving:
        for component in ("gateway", "node2", "postgres"):
            victim = installation.pid_of(component)
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: installation.json("status")["state"] == "running" and answers(installation))
        below = processes_of(installation.home)
        assert len(below) >= 5
        serving.kill()
        serving.wait()
    wait_until(lambda: processes_of(installation.home) == [])
    with installation.serve():
        assert installation.json("status")["state"] == "running"
        assert installation.json("check")["clean"] is True


def test_two_installations_run_side_by_side(open_folder: Path) -> None:
    one, other = Installation(open_folder / "one"), Installation(open_folder / "other")
    one.set_up()
    other.set_up("--nodes", "2", "--copies", "1")
    with one.serve(), other.serve():
        assert answers(one)
        assert answers(other)
        assert len(other.json("status")["nodes"]) == 2
        assert one.json("account", "key", "show") != other.json("account", "key", "show")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a home that others cannot enter, and PostgreSQL elsewhere")
def test_a_home_that_only_root_can_enter_works(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    installation = Installation(closed / "home")
    installation.set_up()
    text = (installation.home / "gatefold.toml").read_text()
    place = Path(re.search(r'^directory = "(/var/lib/gatefold/[^"]+)"', text, re.MULTILINE).group(1))
    try:
        with installation.serve():
            database = installation.pid_of("postgres")
            assert Path(f"/proc/{database}").stat().st_uid != 0
            assert answers(installation)
    finally:
        shutil.rmtree(place)


def test_an_ordinary_user_can_do_it_all(open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the other tests do this already")
    if not nobody_can_run_it():
        pytest.skip(f"user {NOBODY} cannot reach {sys.executable} or {REPOSITORY}")
    os.chown(open_folder, NOBODY, NOBODY)
    installation = Installation(open_folder / "home", user=NOBODY)
    installation.set_up()
    with installation.serve():
        assert Path(f"/proc/{installation.pid_of('postgres')}").stat().st_uid == NOBODY
        assert installation.json("check")["clean"] is True
    refused = Installation(installation.home).gatefold("serve", check=False)
    assert refused.returncode == 1
    assert f"belongs to user {NOBODY}" in refused.stderr


def test_a_database_of_somebody_elses_is_used_once(open_folder: Path) -> None:
    owner = Installation(open_folder / "owner")
    owner.set_up()
    with owner.serve():
        socket_folder = owner.home / "postgres" / "socket"
        theirs = f"host={socket_folder} user=gatefold dbname=gatefold"
        with psycopg.connect(theirs, autocommit=True) as connection:
            connection.execute("CREATE DATABASE guest")
        guest = Installation(open_folder / "guest")
        guest.set_up("--database", theirs.replace("dbname=gatefold", "dbname=guest"))
        assert not (guest.home / "postgres").exists()
        assert "guest" not in (guest.home / "gatefold.toml").read_text().replace(str(guest.home), "")
        with guest.serve():
            assert guest.json("check")["clean"] is True
        second = Installation(open_folder / "second")
        refused = second.gatefold("setup", "--defaults", "--database", theirs, check=False)
        assert refused.returncode == 1
        assert "holds an installation already" in refused.stderr
        nowhere = second.gatefold("setup", "--defaults", "--database", "host=/nonexistent", check=False)
        assert nowhere.returncode == 1
        assert nowhere.stderr.startswith("Error: ")
        assert not (second.home / "secrets").exists(), "a setup that failed left something"


def test_setup_keeps_its_hands_off_what_it_did_not_make(open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    refused = Installation(home).gatefold("setup", "--defaults", check=False)
    assert refused.returncode == 1
    assert "is not empty" in refused.stderr
    assert (home / "thesis.txt").read_text() == "years of work"
    misnamed = Installation(open_folder / "other").gatefold("setup", "--defaults", "--bucket", "No_Name", check=False)
    assert misnamed.returncode == 1
    assert "bucket: 'No_Name'" in misnamed.stderr


def test_an_interrupted_setup_leaves_nothing_in_the_way(open_folder: Path) -> None:
    installation = Installation(open_folder / "home")
    with subprocess.Popen(installation.command("setup", "--defaults"), **installation.start_options()) as process:
        wait_until((installation.home / "postgres").exists)
        process.kill()
    wait_until(lambda: processes_of(installation.home) == [])
    assert installation.gatefold("serve", check=False).returncode == 1
    installation.set_up()
    assert installation.json("check")["clean"] is True


def test_a_port_that_is_taken_ends_the_start_with_a_reason(installation: Installation) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", installation.ports[0]))
        taken.listen()
        failed = installation.gatefold("serve", check=False)
    assert failed.returncode == 1
    assert str(installation.ports[0]) in failed.stdout + failed.stderr
    assert processes_of(installation.home) == []


def nobody_can_run_it() -> bool:
    try:
        subprocess.run(
            [sys.executable, "-c", "import appliance.setup"],
            check=True,
            capture_output=True,
            **Installation(Path("/"), user=NOBODY).start_options(),
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


#: Ports that were given out: an installation does not listen at once.
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return *count* ports in a row that nobody listens on; they are given out once."""
    first, _, last = os.environ.get("GATEFOLD_TEST_PORTS", "25000-25999").partition("-")
    for _ in range(1000):
        start = random.randrange(int(first), int(last) + 2 - count)
        ports = range(start, start + count)
        if _given.isdisjoint(ports) and all(is_free(port) for port in ports):
            _given.update(ports)
            return list(ports)
    raise AssertionError("no free ports")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(installation: Installation) -> bool:
    """Return whether all three ports take a connection."""
    for port in installation.ports[:3]:
        try:
            socket.create_connection(("127.0.0.1", port), 2).close()
        except OSError:
            return False
    return True


def processes_of(home: Path) -> list[int]:
    """Return the processes that name *home* on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(home) in command:
                found.append(int(entry.name))
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
