"""The NFS version 3 procedures on a file system as a whole (RFC 1813, section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.nfs.attributes import MAX_FILE_BYTES, fattr3_of
from protocols.nfs.codec import nfs3_results as res
from protocols.nfs.nfs3_files import MAX_TRANSFER_BYTES

if TYPE_CHECKING:
    from protocols.nfs.codec import nfs3_args as args3
    from protocols.nfs.dispatch import Call
    from protocols.nfs.nfs3 import Nfs3

_TRANSFER_MULTIPLE_BYTES = 4096
#: A page of a directory that a client should ask for. Linux asks for an eighth of it in names, so some 450 entries.
_DIRECTORY_PAGE_BYTES = 131072
_NAME_MAX = 255
_LINK_MAX = 65_000  # as many as the namespace allows
_ONE_NS = 1
_PROPERTIES = res.FSF3_LINK | res.FSF3_SYMLINK | res.FSF3_HOMOGENEOUS | res.FSF3_CANSETTIME


async def nfsproc3_fsstat(nfs: Nfs3, call: Call, args: args3.FSSTAT3args) -> res.FSSTAT3resok:
    """Return the room in a volume (section 3.3.18)."""
    entered = nfs.enter(call, args.fsroot)
    attr, stat = await entered.verbs.fsstat(entered.caller, entered.file)
    return res.FSSTAT3resok(
        fattr3_of(attr, entered.export),
        stat.total_bytes,
        stat.free_bytes,
        stat.free_bytes,
        stat.total_files,
        stat.free_files,
        stat.free_files,
        invarsec=0,
    )


async def nfsproc3_fsinfo(nfs: Nfs3, call: Call, args: args3.FSINFO3args) -> res.FSINFO3resok:
    """Return what the server can do (section 3.3.19)."""
    entered = nfs.enter(call, args.fsroot)
    attr = await entered.verbs.getattr(entered.caller, entered.file)
    return res.FSINFO3resok(
        fattr3_of(attr, entered.export),
        rtmax=MAX_TRANSFER_BYTES,
        rtpref=MAX_TRANSFER_BYTES,
        rtmult=_TRANSFER_MULTIPLE_BYTES,
        wtmax=MAX_TRANSFER_BYTES,
        wtpref=MAX_TRANSFER_BYTES,
        wtmult=_TRANSFER_MULTIPLE_BYTES,
        dtpref=_DIRECTORY_PAGE_BYTES,
        maxfilesize=MAX_FILE_BYTES,
        time_delta=_ONE_NS,
        properties=_PROPERTIES,
    )


async def nfsproc3_pathconf(nfs: Nfs3, call: Call, args: args3.PATHCONF3args) -> res.PATHCONF3resok:
    """Return the limits of names (section 3.3.20)."""
    entered = nfs.enter(call, args.object)
    attr = await entered.verbs.getattr(entered.caller, entered.file)
    return res.PATHCONF3resok(
        fattr3_of(attr, entered.export),
        linkmax=_LINK_MAX,
        name_max=_NAME_MAX,
        no_trunc=True,
        chown_restricted=True,
        case_insensitive=False,
        case_preserving=True,
    )
