"""Attributes that a caller sets: at creation, by SETATTR, and truncation (RFC 1813, sections 2.6 and 3.3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import GuardFailed, InvalidArgument, IsDirectory, NotPermitted, ReadOnly, TooLarge
from metastore.records import FileType, InodeFlag
from namespace.api import NOW
from namespace.attributes import Before, attr_of
from namespace.authority import WRITE, authorize, authorize_io, authorize_owner
from namespace.edit import Edit, Planned, inline_fields
from namespace.extents import Draft
from namespace.hall import Verbs
from namespace.view import MAX_SIZE, View, is_directory

if TYPE_CHECKING:
    from metastore.records import Inode
    from namespace.api import Caller, FileId, SetAttr, Wcc
    from namespace.cache import InodeEntry

MODE_BITS = 0o7777
SETUID, SETGID = 0o4000, 0o2000
DEFAULT_MODES = {FileType.DIRECTORY: 0o755, FileType.SYMLINK: 0o777}
DEFAULT_FILE_MODE = 0o644


class SetAttrVerb(Verbs):
    """SETATTR."""

    async def setattr(self, caller: Caller, file: FileId, change: SetAttr, guard_ctime: int | None) -> Wcc:
        """Change attributes; raise GuardFailed if *guard_ctime* is given and is not the file's ctime."""
        volume = await self._volumes.numbered(file.vol)

        def plan(view: View) -> Planned[Wcc]:
            entry, image = view.file(file)
            if guard_ctime is not None and attr_of(entry).ctime != guard_ctime:
                raise GuardFailed("the file has changed")
            edit = Edit(view, self._clock.now_ns())
            before = Before(entry)
            fields = _fields(caller, image, change, edit.now_ns)
            if is_directory(image):
                fields["flags"] = image.flags | InodeFlag.EXPLICIT  # NFS knows it now: it stays when it is empty
            if change.size is not None:
                if is_directory(image):
                    raise IsDirectory("a directory has no size to set")
                if image.type != FileType.REGULAR:
                    raise InvalidArgument("only a file has a size to set")
                authorize_io(caller, image, WRITE)
                truncate(edit, entry, change.size)
            if fields or change.size is None:
                edit.touch(entry, **fields)
            if "mtime" in fields:
                edit.then(lambda: _own_mtime_holds(entry))
            return edit.planned(before.wcc)

        return await self._engine.run(volume, plan, (file,))


def _fields(caller: Caller, image: Inode, change: SetAttr, now_ns: int) -> dict[str, int]:
    """Return the inode fields that *change* sets, after checking the right to each."""
    if caller.read_only:
        raise ReadOnly("the export or key is read-only")
    fields: dict[str, int] = {}
    if change.mode is not None:
        authorize_owner(caller, image)
        fields["mode"] = _mode(caller, image, change.mode)
    if change.uid is not None and change.uid != image.uid:
        if caller.uid != 0:
            raise NotPermitted("only the super-user gives files away")
        fields["uid"] = change.uid
    if change.gid is not None and change.gid != image.gid:
        authorize_owner(caller, image)
        if caller.uid != 0 and change.gid != caller.gid and change.gid not in caller.groups:
            raise NotPermitted("the owner gives a file only to a group of its own")
        fields["gid"] = change.gid
    if ("uid" in fields or "gid" in fields) and caller.uid != 0 and not is_directory(image):
        fields["mode"] = fields.get("mode", image.mode) & ~(SETUID | SETGID)
    fields.update(_times(caller, image, change, now_ns))
    return fields


def _mode(caller: Caller, image: Inode, mode: int) -> int:
    """Return the mode as it may be set: a stranger to the group does not make a setgid file."""
    mode &= MODE_BITS
    in_group = image.gid == caller.gid or image.gid in caller.groups
    if caller.uid != 0 and not in_group and not is_directory(image):
        mode &= ~SETGID
    return mode


def _times(caller: Caller, image: Inode, change: SetAttr, now_ns: int) -> dict[str, int]:
    """Return the times to set: the owner sets any, a writer sets them to now."""
    times = {name: value for name in ("atime", "mtime") if (value := getattr(change, name)) is not None}
    if not times:
        return {}
    if all(value == NOW for value in times.values()) and caller.uid not in (0, image.uid):
        authorize(caller, image, WRITE)
    else:
        authorize_owner(caller, image)
    return {name: now_ns if value == NOW else value for name, value in times.items()}


def _own_mtime_holds(entry: InodeEntry) -> None:
    if entry.overlay is not None:
        entry.overlay.mtime = None
        entry.attr = None


def initial_fields(
    caller: Caller, directory: Inode, kind: FileType, attrs: SetAttr, now_ns: int
) -> tuple[int, int, int, dict[str, object]]:
    """Return mode, uid, gid and further fields of something new in *directory*, setgid directories included."""
    mode = DEFAULT_MODES.get(kind, DEFAULT_FILE_MODE) if attrs.mode is None else attrs.mode & MODE_BITS
    inherited = bool(directory.mode & SETGID)
    gid = directory.gid if inherited else caller.gid
    if inherited and kind == FileType.DIRECTORY:
        mode |= SETGID
    uid = caller.uid
    if caller.uid == 0:
        uid = uid if attrs.uid is None else attrs.uid
        gid = gid if attrs.gid is None else attrs.gid
    elif attrs.gid is not None and (attrs.gid == caller.gid or attrs.gid in caller.groups):
        gid = attrs.gid
    fields: dict[str, object] = {}
    for name in ("atime", "mtime"):
        value = getattr(attrs, name)
        if value is not None:
            fields[name] = now_ns if value == NOW else value
    if attrs.size is not None and kind == FileType.REGULAR:
        _check_size(attrs.size)
        fields["size"] = attrs.size
    return mode, uid, gid, fields


def truncate(edit: Edit, entry: InodeEntry, size: int) -> None:
    """Plan to make a file *size* bytes long: bytes behind are let go, a hole appears before.

    Truncation to nothing detaches the content in one step, however large it is.
    """
    _check_size(size)
    image = edit.image(entry)
    shown = attr_of(entry).size
    if size == shown and entry.overlay is None:
        edit.touch(entry, mtime=edit.now_ns)
        return
    if size == 0:
        edit.detach_content(image)
        edit.set(entry, content=edit.view.number("content"), used=0, extents=0, **inline_fields(None))
    elif size < image.size:
        draft = Draft(edit.view.extents(entry, size, MAX_SIZE))
        draft.replace(size, None)
        if draft.changed:
            edit.redraw(entry, draft)
    edit.touch(entry, size=size, mtime=edit.now_ns, content_time=edit.now_ns, write_seq=image.write_seq + 1, etag=None)
    edit.then(lambda: _truncate_overlay(entry, size))


def _truncate_overlay(entry: InodeEntry, size: int) -> None:
    if entry.overlay is not None:
        entry.overlay.truncate(size)
        entry.overlay.mtime = None
        entry.attr = None


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise TooLarge("a file has at most 2^63 - 1 bytes")
