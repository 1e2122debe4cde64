"""Taking a folder for a new installation, and giving it back when the setup did not finish.

A mark lies in the folder from the first step of a setup to its last: what lies beside it was made by that setup and
may be removed by the next.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from uuid import UUID

from appliance.home import write_durably
from appliance.postgres.places import system_directory

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from appliance.home import Home

_MARK = ".setup-in-progress"


class SetupRefused(Exception):
    """Setup would touch something it did not make."""


def check_unclaimed(home: Home) -> None:
    """Raise SetupRefused if *home* is set up, or holds what no setup made."""
    if home.is_set_up:
        raise SetupRefused(f"{home.path} is set up already; `gatefold serve --home {home.path}` runs it")
    if home.path.exists() and not home.path.is_dir():
        raise SetupRefused(f"{home.path} is no folder")
    if _others(home) and not (home.path / _MARK).exists():
        raise SetupRefused(f"{home.path} is not empty; choose another folder")


def claim(home: Home, installation: str) -> None:
    """Make *home* ours, cleared of what an interrupted setup left."""
    check_unclaimed(home)
    if _others(home):
        remove_leftovers(home)
    home.path.mkdir(parents=True, exist_ok=True)
    # The database's own user has to pass through, but not to look round: what is private has a mode of its own.
    home.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    write_durably(home.path / _MARK, installation.encode() + b"\n", 0o600)


def _others(home: Home) -> list[Path]:
    """Return what lies in *home*, less what its lock made."""
    return [each for each in home.path.iterdir() if each != home.run_path] if home.path.exists() else []


def remove_leftovers(home: Home) -> None:
    """Remove what an unfinished setup made; its mark goes last."""
    mark = home.path / _MARK
    installation = UUID(mark.read_text(encoding="ascii").strip())  # anything else must not become a path to remove
    for path in [system_directory(str(installation)), *_others(home)]:
        if path.is_dir():
            shutil.rmtree(path, onerror=_unless_gone)
        elif path != mark:
            path.unlink(missing_ok=True)
    mark.unlink()


def _unless_gone(_call: object, _path: str, failure: tuple[type[BaseException], BaseException, TracebackType]) -> None:
    """Raise what stopped a removal, unless somebody was faster: the database of a killed setup may be stopping."""
    if not isinstance(failure[1], FileNotFoundError):
        raise failure[1]


def release(home: Home) -> None:
    """End the setup: the folder is an installation."""
    (home.path / _MARK).unlink()
