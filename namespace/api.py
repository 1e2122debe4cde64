"""The door of the namespace: what both protocols may ask, in no protocol's language.

Every verb raises a leaf of `foundation.errors.FsError` when it refuses, with `seen` set to what it saw of its
subjects (a tuple of `Attr | None`, in the order of the verb's arguments), and `NoReply` when nothing may be answered.
A verb returns, or refuses, only when all it consulted is durable. Names and keys are bytes; times are integer ns.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Protocol, TypeAlias

from msgspec import Struct

from metastore.records import FileType as FileType
from namespace.object_parts import ObjectPart as ObjectPart
from namespace.object_parts import ObjectParts as ObjectParts
from namespace.objects_api import NO_CONDITIONS as NO_CONDITIONS
from namespace.objects_api import Bucket as Bucket
from namespace.objects_api import Conditions as Conditions
from namespace.objects_api import CopyDirectives as CopyDirectives
from namespace.objects_api import CopySource as CopySource
from namespace.objects_api import Deleted as Deleted
from namespace.objects_api import DeleteTarget as DeleteTarget
from namespace.objects_api import Listing as Listing
from namespace.objects_api import ListRequest as ListRequest
from namespace.objects_api import ObjectInfo as ObjectInfo
from namespace.objects_api import ObjectVerbs as ObjectVerbs
from namespace.objects_api import OpenObject as OpenObject
from namespace.objects_api import PutRequest as PutRequest
from namespace.objects_api import PutSession as PutSession
from namespace.uploads_api import Completion as Completion
from namespace.uploads_api import PartChoice as PartChoice
from namespace.uploads_api import PartInfo as PartInfo
from namespace.uploads_api import PartPage as PartPage
from namespace.uploads_api import PartSession as PartSession
from namespace.uploads_api import UploadInfo as UploadInfo
from namespace.uploads_api import UploadListRequest as UploadListRequest
from namespace.uploads_api import UploadPage as UploadPage
from namespace.uploads_api import UploadRequest as UploadRequest
from namespace.uploads_api import UploadTarget as UploadTarget
from namespace.uploads_api import UploadVerbs as UploadVerbs
from namespace.versions_api import DeleteResult as DeleteResult
from namespace.versions_api import VersionInfo as VersionInfo
from namespace.versions_api import VersionListing as VersionListing
from namespace.versions_api import VersionListRequest as VersionListRequest
from namespace.versions_api import VersionVerbs as VersionVerbs

Buffer: TypeAlias = bytes | memoryview


#: The number that no volume has: of the directory of all buckets.
TOP_VOL = 0


class FileId(Struct, frozen=True, gc=False):
    """What a file handle names: for ever the same object."""

    vol: int
    ino: int
    gen: int


class Caller(Struct, frozen=True):
    """Who asks, after squash or after the signature was checked."""

    uid: int
    gid: int
    groups: frozenset[int] = frozenset()
    account: str = ""  # the S3 account's id; empty at the NFS door
    read_only: bool = False  # the export, or the key, allows no change
    make_buckets: bool = False  # the export allows mkdir and rmdir of buckets


class Attr(Struct, frozen=True, gc=False):
    """A file's attributes as a door shows them. fsid is `file.vol`, fileid is `file.ino`."""

    file: FileId
    type: int  # FileType, the numbers of ftype3
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    used: int
    rdev: int  # major << 32 | minor
    atime: int
    mtime: int
    ctime: int


class Wcc(Struct, frozen=True, gc=False):
    """One object before and after a change (RFC 1813, section 2.6): both captured when it was installed.

    A request that is asked again shows the object as it is then, and no `before`.
    """

    before: Attr | None
    after: Attr | None  # None: the object is gone


class SetAttr(Struct, frozen=True, gc=False):
    """What to change; None leaves it as it is. A time of `NOW` is the server's."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime: int | None = None
    mtime: int | None = None


#: As a time in `SetAttr`: the server's clock at the change.
NOW = -1


class Access(IntFlag):
    """What ACCESS may be asked for; the bits of RFC 1813, section 3.3.4."""

    READ = 0x01
    LOOKUP = 0x02
    MODIFY = 0x04
    EXTEND = 0x08
    DELETE = 0x10
    EXECUTE = 0x20


class Stability(IntEnum):
    """How durable a WRITE must be; the numbers of stable_how (RFC 1813, section 3.3.7)."""

    UNSTABLE = 0
    DATA_SYNC = 1
    FILE_SYNC = 2


class CreateMode(IntEnum):
    """What CREATE does when the name exists; the numbers of createmode3 (RFC 1813, section 3.3.8)."""

    UNCHECKED = 0
    GUARDED = 1
    EXCLUSIVE = 2


class Looked(Struct, frozen=True, gc=False):
    """LOOKUP's answer."""

    file: Attr
    directory: Attr


class Made(Struct, frozen=True, gc=False):
    """A new name in a directory."""

    file: Attr | None  # None: the request was asked again, and the object is gone
    directory: Wcc


class Linked(Struct, frozen=True, gc=False):
    """A further name of a file."""

    file: Attr | None  # None: as in `Made`
    directory: Wcc


class Renamed(Struct, frozen=True, gc=False):
    """A moved name; both Wcc are equal for a move within one directory."""

    source: Wcc
    target: Wcc


