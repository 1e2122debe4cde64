"""The rows of the metastore as immutable values; `schema.py` says what each column means in the database.

A row's `key` is its primary key without `vol`. Times are integer ns since 1970, sizes are bytes.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import TypeAlias

from msgspec import Struct

#: The inode number of every volume's root directory.
ROOT_INO = 1
#: Cookies 1 and 2 are `.` and `..`; an edge's own cookie is at least this.
FIRST_COOKIE = 3
#: The id of a version that was made while its bucket kept none, or kept none any more.
NULL_VERSION = b"null"
#: Less than the `seq` of every version: a page from here begins with the newest.
NEWEST = -(1 << 62)


class FileType(IntEnum):
    """What an inode is; the numbers are those of ftype3 (RFC 1813, section 2.5)."""

    REGULAR = 1
    DIRECTORY = 2
    BLOCK = 3
    CHARACTER = 4
    SYMLINK = 5
    SOCKET = 6
    FIFO = 7


class InodeFlag(IntFlag):
    """Bits of `Inode.flags`."""

    #: A directory made by mkdir or PUT `dir/`: listed as the key `dir/`. Without it the directory is implied and
    #: goes with its last entry at an S3 delete.
    EXPLICIT = 1


class Inode(Struct, frozen=True, gc=False):
    """One file system object."""

    vol: int
    ino: int
    gen: int  # random 32-bit number; with ino it names the object for ever
    type: int  # FileType
    mode: int  # 12 permission bits
    uid: int
    gid: int
    nlink: int  # 0: kept for its history alone (a ghost directory, a version that is not current)
    entries: int = 0  # a directory's edges, listed or not, ghosts excluded
    size: int = 0
    used: int = 0  # bytes of extents
    rdev: int = 0  # major << 32 | minor, for BLOCK and CHARACTER
    atime: int = 0
    mtime: int = 0
    ctime: int = 0  # grows with every change: max(now, previous + 1)
    content_time: int = 0  # when the content last changed: S3 Last-Modified
    parent: int = 0  # a directory's parent inode (the root's is itself); 0 for all else
    flags: int = 0  # InodeFlag
    content: int = 0  # current content generation; 0 = never had any
    write_seq: int = 0  # grows with every change of the content
    etag: bytes | None = None  # as S3 shows it, without quotes; valid only while etag_seq == write_seq
    etag_seq: int = 0
    create_verf: bytes | None = None  # 8 bytes of an EXCLUSIVE create (RFC 1813, section 3.3.8)
    target: bytes | None = None  # a symbolic link's text
    # The single extent, kept here when the content has exactly one; then the extent table holds none of it.
    x_offset: int = 0
    x_length: int = 0  # 0 = no inline extent: look into the extent table, if extents > 0
    x_blob: int = 0
    x_blob_offset: int = 0
    extents: int = 0  # rows of the extent table for (vol, content)
    history: int = 0  # a directory's version rows and ghost edges: while there are any, it does not go

    @property
    def key(self) -> tuple[int]:
        """Return the primary key without `vol`."""
        return (self.ino,)


class Edge(Struct, frozen=True, gc=False):
    """One name in one directory."""

    vol: int
    parent: int
    skey: bytes  # the S3 form: a file's name, a directory's name plus `/`
    ino: int
    cookie: int  # the entry's own number, >= FIRST_COOKIE, never used twice in a volume
    alias: bytes | None = None  # the NFS name, where it differs from skey (less the directory's `/`)
    listed: bool = True  # S3 lists it
    ghost: bool = False  # a directory kept only for its history of versions

    @property
    def key(self) -> tuple[int, bytes]:
        """Return the primary key without `vol`."""
        return (self.parent, self.skey)


class Extent(Struct, frozen=True, gc=False):
    """A run of bytes of one content generation, lying in one blob. Extents of a content never overlap."""

    vol: int
    content: int
    offset: int
    length: int
    blob: int
    blob_offset: int

    @property
    def key(self) -> tuple[int, int]:
        """Return the primary key without `vol`."""
        return (self.content, self.offset)

    @property
    def end(self) -> int:
        """Return the offset behind the last byte."""
        return self.offset + self.length


class Blob(Struct, frozen=True, gc=False):
    """One immutable stored piece. Put once, when it is first referenced; `refs` then moves by deltas only."""

    vol: int
    id: int
    size: int
    refs: int  # extents that lie in it, inline ones included
    ring_epoch: int  # the ring by which its copies were placed
    missing: int = 0  # bit i = replica position i of that ring has no copy
    handoff: bytes = b""  # numbers of the nodes that took a copy instead, 2 bytes big-endian each
    doomed: int = 0  # ns when it was given up, irrevocably; 0 = alive

    @property
    def key(self) -> tuple[int]:
        """Return the primary key without `vol`."""
        return (self.id,)


class ObjectMeta(Struct, frozen=True, gc=False):
    """What S3 keeps with an object beyond the inode. A file without a row has none of it."""

    vol: int
    ino: int
    headers: dict[str, str]  # content headers by lower-case name: content-type, cache-control ...
    user: dict[str, str]  # x-amz-meta-* by lower-case name without the prefix
    checksums: dict[str, str] = {}
    tags: dict[str, str] = {}
    acl: dict[str, str] = {}
    parts: dict[str, str] = {}  # of an upload: `sizes` (`9999x8388608 1x77`), and what else the namespace packs

    @property
    def key(self) -> tuple[int]:
        """Return the primary key without `vol`."""
        return (self.ino,)


class Reclaim(Struct, frozen=True, gc=False):
    """A content generation that nothing points at; its extents are freed in chunks.

    With an `epoch` it is a *draft*: that epoch of the volume is still building the content, in several Changes, and
    the Change that names it drops this row. Once the epoch is closed, a draft is garbage like any other.
    """

    vol: int
    content: int
    since: int  # ns when it was detached, or begun
    epoch: int = 0  # 0 = nobody builds it

    @property
    def key(self) -> tuple[int]:
        """Return the primary key without `vol`."""
        return (self.content,)


class Upload(Struct, frozen=True, gc=False):
    """A multipart upload. Once ended (completed or aborted) no door shows it and its parts are freed in chunks."""

    vol: int
    upload_id: bytes  # as S3 clients see it
    object_key: bytes  # the key it will have; its directories need not exist yet
    owner: str  # the account that began it
    initiated: int  # ns
    headers: dict[str, str]  # what the object will have: as in ObjectMeta
    user: dict[str, str]
    tags: dict[str, str]
    acl: dict[str, str]
    checksum: str  # algorithm and type announced, empty = none
    ended: int = 0  # ns; 0 = in progress

    @property
    def key(self) -> tuple[bytes]:
        """Return the primary key without `vol`."""
        return (self.upload_id,)


class Part(Struct, frozen=True, gc=False):
    """One part of an upload: a content generation of its own, all of whose extents are rows."""

    vol: int
    upload_id: bytes
    number: int  # 1..10000
    content: int
    size: int
    etag: bytes  # without quotes
    checksums: dict[str, str]
    modified: int  # ns

    @property
    def key(self) -> tuple[bytes, int]:
        """Return the primary key without `vol`."""
        return (self.upload_id, self.number)


class Version(Struct, frozen=True, gc=False):
    """One version of a name, the current one included; history belongs to the directory and moves with it.

    A name has rows for all of its versions or for none: a file without any is its own `null` version.
    """

    vol: int
    parent: int
    skey: bytes
    seq: int  # order within one name: counts down from -1, so that the index runs as S3 lists, newest first
    version_id: bytes  # as S3 clients see it
    ino: int  # the live inode (current version) or one with nlink 0 that keeps it; 0 = a delete marker
    modified: int  # ns
    retain_until: int = 0
    legal_hold: bool = False

    @property
    def key(self) -> tuple[int, bytes, int]:
        """Return the primary key without `vol`."""
        return (self.parent, self.skey, self.seq)


#: What a Change may put: every kind of row whose final image a batch writes.
Row: TypeAlias = Inode | Edge | Extent | Blob | ObjectMeta | Reclaim | Upload | Part | Version
RowType: TypeAlias = (
    type[Inode]
    | type[Edge]
    | type[Extent]
    | type[Blob]
    | type[ObjectMeta]
    | type[Reclaim]
    | type[Upload]
    | type[Part]
    | type[Version]
)


class Reply(Struct, frozen=True, gc=False):
    """The answer to a request that must not run twice, kept with the Change that it answers."""

    key: bytes  # who asked what: the door's own fingerprint of the request
    reply: bytes


class Cut(Struct, frozen=True, gc=False):
    """Delete a content's extents that start at or after *offset*, each giving back its blob reference.

    For truncation of files with many extents: the Change stays small. An extent lying across *offset* is not
    touched (the Change puts its shorter image itself).
    """

    content: int
    offset: int


class Change(Struct, frozen=True, gc=False):
    """What one operation did, as finished facts: the final images of its rows and the keys of rows that are gone.

    A batch applies its Changes as if one by one, in order; within one Change in this order: cuts, drops, puts,
    blob_refs. No key is both put and dropped in one Change.
    """

    vol: int
    puts: tuple[Row, ...] = ()
    drops: tuple[tuple[RowType, tuple[int | bytes, ...]], ...] = ()
    cuts: tuple[Cut, ...] = ()
    blob_refs: tuple[tuple[int, int], ...] = ()  # (blob id, how many references came or went)
    reply: Reply | None = None


class Volume(Struct, frozen=True, gc=False):
    """One bucket, one export root, one file-system id."""

    vol: int
    name: str  # the bucket's name
    owner: str  # the account's id
    created: int  # ns
    holder: int  # the gateway that serves it; 0 = none
    epoch: int  # grows by one each time a gateway takes it
    settings: dict[str, str]


class Gateway(Struct, frozen=True, gc=False):
    """One run of one gateway process; a new run is a new row."""

    id: int
    name: str
    started: int  # ns
    address: str = ""  # where other gateways reach it: host:port of its S3 door
    beat: int = 0  # grows with every renewal of its lease; -1 = it has stopped


class Account(Struct, frozen=True, gc=False):
    """A user of the S3 door, mapped to one POSIX identity."""

    id: str  # canonical user id: 64 hex digits
    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


class AccessKey(Struct, frozen=True, gc=False):
    """One S3 key pair of an account."""

    access_key: str
    secret_key: str
    account: str


class Export(Struct, frozen=True, gc=False):
    """A folder that NFS hosts may mount."""

    path: str  # as the client names it: /bucket
    vol: int
    ino: int  # ROOT_INO for a whole bucket
    clients: tuple[str, ...]  # networks in CIDR form
    read_only: bool
    squash: str  # "none", "root" or "all"
    anon_uid: int
    anon_gid: int


class Node(Struct, frozen=True, gc=False):
    """A storage node as the whole house knows it."""

    id: int  # 1..65535, never used twice
    uuid: str  # the identity written on its disk
    host: str
    port: int
    zone: str
    weight: int
    state: str  # "up", "suspended", "leaving"


class RingRow(Struct, frozen=True, gc=False):
    """One epoch of the ring: partition -> nodes, nearest-first order of placement."""

    epoch: int
    copies: int  # N
    write_quorum: int  # W
    partitions: tuple[tuple[int, ...], ...]  # node ids per partition, `copies` first, then hand-off order
    checksum: str  # SHA-256 hex over the canonical form, so that processes can compare


class Named(Struct, frozen=True, gc=False):
    """A directory entry and the inode it names: what look-ups and pages return."""

    edge: Edge
    inode: Inode


class VersionEntry(Struct, frozen=True, gc=False):
    """One version of a key, as a walk over history finds it; `version.seq` is 0 where there is no row for it."""

    path: bytes
    version: Version
    inode: Inode | None  # None: a delete marker


class KeyEntry(Struct, frozen=True, gc=False):
    """One key of a depth-first walk: its full bytes below the walk's top, and what it names."""

    path: bytes
    edge: Edge
    inode: Inode
