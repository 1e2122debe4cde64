"""The home of one installation: where its files lie, its secrets, and the lock that makes it serve once.

- `gatefold.toml`: configuration (no secrets)
- `secrets/`: 0700; each file 0600: cluster, handle, database
- `node1/`, `node2/` …: one storage node's data each
- `postgres/`: the managed database, unless its user cannot reach it here (see `postgres.places`)
- `run/`: 0700; admin sockets, locks, who ran last: never to be copied to another home
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.config import ConfigError, load, read, render_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.config import Config, GatewayConfig

_SECRET_BYTES = 32
#: Names of the secrets: the nodes' shared secret, the key of file handles, and the DSN of an external database.
CLUSTER, HANDLE, DATABASE = "cluster", "handle", "database"


class HomeBusy(Exception):
    """Something else serves, or changes, this home."""


class NotPossible(Exception):
    """What a command asks for cannot be; the message says why."""


class DatabaseUnusable(Exception):
    """The database does not answer, or must not be used; the message says which."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one installation."""

    path: Path  # absolute

    @property
    def config_path(self) -> Path:
        """Return the path of the configuration."""
        return self.path / "gatefold.toml"

    @property
    def run_path(self) -> Path:
        """Return the folder of sockets and locks."""
        return self.path / "run"

    @property
    def is_set_up(self) -> bool:
        """Return whether a setup has finished here: it writes the configuration last."""
        return self.config_path.exists()

    def inside(self, directory: str) -> Path:
        """Return *directory*, which is absolute or relative to the home, as an absolute path."""
        return self.path / directory

    def config(self) -> Config:
        """Read the configuration; raise ConfigError, also for a home that belongs to somebody else."""
        config = load(self.config_path)
        owner = self.config_path.stat().st_uid
        if owner != os.geteuid():
            raise ConfigError(f"{self.path} belongs to user {owner}; run gatefold as that user")
        return config

    def add_gateway(self, gateway: GatewayConfig) -> None:
        """Add a further gateway to the end of the configuration; raise ConfigError if that makes no sense."""
        text = self.config_path.read_text(encoding="utf-8").rstrip("\n") + "\n" + render_gateway(gateway)
        read(text)
        write_durably(self.config_path, text.encode(), 0o600)

    def secret_path(self, name: str) -> Path:
        """Return the file of a secret."""
        return self.path / "secrets" / name

    def secret(self, name: str) -> bytes:
        """Read a secret; raise ConfigError if others may read its file."""
        path = self.secret_path(name)
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(1 << 16)
        except OSError as error:
            raise ConfigError(f"secret {name}: {error}") from error
        if mode & 0o077:
            raise ConfigError(f"{path}: others may read it; chmod 600 it, and replace the secret if it may be known")
        return text.strip()

    def key(self, name: str) -> bytes:
        """Read a secret that `make_secrets` drew; raise ConfigError."""
        try:
            return bytes.fromhex(self.secret(name).decode("ascii"))
        except ValueError:
            raise ConfigError(f"secret {name}: not the hexadecimal digits that setup wrote") from None

    def write_secret(self, name: str, value: bytes) -> None:
        """Write a new secret, durably."""
        path = self.secret_path(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_durably(path, value + b"\n", 0o600)

    def make_secrets(self) -> None:
        """Draw the secrets of a new installation."""
        for name in (CLUSTER, HANDLE):
            self.write_secret(name, secrets.token_hex(_SECRET_BYTES).encode())

    @contextlib.contextmanager
    def lock(self, name: str, purpose: str) -> Iterator[None]:
        """Hold the lock *name* of this home while the block runs; raise HomeBusy if somebody else does.

        The lock goes with the process, however that ends.
        """
        self.run_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.run_path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
                raise HomeBusy(f"{self.path} is in use by {holder or 'another gatefold'}") from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"`gatefold {purpose}`, process {os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def write_durably(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that after a crash it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in *path* durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