class ReadResult(Struct, frozen=True, gc=False):
    """Bytes of one content: the buffers joined are the answer."""

    file: Attr
    buffers: tuple[Buffer, ...]
    count: int
    eof: bool


class Written(Struct, frozen=True, gc=False):
    """WRITE's and COMMIT's answer."""

    file: Wcc
    count: int
    stability: Stability
    verifier: bytes  # 8 bytes, RFC 1813 writeverf3


class DirEntry(Struct, frozen=True, gc=False):
    """One entry of a directory page."""

    name: bytes
    cookie: int
    ino: int
    attr: Attr | None  # None when the object is not known any more


class DirPage(Struct, frozen=True, gc=False):
    """Entries after a cookie; `eof` when none follow the last of them."""

    directory: Attr
    entries: tuple[DirEntry, ...]
    eof: bool


class FsStat(Struct, frozen=True, gc=False):
    """Room in a volume (RFC 1813, section 3.3.18)."""

    total_bytes: int
    free_bytes: int
    total_files: int
    free_files: int


class FileVerbs(Protocol):
    """The verbs of POSIX, by file id: for the NFS door.

    *request* names a request that must not run twice: who asks, and all that was asked, in 16 bytes. What it did is
    remembered with what changed, for two minutes and more, whoever serves the volume then. Asked again it is answered
    as done. A verb that cannot tell whether its request was done raises NoReply.
    """

    async def root(self, vol: int) -> FileId:
        """Return the root directory of *vol*; raise BucketNotFound."""

    async def getattr(self, caller: Caller, file: FileId) -> Attr: ...
    async def setattr(
        self, caller: Caller, file: FileId, change: SetAttr, guard_ctime: int | None, request: bytes = b""
    ) -> Wcc:
        """Change attributes; raise GuardFailed if *guard_ctime* is given and is not the file's ctime."""

    async def lookup(self, caller: Caller, directory: FileId, name: bytes) -> Looked:
        """Find *name*; `.` and `..` included (the root's `..` is the root)."""

    async def access(self, caller: Caller, file: FileId, wanted: int) -> tuple[Attr, int]:
        """Return the file and those bits of *wanted* (see `Access`) that the caller has."""

    async def readlink(self, caller: Caller, file: FileId) -> tuple[Attr, bytes]: ...
    async def read(self, caller: Caller, file: FileId, offset: int, count: int) -> ReadResult: ...
    async def write(self, caller: Caller, file: FileId, offset: int, data: Buffer, stability: Stability) -> Written:
        """Write all of *data*, which the caller must keep unchanged from now on."""

    async def commit(self, caller: Caller, file: FileId, offset: int, count: int) -> Written:
        """Make UNSTABLE data of the range durable; *count* 0 = to the end of the file."""

    async def create(  # noqa: PLR0913, PLR0917 - all that CREATE said
        self,
        caller: Caller,
        directory: FileId,
        name: bytes,
        mode: CreateMode,
        attrs: SetAttr,
        verifier: bytes,
        request: bytes = b"",
    ) -> Made:
        """Make a regular file; *verifier* (8 bytes) counts for EXCLUSIVE alone."""

    async def mkdir(
        self, caller: Caller, directory: FileId, name: bytes, attrs: SetAttr, request: bytes = b""
    ) -> Made: ...
    async def symlink(
        self, caller: Caller, directory: FileId, name: bytes, target: bytes, attrs: SetAttr, request: bytes = b""
    ) -> Made: ...
    async def mknod(  # noqa: PLR0913, PLR0917 - all that MKNOD said
        self,
        caller: Caller,
        directory: FileId,
        name: bytes,
        kind: int,
        rdev: int,
        attrs: SetAttr,
        request: bytes = b"",
    ) -> Made:
        """Make a device, socket or FIFO of type *kind* (FileType)."""

    async def remove(self, caller: Caller, directory: FileId, name: bytes, request: bytes = b"") -> Wcc:
        """Unlink anything but a directory; return the directory."""

    async def rmdir(self, caller: Caller, directory: FileId, name: bytes, request: bytes = b"") -> Wcc: ...
    async def rename(
        self,
        caller: Caller,
        source: FileId,
        name: bytes,
        target: FileId,
        new_name: bytes,
        request: bytes = b"",
    ) -> Renamed: ...
    async def link(
        self, caller: Caller, file: FileId, directory: FileId, name: bytes, request: bytes = b""
    ) -> Linked: ...
    async def readdir(self, caller: Caller, directory: FileId, after: int, limit: int) -> DirPage:
        """Return at most *limit* entries with a cookie > *after*; `.` (cookie 1) and `..` (2) come first."""

    async def fsstat(self, caller: Caller, file: FileId) -> tuple[Attr, FsStat]: ...


class TopVerbs(FileVerbs, Protocol):
    """The directory of all buckets, which is no volume: `FileId.vol` is `TOP_VOL`."""

    async def name_of(self, vol: int) -> str:
        """Return the name of the bucket with the volume *vol*, for ever the same; raise StaleHandle."""

    async def root_of(self, bucket: str) -> FileId:
        """Return the root directory of *bucket*; raise BucketNotFound or HeldElsewhere."""


class FileNamespace(FileVerbs, Protocol):
    """What the NFS door serves: the files of volumes, and at `top` the volumes themselves."""

    @property
    def top(self) -> TopVerbs: ...


class Namespace(FileNamespace, ObjectVerbs, Protocol):
    """One tree per volume, two sets of verbs."""
