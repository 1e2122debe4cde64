"""The door of the namespace: what both protocols may ask, in no protocol's language.

Every verb raises a leaf of `foundation.errors.FsError` when it refuses, with `seen` set to what it saw of its
subjects (a tuple of `Attr | None`, in the order of the verb's arguments), and `NoReply` when nothing may be answered.
A verb returns, or refuses, only when all it consulted is durable. Names and keys are bytes; times are integer ns.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

from metastore.records import FileType as FileType
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foundation.errors import FsError

Buffer: TypeAlias = bytes | memoryview


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
    """One object before and after a change (RFC 1813, section 2.6): both captured when it was installed."""

    before: Attr
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

    file: Attr
    directory: Wcc


class Linked(Struct, frozen=True, gc=False):
    """A further name of a file."""

    file: Attr
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
    """The verbs of POSIX, by file id: for the NFS door."""

    async def root(self, vol: int) -> FileId:
        """Return the root directory of *vol*; raise BucketNotFound."""

    async def getattr(self, caller: Caller, file: FileId) -> Attr: ...
    async def setattr(self, caller: Caller, file: FileId, change: SetAttr, guard_ctime: int | None) -> Wcc:
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

    async def create(
        self, caller: Caller, directory: FileId, name: bytes, mode: CreateMode, attrs: SetAttr, verifier: bytes
    ) -> Made:
        """Make a regular file; *verifier* (8 bytes) counts for EXCLUSIVE alone."""

    async def mkdir(self, caller: Caller, directory: FileId, name: bytes, attrs: SetAttr) -> Made: ...
    async def symlink(self, caller: Caller, directory: FileId, name: bytes, target: bytes, attrs: SetAttr) -> Made: ...
    async def mknod(self, caller: Caller, directory: FileId, name: bytes, kind: int, rdev: int, attrs: SetAttr) -> Made:
        """Make a device, socket or FIFO of type *kind* (FileType)."""

    async def remove(self, caller: Caller, directory: FileId, name: bytes) -> Wcc:
        """Unlink anything but a directory; return the directory."""

    async def rmdir(self, caller: Caller, directory: FileId, name: bytes) -> Wcc: ...
    async def rename(self, caller: Caller, source: FileId, name: bytes, target: FileId, new_name: bytes) -> Renamed: ...
    async def link(self, caller: Caller, file: FileId, directory: FileId, name: bytes) -> Linked: ...
    async def readdir(self, caller: Caller, directory: FileId, after: int, limit: int) -> DirPage:
        """Return at most *limit* entries with a cookie > *after*; `.` (cookie 1) and `..` (2) come first."""

    async def fsstat(self, caller: Caller, file: FileId) -> tuple[Attr, FsStat]: ...


class Bucket(Struct, frozen=True, gc=False):
    """A volume as S3 shows it."""

    name: str
    vol: int
    owner: str
    created: int


class Conditions(Struct, frozen=True, gc=False):
    """RFC 9110 conditions; ETags without quotes, `*` as `b"*"`, times in whole seconds since 1970."""

    if_match: tuple[bytes, ...] | None = None
    if_none_match: tuple[bytes, ...] | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None


class ObjectInfo(Struct, frozen=True, gc=False):
    """An object as S3 shows it."""

    key: bytes
    size: int
    etag: bytes  # without quotes
    last_modified: int  # ns
    headers: dict[str, str]  # content headers by lower-case name; always has content-type
    user: dict[str, str]  # x-amz-meta-* without the prefix
    checksums: dict[str, str]  # base64 by lower-case algorithm: crc32, crc32c, crc64nvme, sha1, sha256
    version_id: bytes = b""  # empty: the bucket never kept versions


class PutRequest(Struct, frozen=True, gc=False):
    """What a PUT says of its object before the body."""

    key: bytes
    headers: dict[str, str]
    user: dict[str, str]
    conditions: Conditions = Conditions()


NO_CONDITIONS = Conditions()


class CopySource(Struct, frozen=True, gc=False):
    """What a copy reads: an object, or the bytes [start, end) of it, which must not be empty and lie inside."""

    bucket: str
    key: bytes
    conditions: Conditions = NO_CONDITIONS  # none of them is NotModified here: all that fail are PreconditionFailed
    start: int = 0
    end: int | None = None  # None: to the end
    version_id: bytes = b""  # empty: the current version


class DeleteTarget(Struct, frozen=True, gc=False):
    """One key of DeleteObjects."""

    key: bytes
    conditions: Conditions = NO_CONDITIONS
    version_id: bytes = b""  # not empty: this version, for good, and whatever the conditions say


class Deleted(Struct, frozen=True, gc=False):
    """What became of one key of DeleteObjects; a key that did not exist is deleted too."""

    key: bytes
    error: FsError | None = None
    result: DeleteResult = DeleteResult()


class PutSession(Protocol):
    """A PUT whose body is on its way. Exactly one of `finish` and `abort` ends it."""

    async def write(self, data: Buffer) -> None:
        """Take more of the body; returns when there is room for the next piece. *data* must stay unchanged."""

    async def finish(self, etag: bytes, checksums: dict[str, str]) -> ObjectInfo:
        """Check permission and conditions again and make the body the object's content, atomically."""

    def abort(self) -> None:
        """Forget the body: nothing changed."""


