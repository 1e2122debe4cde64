"""The managed PostgreSQL for real: made, started, killed, orphaned, and out of its user's reach."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from appliance_drive import drive, reactor

from appliance.config import DatabaseConfig, LifecycleConfig
from appliance.home import Home
from appliance.postgres.binaries import NoBinaries, find_binaries
from appliance.postgres.cluster import cluster_major
from appliance.postgres.identity import choose_identity
from appliance.postgres.places import UnsafePlace, choose_places, own_directory
from appliance.postgres.server import PostgresServer, _unreaped
from appliance.process import ChildFailed
from foundation.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
CLOCK = SystemClock(reactor)
LIFECYCLE = LifecycleConfig(start_timeout_seconds=30)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Return a home with a cluster, stopped; its folders can be traversed, as pytest's own cannot."""
    path = Path("/tmp", f"gatefold-test-{os.getpid()}")
    path.mkdir(mode=0o711)
    path.chmod(0o711)
    server(Home(path)).found()
    yield Home(path)
    shutil.rmtree(path)


def server(home: Home) -> PostgresServer:
    directory, socket = choose_places(home, choose_identity(), "00000000000000ff")
    return PostgresServer(reactor, CLOCK, home, DatabaseConfig(True, directory, socket), LIFECYCLE)


def asked(dsn: str, query: str) -> Any:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchone()[0]


def test_a_server_is_durable_private_and_not_roots(home: Home) -> None:
    database = server(home)

    async def main() -> None:
        child = await database.start(lambda _name, _line: None)
        try:
            settings = {
                name: asked(database.dsn, f"SHOW {name}")
                for name in ("data_checksums", "fsync", "full_page_writes", "synchronous_commit", "listen_addresses")
            }
            assert settings == {
                "data_checksums": "on",
                "fsync": "on",
                "full_page_writes": "on",
                "synchronous_commit": "on",
                "listen_addresses": "",
            }
            assert asked(database.dsn, "SELECT datcollate FROM pg_database WHERE datname = 'gatefold'") == "C"
            assert Path(f"/proc/{child.pid}").stat().st_uid != 0
            assert (home.path / "postgres" / "data").stat().st_mode & 0o777 == 0o700
        finally:
            await database.stop()

    drive(main())


def test_a_killed_server_starts_again_with_what_was_committed(home: Home) -> None:
    database = server(home)

    async def main() -> None:
        child = await database.start(lambda _name, _line: None)
        with psycopg.connect(database.dsn) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 17 AS n")
            connection.commit()
            busy = psycopg.connect(database.dsn, autocommit=True)
            busy.execute("SELECT 1")
            child.send_signal(signal.SIGKILL)
            await child.exited
        await database.start(lambda _name, _line: None)
        try:
            assert asked(database.dsn, "SELECT n FROM kept") == 17
        finally:
            busy.close()
            await database.stop()

    drive(main())


def test_a_dead_server_that_nobody_has_reaped_is_still_in_the_way(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as dead:
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # it has ended; we do not take note of it yet
        (tmp_path / "postmaster.pid").write_text(f"{dead.pid}\n/data\n")
        assert _unreaped(tmp_path) == [dead.pid]
    assert _unreaped(tmp_path) == []


def test_a_server_whose_supervisor_was_killed_is_waited_for(home: Home) -> None:
    code = (
        "import sys\n"
        "sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path\n"
        "from appliance.home import Home\n"
        "from appliance_drive import drive, reactor\n"
        "from test_appliance_postgres import server\n"
        "drive(server(Home(Path(sys.argv[3]))).start(lambda _name, _line: None))\n"
        "print('up', flush=True)\n"
        "reactor.run()\n"
    )
    argv = [sys.executable, "-c", code, str(REPOSITORY), str(Path(__file__).parent), str(home.path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"up\n"
        supervisor.kill()
    database = server(home)

    async def main() -> str:
        await database.start(lambda _name, _line: None)
        try:
            return str(asked(database.dsn, "SELECT 'there'"))
        finally:
            await database.stop()

    assert drive(main()) == "there"


def test_nobody_else_gets_in(home: Home) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can try as somebody else")
    database = server(home)

    async def main() -> None:
        await database.start(lambda _name, _line: None)
        try:
            done = subprocess.run(
                ["/usr/bin/test", "-x", str(home.path / "postgres" / "socket")], user=65534, check=False
            )
            assert done.returncode == 1, "the socket's folder is open to others"
            with pytest.raises(psycopg.OperationalError, match=r"role .* does not exist|no pg_hba.conf entry"):
                asked(database.dsn.replace("user=gatefold", "user=postgres"), "SELECT 1")
        finally:
            await database.stop()

    drive(main())


def test_a_server_that_cannot_start_quotes_its_log(home: Home) -> None:
    database = server(home)
    local = home.path / "postgres" / "conf" / "local.conf"
    local.write_text("shared_buffers = nonsense\n")
    try:
        with pytest.raises(ChildFailed, match="shared_buffers"):
            drive(database.start(lambda _name, _line: None))
    finally:
        local.write_text("")


def test_a_cluster_keeps_its_major_version(home: Home) -> None:
    major = cluster_major(home.path / "postgres" / "data")
    assert find_binaries(major).major == major
    with pytest.raises(NoBinaries, match="of version 9, which this database was made with"):
        find_binaries(9)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's database can enter what the user can")
def test_a_home_that_the_database_cannot_reach_keeps_it_elsewhere(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = Home(closed / "home")
    home.path.mkdir(mode=0o711)
    directory, socket = choose_places(home, choose_identity(), "00000000000000fe")
    assert directory == "/var/lib/gatefold/00000000000000fe"
    assert socket == directory + "/socket"


def test_a_path_too_long_for_a_socket_gets_a_short_one(home: Home) -> None:
    deep = Home(home.path / ("d" * 100))
    deep.path.mkdir(mode=0o711)
    _, socket = choose_places(deep, choose_identity(), "00000000000000fd")
    assert len(socket) < 90
    assert Path(socket).is_absolute()


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    identity = choose_identity()
    own_directory(tmp_path / "mine", identity)
    own_directory(tmp_path / "mine", identity)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(UnsafePlace):
        own_directory(tmp_path / "link", identity)
    (tmp_path / "mine").chmod(0o755)
    with pytest.raises(UnsafePlace):
        own_directory(tmp_path / "mine", identity)
