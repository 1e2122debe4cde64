"""A throw-away PostgreSQL 15+ cluster for tests: a unix socket in a temporary folder, fsync on, never as root.

A test module imports the fixtures it wants: `postgres` (the cluster, one per session), `empty_dsn` (a new database in
it) and `migrated_dsn` (a new database with the schema). Other programs use `make_server` and `remove_server`.
"""

from __future__ import annotations

import atexit
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

import psycopg
import pytest

from metastore import migrate

UNPRIVILEGED = ("postgres", "nobody")


def find_binaries() -> Path:
    """Return the folder of `initdb` and `postgres`: on PATH, or the newest below /usr/lib/postgresql."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise FileNotFoundError("no PostgreSQL server binaries on PATH or in /usr/lib/postgresql")
    return found[-1].parent


class PostgresServer:
    """One cluster in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._binaries = find_binaries()
        self._user = next((u for u in UNPRIVILEGED if _exists(u)), None) if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        self._has_template = False

    def create(self, *settings: str) -> None:
        """Make the cluster; *settings* are lines of postgresql.conf."""
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "gatefold", "--no-sync", "--data-checksums",
                  "--locale=C", "-E", "UTF8")  # fmt: skip
        lines = [
            "listen_addresses = ''",
            f"unix_socket_directories = '{self.folder}'",
            "fsync = on",
            "shared_buffers = '256MB'",
            "max_wal_size = '2GB'",
            "max_connections = 60",
            *settings,
        ]
        with Path(self._data, "postgresql.conf").open("a") as conf:
            conf.write("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start the postmaster and wait until it takes connections."""
        command = self._as_user([str(self._binaries / "postgres"), "-D", self._data])
        with Path(self.folder, "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.dsn("postgres")).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(Path(self.folder, "log").read_text())

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop it: SIGINT = fast shutdown, SIGQUIT = immediate, as a crash would."""
        if self._process is not None:
            os.kill(self.pid, how)
            self._process.wait(30)
            self._process = None

    @property
    def pid(self) -> int:
        """Return the postmaster's process id."""
        return int(Path(self._data, "postmaster.pid").read_text().split()[0])

    def dsn(self, database: str) -> str:
        """Return the connection string of *database*."""
        return f"host={self.folder} user=gatefold dbname={database}"

    def new_database(self, template: str = "template1") -> str:
        """Make a database as a copy of *template* and return its connection string."""
        name = f"test{next(self._names)}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.dsn(name)

    def new_migrated_database(self) -> str:
        """Make a database with the metastore's schema, as a copy of one that is migrated once."""
        if not self._has_template:
            with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
                connection.execute("CREATE DATABASE migrated")
            migrate.upgrade(self.dsn("migrated"))
            self._has_template = True
        return self.new_database("migrated")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _as_user(self, command: list[str]) -> list[str]:
        if self._user is None:
            return command
        account = pwd.getpwnam(self._user)
        return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", *command]

    def _run(self, program: str, *arguments: str) -> None:
        command = self._as_user([str(self._binaries / program), *arguments])
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def make_server(*settings: str) -> PostgresServer:
    """Make and start a cluster in a new temporary folder; `remove_server` ends it."""
    folder = Path(tempfile.mkdtemp(prefix="gatefold-pg-"))
    server = PostgresServer(folder)
    server.create(*settings)
    server.start()
    return server


def remove_server(server: PostgresServer) -> None:
    """Stop the cluster, with no checkpoint to wait for, and delete its folder."""
    server.stop(signal.SIGQUIT)
    shutil.rmtree(server.folder)


@cache
def shared_server() -> PostgresServer:
    """Return the one cluster of this process, made at the first call and removed when the process ends."""
    server = make_server()
    atexit.register(remove_server, server)
    return server


@pytest.fixture(scope="session")
def postgres():
    """Return the session's cluster: the same in every module that imports this fixture."""
    return shared_server()


@pytest.fixture
def empty_dsn(postgres):
    """Return the connection string of a new, empty database."""
    return postgres.new_database()


@pytest.fixture
def migrated_dsn(postgres):
    """Return the connection string of a new database with the schema."""
    return postgres.new_migrated_database()
