"""The results of the NFS version 3 procedures (RFC 1813, section 3.3), and the table that joins them to arguments.

On the wire a result is an nfsstat3, then the `resok` structure of NFS3_OK or the `resfail` structure of any error.
"""

from struct import Struct as Layout
from typing import Annotated

from msgspec import Struct
from msgspec.structs import astuple

from protocols.nfs.codec import nfs3_args as args
from protocols.nfs.codec.nfs3_types import (
    cookie3,
    cookieverf3,
    count3,
    fattr3,
    fileid3,
    filename3,
    nfs_fh3,
    nfspath3,
    nfsstat3,
    nfstime3,
    post_op_attr,
    post_op_fh3,
    size3,
    stable_how,
    wcc_data,
    writeverf3,
)
from protocols.nfs.codec.xdr import PADS, Buffer, LinkedList, OpaquePieces, Unpacker, XdrError, XdrStruct, uint32

_FILEID_LENGTH = Layout(">QI")
_HANDLE_LENGTH = Layout(">II")
_COOKIE = Layout(">Q")
_NONE = b"\0\0\0\0"
_SOME = b"\0\0\0\1"

FSF3_LINK = 0x0001
FSF3_SYMLINK = 0x0002
FSF3_HOMOGENEOUS = 0x0008
FSF3_CANSETTIME = 0x0010


class GETATTR3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.1."""

    obj_attributes: fattr3


class GETATTR3resfail(XdrStruct, frozen=True, gc=False):
    """Section 3.3.1: a failure carries nothing."""


class SETATTR3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.2."""

    obj_wcc: wcc_data


class SETATTR3resfail(XdrStruct, frozen=True, gc=False):
    """Section 3.3.2."""

    obj_wcc: wcc_data


class LOOKUP3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.3."""

    object: nfs_fh3
    obj_attributes: post_op_attr
    dir_attributes: post_op_attr


class LOOKUP3resfail(XdrStruct, frozen=True, gc=False):
    """Section 3.3.3."""

    dir_attributes: post_op_attr


class ACCESS3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.4."""

    obj_attributes: post_op_attr
    access: uint32


class READLINK3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.5."""

    symlink_attributes: post_op_attr
    data: nfspath3


class READ3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.6; the joined `data` has `count` bytes."""

    file_attributes: post_op_attr
    count: count3
    eof: bool
    data: Annotated[tuple[Buffer, ...], OpaquePieces()]


class obj_resfail(XdrStruct, frozen=True, gc=False):
    """ACCESS, READLINK, READ, READDIR, READDIRPLUS, FSSTAT, FSINFO and PATHCONF fail with their object alone."""

    obj_attributes: post_op_attr


class WRITE3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.7."""

    file_wcc: wcc_data
    count: count3
    committed: stable_how
    verf: writeverf3


class file_wcc_resfail(XdrStruct, frozen=True, gc=False):
    """WRITE and COMMIT fail with their file alone."""

    file_wcc: wcc_data


class CREATE3resok(XdrStruct, frozen=True, gc=False):
    """Sections 3.3.8 to 3.3.11: CREATE, MKDIR, SYMLINK and MKNOD answer alike."""

    obj: post_op_fh3
    obj_attributes: post_op_attr
    dir_wcc: wcc_data


class dir_wcc_res(XdrStruct, frozen=True, gc=False):
    """CREATE, MKDIR, SYMLINK and MKNOD fail, REMOVE and RMDIR end either way, with their directory alone."""

    dir_wcc: wcc_data


class RENAME3res(XdrStruct, frozen=True, gc=False):
    """Section 3.3.14: RENAME3resok and RENAME3resfail."""

    fromdir_wcc: wcc_data
    todir_wcc: wcc_data


class LINK3res(XdrStruct, frozen=True, gc=False):
    """Section 3.3.15: LINK3resok and LINK3resfail."""

    file_attributes: post_op_attr
    linkdir_wcc: wcc_data


class entry3(XdrStruct, frozen=True, gc=False):
    """Section 3.3.16."""

    fileid: fileid3
    name: filename3
    cookie: cookie3


class READDIR3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.16; `entries` and `eof` are the RFC's `reply` (dirlist3)."""

    dir_attributes: post_op_attr
    cookieverf: cookieverf3
    entries: Annotated[tuple[entry3, ...], LinkedList(entry3)]
    eof: bool


