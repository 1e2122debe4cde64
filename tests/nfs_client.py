"""A small NFS version 3 client over a blocking socket, for tests: it sees replies exactly as they came.

    with NfsClient("127.0.0.1", nfs_port, mount_port) as nfs:
        root = nfs.mount("/bucket")
        file = nfs.create(root, b"name")
        nfs.write(file, 0, b"bytes")

Helpers raise `NfsStatus` for any status but NFS3_OK; `call` returns status and result for tests of failures.
"""

from __future__ import annotations

import itertools
import os
import socket
from typing import TYPE_CHECKING, Any, Self

from protocols.nfs.codec import mount as wire
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec import rpc
from protocols.nfs.codec.nfs3_results import SIGNATURES, unpack_result
from protocols.nfs.codec.nfs3_types import (
    NFS_PROGRAM,
    NFS_V3,
    createhow3,
    createmode3,
    diropargs3,
    fattr3,
    mknoddata3,
    nfsstat3,
    sattr3,
    stable_how,
)
from protocols.nfs.codec.record import RecordReader, record_mark
from protocols.nfs.codec.xdr import Unpacker, XdrStruct, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = {signature.name: number for number, signature in SIGNATURES.items()}
_MAX_REPLY_BYTES = 4 << 20


class NfsStatus(Exception):
    """The server answered something else than NFS3_OK (or MNT3_OK)."""

    def __init__(self, status: int, result: Any = None) -> None:
        super().__init__(getattr(status, "name", status))
        self.status = status
        self.result = result


class RpcFailed(Exception):
    """The call was not accepted, or did not run; `reply` says why."""

    def __init__(self, reply: rpc.rpc_reply) -> None:
        super().__init__(repr(reply))
        self.reply = reply


def auth_sys(uid: int = 0, gid: int = 0, gids: tuple[int, ...] = (), machine: bytes = b"test") -> rpc.opaque_auth:
    """Return an AUTH_SYS credential."""
    return rpc.opaque_auth(rpc.auth_flavor.AUTH_SYS, encode(rpc.authsys_parms(0, machine, uid, gid, gids)))


def call_bytes(
    xid: int, prog: int, vers: int, proc: int, args: XdrStruct | bytes = b"", cred: rpc.opaque_auth | None = None
) -> bytes:
    """Return a whole call message, without its record mark."""
    out: list[Any] = []
    rpc.pack_call(rpc.rpc_call(xid, 2, prog, vers, proc, cred or rpc.NO_AUTH, rpc.NO_AUTH), out)
    out.append(args if isinstance(args, bytes) else encode(args))
    return b"".join(out)


