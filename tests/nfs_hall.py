"""The NFS door over the real namespace and memory rooms: messages as bytes, and no socket."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from hall import MemoryHall, run
from nfs_client import NfsClient, NfsStatus, RpcFailed, auth_sys, call_bytes

from namespace.api import Caller, FileId, FileType
from protocols.nfs.codec import mount as wire
from protocols.nfs.codec import rpc
from protocols.nfs.codec.xdr import Unpacker, XdrStruct, decode
from protocols.nfs.dispatch import Call, Dispatcher, Peer
from protocols.nfs.exports import Export, Exports
from protocols.nfs.handles import HandleCodec
from protocols.nfs.mount import Mount, MountTable
from protocols.nfs.nfs3 import Nfs3
from protocols.nfs.replies import ReplyCache
from protocols.nfs.tops import Tops

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "192.0.2.7"
STRANGER = "198.51.100.1"
NETWORK = ("192.0.2.0/24",)
#: Of all clients: a call that has another's xid and bytes would be answered by its reply.
_XIDS = itertools.count(1)
#: Looks, and leaves no access time behind.
_WATCHER = Caller(0, 0, read_only=True)


class NfsHall(MemoryHall):
    """A memory hall with the NFS and MOUNT programs; the buckets `bucket` and `other` are exported."""

    def __init__(self) -> None:
        super().__init__()
        run(self.ns.create_bucket(Caller(0, 0, account="owner"), "other"))
        self.other_vol = run(self.ns.head_bucket(Caller(0, 0, account="owner"), "other")).vol
        self.exports = Exports()
        self.export()
        self.handles = HandleCodec(bytes(range(32)))
        self.mounts = MountTable()
        self.tops = Tops(self.ns)
        self.replies = ReplyCache(self.clock)

    def export(self, *, read_only: bool = False, squash: Any = "none") -> None:
        """Export both buckets by these rules from now on."""
        self.exports.replace(Export(path, NETWORK, read_only, squash) for path in ("/bucket", "/other"))

    def client(self, cred: rpc.opaque_auth | None = None, host: str = HOST, namespace: Any = None) -> HallClient:
        """Return a client at *host* who says it is *cred*; *namespace* stands in for the real one."""
        programs: list[Any] = [Nfs3(namespace or self.ns, self.exports, self.tops, self.handles)]
        programs += [
            Mount(version, self.exports, self.tops, self.handles, self.mounts, self.clock) for version in (1, 3)
        ]
        return HallClient(Dispatcher(programs, self.replies), host, cred or auth_sys())

    def tree(self) -> dict[bytes, tuple[Any, Any]]:
        """Return every path of both buckets with its attributes, and its bytes, text or number."""
        roots = (self.vol, run(self.ns.root(self.vol))), (self.other_vol, run(self.ns.root(self.other_vol)))
        return {path: seen for vol, root in roots for path, seen in self._walk(b"/%d" % vol, root)}

    def _walk(self, path: bytes, file: FileId) -> Iterator[tuple[bytes, tuple[Any, Any]]]:
        attr = run(self.ns.getattr(_WATCHER, file))
        content: Any = None
        if attr.type == FileType.REGULAR:
            content = b"".join(self._bytes(file, attr.size))
        elif attr.type == FileType.SYMLINK:
            content = run(self.ns.readlink(_WATCHER, file))[1]
        yield path, (attr, content)
        if attr.type == FileType.DIRECTORY:
            for entry in run(self.ns.readdir(_WATCHER, file, 2, 1000)).entries:
                if entry.attr is not None:
                    yield from self._walk(path + b"/" + entry.name, entry.attr.file)

    def _bytes(self, file: FileId, size: int) -> Any:
        """Read a file past the damage that a test has done to it."""
        damaged, self.bodies._damaged = self.bodies._damaged, set()
        try:
            return [bytes(piece) for piece in run(self.ns.read(_WATCHER, file, 0, size)).buffers]
        finally:
            self.bodies._damaged = damaged


class HallClient(NfsClient):
    """The client of the other tests, wired to a dispatcher."""

    def __init__(self, dispatcher: Dispatcher, host: str, cred: rpc.opaque_auth) -> None:
        self.cred = cred
        self.dispatcher = dispatcher
        self.host = host

    def close(self) -> None:
        pass

    def message(self, message: bytes, *, datagram: bool = False) -> bytes | None:
        """Return the reply to a whole call message, or None where there is none."""
        peer = Peer(self.host, 999, self.host.startswith("127."), datagram)
        call = self.dispatcher.open(message, peer)
        if not isinstance(call, Call):
            return call
        reply = run(self.dispatcher.run(call))
        return None if reply is None else b"".join(reply)

    def rpc(
        self, prog: int, vers: int, proc: int, args: XdrStruct | bytes = b"", cred: rpc.opaque_auth | None = None
    ) -> Unpacker:
        xid = next(_XIDS)
        message = self.message(call_bytes(xid, prog, vers, proc, args, cred))
        assert message is not None
        unpacker = Unpacker(message)
        reply = rpc.unpack_reply(unpacker)
        assert reply.xid == xid
        if reply.accepted != rpc.accept_stat.SUCCESS:
            raise RpcFailed(reply)
        return unpacker

    def mount(self, path: str, version: int = 3) -> bytes:
        results = self.rpc(
            wire.MOUNT_PROGRAM, version, wire.MOUNTPROC_MNT, wire.path_args(path.encode("utf-8", "surrogateescape"))
        )
        status = results.uint32()
        if status:
            raise NfsStatus(wire.mountstat3(status))
        return decode((wire.mountres3_ok if version == 3 else wire.fhstatus_ok).unpack, results).fhandle
