"""The NFS version 3 procedures on one file (RFC 1813, section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import InvalidArgument, TooLarge
from namespace.api import Stability
from protocols.nfs.attributes import MAX_FILE_BYTES, fattr3_of, ns_of, set_attr_of, wcc_data_of
from protocols.nfs.codec import nfs3_results as res

if TYPE_CHECKING:
    from protocols.nfs.codec import nfs3_args as args3
    from protocols.nfs.dispatch import Call
    from protocols.nfs.nfs3 import Nfs3

#: rtmax and wtmax, in bytes.
MAX_TRANSFER_BYTES = 1 << 20

_STABILITY = tuple(Stability)
_ACCESS_BITS = 0x3F


async def nfsproc3_getattr(nfs: Nfs3, call: Call, args: args3.GETATTR3args) -> res.GETATTR3resok:
    """Return a file's attributes (section 3.3.1)."""
    entered = nfs.enter(call, args.object)
    attr = await entered.verbs.getattr(entered.caller, entered.file)
    return res.GETATTR3resok(fattr3_of(attr, entered.export))


async def nfsproc3_setattr(nfs: Nfs3, call: Call, args: args3.SETATTR3args) -> res.SETATTR3resok:
    """Change a file's attributes (section 3.3.2)."""
    entered = nfs.enter(call, args.object)
    guard = None if args.guard is None else ns_of(args.guard)
    change = set_attr_of(args.new_attributes)
    wcc = await entered.verbs.setattr(entered.caller, entered.file, change, guard, call.request)
    return res.SETATTR3resok(wcc_data_of(wcc, entered.export))


async def nfsproc3_access(nfs: Nfs3, call: Call, args: args3.ACCESS3args) -> res.ACCESS3resok:
    """Return which of the asked permissions the caller has (section 3.3.4)."""
    entered = nfs.enter(call, args.object)
    attr, granted = await entered.verbs.access(entered.caller, entered.file, args.access & _ACCESS_BITS)
    return res.ACCESS3resok(fattr3_of(attr, entered.export), granted)


async def nfsproc3_readlink(nfs: Nfs3, call: Call, args: args3.READLINK3args) -> res.READLINK3resok:
    """Return a symbolic link's text (section 3.3.5)."""
    entered = nfs.enter(call, args.symlink)
    attr, target = await entered.verbs.readlink(entered.caller, entered.file)
    return res.READLINK3resok(fattr3_of(attr, entered.export), target)


async def nfsproc3_read(nfs: Nfs3, call: Call, args: args3.READ3args) -> res.READ3resok:
    """Return bytes of a file, at most rtmax of them (section 3.3.6)."""
    entered = nfs.enter(call, args.file)
    # No file reaches past the largest offset, so a read from beyond it is one at the end.
    offset = min(args.offset, MAX_FILE_BYTES)
    read = await entered.verbs.read(entered.caller, entered.file, offset, min(args.count, MAX_TRANSFER_BYTES))
    return res.READ3resok(fattr3_of(read.file, entered.export), read.count, read.eof, read.buffers)


async def nfsproc3_write(nfs: Nfs3, call: Call, args: args3.WRITE3args) -> res.WRITE3resok:
    """Write bytes to a file (section 3.3.7)."""
    entered = nfs.enter(call, args.file)
    if args.count != len(args.data):
        raise InvalidArgument(f"count {args.count} with {len(args.data)} bytes")
    if args.offset + args.count > MAX_FILE_BYTES:
        raise TooLarge(f"{args.count} bytes at {args.offset}")
    written = await entered.verbs.write(entered.caller, entered.file, args.offset, args.data, _STABILITY[args.stable])
    wcc = wcc_data_of(written.file, entered.export)
    return res.WRITE3resok(wcc, written.count, written.stability, written.verifier)  # type: ignore[arg-type]  # the numbers of Stability are those of stable_how


async def nfsproc3_commit(nfs: Nfs3, call: Call, args: args3.COMMIT3args) -> res.COMMIT3resok:
    """Make written bytes durable (section 3.3.21)."""
    entered = nfs.enter(call, args.file)
    offset = min(args.offset, MAX_FILE_BYTES)
    written = await entered.verbs.commit(entered.caller, entered.file, offset, args.count)
    return res.COMMIT3resok(wcc_data_of(written.file, entered.export), written.verifier)
