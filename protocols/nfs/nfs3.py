"""NFS version 3: the table of its procedures, and how each ends (RFC 1813)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from twisted.logger import Logger

from foundation.errors import FsError, NoReply
from namespace.api import TOP_VOL
from protocols.nfs import nfs3_files, nfs3_names, nfs3_pages, nfs3_volume
from protocols.nfs.attributes import failure_of
from protocols.nfs.codec.nfs3_results import SIGNATURES
from protocols.nfs.codec.nfs3_types import NFS_PROGRAM, NFS_V3, nfsstat3
from protocols.nfs.codec.rpc import void
from protocols.nfs.codec.xdr import UINT32, Buffer, XdrStruct
from protocols.nfs.dispatch import Call, Function, Procedure
from protocols.nfs.errors import Nfs3Refusal, status_of
from protocols.nfs.exports import UnknownVolume, check_port
from protocols.nfs.nfs3_files import MAX_TRANSFER_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from namespace.api import Attr, Caller, FileId, FileNamespace, FileVerbs
    from protocols.nfs.codec.nfs3_args import READ3args, READDIR3args, READDIRPLUS3args
    from protocols.nfs.exports import Export, Exports
    from protocols.nfs.handles import HandleCodec
    from protocols.nfs.tops import Tops

log = Logger()
_OK = b"\0\0\0\0"


class Entered(NamedTuple):
    """A handle that was checked: who asks, for what, by which export, and whose verbs act on it."""

    caller: Caller
    file: FileId
    export: Export
    verbs: FileVerbs


async def nfsproc3_null(_nfs: Nfs3, _call: Call, args: void) -> void:
    """Do nothing (section 3.3.0)."""
    return args


def _read_bytes(args: READ3args) -> int:
    return min(args.count, MAX_TRANSFER_BYTES)


def _readdir_bytes(args: READDIR3args) -> int:
    return min(args.count, MAX_TRANSFER_BYTES)


def _readdirplus_bytes(args: READDIRPLUS3args) -> int:
    return min(args.maxcount, MAX_TRANSFER_BYTES)


def _procedure(
    number: int, function: Function, *, idempotent: bool = True, reply_bytes: Callable[[Any], int] | None = None
) -> Procedure:
    signature = SIGNATURES[number]
    return Procedure(signature.args, function, signature.resfail, idempotent, anonymous=False, reply_bytes=reply_bytes)


#: By procedure number. WRITE is idempotent: the same bytes go to the same place.
PROCEDURES: Mapping[int, Procedure] = {
    0: Procedure(void, nfsproc3_null, any_auth=True),
    1: _procedure(1, nfs3_files.nfsproc3_getattr),
    2: _procedure(2, nfs3_files.nfsproc3_setattr, idempotent=False),
    3: _procedure(3, nfs3_names.nfsproc3_lookup),
    4: _procedure(4, nfs3_files.nfsproc3_access),
    5: _procedure(5, nfs3_files.nfsproc3_readlink),
    6: _procedure(6, nfs3_files.nfsproc3_read, reply_bytes=_read_bytes),
    7: _procedure(7, nfs3_files.nfsproc3_write),
    8: _procedure(8, nfs3_names.nfsproc3_create, idempotent=False),
    9: _procedure(9, nfs3_names.nfsproc3_mkdir, idempotent=False),
    10: _procedure(10, nfs3_names.nfsproc3_symlink, idempotent=False),
    11: _procedure(11, nfs3_names.nfsproc3_mknod, idempotent=False),
    12: _procedure(12, nfs3_names.nfsproc3_remove, idempotent=False),
    13: _procedure(13, nfs3_names.nfsproc3_rmdir, idempotent=False),
    14: _procedure(14, nfs3_names.nfsproc3_rename, idempotent=False),
    15: _procedure(15, nfs3_names.nfsproc3_link, idempotent=False),
    16: _procedure(16, nfs3_pages.nfsproc3_readdir, reply_bytes=_readdir_bytes),
    17: _procedure(17, nfs3_pages.nfsproc3_readdirplus, reply_bytes=_readdirplus_bytes),
    18: _procedure(18, nfs3_volume.nfsproc3_fsstat),
    19: _procedure(19, nfs3_volume.nfsproc3_fsinfo),
    20: _procedure(20, nfs3_volume.nfsproc3_pathconf),
    21: _procedure(21, nfs3_files.nfsproc3_commit),
}


class Nfs3:
    """The NFS program, version 3, over a namespace."""

    number = NFS_PROGRAM
    version = NFS_V3
    procedures = PROCEDURES

    def __init__(self, namespace: FileNamespace, exports: Exports, tops: Tops, handles: HandleCodec) -> None:
        """Serve *namespace* to whom *exports* lets in, from *tops* down."""
        self._namespace = namespace
        self._top = namespace.top
        self.tops = tops
        self._exports = exports
        self._handles = handles

    def enter(self, call: Call, handle: bytes) -> Entered:
        """Check *handle* and the export's rules: every procedure's first step.

        Raises Nfs3Refusal (NFS3ERR_BADHANDLE), StaleHandle, AccessDenied, or UnknownVolume, after which the
        procedure begins anew.
        """
        file, export_id = self._handles.decode(handle)
        caller, export = self._exports.enter(call.peer.host, call.credential, file.vol, export_id)
        check_port(export, call.peer.port)
        call.export = export
        return Entered(caller, file, export, self._top if file.vol == TOP_VOL else self._namespace)

    def handle(self, file: FileId, export: Export) -> bytes:
        """Return the handle of *file* as *export* hands it out."""
        return self._handles.encode(file, export.id)

    async def _run(self, call: Call) -> XdrStruct:
        """Run *call*; where `enter` does not know a volume's name yet, nothing was done, and it is run again."""
        while True:
            try:
                return await call.procedure.function(self, call, call.args)
            except UnknownVolume as unknown:
                self._exports.learn(unknown.vol, await self._top.name_of(unknown.vol))

    async def answer(self, call: Call, out: list[Buffer]) -> None:
        """Run *call* and append its status and result to *out*; raise NoReply."""
        head = len(out)
        if call.procedure.resfail is not None:
            out.append(_OK)
        try:
            result = await self._run(call)
            result.pack(out)
        except (FsError, Nfs3Refusal) as error:
            _fail(call, status_of(call.number, error), error.seen, out, head)
        except NoReply:
            raise
        except Exception:  # noqa: BLE001 - a bug must not leave the client waiting
            log.failure("NFS procedure {proc} from {host} failed", proc=call.number, host=call.peer.host)
            _fail(call, nfsstat3.NFS3ERR_SERVERFAULT, None, out, head)


def _fail(call: Call, status: nfsstat3, seen: tuple[Attr | None, ...] | None, out: list[Buffer], head: int) -> None:
    """Replace what follows the first *head* buffers of *out* by a failure."""
    del out[head:]
    kind: type[XdrStruct] | None = call.procedure.resfail
    if kind is not None:
        UINT32.pack(status, out)
        failure_of(kind, seen, call.export).pack(out)
