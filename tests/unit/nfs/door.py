"""The NFS door without a socket: messages in, messages out, over the fake namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nfs_client import PROC, auth_sys, call_bytes
from nfs_fake_namespace import FakeNamespace

from foundation.aio import deliver
from foundation.clock import ManualClock
from protocols.nfs.codec import mount as mount_wire
from protocols.nfs.codec import rpc
from protocols.nfs.codec.nfs3_results import unpack_result
from protocols.nfs.codec.nfs3_types import NFS_PROGRAM, NFS_V3, diropargs3
from protocols.nfs.codec.xdr import Unpacker, XdrStruct, decode
from protocols.nfs.dispatch import Call, Dispatcher, Peer
from protocols.nfs.exports import Export, Exports
from protocols.nfs.handles import HandleCodec
from protocols.nfs.mount import Mount, MountTable
from protocols.nfs.nfs3 import Nfs3
from protocols.nfs.tops import Tops

if TYPE_CHECKING:
    from namespace.api import FileId

KEY = bytes(range(32))
HOST = "192.0.2.7"
BUCKET = Export("/bucket", ("192.0.2.0/24",), squash="none")


class Door:
    """Everything behind the transports; `nfs` and `mount` send one call each and return what came back."""

    def __init__(self, *exports: Export, volumes: tuple[int, ...] = (1, 2), namespace: Any = None) -> None:
        self.namespace: Any = namespace or FakeNamespace(volumes)
        self.clock = ManualClock()
        self.exports = Exports(exports or (BUCKET,))
        self.handles = HandleCodec(KEY)
        mounts, tops = MountTable(), Tops(self.namespace)
        self.program = Nfs3(self.namespace, self.exports, tops, self.handles)
        self.dispatcher = Dispatcher(
            [
                self.program,
                *(Mount(version, self.exports, tops, self.handles, mounts, self.clock) for version in (1, 3)),
            ]
        )
        self.cred = auth_sys(1000, 100, (7, 8))
        self.host = HOST
        self.port = 999
        self.root = b"" if namespace else self.handle(self.namespace.roots[1].attr.file)

    def handle(self, file: FileId, export: int = 0) -> bytes:
        return self.handles.encode(file, export)

    def at(self, name: bytes, directory: bytes | None = None) -> diropargs3:
        return diropargs3(directory or self.root, name)

    def message(self, message: bytes, *, datagram: bool = False) -> bytes | None:
        """Return the reply message, or None for none."""
        peer = Peer(self.host, self.port, self.host.startswith("127."), datagram)
        call = self.dispatcher.open(message, peer)
        if not isinstance(call, Call):
            return call
        replies: list[Any] = []
        deliver(self.dispatcher.run(call), replies.append)
        return None if replies[0] is None else b"".join(replies[0])

    def rpc(
        self, prog: int, vers: int, proc: int, args: XdrStruct | bytes = b"", cred: rpc.opaque_auth | None = None
    ) -> tuple[rpc.rpc_reply, Unpacker]:
        reply = self.message(call_bytes(77, prog, vers, proc, args, cred or self.cred))
        assert reply is not None
        unpacker = Unpacker(reply)
        return rpc.unpack_reply(unpacker), unpacker

    def nfs(self, name: str, args: XdrStruct | bytes) -> tuple[Any, Any]:
        reply, results = self.rpc(NFS_PROGRAM, NFS_V3, PROC[name], args)
        assert (reply.xid, reply.accepted) == (77, rpc.accept_stat.SUCCESS), reply
        return decode(lambda unpacker: unpack_result(PROC[name], unpacker), results)

    def ok(self, name: str, args: XdrStruct) -> Any:
        status, result = self.nfs(name, args)
        assert status == 0, status
        return result

    def mount(self, path: bytes, version: int = 3) -> Any:
        reply, results = self.rpc(mount_wire.MOUNT_PROGRAM, version, 1, mount_wire.path_args(path))
        assert reply.accepted == rpc.accept_stat.SUCCESS, reply
        status = results.uint32()
        if status:
            assert not results.rest()
            return mount_wire.mountstat3(status)
        kind = mount_wire.mountres3_ok if version == 3 else mount_wire.fhstatus_ok
        return decode(kind.unpack, results).fhandle
