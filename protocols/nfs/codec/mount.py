"""The MOUNT protocol: version 3 (RFC 1813, appendix I) and version 1 (RFC 1094, appendix A)."""

from enum import IntEnum
from typing import Annotated

from protocols.nfs.codec.rpc import void as void
from protocols.nfs.codec.xdr import UINT32, Array, FixedOpaque, LinkedList, Opaque, XdrStruct, uint32

MOUNT_PROGRAM = 100005
MOUNT_V1 = 1
MOUNT_V3 = 3

MNTPATHLEN = 1024
MNTNAMLEN = 255
FHSIZE3 = 64
#: A version 1 handle has exactly this many bytes.
FHSIZE = 32

MOUNTPROC_NULL = 0
MOUNTPROC_MNT = 1
MOUNTPROC_DUMP = 2
MOUNTPROC_UMNT = 3
MOUNTPROC_UMNTALL = 4
MOUNTPROC_EXPORT = 5


class mountstat3(IntEnum):
    """RFC 1813, section 5.1.5."""

    MNT3_OK = 0
    MNT3ERR_PERM = 1
    MNT3ERR_NOENT = 2
    MNT3ERR_IO = 5
    MNT3ERR_ACCES = 13
    MNT3ERR_NOTDIR = 20
    MNT3ERR_INVAL = 22
    MNT3ERR_NAMETOOLONG = 63
    MNT3ERR_NOTSUPP = 10004
    MNT3ERR_SERVERFAULT = 10006


#: Decoded without MNTPATHLEN's limit: a longer path has an error of its own (MNT3ERR_NAMETOOLONG).
dirpath = Annotated[bytes, Opaque()]
name = Annotated[bytes, Opaque(MNTNAMLEN)]
fhandle3 = Annotated[bytes, Opaque(FHSIZE3)]
fhandle = Annotated[bytes, FixedOpaque(FHSIZE)]


class path_args(XdrStruct, frozen=True, gc=False):
    """The arguments of MNT and UMNT."""

    dirpath: dirpath


class mountres3_ok(XdrStruct, frozen=True, gc=False):
    """MNT's answer in version 3, after MNT3_OK."""

    fhandle: fhandle3
    auth_flavors: Annotated[tuple[int, ...], Array(UINT32, 16)]


class fhstatus_ok(XdrStruct, frozen=True, gc=False):
    """MNT's answer in version 1, after a status of 0."""

    fhandle: fhandle


class status_only(XdrStruct, frozen=True, gc=False):
    """MNT's answer when it is refused: a mountstat3; version 1 takes its UNIX error numbers."""

    status: uint32


class mountbody(XdrStruct, frozen=True, gc=False):
    """One mounted directory."""

    ml_hostname: name
    ml_directory: dirpath


class dump_result(XdrStruct, frozen=True, gc=False):
    """DUMP's answer (mountlist)."""

    mounts: Annotated[tuple[mountbody, ...], LinkedList(mountbody)]


class groupnode(XdrStruct, frozen=True, gc=False):
    """One group of hosts that may mount."""

    gr_name: name


class exportnode(XdrStruct, frozen=True, gc=False):
    """One export."""

    ex_dir: dirpath
    ex_groups: Annotated[tuple[groupnode, ...], LinkedList(groupnode)]


class export_result(XdrStruct, frozen=True, gc=False):
    """EXPORT's answer (exports)."""

    exports: Annotated[tuple[exportnode, ...], LinkedList(exportnode)]
