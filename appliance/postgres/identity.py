"""Who the managed PostgreSQL runs as: never root.

Run by an ordinary user, the server is that user's. Run by root, it is the first of `gatefold`, `postgres` and `nobody`
that this machine knows; `initdb` wants an entry in the user database, so a number alone will not do.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CANDIDATES = ("gatefold", "postgres", "nobody")


class NoIdentity(Exception):
    """There is no unprivileged user that the database could run as."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user of this machine."""

    name: str
    uid: int
    gid: int

    def can_enter(self, directory: Path) -> bool:
        """Return whether this user may traverse *directory* and all above it; asked of the kernel itself."""
        if os.geteuid() == self.uid:
            return os.access(directory, os.X_OK, effective_ids=True)
        asked = subprocess.run(  # noqa: S603 - no shell
            ["/usr/bin/test", "-x", str(directory)],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
        )
        return asked.returncode == 0


def choose_identity() -> Identity:
    """Return who a new database shall run as; raise NoIdentity."""
    if os.geteuid() != 0:
        try:
            return _identity(pwd.getpwuid(os.geteuid()))
        except KeyError:
            raise NoIdentity(f"user {os.geteuid()} has no name on this machine; initdb needs one") from None
    for name in _CANDIDATES:
        try:
            return named_identity(name)
        except NoIdentity:
            continue
    raise NoIdentity(f"none of the users {', '.join(_CANDIDATES)} exists; PostgreSQL does not run as root")


def named_identity(name: str) -> Identity:
    """Return the user *name*; raise NoIdentity if there is none, or it is root."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise NoIdentity(f"no user {name!r} on this machine") from None
    if entry.pw_uid == 0:
        raise NoIdentity("PostgreSQL does not run as root")
    return _identity(entry)


def _identity(entry: pwd.struct_passwd) -> Identity:
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)