class entryplus3(XdrStruct, frozen=True, gc=False):
    """Section 3.3.17."""

    fileid: fileid3
    name: filename3
    cookie: cookie3
    name_attributes: post_op_attr
    name_handle: post_op_fh3

    def pack(self, out: list[Buffer]) -> None:
        """Append all fields to *out* as one buffer: a page has hundreds of entries, and each buffer costs."""
        name, attr, handle = self.name, self.name_attributes, self.name_handle
        entry = _FILEID_LENGTH.pack(self.fileid, len(name)) + name + PADS[len(name) & 3] + _COOKIE.pack(self.cookie)
        entry += _NONE if attr is None else _SOME + attr.layout.pack(*astuple(attr))
        if handle is None:
            out.append(entry + _NONE)
        else:
            out.append(entry + _HANDLE_LENGTH.pack(1, len(handle)) + handle + PADS[len(handle) & 3])


class READDIRPLUS3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.17; `entries` and `eof` are the RFC's `reply` (dirlistplus3)."""

    dir_attributes: post_op_attr
    cookieverf: cookieverf3
    entries: Annotated[tuple[entryplus3, ...], LinkedList(entryplus3)]
    eof: bool


class FSSTAT3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.18."""

    obj_attributes: post_op_attr
    tbytes: size3
    fbytes: size3
    abytes: size3
    tfiles: size3
    ffiles: size3
    afiles: size3
    invarsec: uint32


class FSINFO3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.19."""

    obj_attributes: post_op_attr
    rtmax: uint32
    rtpref: uint32
    rtmult: uint32
    wtmax: uint32
    wtpref: uint32
    wtmult: uint32
    dtpref: uint32
    maxfilesize: size3
    time_delta: nfstime3
    properties: uint32


class PATHCONF3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.20."""

    obj_attributes: post_op_attr
    linkmax: uint32
    name_max: uint32
    no_trunc: bool
    chown_restricted: bool
    case_insensitive: bool
    case_preserving: bool


class COMMIT3resok(XdrStruct, frozen=True, gc=False):
    """Section 3.3.21."""

    file_wcc: wcc_data
    verf: writeverf3


class Signature(Struct, frozen=True):
    """What one procedure takes and gives."""

    name: str
    args: type[XdrStruct]
    resok: type[XdrStruct]
    resfail: type[XdrStruct]


#: By procedure number; NULL, which has no status, is not here.
SIGNATURES = {
    1: Signature("GETATTR", args.GETATTR3args, GETATTR3resok, GETATTR3resfail),
    2: Signature("SETATTR", args.SETATTR3args, SETATTR3resok, SETATTR3resfail),
    3: Signature("LOOKUP", args.LOOKUP3args, LOOKUP3resok, LOOKUP3resfail),
    4: Signature("ACCESS", args.ACCESS3args, ACCESS3resok, obj_resfail),
    5: Signature("READLINK", args.READLINK3args, READLINK3resok, obj_resfail),
    6: Signature("READ", args.READ3args, READ3resok, obj_resfail),
    7: Signature("WRITE", args.WRITE3args, WRITE3resok, file_wcc_resfail),
    8: Signature("CREATE", args.CREATE3args, CREATE3resok, dir_wcc_res),
    9: Signature("MKDIR", args.MKDIR3args, CREATE3resok, dir_wcc_res),
    10: Signature("SYMLINK", args.SYMLINK3args, CREATE3resok, dir_wcc_res),
    11: Signature("MKNOD", args.MKNOD3args, CREATE3resok, dir_wcc_res),
    12: Signature("REMOVE", args.REMOVE3args, dir_wcc_res, dir_wcc_res),
    13: Signature("RMDIR", args.RMDIR3args, dir_wcc_res, dir_wcc_res),
    14: Signature("RENAME", args.RENAME3args, RENAME3res, RENAME3res),
    15: Signature("LINK", args.LINK3args, LINK3res, LINK3res),
    16: Signature("READDIR", args.READDIR3args, READDIR3resok, obj_resfail),
    17: Signature("READDIRPLUS", args.READDIRPLUS3args, READDIRPLUS3resok, obj_resfail),
    18: Signature("FSSTAT", args.FSSTAT3args, FSSTAT3resok, obj_resfail),
    19: Signature("FSINFO", args.FSINFO3args, FSINFO3resok, obj_resfail),
    20: Signature("PATHCONF", args.PATHCONF3args, PATHCONF3resok, obj_resfail),
    21: Signature("COMMIT", args.COMMIT3args, COMMIT3resok, file_wcc_resfail),
}


def unpack_result(proc: int, unpacker: Unpacker) -> tuple[nfsstat3, XdrStruct]:
    """Read the result of procedure *proc*; raise XdrError or struct.error."""
    code = unpacker.uint32()
    try:
        status = nfsstat3(code)
    except ValueError as error:
        raise XdrError(f"{code} is no nfsstat3") from error
    signature = SIGNATURES[proc]
    kind = signature.resok if status == nfsstat3.NFS3_OK else signature.resfail
    return status, kind.unpack(unpacker)