class RpcClient:
    """One TCP connection; calls may be pipelined with `send` and `receive`."""

    def __init__(self, host: str, port: int, timeout_seconds: float = 10.0) -> None:
        self.socket = socket.create_connection((host, port), timeout_seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = RecordReader(_MAX_REPLY_BYTES)
        self._xids = itertools.count(int.from_bytes(os.urandom(3), "big"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(
        self, prog: int, vers: int, proc: int, args: XdrStruct | bytes = b"", cred: rpc.opaque_auth | None = None
    ) -> int:
        """Send one call and return its xid."""
        xid = next(self._xids)
        self.send_record(call_bytes(xid, prog, vers, proc, args, cred))
        return xid

    def send_record(self, message: bytes) -> None:
        self.socket.sendall(record_mark(len(message)) + message)

    def receive_record(self) -> bytes:
        """Return the next reply, as bytes; raise ConnectionError at the end of the stream."""
        while (record := self._reader.next_record()) is None:
            data = self.socket.recv(1 << 18)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(data)
        return record

    def receive(self) -> tuple[rpc.rpc_reply, Unpacker]:
        """Return the next reply's head, and its results still packed."""
        unpacker = Unpacker(self.receive_record())
        return rpc.unpack_reply(unpacker), unpacker

    def rpc(
        self, prog: int, vers: int, proc: int, args: XdrStruct | bytes = b"", cred: rpc.opaque_auth | None = None
    ) -> Unpacker:
        """Call and return the packed results; raise RpcFailed."""
        xid = self.send(prog, vers, proc, args, cred)
        reply, unpacker = self.receive()
        assert reply.xid == xid, "calls that are in flight already must be received first"
        if reply.accepted != rpc.accept_stat.SUCCESS:
            raise RpcFailed(reply)
        return unpacker


class NfsClient(RpcClient):
    """NFS over one connection, MOUNT over another one when it is needed."""

    def __init__(
        self,
        host: str,
        nfs_port: int,
        mount_port: int | None = None,
        *,
        cred: rpc.opaque_auth | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        super().__init__(host, nfs_port, timeout_seconds)
        self.cred = cred or auth_sys()
        self._mount_at = (host, mount_port or nfs_port, timeout_seconds)

    # MOUNT

    def mount(self, path: str) -> bytes:
        """Return the handle of an exported directory."""
        with RpcClient(*self._mount_at) as client:
            results = client.rpc(
                wire.MOUNT_PROGRAM, wire.MOUNT_V3, wire.MOUNTPROC_MNT, wire.path_args(path.encode()), self.cred
            )
        status = results.uint32()
        if status:
            raise NfsStatus(wire.mountstat3(status))
        return decode(wire.mountres3_ok.unpack, results).fhandle

    def exports(self) -> tuple[wire.exportnode, ...]:
        """Return what the server exports to us."""
        with RpcClient(*self._mount_at) as client:
            results = client.rpc(wire.MOUNT_PROGRAM, wire.MOUNT_V3, wire.MOUNTPROC_EXPORT, b"", self.cred)
        return decode(wire.export_result.unpack, results).exports

    # NFS

    def call(self, name: str, args: XdrStruct | bytes) -> tuple[nfsstat3, Any]:
        """Run the procedure *name* (as GETATTR); return its status and resok or resfail."""
        results = self.rpc(NFS_PROGRAM, NFS_V3, PROC[name], args, self.cred)
        return decode(lambda unpacker: unpack_result(PROC[name], unpacker), results)

    def ok(self, name: str, args: XdrStruct) -> Any:
        """Run the procedure *name* and return its resok; raise NfsStatus."""
        status, result = self.call(name, args)
        if status != nfsstat3.NFS3_OK:
            raise NfsStatus(status, result)
        return result

    def null(self) -> None:
        self.rpc(NFS_PROGRAM, NFS_V3, 0)

    def getattr(self, file: bytes) -> fattr3:
        return self.ok("GETATTR", args3.GETATTR3args(file)).obj_attributes

    def setattr(self, file: bytes, attributes: sattr3, guard: int | None = None) -> Any:
        return self.ok("SETATTR", args3.SETATTR3args(file, attributes, guard)).obj_wcc

    def lookup(self, directory: bytes, name: bytes) -> bytes:
        return self.ok("LOOKUP", args3.LOOKUP3args(diropargs3(directory, name))).object

    def walk(self, directory: bytes, path: str) -> bytes:
        """Look up every component of *path*."""
        for name in path.encode().split(b"/"):
            directory = self.lookup(directory, name) if name else directory
        return directory

    def access(self, file: bytes, wanted: int = 0x3F) -> int:
        return self.ok("ACCESS", args3.ACCESS3args(file, wanted)).access

    def readlink(self, file: bytes) -> bytes:
        return self.ok("READLINK", args3.READLINK3args(file)).data

    def read(self, file: bytes, offset: int, count: int) -> bytes:
        return b"".join(self.ok("READ", args3.READ3args(file, offset, count)).data)

    def read_all(self, file: bytes, chunk: int = 1 << 20) -> bytes:
        """Return the whole file."""
        pieces: list[bytes] = []
        eof = False
        while not eof:
            result = self.ok("READ", args3.READ3args(file, sum(map(len, pieces)), chunk))
            pieces.append(b"".join(result.data))
            eof = result.eof
        return b"".join(pieces)

    def write(self, file: bytes, offset: int, data: bytes, stable: stable_how = stable_how.FILE_SYNC) -> Any:
        return self.ok("WRITE", args3.WRITE3args(file, offset, len(data), stable, data))

    def commit(self, file: bytes, offset: int = 0, count: int = 0) -> Any:
        return self.ok("COMMIT", args3.COMMIT3args(file, offset, count))

    def create(
        self,
        directory: bytes,
        name: bytes,
        mode: createmode3 = createmode3.UNCHECKED,
        attributes: sattr3 | None = None,
        verf: bytes = bytes(8),
    ) -> bytes:
        how = createhow3(mode, attributes or sattr3(mode=0o644), verf)
        return self.ok("CREATE", args3.CREATE3args(diropargs3(directory, name), how)).obj

    def mkdir(self, directory: bytes, name: bytes, mode: int = 0o755) -> bytes:
        return self.ok("MKDIR", args3.MKDIR3args(diropargs3(directory, name), sattr3(mode=mode))).obj

    def symlink(self, directory: bytes, name: bytes, target: bytes) -> bytes:
        what = args3.symlinkdata3(sattr3(), target)
        return self.ok("SYMLINK", args3.SYMLINK3args(diropargs3(directory, name), what)).obj

    def mknod(self, directory: bytes, name: bytes, kind: int, rdev: int = 0) -> bytes:
        what = mknoddata3(kind, sattr3(mode=0o644), rdev)
        return self.ok("MKNOD", args3.MKNOD3args(diropargs3(directory, name), what)).obj

    def remove(self, directory: bytes, name: bytes) -> Any:
        return self.ok("REMOVE", args3.REMOVE3args(diropargs3(directory, name))).dir_wcc

    def rmdir(self, directory: bytes, name: bytes) -> Any:
        return self.ok("RMDIR", args3.RMDIR3args(diropargs3(directory, name))).dir_wcc

    def rename(self, source: bytes, name: bytes, target: bytes, new_name: bytes) -> Any:
        return self.ok("RENAME", args3.RENAME3args(diropargs3(source, name), diropargs3(target, new_name)))

    def link(self, file: bytes, directory: bytes, name: bytes) -> Any:
        return self.ok("LINK", args3.LINK3args(file, diropargs3(directory, name)))

    def readdir(self, directory: bytes, count: int = 65536) -> Iterator[Any]:
        """Yield every entry3, page by page."""
        cookie, verf, eof = 0, bytes(8), False
        while not eof:
            page = self.ok("READDIR", args3.READDIR3args(directory, cookie, verf, count))
            yield from page.entries
            cookie, verf, eof = page.entries[-1].cookie if page.entries else cookie, page.cookieverf, page.eof

    def readdirplus(self, directory: bytes, maxcount: int = 65536, dircount: int = 65536) -> Iterator[Any]:
        """Yield every entryplus3, page by page."""
        cookie, verf, eof = 0, bytes(8), False
        while not eof:
            page = self.ok("READDIRPLUS", args3.READDIRPLUS3args(directory, cookie, verf, dircount, maxcount))
            yield from page.entries
            cookie, verf, eof = page.entries[-1].cookie if page.entries else cookie, page.cookieverf, page.eof

    def names(self, directory: bytes) -> list[bytes]:
        """Return the directory's names but `.` and `..`, in the order of their cookies."""
        return [entry.name for entry in self.readdirplus(directory) if entry.name not in {b".", b".."}]

    def fsstat(self, file: bytes) -> Any:
        return self.ok("FSSTAT", args3.FSSTAT3args(file))

    def fsinfo(self, file: bytes) -> Any:
        return self.ok("FSINFO", args3.FSINFO3args(file))

    def pathconf(self, file: bytes) -> Any:
        return self.ok("PATHCONF", args3.PATHCONF3args(file))
