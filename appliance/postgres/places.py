"""Where a managed database lies: in the home if its user can get there, else in a place of the system.

Its folder belongs to whoever runs `serve`; in it lie
- `data/`: the cluster, the database user's, 0700
- `socket/`: the Unix socket, the database user's, 0700
- `conf/`: our configuration, outside `data`, so that the database user cannot make root write elsewhere
- `server-VERSION/`: a copy of the wheel's server, where the original is out of reach
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.home import Home
    from appliance.postgres.identity import Identity

#: sun_path holds 108 bytes with its final zero; the server appends `/.s.PGSQL.5432` and a lock suffix.
_MAX_SOCKET_DIRECTORY = 107 - len("/.s.PGSQL.5432.lock")
_SYSTEM = Path("/var/lib/gatefold")


class UnsafePlace(Exception):
    """A folder of the database is not what it must be."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one managed database, all absolute."""

    directory: Path
    socket: Path

    @property
    def data(self) -> Path:
        """Return the cluster's folder."""
        return self.directory / "data"

    @property
    def conf(self) -> Path:
        """Return the folder of the server's configuration."""
        return self.directory / "conf"


def choose_places(home: Home, identity: Identity, installation: str) -> tuple[str, str]:
    """Return the database's folder and its socket's folder as the configuration shall name them."""
    directory = Path("postgres")
    if not identity.can_enter(home.path):
        directory = system_directory(installation)
    socket = directory / "socket"
    if len(os.fsencode(home.inside(str(socket)))) > _MAX_SOCKET_DIRECTORY:
        base = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108 - checked by own_directory
        socket = base / f"gatefold-{installation}"
    return str(directory), str(socket)


def system_directory(installation: str) -> Path:
    """Return where the database of a home lies that its user cannot reach."""
    return _SYSTEM / installation


def own_directory(path: Path, identity: Identity) -> None:
    """Make *path*, or check that it is, a folder of *identity* that nobody else can enter; raise UnsafePlace."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        os.chown(path, identity.uid, identity.gid, follow_symlinks=False)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != identity.uid or found.st_mode & 0o077:
        raise UnsafePlace(f"{path}: must be a folder of user {identity.name} with mode 0700")
