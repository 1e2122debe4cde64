"""Who may do what: the one place both doors' requests pass (DESIGN 1, 3.3).

POSIX mode bits by uid, gid and groups; uid 0 is the super-user, whom squash keeps out at the NFS door. `RIGHTS` is the
whole table of operations and what each needs; docs/SEMANTICS.md prints it, and a test holds the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from foundation.errors import AccessDenied, NotPermitted, ReadOnly
from metastore.records import FileType
from namespace.api import Access, Caller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metastore.records import Inode

READ, WRITE, SEARCH = 4, 2, 1  # SEARCH of a directory is EXECUTE of a file
SETUID, SETGID, STICKY = 0o4000, 0o2000, 0o1000
GROUP_EXECUTE = 0o010
#: Who asks without a signature: nobody, in no group.
ANONYMOUS = Caller(65534, 65534)


class Right(Struct, frozen=True, gc=False):
    """One row of the table: operations, and what they need of one object."""

    nfs: str  # the operations, as each door names them
    s3: str
    of: str  # whose mode counts
    bits: int = 0  # 0: no bits will do, only owning it
    owner: bool = False  # the owner may, whatever the mode: programs that opened the file before it was changed
    execute: bool = False  # x alone will do
    sticky: bool = False  # in a sticky directory only for its owner and the entry's
    changes: bool = True  # a read-only caller may not

    def require(self, caller: Caller, inode: Inode, victim: Inode | None = None) -> None:
        """Raise AccessDenied, NotPermitted or ReadOnly unless *caller* has the right on *inode*.

        *victim*: what the entry names that is to go from the directory *inode*, which may be sticky.
        """
        if self.changes:
            authorize_change(caller)
        if self.owner and caller.uid in (0, inode.uid):
            return
        if not self.bits:
            raise NotPermitted("only the owner may do it")
        if not permits(caller, inode, self.bits) and not (self.execute and permits(caller, inode, SEARCH)):
            raise AccessDenied("the mode does not allow it")
        if victim is not None and inode.mode & STICKY and caller.uid not in (0, inode.uid, victim.uid):
            raise NotPermitted("the directory is sticky")

    @property
    def needs(self) -> str:
        """Say what is needed, as the table is printed."""
        letters = " and ".join(letter for letter, bit in (("r", READ), ("w", WRITE), ("x", SEARCH)) if self.bits & bit)
        words = [f"{letters} on {self.of}"] if letters else []
        if self.execute:
            words.append("x alone will do")
        if self.owner:
            words.append(f"the owner of {self.of} always may" if letters else f"the owner of {self.of}")
        if self.sticky:
            words.append("if that is sticky, its owner or the entry's")
        return "; ".join(words)


WALK = Right("LOOKUP", "every directory on the way of a key", "the directory", SEARCH, changes=False)
LIST = Right("READDIR, READDIRPLUS", "", "the directory", READ, changes=False)
LIST_KEYS = Right(
    "",
    "ListObjects, ListObjectVersions, ListMultipartUploads: the root, else 403; the first two leave any other out with"
    " its key and all below it",
    "the directory",
    READ | SEARCH,
    changes=False,
)
READ_FILE = Right("READ", "", "the file", READ, owner=True, execute=True, changes=False)
GET = Right("", "GetObject, HeadObject, the source of a copy", "the file", READ, changes=False)
WRITE_FILE = Right("WRITE, COMMIT, SETATTR of the size, CREATE of what exists", "", "the file", WRITE, owner=True)
OVERWRITE = Right(
    "", "PutObject, CopyObject, CompleteMultipartUpload over a key; locks of a version", "the file", WRITE
)
MARK = Right("", "PutObject of a directory's key, without a body, where the directory exists", "the directory", WRITE)
ENTER = Right(
    "CREATE, MKDIR, SYMLINK, MKNOD, LINK, RENAME (to)",
    "PutObject, CopyObject, CompleteMultipartUpload of a new key",
    "the directory",
    WRITE | SEARCH,
)
REMOVE = Right(
    "REMOVE, RMDIR, RENAME (from, and over what exists)",
    "DeleteObject, DeleteObjects",
    "the directory",
    WRITE | SEARCH,
    sticky=True,
)
MOVE = Right("RENAME of a directory into another", "", "the directory that moves", WRITE)
CHANGE = Right("SETATTR of mode, group and given times", "PutObjectAcl", "the object", owner=True)
TOUCH = Right("SETATTR of times to now", "", "the object", WRITE, owner=True)
#: Every right that hangs on an inode, in the order of the document.
RIGHTS = (WALK, LIST, LIST_KEYS, READ_FILE, GET, WRITE_FILE, OVERWRITE, MARK, ENTER, REMOVE, MOVE, CHANGE, TOUCH)
#: What hangs on who asks alone.
IDENTITIES = (
    ("SETATTR of the owner; MKNOD of a device", "", "uid 0"),
    ("SETATTR of the group", "", "beside the above: uid 0, or a group that the caller is in"),
    ("", "CreateBucket, ListBuckets", "any account"),
    ("", "HeadBucket, DeleteBucket, GetBucketVersioning, PutBucketVersioning", "the bucket's account"),
    (
        "",
        "UploadPart, ListParts, CompleteMultipartUpload, AbortMultipartUpload",
        "the upload's or the bucket's account",
    ),
)


def rights_table() -> list[str]:
    """Return the rows of docs/SEMANTICS.md's table."""
    rows = [(right.nfs, right.s3, right.needs) for right in RIGHTS]
    return [f"| {nfs or '-'} | {s3 or '-'} | {needs} |" for nfs, s3, needs in (*rows, *IDENTITIES)]


