"""The arguments of the NFS version 3 procedures (RFC 1813, section 3.3)."""

from typing import Annotated

from protocols.nfs.codec.nfs3_types import (
    CREATEHOW3,
    MKNODDATA3,
    cookie3,
    cookieverf3,
    count3,
    createhow3,
    diropargs3,
    mknoddata3,
    nfs_fh3,
    nfspath3,
    offset3,
    sattr3,
    stable_how,
)
from protocols.nfs.codec.xdr import UINT64, OpaqueView, Optional, XdrStruct, uint32


class GETATTR3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.1."""

    object: nfs_fh3


class SETATTR3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.2; `guard` is an nfstime3, or None for no check."""

    object: nfs_fh3
    new_attributes: sattr3
    guard: Annotated[int | None, Optional(UINT64)] = None


class LOOKUP3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.3."""

    what: diropargs3


class ACCESS3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.4."""

    object: nfs_fh3
    access: uint32


class READLINK3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.5."""

    symlink: nfs_fh3


class READ3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.6."""

    file: nfs_fh3
    offset: offset3
    count: count3


class WRITE3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.7; `data` is a view into the record."""

    file: nfs_fh3
    offset: offset3
    count: count3
    stable: stable_how
    data: Annotated[bytes | memoryview, OpaqueView()]


class CREATE3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.8."""

    where: diropargs3
    how: Annotated[createhow3, CREATEHOW3]


class MKDIR3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.9."""

    where: diropargs3
    attributes: sattr3


class symlinkdata3(XdrStruct, frozen=True, gc=False):
    """Section 3.3.10."""

    symlink_attributes: sattr3
    symlink_data: nfspath3


class SYMLINK3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.10."""

    where: diropargs3
    symlink: symlinkdata3


class MKNOD3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.11."""

    where: diropargs3
    what: Annotated[mknoddata3, MKNODDATA3]


class REMOVE3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.12."""

    object: diropargs3


class RMDIR3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.13."""

    object: diropargs3


class RENAME3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.14; `from_` is the RFC's `from`, a word of Python."""

    from_: diropargs3
    to: diropargs3


class LINK3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.15."""

    file: nfs_fh3
    link: diropargs3


class READDIR3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.16; `count` bounds the whole READDIR3resok, in bytes."""

    dir: nfs_fh3
    cookie: cookie3
    cookieverf: cookieverf3
    count: count3


class READDIRPLUS3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.17; `dircount` bounds names, cookies and ids, `maxcount` the whole READDIRPLUS3resok, in bytes."""

    dir: nfs_fh3
    cookie: cookie3
    cookieverf: cookieverf3
    dircount: count3
    maxcount: count3


class FSSTAT3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.18."""

    fsroot: nfs_fh3


class FSINFO3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.19."""

    fsroot: nfs_fh3


class PATHCONF3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.20."""

    object: nfs_fh3


class COMMIT3args(XdrStruct, frozen=True, gc=False):
    """Section 3.3.21."""

    file: nfs_fh3
    offset: offset3
    count: count3
