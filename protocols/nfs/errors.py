"""From what happened to nfsstat3: the one error table of the NFS door.

`STATUS` maps every leaf of `foundation.errors.FsError`; `LEGAL` says which codes a procedure may answer (the ERRORS
lists of RFC 1813, section 3.3, and the additions named below); `status_of` joins the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation import errors
from protocols.nfs.codec.nfs3_types import nfsstat3 as s

if TYPE_CHECKING:
    from foundation.errors import FsError


class Nfs3Refusal(Exception):
    """A refusal that the door itself decides; `status` is the answer."""

    def __init__(self, status: s, seen: Any = None) -> None:
        """Answer *status* with what was *seen*, as in `FsError.seen`."""
        super().__init__(status.name)
        self.status = status
        self.seen = seen


#: By leaf class. What an NFS call cannot cause (S3 conditions, digests) has the nearest code all the same.
STATUS: dict[type[FsError], s] = {
    errors.NotFound: s.NFS3ERR_NOENT,
    errors.BucketNotFound: s.NFS3ERR_NOENT,
    errors.AlreadyExists: s.NFS3ERR_EXIST,
    errors.BucketExists: s.NFS3ERR_EXIST,
    errors.BucketOwned: s.NFS3ERR_EXIST,
    errors.BucketNotEmpty: s.NFS3ERR_NOTEMPTY,
    errors.NotDirectory: s.NFS3ERR_NOTDIR,
    errors.IsDirectory: s.NFS3ERR_ISDIR,
    errors.KeyConflict: s.NFS3ERR_EXIST,
    errors.NotEmpty: s.NFS3ERR_NOTEMPTY,
    errors.AccessDenied: s.NFS3ERR_ACCES,
    errors.NotPermitted: s.NFS3ERR_PERM,
    errors.CrossVolume: s.NFS3ERR_XDEV,
    errors.NameTooLong: s.NFS3ERR_NAMETOOLONG,
    errors.InvalidName: s.NFS3ERR_INVAL,
    errors.InvalidArgument: s.NFS3ERR_INVAL,
    errors.TooLarge: s.NFS3ERR_FBIG,
    errors.NoSpace: s.NFS3ERR_NOSPC,
    errors.QuotaExceeded: s.NFS3ERR_DQUOT,
    errors.ReadOnly: s.NFS3ERR_ROFS,
    errors.TooManyLinks: s.NFS3ERR_MLINK,
    errors.StaleHandle: s.NFS3ERR_STALE,
    errors.NotSymlink: s.NFS3ERR_INVAL,
    errors.GuardFailed: s.NFS3ERR_NOT_SYNC,
    errors.PreconditionFailed: s.NFS3ERR_NOT_SYNC,
    errors.NotModified: s.NFS3ERR_NOT_SYNC,
    errors.BadDigest: s.NFS3ERR_IO,
    errors.VersionNotFound: s.NFS3ERR_NOENT,
    errors.IsDeleteMarker: s.NFS3ERR_NOENT,
    errors.UploadNotFound: s.NFS3ERR_NOENT,
    errors.InvalidPart: s.NFS3ERR_INVAL,
    errors.InvalidPartOrder: s.NFS3ERR_INVAL,
    errors.CompletionMismatch: s.NFS3ERR_INVAL,
    errors.NothingToChange: s.NFS3ERR_INVAL,
    errors.PartTooSmall: s.NFS3ERR_INVAL,
    errors.RangeNotSatisfiable: s.NFS3ERR_INVAL,
    errors.NotSupported: s.NFS3ERR_NOTSUPP,
    errors.Unavailable: s.NFS3ERR_JUKEBOX,
    errors.HeldElsewhere: s.NFS3ERR_JUKEBOX,
    errors.Corrupt: s.NFS3ERR_IO,
}

# Any procedure may meet a bad or stale handle, export rules (ACCES, which the RFC omits for GETATTR and FSSTAT
# although it has servers check on every call), a broken disk, a bug, or a moment when it cannot be served.
_ANY = {s.NFS3ERR_IO, s.NFS3ERR_ACCES, s.NFS3ERR_STALE, s.NFS3ERR_BADHANDLE, s.NFS3ERR_SERVERFAULT, s.NFS3ERR_JUKEBOX}
# A volume without room, or one that takes no changes.
_CHANGE = {s.NFS3ERR_ROFS, s.NFS3ERR_NOSPC, s.NFS3ERR_DQUOT, s.NFS3ERR_PERM}
# A name in a directory. PERM, here and above, is what POSIX asks for of sticky directories and of chown.
_NAME = {s.NFS3ERR_NOENT, s.NFS3ERR_NOTDIR, s.NFS3ERR_NAMETOOLONG, s.NFS3ERR_INVAL}
_MAKE = _CHANGE | _NAME | {s.NFS3ERR_EXIST, s.NFS3ERR_NOTSUPP, s.NFS3ERR_MLINK}
_READ_DIR = {s.NFS3ERR_NOTDIR, s.NFS3ERR_BAD_COOKIE, s.NFS3ERR_TOOSMALL, s.NFS3ERR_NOTSUPP}

#: By procedure number: every code but NFS3_OK that it may answer.
LEGAL: dict[int, frozenset[s]] = {
    proc: frozenset(_ANY | more)
    for proc, more in {
        1: set[s](),  # GETATTR
        2: _CHANGE
        | {s.NFS3ERR_INVAL, s.NFS3ERR_NOT_SYNC, s.NFS3ERR_NOTSUPP, s.NFS3ERR_FBIG},  # SETATTR; truncate: FBIG
        3: _NAME,  # LOOKUP
        4: set[s](),  # ACCESS
        5: {s.NFS3ERR_INVAL, s.NFS3ERR_NOTSUPP},  # READLINK
        6: {s.NFS3ERR_NXIO, s.NFS3ERR_INVAL},  # READ
        7: _CHANGE | {s.NFS3ERR_FBIG, s.NFS3ERR_INVAL},  # WRITE
        8: _MAKE | {s.NFS3ERR_ISDIR, s.NFS3ERR_FBIG},  # CREATE; with a size: FBIG
        9: _MAKE,  # MKDIR
        10: _MAKE,  # SYMLINK
        11: _MAKE | {s.NFS3ERR_BADTYPE},  # MKNOD
        12: _CHANGE | _NAME | {s.NFS3ERR_ISDIR},  # REMOVE; unlink(2) of a directory: EISDIR
        13: _CHANGE | _NAME | {s.NFS3ERR_EXIST, s.NFS3ERR_NOTEMPTY, s.NFS3ERR_NOTSUPP},  # RMDIR
        14: _MAKE | {s.NFS3ERR_XDEV, s.NFS3ERR_ISDIR, s.NFS3ERR_NOTEMPTY},  # RENAME
        15: _MAKE | {s.NFS3ERR_XDEV, s.NFS3ERR_ISDIR},  # LINK
        16: _READ_DIR,  # READDIR
        17: _READ_DIR,  # READDIRPLUS
        18: set[s](),  # FSSTAT
        19: set[s](),  # FSINFO
        20: set[s](),  # PATHCONF
        21: {s.NFS3ERR_INVAL, s.NFS3ERR_NOSPC, s.NFS3ERR_DQUOT, s.NFS3ERR_ROFS},  # COMMIT: the data may not fit by now
    }.items()
}

#: What to answer instead of a code that the procedure may not answer, before NFS3ERR_IO is left.
_NEAREST = {
    s.NFS3ERR_PERM: s.NFS3ERR_ACCES,
    s.NFS3ERR_ISDIR: s.NFS3ERR_INVAL,
    s.NFS3ERR_NOTDIR: s.NFS3ERR_INVAL,
    s.NFS3ERR_FBIG: s.NFS3ERR_INVAL,
    s.NFS3ERR_NAMETOOLONG: s.NFS3ERR_INVAL,
    s.NFS3ERR_NOTEMPTY: s.NFS3ERR_EXIST,
    s.NFS3ERR_NOENT: s.NFS3ERR_STALE,
    s.NFS3ERR_EXIST: s.NFS3ERR_INVAL,  # REMOVE of `.` and `..`
}


def status_of(proc: int, error: FsError | Nfs3Refusal) -> s:
    """Return the code by which procedure *proc* answers *error*: always one of `LEGAL[proc]`."""
    status = error.status if isinstance(error, Nfs3Refusal) else status_of_class(type(error))
    legal = LEGAL[proc]
    for code in (status, _NEAREST.get(status)):
        if code in legal:
            return code
    return s.NFS3ERR_IO


def status_of_class(kind: type[FsError]) -> s:
    """Return the code of *kind* or of the nearest class above it; FsError itself is an input or output error."""
    return next((STATUS[each] for each in kind.__mro__ if each in STATUS), s.NFS3ERR_IO)
