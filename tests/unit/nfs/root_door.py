"""The NFS door over the real namespace in memory, with a root export."""

from __future__ import annotations

from door import HOST, Door
from hall import MemoryHall, run
from nfs_client import call_bytes

from foundation.aio import deliver
from metastore.records import ROOT_INO, Account
from namespace.api import Caller, FileId, SetAttr
from protocols.nfs.codec import mount as mount_wire
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec import nfs3_results as res
from protocols.nfs.codec.nfs3_types import sattr3
from protocols.nfs.dispatch import Call, Peer
from protocols.nfs.exports import Export

NETWORK = ("192.0.2.0/24",)
EVERYTHING = Export("/", NETWORK, squash="none")
MAKER = Export("/", NETWORK, squash="none", make_buckets=True)
ANNA = Account("a" * 64, "anna", 1000, 100, ())
NO_ATTRS = sattr3()
TOP = FileId(0, ROOT_INO, 0)


class RootDoor(Door):
    """The door to one gateway's memory hall, which has one bucket, `bucket`, of uid 0; the caller is Anna."""

    def __init__(self, *exports: Export, hall: MemoryHall | None = None) -> None:
        self.hall = hall or MemoryHall()
        super().__init__(*exports, namespace=self.hall.ns)
        self.hall.database.accounts[ANNA.id] = ANNA
        self.root = self.handle(TOP)

    def bucket(self, name: str, uid: int = 0, mode: int = 0o755) -> FileId:
        """Make a bucket as S3 does, and return its root."""
        made = run(self.hall.ns.create_bucket(Caller(uid, uid, account=f"account {uid}"), name))
        root = run(self.hall.ns.root(made.vol))
        run(self.hall.ns.setattr(Caller(0, 0), root, SetAttr(mode=mode), None))
        return root

    def names(self) -> dict[bytes, res.entryplus3]:
        """Return the entries of the root export's directory."""
        page = self.ok("READDIRPLUS", args3.READDIRPLUS3args(self.root, 0, bytes(8), 9000, 9000))
        assert page.eof
        return {entry.name: entry for entry in page.entries}

    def lookup(self, name: bytes) -> tuple[int, res.LOOKUP3resok]:
        return self.nfs("LOOKUP", args3.LOOKUP3args(self.at(name)))

    def begin_mount(self, path: bytes) -> list[list[bytes]]:
        """Send MNT; return where the buffers of its reply come when there is one."""
        message = call_bytes(7, mount_wire.MOUNT_PROGRAM, 3, 1, mount_wire.path_args(path), self.cred)
        call = self.dispatcher.open(message, Peer(HOST, self.port, local=False, datagram=False))
        assert isinstance(call, Call)
        replies: list[list[bytes]] = []
        deliver(self.dispatcher.run(call), replies.append)
        return replies

    def changed(self) -> int:
        """Return the directory's mtime."""
        attributes = self.ok("GETATTR", args3.GETATTR3args(self.root)).obj_attributes
        assert attributes.mtime == attributes.ctime
        return attributes.mtime
