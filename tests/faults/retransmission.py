"""The nine NFS calls that must not run twice, as records to be sent again, and what shows that each ran once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nfs_client import PROC, NfsClient, auth_sys, call_bytes

from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec import rpc
from protocols.nfs.codec.nfs3_results import unpack_result
from protocols.nfs.codec.nfs3_types import (
    NFS_PROGRAM,
    NFS_V3,
    createhow3,
    createmode3,
    diropargs3,
    ftype3,
    mknoddata3,
    nfsstat3,
    sattr3,
)
from protocols.nfs.codec.xdr import Unpacker, decode

if TYPE_CHECKING:
    from house import House

_VERIFIER = b"verifier"
_FIRST_XID = 0x5EED0000


def connect(house: House) -> NfsClient:
    return NfsClient("127.0.0.1", house.nfs_port, house.mount_port, timeout_seconds=30)


class Nine:
    """Nine calls on things in a folder of their own."""

    def __init__(self, house: House, folder: bytes) -> None:
        """Make what the calls are about."""
        with connect(house) as nfs:
            self.top = top = nfs.mkdir(nfs.mount(house.export), folder)
            self.other = nfs.mkdir(top, b"other")
            nfs.mkdir(top, b"rmdir")
            nfs.create(top, b"remove")
            nfs.create(top, b"rename")
            self.file = nfs.create(top, b"file")
            guard = nfs.getattr(self.file).ctime

        def at(name: bytes, directory: bytes = top) -> diropargs3:
            return diropargs3(directory, name)

        exclusive = createhow3(createmode3.EXCLUSIVE, verf=_VERIFIER)
        self._calls: dict[str, Any] = {
            # First: LINK moves the ctime that is SETATTR's guard.
            "SETATTR": args3.SETATTR3args(self.file, sattr3(mode=0o600, size=7), guard),
            "CREATE": args3.CREATE3args(at(b"create"), exclusive),
            "MKDIR": args3.MKDIR3args(at(b"mkdir"), sattr3(mode=0o755)),
            "SYMLINK": args3.SYMLINK3args(at(b"symlink"), args3.symlinkdata3(sattr3(), b"to")),
            "MKNOD": args3.MKNOD3args(at(b"mknod"), mknoddata3(ftype3.NF3FIFO, sattr3(mode=0o644))),
            "REMOVE": args3.REMOVE3args(at(b"remove")),
            "RMDIR": args3.RMDIR3args(at(b"rmdir")),
            "RENAME": args3.RENAME3args(at(b"rename"), at(b"renamed", self.other)),
            "LINK": args3.LINK3args(self.file, at(b"link")),
        }
        self._names = {_FIRST_XID + number: name for number, name in enumerate(self._calls)}

    def send(self, nfs: NfsClient) -> None:
        """Send the nine records: the same bytes each time."""
        for xid, name in self._names.items():
            nfs.send_record(call_bytes(xid, NFS_PROGRAM, NFS_V3, PROC[name], self._calls[name], auth_sys()))

    def receive(self, nfs: NfsClient) -> dict[str, bytes]:
        """Return the nine replies by procedure; fail unless each is a success."""
        replies = {}
        while len(replies) < len(self._calls):
            record = nfs.receive_record()
            name = self._names[rpc.unpack_reply(Unpacker(record)).xid]
            status, _ = result(name, record)
            assert status == nfsstat3.NFS3_OK, (name, status)
            replies[name] = record
        return replies

    def ask(self, house: House) -> dict[str, bytes]:
        """Send all nine over a new connection; return the replies."""
        with connect(house) as nfs:
            self.send(nfs)
            return self.receive(nfs)

    def check(self, house: House) -> None:
        """Fail unless each call has run once."""
        with connect(house) as nfs:
            names = [b"create", b"file", b"link", b"mkdir", b"mknod", b"other", b"symlink"]
            assert sorted(nfs.names(self.top)) == names
            assert nfs.names(self.other) == [b"renamed"]
            file = nfs.getattr(self.file)
            assert (file.mode, file.size, file.nlink) == (0o600, 7, 2)
            assert nfs.getattr(self.top).nlink == 4
            created = nfs.lookup(self.top, b"create")
            assert nfs.create(self.top, b"create", createmode3.EXCLUSIVE, verf=_VERIFIER) == created


def result(name: str, record: bytes) -> tuple[nfsstat3, Any]:
    """Return status and result of the reply *record* to the procedure *name*."""
    unpacker = Unpacker(record)
    rpc.unpack_reply(unpacker)
    status, found = decode(lambda rest: unpack_result(PROC[name], rest), unpacker)
    return nfsstat3(status), found


def was_known(name: str, record: bytes) -> bool:
    """Return whether the server knew that the call was done: then it tells no attributes of before."""
    _, found = result(name, record)
    fields = [getattr(found, field) for field in found.__struct_fields__]
    befores = [field.before for field in fields if hasattr(field, "before")]
    assert befores
    return befores == [None] * len(befores)
