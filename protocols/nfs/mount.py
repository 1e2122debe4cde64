"""The MOUNT program, versions 3 and 1: from an export's path to its handle (RFC 1813, appendix I; RFC 1094)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from twisted.logger import Logger

from foundation.aio import pause
from foundation.errors import FsError, HeldElsewhere, NameTooLong, NoReply, StaleHandle
from protocols.nfs.codec import mount as wire
from protocols.nfs.codec.rpc import auth_flavor
from protocols.nfs.dispatch import Call, Procedure
from protocols.nfs.errors import status_of_class
from protocols.nfs.exports import check_port, squash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foundation.clock import Clock
    from protocols.nfs.codec.xdr import Buffer, XdrStruct
    from protocols.nfs.exports import Exports
    from protocols.nfs.handles import HandleCodec
    from protocols.nfs.tops import Tops

log = Logger()
_OK = b"\0\0\0\0"
#: Mounts remembered for DUMP; the oldest are forgotten first.
_MAX_MOUNTS = 4096
#: How long MNT waits for a bucket that another gateway holds, and how often it looks, in seconds: a take-over takes 7.
#: MOUNT has no code for "not now": whatever is answered, mount(8) gives up.
PATIENCE_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 1.0
_MOUNT_STATUS = {int(status): status for status in wire.mountstat3}
#: Where that would mislead: to one who asks by path, a directory that is gone is a path that is not there; and a bucket
#: that another gateway serves is no broken disk.
_STATUS = {
    StaleHandle: wire.mountstat3.MNT3ERR_NOENT,
    HeldElsewhere: wire.mountstat3.MNT3ERR_SERVERFAULT,
}


async def mountproc_null(_mount: Mount, _call: Call, args: wire.void) -> XdrStruct:
    """Do nothing (section 5.2.0)."""
    return args


async def mountproc_mnt(mount: Mount, call: Call, args: wire.path_args) -> XdrStruct:
    """Return the handle of a directory that is exported, or lies below one that is (section 5.2.1)."""
    path = args.dirpath
    if len(path) > wire.MNTPATHLEN:
        raise NameTooLong("path")
    handle = await mount.resolve(call, path.decode("utf-8", "surrogateescape"))
    mount.mounts.add(call.peer.host, path)
    if mount.version == wire.MOUNT_V1:
        return wire.fhstatus_ok(handle)
    return wire.mountres3_ok(handle, (auth_flavor.AUTH_SYS,))


async def mountproc_dump(mount: Mount, call: Call, _args: wire.void) -> XdrStruct:
    """Return the caller's own mounts, or all of them to a local caller (section 5.2.2)."""
    return wire.dump_result(mount.mounts.seen_by(call))


async def mountproc_umnt(mount: Mount, call: Call, args: wire.path_args) -> XdrStruct:
    """Forget one mount (section 5.2.3)."""
    mount.mounts.forget(call.peer.host, args.dirpath)
    return wire.void()


async def mountproc_umntall(mount: Mount, call: Call, args: wire.void) -> XdrStruct:
    """Forget all mounts of the caller (section 5.2.4)."""
    mount.mounts.forget(call.peer.host, None)
    return args


async def mountproc_export(mount: Mount, call: Call, _args: wire.void) -> XdrStruct:
    """Return the exports that the caller may mount (section 5.2.5)."""
    return wire.export_result(
        tuple(
            wire.exportnode(
                export.path.encode("utf-8", "surrogateescape"),
                tuple(wire.groupnode(network.encode()) for network in export.clients),
            )
            for export in mount.exports.visible(call.peer.host)
        )
    )


PROCEDURES: Mapping[int, Procedure] = {
    wire.MOUNTPROC_NULL: Procedure(wire.void, mountproc_null, any_auth=True),
    wire.MOUNTPROC_MNT: Procedure(wire.path_args, mountproc_mnt, resfail=wire.status_only),
    wire.MOUNTPROC_DUMP: Procedure(wire.void, mountproc_dump, stream_only=True),
    wire.MOUNTPROC_UMNT: Procedure(wire.path_args, mountproc_umnt),
    wire.MOUNTPROC_UMNTALL: Procedure(wire.void, mountproc_umntall),
    wire.MOUNTPROC_EXPORT: Procedure(wire.void, mountproc_export, stream_only=True),
}


