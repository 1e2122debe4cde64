"""One folder with something of everything in it, and calls about it that are in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nfs_client import NfsClient, auth_sys

from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_types import (
    createhow3,
    createmode3,
    diropargs3,
    fattr3,
    ftype3,
    mknoddata3,
    nfsstat3,
    sattr3,
    stable_how,
)

if TYPE_CHECKING:
    from nfs_hall import NfsHall

    from protocols.nfs.codec.xdr import XdrStruct

OWNER, STRANGER = auth_sys(1000, 1000), auth_sys(2000, 2000)
CONTENT = b"content"
HANDLES = frozenset({"object", "symlink", "file", "dir", "fsroot"})


class Scene:
    """The folder `root`: uid 1000's file and directory, root's empty and locked ones, a link, and what is gone."""

    def __init__(self, nfs: NfsClient, caller: NfsClient, root: bytes, hall: NfsHall | None = None) -> None:
        self.nfs, self.caller = nfs, caller  # uid 0, who looks, and who makes the call
        self.root = root
        self._hall = hall
        mine = sattr3(mode=0o644, uid=1000, gid=1000)
        self.file = nfs.create(root, b"file", attributes=mine)
        nfs.write(self.file, 0, CONTENT)
        self.directory = nfs.mkdir(root, b"directory")
        self.inner = nfs.create(self.directory, b"inner")
        nfs.setattr(self.directory, sattr3(uid=1000, gid=1000))
        self.empty = nfs.mkdir(root, b"empty")
        self.locked = nfs.mkdir(root, b"locked", 0o700)
        nfs.create(self.locked, b"inner")
        self.link = nfs.symlink(root, b"link", b"nowhere")
        self.gone, self.gone_directory = nfs.create(root, b"gone"), nfs.mkdir(root, b"gone directory")
        nfs.remove(root, b"gone")
        nfs.rmdir(root, b"gone directory")

    @property
    def hall(self) -> NfsHall:
        """The rooms behind the door, for scenes that must reach inside."""
        assert self._hall is not None
        return self._hall

    def by(self, cred: Any) -> None:
        """Let *cred* be who makes the call."""
        self.caller.cred = cred

    def at(self, name: bytes, directory: bytes | None = None) -> diropargs3:
        return diropargs3(directory or self.root, name)

    def good(self, name: str, where: diropargs3 | None = None) -> XdrStruct:
        """Return arguments with which the procedure *name* succeeds; *where*: what it makes, finds or takes away."""
        new = where or self.at(b"new")
        return {
            "GETATTR": args3.GETATTR3args(self.file),
            "SETATTR": args3.SETATTR3args(self.file, sattr3(mode=0o600, size=3)),
            "LOOKUP": args3.LOOKUP3args(where or self.at(b"file")),
            "ACCESS": args3.ACCESS3args(self.file, 0x3F),
            "READLINK": args3.READLINK3args(self.link),
            "READ": args3.READ3args(self.file, 0, 100),
            "WRITE": args3.WRITE3args(self.file, 3, 4, stable_how.FILE_SYNC, b"more"),
            "CREATE": args3.CREATE3args(new, createhow3(createmode3.GUARDED, sattr3(mode=0o640))),
            "MKDIR": args3.MKDIR3args(new, sattr3(mode=0o750)),
            "SYMLINK": args3.SYMLINK3args(new, args3.symlinkdata3(sattr3(), b"target")),
            "MKNOD": args3.MKNOD3args(new, mknoddata3(ftype3.NF3FIFO, sattr3(mode=0o600))),
            "REMOVE": args3.REMOVE3args(where or self.at(b"file")),
            "RMDIR": args3.RMDIR3args(where or self.at(b"empty")),
            "RENAME": args3.RENAME3args(where or self.at(b"file"), self.at(b"moved", self.directory)),
            "LINK": args3.LINK3args(self.file, new),
            "READDIR": args3.READDIR3args(self.directory, 0, bytes(8), 4096),
            "READDIRPLUS": args3.READDIRPLUS3args(self.directory, 0, bytes(8), 4096, 4096),
            "FSSTAT": args3.FSSTAT3args(self.root),
            "FSINFO": args3.FSINFO3args(self.root),
            "PATHCONF": args3.PATHCONF3args(self.root),
            "COMMIT": args3.COMMIT3args(self.file, 0, 0),
        }[name]

    def attributes(self, handle: bytes) -> fattr3 | None:
        """Return what GETATTR, asked by uid 0, says of *handle* now; None if it knows it no more."""
        status, result = self.nfs.call("GETATTR", args3.GETATTR3args(handle))
        if status == nfsstat3.NFS3_OK:
            return result.obj_attributes
        assert status in {nfsstat3.NFS3ERR_STALE, nfsstat3.NFS3ERR_BADHANDLE}
        return None


def subjects(args: XdrStruct) -> list[bytes]:
    """Return the handles in *args*, in the order in which a failure tells of them."""
    values = [(field, getattr(args, field)) for field in args.__struct_fields__]
    return [
        value.dir if isinstance(value, diropargs3) else value
        for field, value in values
        if isinstance(value, diropargs3) or (field in HANDLES and isinstance(value, bytes))
    ]
