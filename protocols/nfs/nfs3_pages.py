"""READDIR and READDIRPLUS: pages of the namespace, cut to the bytes a client has room for (RFC 1813, section 3.3).

A page never passes the client's limits, is never empty unless the directory ends (NFS3ERR_TOOSMALL instead), and
says eof only with the last entry. Cookies are the namespace's; the verifier is the volume's number, for ever, and
whatever a client sends as one is right.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import TYPE_CHECKING

from msgspec.structs import replace

from protocols.nfs.attributes import fattr3_of, post_op_attr_of
from protocols.nfs.codec import nfs3_results as res
from protocols.nfs.codec.nfs3_types import fattr3, nfsstat3
from protocols.nfs.errors import Nfs3Refusal
from protocols.nfs.exports import WHOLE
from protocols.nfs.handles import HANDLE_BYTES
from protocols.nfs.nfs3_files import MAX_TRANSFER_BYTES

if TYPE_CHECKING:
    from namespace.api import DirEntry, DirPage
    from protocols.nfs.codec import nfs3_args as args3
    from protocols.nfs.dispatch import Call
    from protocols.nfs.nfs3 import Entered, Nfs3

_COOKIEVERF = Layout(">Q")
#: Status, directory attributes, verifier, end of list and eof.
_FRAME_BYTES = 4 + 4 + fattr3.layout.size + 8 + 4 + 4
#: An entry without its name: announcement, fileid, length of the name, cookie.
_ENTRY_BYTES = 4 + 8 + 4 + 8
_PLUS_ATTR_BYTES = fattr3.layout.size
_PLUS_HANDLE_BYTES = 4 + HANDLE_BYTES
#: What a short name takes: no more entries than so many fit a page, so no more are asked for.
_SHORT_NAME_BYTES = 12
#: Entries asked for at once: bounds the work of one call.
_MAX_ENTRIES = 2048
#: No entry's number is above this; the namespace is not asked beyond it.
_LAST_COOKIE = 2**63 - 1


async def nfsproc3_readdir(nfs: Nfs3, call: Call, args: args3.READDIR3args) -> res.READDIR3resok:
    """Return entries of a directory (section 3.3.16)."""
    entered = nfs.enter(call, args.dir)
    room = min(args.count, MAX_TRANSFER_BYTES) - _FRAME_BYTES
    page = await _page(nfs, entered, args.cookie, room // (_ENTRY_BYTES + _SHORT_NAME_BYTES))
    entries = []
    for entry in page.entries:
        room -= _ENTRY_BYTES + _padded(entry.name)
        if room < 0:
            break
        entries.append(res.entry3(entry.ino, entry.name, entry.cookie))
    _check(page, len(entries), room)
    eof = page.eof and len(entries) == len(page.entries)
    directory = fattr3_of(page.directory, entered.export)
    return res.READDIR3resok(directory, _COOKIEVERF.pack(entered.file.vol), tuple(entries), eof)


async def nfsproc3_readdirplus(nfs: Nfs3, call: Call, args: args3.READDIRPLUS3args) -> res.READDIRPLUS3resok:
    """Return entries of a directory with their attributes and handles (section 3.3.17)."""
    entered = nfs.enter(call, args.dir)
    room = min(args.maxcount, MAX_TRANSFER_BYTES) - _FRAME_BYTES
    names_room = min(args.dircount, MAX_TRANSFER_BYTES)
    short = _ENTRY_BYTES + _SHORT_NAME_BYTES
    limit = min(room // (short + 8 + _PLUS_ATTR_BYTES + _PLUS_HANDLE_BYTES), names_room // short)
    page = await _page(nfs, entered, args.cookie, limit)
    entries = []
    for entry in page.entries:
        plus = _entryplus3(nfs, entered, entry)
        size = _ENTRY_BYTES + _padded(entry.name)
        names_room -= size
        room -= size + 8
        if plus.name_attributes is not None:
            room -= _PLUS_ATTR_BYTES
        if plus.name_handle is not None:
            room -= _PLUS_HANDLE_BYTES
        if room < 0 or names_room < 0:
            break
        entries.append(plus)
    _check(page, len(entries), room)
    eof = page.eof and len(entries) == len(page.entries)
    directory = fattr3_of(page.directory, entered.export)
    return res.READDIRPLUS3resok(directory, _COOKIEVERF.pack(entered.file.vol), tuple(entries), eof)


async def _page(nfs: Nfs3, entered: Entered, cookie: int, limit: int) -> DirPage:
    """Ask the namespace for at most *limit* entries after *cookie*, but at least one."""
    after = min(cookie, _LAST_COOKIE)
    page = await entered.verbs.readdir(entered.caller, entered.file, after, max(1, min(limit, _MAX_ENTRIES)))
    if entered.export.id == WHOLE:
        return page
    # No handle may lead out of a sub-directory export; its top, as far as that is known, is its own parent.
    top = await nfs.tops.known(entered.export)
    here = page.directory.file.ino
    entries = (
        replace(entry, attr=None, ino=here if top in {entered.file, None} else entry.ino)
        if entry.name == b".."
        else entry
        for entry in page.entries
    )
    return replace(page, entries=tuple(entries))


def _check(page: DirPage, taken: int, room: int) -> None:
    """Raise Nfs3Refusal (NFS3ERR_TOOSMALL) where not even one entry, or the empty page, has room."""
    if not taken and (page.entries or room < 0):
        raise Nfs3Refusal(nfsstat3.NFS3ERR_TOOSMALL, (page.directory,))


def _entryplus3(nfs: Nfs3, entered: Entered, entry: DirEntry) -> res.entryplus3:
    attr, export = entry.attr, entered.export
    handle = None if attr is None else nfs.handle(attr.file, export)
    return res.entryplus3(entry.ino, entry.name, entry.cookie, post_op_attr_of(attr, export), handle)


def _padded(name: bytes) -> int:
    return len(name) + 3 & ~3