class MountTable:
    """Who mounted what: for DUMP alone, bounded, and lost at a restart, as RFC 1813 allows."""

    def __init__(self) -> None:
        """Remember none."""
        self._mounts: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def add(self, host: str, path: bytes) -> None:
        """Remember that *host* mounted *path*."""
        self._mounts[host, path] = None
        self._mounts.move_to_end((host, path))
        if len(self._mounts) > _MAX_MOUNTS:
            self._mounts.popitem(last=False)

    def forget(self, host: str, path: bytes | None) -> None:
        """Forget *path* of *host*, or all of its mounts."""
        for key in [(host, path)] if path is not None else [key for key in self._mounts if key[0] == host]:
            self._mounts.pop(key, None)

    def seen_by(self, call: Call) -> tuple[wire.mountbody, ...]:
        """Return what the caller may know: its own mounts."""
        return tuple(
            wire.mountbody(host.encode(), path)
            for host, path in self._mounts
            if call.peer.local or host == call.peer.host
        )


class Mount:
    """One version of the MOUNT program."""

    number = wire.MOUNT_PROGRAM
    procedures = PROCEDURES

    def __init__(
        self, version: int, exports: Exports, tops: Tops, handles: HandleCodec, mounts: MountTable, clock: Clock
    ) -> None:
        """Hand out handles of *tops* and below by the rules of *exports*; versions share *mounts*."""
        self.version = version
        self.exports = exports
        self.mounts = mounts
        self._tops = tops
        self._handles = handles
        self._clock = clock

    async def resolve(self, call: Call, path: str) -> bytes:
        """Return the handle of the directory *path*; raise FsError.

        What lies below an export is walked as the caller, squashed, and no symbolic link is followed.
        """
        export, below = self.exports.find(call.peer.host, path)
        check_port(export, call.peer.port)
        caller = squash(export, call.credential)
        deadline = self._clock.boottime_seconds() + PATIENCE_SECONDS
        while True:
            try:
                file = await self._tops.walk(caller, await self._tops.find(export), below)
            except HeldElsewhere:
                if self._clock.boottime_seconds() >= deadline:
                    raise
                await pause(self._clock, _LOOK_AGAIN_SECONDS)
            else:
                return self._handles.encode(file, export.id)

    async def answer(self, call: Call, out: list[Buffer]) -> None:
        """Run *call* and append its packed result to *out*; raise NoReply."""
        head = len(out)
        with_status = call.procedure.resfail is not None
        if with_status:
            out.append(_OK)
        try:
            result = await call.procedure.function(self, call, call.args)
            result.pack(out)
        except NoReply:
            raise
        except Exception as error:
            if not with_status:
                raise
            del out[head:]
            wire.status_only(_status_of(call, error, self.version)).pack(out)


def _status_of(call: Call, error: Exception, version: int) -> int:
    """Return the code for *error*; what MOUNT shares with NFS has the same numbers there."""
    if not isinstance(error, FsError):
        log.failure("MNT from {host} failed", host=call.peer.host)
        status = wire.mountstat3.MNT3ERR_SERVERFAULT
    else:
        log.info("mount refused to {host}: {why}", host=call.peer.host, why=repr(error))
        status = _STATUS.get(type(error)) or _MOUNT_STATUS.get(status_of_class(type(error)), wire.mountstat3.MNT3ERR_IO)
    # Version 1 has the error numbers of RFC 1094, section 2.3.1, where the last two are not.
    if version == wire.MOUNT_V1 and status > wire.mountstat3.MNT3ERR_NAMETOOLONG:
        return wire.mountstat3.MNT3ERR_IO
    return status
