"""The basic data types of NFS version 3 (RFC 1813, section 2), spelled as the RFC spells them.

Three wire types are one Python integer each, so that a whole `fattr3` is packed in one go: `nfstime3` is
`seconds << 32 | nseconds`, `specdata3` is `specdata1 << 32 | specdata2`, and both are 64 bits on the wire.
"""

from enum import IntEnum
from typing import Annotated, Any

from protocols.nfs.codec.xdr import (
    UINT32,
    UINT64,
    Buffer,
    FixedOpaque,
    FixedStruct,
    Opaque,
    Optional,
    Unpacker,
    XdrError,
    XdrStruct,
    uint32,
    uint64,
)

NFS_PROGRAM = 100003
NFS_V3 = 3

NFS3_FHSIZE = 64
NFS3_COOKIEVERFSIZE = 8
NFS3_CREATEVERFSIZE = 8
NFS3_WRITEVERFSIZE = 8


class nfsstat3(IntEnum):
    """RFC 1813, section 2.6."""

    NFS3_OK = 0
    NFS3ERR_PERM = 1
    NFS3ERR_NOENT = 2
    NFS3ERR_IO = 5
    NFS3ERR_NXIO = 6
    NFS3ERR_ACCES = 13
    NFS3ERR_EXIST = 17
    NFS3ERR_XDEV = 18
    NFS3ERR_NODEV = 19
    NFS3ERR_NOTDIR = 20
    NFS3ERR_ISDIR = 21
    NFS3ERR_INVAL = 22
    NFS3ERR_FBIG = 27
    NFS3ERR_NOSPC = 28
    NFS3ERR_ROFS = 30
    NFS3ERR_MLINK = 31
    NFS3ERR_NAMETOOLONG = 63
    NFS3ERR_NOTEMPTY = 66
    NFS3ERR_DQUOT = 69
    NFS3ERR_STALE = 70
    NFS3ERR_REMOTE = 71
    NFS3ERR_BADHANDLE = 10001
    NFS3ERR_NOT_SYNC = 10002
    NFS3ERR_BAD_COOKIE = 10003
    NFS3ERR_NOTSUPP = 10004
    NFS3ERR_TOOSMALL = 10005
    NFS3ERR_SERVERFAULT = 10006
    NFS3ERR_BADTYPE = 10007
    NFS3ERR_JUKEBOX = 10008


class ftype3(IntEnum):
    """RFC 1813, section 2.6."""

    NF3REG = 1
    NF3DIR = 2
    NF3BLK = 3
    NF3CHR = 4
    NF3LNK = 5
    NF3SOCK = 6
    NF3FIFO = 7


class stable_how(IntEnum):
    """RFC 1813, section 3.3.7."""

    UNSTABLE = 0
    DATA_SYNC = 1
    FILE_SYNC = 2


class createmode3(IntEnum):
    """RFC 1813, section 3.3.8."""

    UNCHECKED = 0
    GUARDED = 1
    EXCLUSIVE = 2


class time_how(IntEnum):
    """RFC 1813, section 2.6."""

    DONT_CHANGE = 0
    SET_TO_SERVER_TIME = 1
    SET_TO_CLIENT_TIME = 2


# Strings have no limit of their own here: one that is too long has an error of its own (NFS3ERR_NAMETOOLONG), and
# the record that brought it bounds it.
filename3 = Annotated[bytes, Opaque()]
nfspath3 = Annotated[bytes, Opaque()]
fileid3 = uint64
cookie3 = uint64
cookieverf3 = Annotated[bytes, FixedOpaque(NFS3_COOKIEVERFSIZE)]
createverf3 = Annotated[bytes, FixedOpaque(NFS3_CREATEVERFSIZE)]
writeverf3 = Annotated[bytes, FixedOpaque(NFS3_WRITEVERFSIZE)]
uid3 = uint32
gid3 = uint32
size3 = uint64
offset3 = uint64
mode3 = uint32
count3 = uint32
#: `seconds << 32 | nseconds`.
nfstime3 = uint64
#: `specdata1 << 32 | specdata2`: major and minor number.
specdata3 = uint64
#: A handle's bytes; `protocols.nfs.handles` knows what is in them. A longer one is garbage.
nfs_fh3 = Annotated[bytes, Opaque(NFS3_FHSIZE)]
post_op_fh3 = Annotated[bytes | None, Optional(Opaque(NFS3_FHSIZE))]


class fattr3(FixedStruct, frozen=True, gc=False):
    """A file's attributes (RFC 1813, section 2.6); a reader checks `type` against ftype3 where it matters."""

    type: uint32
    mode: mode3
    nlink: uint32
    uid: uid3
    gid: gid3
    size: size3
    used: size3
    rdev: specdata3
    fsid: uint64
    fileid: fileid3
    atime: nfstime3
    mtime: nfstime3
    ctime: nfstime3


