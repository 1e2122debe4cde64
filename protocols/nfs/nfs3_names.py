"""The NFS version 3 procedures on names in directories (RFC 1813, section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import AccessDenied, CrossVolume
from namespace.api import CreateMode
from protocols.nfs.attributes import fattr3_of, post_op_attr_of, set_attr_of, wcc_data_of
from protocols.nfs.codec import nfs3_results as res
from protocols.nfs.codec.nfs3_types import ftype3, nfsstat3
from protocols.nfs.errors import Nfs3Refusal
from protocols.nfs.exports import WHOLE

if TYPE_CHECKING:
    from namespace.api import Looked, Made
    from protocols.nfs.codec import nfs3_args as args3
    from protocols.nfs.dispatch import Call
    from protocols.nfs.nfs3 import Entered, Nfs3

_MADE_BY_MKNOD = frozenset({ftype3.NF3BLK, ftype3.NF3CHR, ftype3.NF3SOCK, ftype3.NF3FIFO})


async def nfsproc3_lookup(nfs: Nfs3, call: Call, args: args3.LOOKUP3args) -> res.LOOKUP3resok:
    """Find a name in a directory (section 3.3.3)."""
    entered = nfs.enter(call, args.what.dir)
    if args.what.name == b".." and entered.export.id != WHOLE:
        looked = await _lookup_parent(nfs, entered)
    else:
        looked = await entered.verbs.lookup(entered.caller, entered.file, args.what.name)
    return res.LOOKUP3resok(
        nfs.handle(looked.file.file, entered.export),
        fattr3_of(looked.file, entered.export),
        fattr3_of(looked.directory, entered.export),
    )


async def _lookup_parent(nfs: Nfs3, entered: Entered) -> Looked:
    """Find `..` without leaving a sub-directory export, whose top is its own parent.

    A directory that was moved out of the export has a parent outside it: AccessDenied.
    """
    lookup, caller = entered.verbs.lookup, entered.caller
    top = await nfs.tops.known(entered.export)
    looked = await lookup(caller, entered.file, b"." if entered.file == top else b"..")
    above = looked.file.file
    while above != top:
        parent = (await lookup(caller, above, b"..")).file.file
        if parent == above:
            raise AccessDenied("the parent is outside the export")
        above = parent
    return looked


async def nfsproc3_create(nfs: Nfs3, call: Call, args: args3.CREATE3args) -> res.CREATE3resok:
    """Make a regular file (section 3.3.8)."""
    entered = nfs.enter(call, args.where.dir)
    how = args.how
    mode, attrs = CreateMode(how.mode), set_attr_of(how.obj_attributes)
    made = await entered.verbs.create(
        entered.caller, entered.file, args.where.name, mode, attrs, how.verf, call.request
    )
    return _made(nfs, entered, made)


async def nfsproc3_mkdir(nfs: Nfs3, call: Call, args: args3.MKDIR3args) -> res.CREATE3resok:
    """Make a directory (section 3.3.9)."""
    entered = nfs.enter(call, args.where.dir)
    attrs = set_attr_of(args.attributes)
    made = await entered.verbs.mkdir(entered.caller, entered.file, args.where.name, attrs, call.request)
    return _made(nfs, entered, made)


async def nfsproc3_symlink(nfs: Nfs3, call: Call, args: args3.SYMLINK3args) -> res.CREATE3resok:
    """Make a symbolic link (section 3.3.10)."""
    entered = nfs.enter(call, args.where.dir)
    attrs = set_attr_of(args.symlink.symlink_attributes)
    target = args.symlink.symlink_data
    made = await entered.verbs.symlink(entered.caller, entered.file, args.where.name, target, attrs, call.request)
    return _made(nfs, entered, made)


async def nfsproc3_mknod(nfs: Nfs3, call: Call, args: args3.MKNOD3args) -> res.CREATE3resok:
    """Make a device, socket or FIFO (section 3.3.11)."""
    entered = nfs.enter(call, args.where.dir)
    what = args.what
    if what.type not in _MADE_BY_MKNOD:
        raise Nfs3Refusal(nfsstat3.NFS3ERR_BADTYPE)
    attrs = set_attr_of(what.attributes)
    made = await entered.verbs.mknod(
        entered.caller, entered.file, args.where.name, what.type, what.spec, attrs, call.request
    )
    return _made(nfs, entered, made)


def _made(nfs: Nfs3, entered: Entered, made: Made) -> res.CREATE3resok:
    return res.CREATE3resok(
        None if made.file is None else nfs.handle(made.file.file, entered.export),
        post_op_attr_of(made.file, entered.export),
        wcc_data_of(made.directory, entered.export),
    )


async def nfsproc3_remove(nfs: Nfs3, call: Call, args: args3.REMOVE3args) -> res.dir_wcc_res:
    """Remove a name of anything but a directory (section 3.3.12)."""
    entered = nfs.enter(call, args.object.dir)
    wcc = await entered.verbs.remove(entered.caller, entered.file, args.object.name, call.request)
    return res.dir_wcc_res(wcc_data_of(wcc, entered.export))


async def nfsproc3_rmdir(nfs: Nfs3, call: Call, args: args3.RMDIR3args) -> res.dir_wcc_res:
    """Remove an empty directory (section 3.3.13)."""
    entered = nfs.enter(call, args.object.dir)
    wcc = await entered.verbs.rmdir(entered.caller, entered.file, args.object.name, call.request)
    return res.dir_wcc_res(wcc_data_of(wcc, entered.export))


async def nfsproc3_rename(nfs: Nfs3, call: Call, args: args3.RENAME3args) -> res.RENAME3res:
    """Move a name (section 3.3.14)."""
    source, target = _enter_both(nfs, call, args.from_.dir, args.to.dir)
    renamed = await source.verbs.rename(
        source.caller, source.file, args.from_.name, target.file, args.to.name, call.request
    )
    return res.RENAME3res(wcc_data_of(renamed.source, source.export), wcc_data_of(renamed.target, source.export))


async def nfsproc3_link(nfs: Nfs3, call: Call, args: args3.LINK3args) -> res.LINK3res:
    """Give a file a further name (section 3.3.15)."""
    file, directory = _enter_both(nfs, call, args.file, args.link.dir)
    linked = await file.verbs.link(file.caller, file.file, directory.file, args.link.name, call.request)
    return res.LINK3res(post_op_attr_of(linked.file, file.export), wcc_data_of(linked.directory, file.export))


def _enter_both(nfs: Nfs3, call: Call, first: bytes, second: bytes) -> tuple[Entered, Entered]:
    """Check two handles; raise CrossVolume unless they are of one volume by one export, and so of one caller."""
    one, other = nfs.enter(call, first), nfs.enter(call, second)
    if one.file.vol != other.file.vol or one.export is not other.export:
        raise CrossVolume("two exports")
    return one, other
