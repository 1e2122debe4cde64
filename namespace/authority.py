"""Who may do what: the one place both doors' requests pass (DESIGN 1, 3.3).

POSIX mode bits by uid, gid and groups; uid 0 is the super-user, whom squash keeps out at the NFS door. The owner may
read, write and truncate a file whatever its mode, as NFS servers must allow for programs that opened it before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import AccessDenied, NotPermitted, ReadOnly
from metastore.records import FileType

if TYPE_CHECKING:
    from metastore.records import Inode
    from namespace.api import Caller

READ, WRITE, SEARCH = 4, 2, 1  # SEARCH of a directory is EXECUTE of a file
STICKY = 0o1000


def permits(caller: Caller, inode: Inode, bits: int) -> bool:
    """Tell whether the mode of *inode* gives *caller* all of *bits* (READ, WRITE, SEARCH)."""
    if caller.uid == 0:
        return not (bits & SEARCH) or inode.type == FileType.DIRECTORY or bool(inode.mode & 0o111)
    if caller.uid == inode.uid:
        granted = inode.mode >> 6
    elif inode.gid == caller.gid or inode.gid in caller.groups:
        granted = inode.mode >> 3
    else:
        granted = inode.mode
    return granted & bits == bits


def may_list(caller: Caller, directory: Inode) -> bool:
    """Tell whether a listing shows *caller* what lies in *directory*: r for the names, x for what they name."""
    return permits(caller, directory, READ | SEARCH)


def authorize(caller: Caller, inode: Inode, bits: int) -> None:
    """Raise AccessDenied unless *caller* has all of *bits* on *inode*; ReadOnly for WRITE of a read-only caller."""
    if bits & WRITE and caller.read_only:
        raise ReadOnly("the export or key is read-only")
    if not permits(caller, inode, bits):
        raise AccessDenied("the mode does not allow it")


def authorize_io(caller: Caller, inode: Inode, bits: int) -> None:
    """Authorize READ, WRITE, COMMIT or truncation of a file: the owner always may; execute lets READ pass."""
    if bits & WRITE and caller.read_only:
        raise ReadOnly("the export or key is read-only")
    if caller.uid == inode.uid or permits(caller, inode, bits):
        return
    if bits == READ and permits(caller, inode, SEARCH):
        return
    raise AccessDenied("the mode does not allow it")


def authorize_owner(caller: Caller, inode: Inode) -> None:
    """Raise NotPermitted unless *caller* owns *inode* or is the super-user."""
    if caller.read_only:
        raise ReadOnly("the export or key is read-only")
    if caller.uid not in (0, inode.uid):
        raise NotPermitted("only the owner may do it")


def authorize_entry(caller: Caller, directory: Inode, victim: Inode | None = None) -> None:
    """Authorize a change of *directory*'s entries; of the one that names *victim*, the sticky bit included."""
    authorize(caller, directory, WRITE | SEARCH)
    if victim is None or not directory.mode & STICKY or caller.uid in (0, directory.uid, victim.uid):
        return
    raise NotPermitted("the directory is sticky")
