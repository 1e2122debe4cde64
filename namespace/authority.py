"""Who may do what: the one place both doors' requests pass (DESIGN 1, 3.3).

POSIX mode bits by uid, gid and groups; uid 0 is the super-user, whom squash keeps out at the NFS door. Who asks without
an account needs the word of a canned ACL beside the bits (ADR 0065). `RIGHTS` is the whole table of operations and what
each needs; docs/SEMANTICS.md prints it, and a test holds the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from foundation.errors import AccessDenied, NotPermitted, NotSupported, ReadOnly
from metastore.records import FileType
from namespace.api import ANONYMOUS as ANONYMOUS
from namespace.api import Access, Caller, Grantee, Permission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metastore.records import Inode
    from namespace.access_api import Grant

READ, WRITE, SEARCH = 4, 2, 1  # SEARCH of a directory is EXECUTE of a file
SETUID, SETGID, STICKY = 0o4000, 0o2000, 0o1000
GROUP_EXECUTE = 0o010
#: Canned ACLs that let everybody read, and write, without an account too.
PUBLIC_READ, PUBLIC_WRITE = frozenset({"public-read", "public-read-write"}), frozenset({"public-read-write"})


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
    public: frozenset[str] = frozenset()  # the canned ACLs by which an anonymous caller passes, where the bits allow it
    by: str = ""  # whose ACL that is, and for what

    def require(self, caller: Caller, inode: Inode, victim: Inode | None = None, acl: str = "") -> None:
        """Raise AccessDenied, NotPermitted or ReadOnly unless *caller* has the right on *inode*.

        *victim*: what the entry names that is to go from the directory *inode*, which may be sticky. *acl*: the canned
        ACL that may let an anonymous caller pass; where a verb names none, it lets none pass.
        """
        if caller.anonymous and acl not in self.public:
            raise AccessDenied("no ACL lets everybody do it")
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
        if self.by:
            acls = " or ".join(f"`{acl}`" for acl in sorted(self.public))
            words.append(f"without an account, also {acls} of {self.by}")
        return "; ".join(words)


#: To walk tells nothing yet: what is found, or is not, asks for a right of its own.
_NO_ACL = frozenset({""})
WALK = Right("LOOKUP", "every directory on the way of a key", "the directory", SEARCH, changes=False, public=_NO_ACL)
LIST = Right("READDIR, READDIRPLUS", "", "the directory", READ, changes=False)
LIST_KEYS = Right(
    "",
    "HeadBucket; ListObjects, ListObjectVersions, ListMultipartUploads: the root, else 403; the first two leave any"
    " other out with its key and all below it",
    "the directory",
    READ | SEARCH,
    changes=False,
    public=PUBLIC_READ,
    by="the bucket, for HeadBucket and ListObjects",
)
READ_FILE = Right("READ", "", "the file", READ, owner=True, execute=True, changes=False)
GET = Right(
    "",
    "GetObject, HeadObject, the source of a copy",
    "the file",
    READ,
    changes=False,
    public=PUBLIC_READ,
    by="the object",
)
ASK = Right("", "GetObjectTagging, the lock of a version", "the file", READ, changes=False)
WRITE_FILE = Right("WRITE, COMMIT, SETATTR of the size, CREATE of what exists", "", "the file", WRITE, owner=True)
OVERWRITE = Right(
    "",
    "PutObject, CopyObject, CompleteMultipartUpload over a key",
    "the file",
    WRITE,
    public=PUBLIC_WRITE,
    by="the bucket",
)
ANNOTATE = Right("", "PutObjectTagging, DeleteObjectTagging, locking a version", "the file", WRITE)
MARK = Right(
    "",
    "PutObject of a directory's key, without a body, where the directory exists",
    "the directory",
    WRITE,
    public=PUBLIC_WRITE,
    by="the bucket",
)
ENTER = Right(
    "CREATE, MKDIR, SYMLINK, MKNOD, LINK, RENAME (to)",
    "PutObject, CopyObject, CompleteMultipartUpload of a new key",
    "the directory",
    WRITE | SEARCH,
    public=PUBLIC_WRITE,
    by="the bucket",
)
REMOVE = Right(
    "REMOVE, RMDIR, RENAME (from, and over what exists)",
    "DeleteObject, DeleteObjects, also of a key that is not there",
    "the directory",
    WRITE | SEARCH,
    sticky=True,
    public=PUBLIC_WRITE,
    by="the bucket",
)
MOVE = Right("RENAME of a directory into another", "", "the directory that moves", WRITE)
CHANGE = Right(
    "SETATTR of mode, group and given times",
    "PutObjectAcl, PutObject and CopyObject over a key with an ACL",
    "the object",
    owner=True,
)
TOUCH = Right("SETATTR of times to now", "", "the object", WRITE, owner=True)
#: Every right that hangs on an inode, in the order of the document.
RIGHTS = (
    *(WALK, LIST, LIST_KEYS, READ_FILE, GET, ASK, WRITE_FILE, OVERWRITE, ANNOTATE, MARK, ENTER, REMOVE, MOVE, CHANGE),
    TOUCH,
)
#: What hangs on who asks alone.
IDENTITIES = (
    ("SETATTR of the owner; MKNOD of a device", "", "uid 0"),
    ("SETATTR of the group", "", "beside the above: uid 0, or a group that the caller is in"),
    ("", "CreateBucket, ListBuckets", "any account"),
    ("", "CopyObject, CreateMultipartUpload, PutObject with tags", "beside the above: any account"),
    ("", "GetObjectAcl", "the owner of the object, or the bucket's account"),
    (
        "",
        "DeleteBucket; GetBucket…, PutBucket… and DeleteBucket… of Location, Versioning, Tagging and Acl",
        "the bucket's account",
    ),
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
    """Raise AccessDenied unless *caller* acts for one of the accounts *owners*, or, with none named, for any."""
    if caller.anonymous or (owners and caller.account not in owners):
        raise AccessDenied("it belongs to another account" if owners else "it takes an account")


# ---------------------------------------------------------------------- modes


def without_privileges(mode: int) -> int:
    """Return *mode* without set-user-id, and without set-group-id where the group may execute (chown(2))."""
    return mode & ~(SETUID | SETGID) if mode & GROUP_EXECUTE else mode & ~SETUID


def mode_written_by(caller: Caller, inode: Inode) -> int:
    """Return the mode of *inode* once *caller* has changed its bytes: only uid 0 leaves it privileged, as on Linux."""
    return inode.mode if caller.uid == 0 else without_privileges(inode.mode)


#: Modes of files and directories that S3 makes, where the bucket's settings name no other.
FILE_MODE, DIRECTORY_MODE = 0o644, 0o755
#: The bucket's setting that keeps its canned ACL, and the one that an object or bucket without one has.
ACL, PRIVATE = "acl", "private"
#: Canned ACLs (S3 x-amz-acl) as (file's mode, directory's mode). Others' bits are for all accounts: who has none needs
#: the word of the ACL too. The group stands for the bucket's owner.
CANNED_ACLS = {
    "private": (0o600, 0o700),
    "public-read": (0o644, 0o755),
    "public-read-write": (0o666, 0o777),
    "authenticated-read": (0o644, 0o755),
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


def mode_by_acl(inode: Inode, acl: str) -> int:
    """Return the mode of *inode* under the canned *acl*: a directory keeps what its entries inherit, a file nothing."""
    is_directory = inode.type == FileType.DIRECTORY
    return CANNED_ACLS[acl][is_directory] | (inode.mode & (SETUID | SETGID | STICKY) if is_directory else 0)


def grants_of(kind: int, mode: int, acl: str) -> frozenset[Grant]:
    """Return what the *mode* of a file or directory and its canned *acl* grant to others than the owner."""
    is_directory = kind == FileType.DIRECTORY
    grants: list[Grant] = []
    for permission, acls, bits in ((Permission.READ, PUBLIC_READ, READ), (Permission.WRITE, PUBLIC_WRITE, WRITE)):
        needed = bits | SEARCH if is_directory else bits
        if mode & needed == needed:
            grants.append((Grantee.EVERYBODY if acl in acls else Grantee.ACCOUNTS, permission))
    if acl == "bucket-owner-read" and mode >> 3 & READ:
        grants.append((Grantee.BUCKET_OWNER, Permission.READ))
    if acl == "bucket-owner-full-control" and mode >> 3 & (READ | WRITE) == READ | WRITE:
        grants.append((Grantee.BUCKET_OWNER, Permission.FULL_CONTROL))
    return frozenset(grants)


def acl_named(acl: str | frozenset[Grant], kind: int) -> str:
    """Return the name of *acl*, which may be said by what it grants; raise NotSupported where no canned one does."""
    if isinstance(acl, str):
        return acl
    for name, modes in CANNED_ACLS.items():
        if grants_of(kind, modes[kind == FileType.DIRECTORY], name) == acl:
            return name
    raise NotSupported("no canned ACL grants just that")


def acl_table() -> list[str]:
    """Return the rows of docs/SEMANTICS.md's table of canned ACLs."""
    return [f"| `{acl}` | {file:o} | {directory:o} |" for acl, (file, directory) in CANNED_ACLS.items()]
