"""`gatefold setup`: from an empty folder to an installation that can serve.

The configuration is written last: a home without one was never set up, and what an interrupted setup left behind is
removed by the next.
"""

from __future__ import annotations

import os
import secrets
import shutil
import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.choices import new_config, new_installation
from appliance.compose import node_disk, open_directory
from appliance.config import Config, ConfigError, DatabaseConfig, LifecycleConfig, render
from appliance.home import DATABASE, Home, write_durably
from appliance.postgres.identity import choose_identity
from appliance.postgres.places import choose_places
from appliance.postgres.server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.choices import Choices
    from foundation.clock import Clock

_MARK = ".setup-in-progress"
_KEY_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits


class SetupRefused(Exception):
    """Setup would touch something it did not make."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """The key pair of the first account."""

    access_key: str
    secret_key: str


async def set_up(reactor: Any, clock: Clock, home: Home, choices: Choices, say: Callable[[str], object]) -> None:
    """Make the installation that complete *choices* describe; raise SetupRefused, or whatever went wrong.

    After an error nothing of it is left, save rows in an external database, which the next setup takes over.
    """
    installation = new_installation()
    with home.lock("lock", "setup"):
        _claim(home, installation)
        try:
            config = new_config(choices, _database_config(home, choices, installation), installation)
            home.make_secrets()
            if choices.database:
                home.write_secret(DATABASE, choices.database.encode())
                await _found(reactor, clock, home, config, choices, say)
            else:
                say("making the database")
                server = PostgresServer(reactor, clock, home, config.database, config.lifecycle)
                server.found()
                async with running([[server]], lambda _name, _line: None):
                    await _found(reactor, clock, home, config, choices, say)
            write_durably(home.config_path, render(config).encode(), 0o600)
            (home.path / _MARK).unlink()
        except BaseException:
            _remove_leftovers(home)
            raise


def check_unclaimed(home: Home) -> None:
    """Raise SetupRefused if *home* is set up, or holds what no setup made."""
    if home.is_set_up:
        raise SetupRefused(f"{home.path} is set up already; `gatefold serve --home {home.path}` runs it")
    if home.path.exists() and not home.path.is_dir():
        raise SetupRefused(f"{home.path} is no folder")
    if _others(home) and not (home.path / _MARK).exists():
        raise SetupRefused(f"{home.path} is not empty; choose another folder")


def _claim(home: Home, installation: str) -> None:
    """Make *home* ours, cleared of what an interrupted setup left."""
    check_unclaimed(home)
    if _others(home):
        _remove_leftovers(home)
    home.path.mkdir(parents=True, exist_ok=True)
    # The database's own user has to pass through, but not to look round: what is private has a mode of its own.
    home.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    write_durably(home.path / _MARK, installation.encode() + b"\n", 0o600)


def _others(home: Home) -> list[Path]:
    """Return what lies in *home*, less what its lock made."""
    return [each for each in home.path.iterdir() if each != home.run_path] if home.path.exists() else []


def _remove_leftovers(home: Home) -> None:
    """Remove what an unfinished setup made; its mark goes last."""
    mark = home.path / _MARK
    installation = mark.read_text(encoding="ascii").strip()
    shutil.rmtree(system_directory(installation), ignore_errors=True)
    for path in _others(home):
        if path != mark:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    mark.unlink()


def _database_config(home: Home, choices: Choices, installation: str) -> DatabaseConfig:
    if choices.database:
        return DatabaseConfig(managed=False)
    identity = choose_identity()
    directory, socket = choose_places(home, identity, installation)
    return DatabaseConfig(managed=True, directory=directory, socket_directory=socket, user=identity.name)