# ---------------------------------------------------------------------- who


def permits(caller: Caller, inode: Inode, bits: int) -> bool:
    """Tell whether the mode of *inode* gives *caller* all of *bits* (READ, WRITE, SEARCH)."""
    if caller.uid == 0:
        return not (bits & SEARCH) or inode.type == FileType.DIRECTORY or bool(inode.mode & 0o111)
    if caller.uid == inode.uid:
        granted = inode.mode >> 6
    elif in_group(caller, inode.gid):
        granted = inode.mode >> 3
    else:
        granted = inode.mode
    return granted & bits == bits


def in_group(caller: Caller, gid: int) -> bool:
    """Tell whether *caller* belongs to the group *gid*."""
    return gid == caller.gid or gid in caller.groups


def may_list(caller: Caller, directory: Inode) -> bool:
    """Tell whether a listing shows *caller* what lies in *directory*: r for the names, x for what they name."""
    return permits(caller, directory, LIST_KEYS.bits)


def access_bits(caller: Caller, inode: Inode) -> int:
    """Return every ACCESS bit that the mode gives (RFC 1813, section 3.3.4): true bits, with no owner's override.

    To change a directory's entries takes w and x: MODIFY, EXTEND and DELETE are one there, and DELETE of a file is
    its directory's.
    """
    granted = 0
    is_directory = inode.type == FileType.DIRECTORY
    if permits(caller, inode, READ):
        granted |= Access.READ
    if permits(caller, inode, SEARCH):
        granted |= Access.LOOKUP if is_directory else Access.EXECUTE
    if not caller.read_only and permits(caller, inode, WRITE | SEARCH if is_directory else WRITE):
        granted |= Access.MODIFY | Access.EXTEND
        if is_directory:
            granted |= Access.DELETE
    return granted


# ---------------------------------------------------------------------- rights by what is done


def authorize_change(caller: Caller) -> None:
    """Raise ReadOnly if *caller* may change nothing."""
    if caller.read_only:
        raise ReadOnly("the export or key is read-only")


def authorize_account(caller: Caller, *owners: str) -> None:
    """Raise AccessDenied unless *caller* acts for one of the accounts *owners*."""
    if caller.account not in owners:
        raise AccessDenied("it belongs to another account")


# ---------------------------------------------------------------------- modes


def without_privileges(mode: int) -> int:
    """Return *mode* without set-user-id, and without set-group-id where the group may execute (chown(2))."""
    return mode & ~(SETUID | SETGID) if mode & GROUP_EXECUTE else mode & ~SETUID


def mode_written_by(caller: Caller, inode: Inode) -> int:
    """Return the mode of *inode* once *caller* has changed its bytes: only uid 0 leaves it privileged, as on Linux."""
    return inode.mode if caller.uid == 0 else without_privileges(inode.mode)


#: Modes of files and directories that S3 makes, where the bucket's settings name no other.
FILE_MODE, DIRECTORY_MODE = 0o644, 0o755
#: Canned ACLs (S3 x-amz-acl) as (file's mode, directory's mode). Accounts are uids and gids, so the group stands for
#: the accounts that share it; nobody else is "authenticated", since the others' bits let anonymous callers in too.
CANNED_ACLS = {
    "private": (0o600, 0o700),
    "public-read": (0o644, 0o755),
    "public-read-write": (0o666, 0o777),
    "authenticated-read": (0o640, 0o750),
    "aws-exec-read": (0o600, 0o700),
    "bucket-owner-read": (0o640, 0o750),
    "bucket-owner-full-control": (0o660, 0o770),
}


def new_mode(settings: Mapping[str, str], kind: int, acl: str = "") -> int:
    """Return the mode of what S3 makes: by the canned *acl*, else by the bucket's *settings*, else the default.

    `settings["file_mode"]` and `settings["directory_mode"]` are octal digits.
    """
    is_directory = kind == FileType.DIRECTORY
    if acl:
        return CANNED_ACLS[acl][is_directory]
    if is_directory:
        return int(settings["directory_mode"], 8) & 0o7777 if "directory_mode" in settings else DIRECTORY_MODE
    return int(settings["file_mode"], 8) & 0o7777 if "file_mode" in settings else FILE_MODE


def acl_table() -> list[str]:
    """Return the rows of docs/SEMANTICS.md's table of canned ACLs."""
    return [f"| `{acl}` | {file:o} | {directory:o} |" for acl, (file, directory) in CANNED_ACLS.items()]