class wcc_attr(FixedStruct, frozen=True, gc=False):
    """The attributes that show a change (RFC 1813, section 2.6)."""

    size: size3
    mtime: nfstime3
    ctime: nfstime3


post_op_attr = Annotated[fattr3 | None, Optional(fattr3)]
pre_op_attr = Annotated[wcc_attr | None, Optional(wcc_attr)]


class wcc_data(XdrStruct, frozen=True, gc=False):
    """An object before and after a change (RFC 1813, section 2.6)."""

    before: pre_op_attr = None
    after: post_op_attr = None


#: As a time in `sattr3`: SET_TO_SERVER_TIME.
SERVER_TIME = -1


class _SetTime:
    """set_atime and set_mtime: None, `SERVER_TIME`, or an nfstime3."""

    def pack(self, value: int | None, out: list[Buffer]) -> None:
        """Append *value*."""
        if value is None:
            UINT32.pack(time_how.DONT_CHANGE, out)
        elif value == SERVER_TIME:
            UINT32.pack(time_how.SET_TO_SERVER_TIME, out)
        else:
            UINT32.pack(time_how.SET_TO_CLIENT_TIME, out)
            UINT64.pack(value, out)

    def unpack(self, unpacker: Unpacker) -> int | None:
        """Read a time to set."""
        how = unpacker.uint32()
        if how == time_how.DONT_CHANGE:
            return None
        if how == time_how.SET_TO_SERVER_TIME:
            return SERVER_TIME
        if how == time_how.SET_TO_CLIENT_TIME:
            return unpacker.uint64()
        raise XdrError(f"{how} is no time_how")


set_uint32 = Annotated[int | None, Optional(UINT32)]
set_size3 = Annotated[int | None, Optional(UINT64)]
set_time = Annotated[int | None, _SetTime()]


class sattr3(XdrStruct, frozen=True, gc=False):
    """Attributes to set; None leaves one as it is (RFC 1813, section 2.6)."""

    mode: set_uint32 = None
    uid: set_uint32 = None
    gid: set_uint32 = None
    size: set_size3 = None
    atime: set_time = None
    mtime: set_time = None


class diropargs3(XdrStruct, frozen=True, gc=False):
    """A name in a directory (RFC 1813, section 2.6)."""

    dir: nfs_fh3
    name: filename3


class _CreateHow:
    """createhow3: a mode, then sattr3 or, for EXCLUSIVE, a verifier."""

    def pack(self, value: "createhow3", out: list[Buffer]) -> None:
        """Append *value*."""
        UINT32.pack(value.mode, out)
        if value.mode == createmode3.EXCLUSIVE:
            out.append(value.verf)
        else:
            value.obj_attributes.pack(out)

    def unpack(self, unpacker: Unpacker) -> Any:
        """Read how to create."""
        mode = unpacker.uint32()
        if mode == createmode3.EXCLUSIVE:
            return createhow3(createmode3.EXCLUSIVE, verf=unpacker.opaque(NFS3_CREATEVERFSIZE))
        if mode > createmode3.EXCLUSIVE:
            raise XdrError(f"{mode} is no createmode3")
        return createhow3(createmode3(mode), sattr3.unpack(unpacker))


class createhow3(XdrStruct, frozen=True, gc=False):
    """How to create a file (RFC 1813, section 3.3.8)."""

    mode: createmode3
    obj_attributes: sattr3 = sattr3()
    verf: createverf3 = bytes(NFS3_CREATEVERFSIZE)


CREATEHOW3 = _CreateHow()


class _MknodData:
    """mknoddata3: a type, then what that type needs; types that cannot be made carry nothing."""

    def pack(self, value: "mknoddata3", out: list[Buffer]) -> None:
        """Append *value*."""
        UINT32.pack(value.type, out)
        if value.type in _MADE_BY_MKNOD:
            value.attributes.pack(out)
        if value.type in _DEVICES:
            UINT64.pack(value.spec, out)

    def unpack(self, unpacker: Unpacker) -> Any:
        """Read what to make."""
        kind = unpacker.uint32()
        attributes = sattr3.unpack(unpacker) if kind in _MADE_BY_MKNOD else sattr3()
        return mknoddata3(kind, attributes, unpacker.uint64() if kind in _DEVICES else 0)


class mknoddata3(XdrStruct, frozen=True, gc=False):
    """What MKNOD makes (RFC 1813, section 3.3.11); `type` may be any number, and most are NFS3ERR_BADTYPE."""

    type: uint32
    attributes: sattr3 = sattr3()
    spec: specdata3 = 0


_DEVICES = frozenset({ftype3.NF3BLK, ftype3.NF3CHR})
_MADE_BY_MKNOD = _DEVICES | {ftype3.NF3SOCK, ftype3.NF3FIFO}
MKNODDATA3 = _MknodData()