class OpenObject(Protocol):
    """One content of an object, pinned: later changes do not show. `close` it."""

    info: ObjectInfo

    async def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """Return exactly *length* bytes, which must lie inside the object."""

    def close(self) -> None:
        """Let the content go."""


class Listing(Struct, frozen=True, gc=False):
    """One page of a listing. `contents` and `common_prefixes` are each in byte order.

    Objects come without headers, user metadata and checksums: a listing loads none.
    """

    contents: tuple[ObjectInfo, ...]
    common_prefixes: tuple[bytes, ...]
    next_after: bytes | None  # start the next page after this; None: nothing follows


class ListRequest(Struct, frozen=True, gc=False):
    """What to list."""

    prefix: bytes = b""
    delimiter: bytes = b""
    after: bytes = b""  # only keys (and common prefixes) greater than this
    limit: int = 1000


class ObjectVerbs(UploadVerbs, Protocol):
    """The verbs of S3, by bucket and key. Keys are the decoded bytes; the namespace checks them."""

    async def list_buckets(self, caller: Caller) -> list[Bucket]:
        """Return the caller's buckets, by name."""

    async def head_bucket(self, caller: Caller, bucket: str) -> Bucket: ...
    async def create_bucket(self, caller: Caller, bucket: str) -> Bucket:
        """Make a bucket; raise BucketExists or BucketOwned. The door has checked the name's form."""

    async def delete_bucket(self, caller: Caller, bucket: str) -> None: ...
    async def begin_put(self, caller: Caller, bucket: str, request: PutRequest) -> PutSession: ...
    async def open_object(self, caller: Caller, bucket: str, key: bytes, conditions: Conditions) -> OpenObject: ...
    async def head_object(self, caller: Caller, bucket: str, key: bytes, conditions: Conditions) -> ObjectInfo: ...
    async def delete_object(
        self, caller: Caller, bucket: str, key: bytes, conditions: Conditions = NO_CONDITIONS
    ) -> DeleteResult:
        """Remove the object; a key that does not exist is no error, unless *conditions* ask for it."""

    async def delete_objects(self, caller: Caller, bucket: str, targets: Sequence[DeleteTarget]) -> list[Deleted]:
        """Remove at most 1,000 objects side by side, each with its own outcome.

        Of two that hang on each other (`a/` and `a/b`) either may be first.
        """

    async def copy_object(
        self, caller: Caller, source: CopySource, bucket: str, request: PutRequest, *, replace: bool
    ) -> ObjectInfo:
        """Make the source's committed content the object's; inside a bucket no byte moves.

        With *replace* the headers and user metadata are *request*'s, else the source's. An object copied onto itself
        keeps content and Last-Modified, or is a new version; raise InvalidArgument if that would change nothing.
        """

    async def compose(
        self, caller: Caller, bucket: str, request: PutRequest, sources: Sequence[CopySource]
    ) -> ObjectInfo:
        """Make an object of the *sources*, all of *bucket*, one behind the other; no byte moves."""

    async def list_objects(self, caller: Caller, bucket: str, request: ListRequest) -> Listing: ...


class Namespace(FileVerbs, ObjectVerbs, VersionVerbs, Protocol):
    """One tree per volume, two sets of verbs."""
