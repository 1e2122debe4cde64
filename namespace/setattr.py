"""Attributes that a caller sets: at creation, by SETATTR, and truncation (RFC 1813, sections 2.6 and 3.3.2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from foundation.crash import crash_point
from foundation.errors import GuardFailed, InvalidArgument, IsDirectory, NotPermitted, TooLarge
from metastore.records import FileType, InodeFlag
from namespace.api import NOW, Wcc
from namespace.attributes import Before, attr_of
from namespace.authority import (
    CHANGE,
    SETGID,
    TOUCH,
    WRITE_FILE,
    authorize_change,
    in_group,
    mode_written_by,
    without_privileges,
)
from namespace.edit import Edit, Planned, inline_fields
from namespace.extents import Draft
from namespace.hall import Verbs
from namespace.lineage import amend
from namespace.loader import EXTENT_PAGE
from namespace.once import changed_again
from namespace.view import MAX_SIZE, View, is_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from metastore.records import Inode
    from namespace.api import Caller, FileId, SetAttr
    from namespace.cache import InodeEntry
    from namespace.volume import VolumeState

_after_step = crash_point("truncate.after_step")
MODE_BITS = 0o7777
#: Extents that one Change of a truncation may let go: the database is busy with them for a fraction of a second.
STEP_EXTENTS = 10_000
#: The record of a request that was begun in such steps.
_BEGUN = b"begun"
#: A truncation that lets more extents go than this says so in one row, not in one for each.
ROWS_DROPPED = 16
DEFAULT_MODES = {FileType.DIRECTORY: 0o755, FileType.SYMLINK: 0o777}
DEFAULT_FILE_MODE = 0o644


class SetAttrVerb(Verbs):
    """SETATTR."""

    async def setattr(
        self, caller: Caller, file: FileId, change: SetAttr, guard_ctime: int | None, request: bytes = b""
    ) -> Wcc:
        """Change attributes; raise GuardFailed if *guard_ctime* is given and is not the file's ctime."""
        volume = await self._volumes.numbered(file.vol, request)
        in_steps = True
        again: Callable[[View, bytes], Wcc | int] | None = changed_again(file)
        if volume.replies.get(request) == _BEGUN:
            again = guard_ctime = None  # a crash cut it short: the rest is to be done, and the guard held before

        def plan(view: View) -> Planned[Wcc | int]:
            entry, image = view.file(file)
            before = Before(entry)
            edit = Edit(view, self._clock.now_ns())
            fields = _allowed(caller, entry, image, change, guard_ctime, edit.now_ns)
            if is_directory(image):
                fields["flags"] = image.flags | InodeFlag.EXPLICIT  # NFS knows it now: it stays when it is empty
            if change.size is not None:
                if in_steps and 0 < change.size < image.size and image.extents > STEP_EXTENTS:
                    return Planned(lambda: image.content)  # too much for one Change
                truncate(edit, caller, entry, change.size)
            if fields or change.size is None:
                edit.touch(entry, **fields)
            if "mtime" in fields:
                edit.then(lambda: _own_mtime_holds(entry))
            return edit.planned(before.wcc)

        done = await self._engine.run(volume, plan, (file,), request, again)
        if isinstance(done, int):
            cuts = await self._cut_points(volume, done, change.size or 0)
            await self._shorten(volume, caller, file, cuts, request)
            in_steps = False
            guard_ctime = None  # it held; since then the file has changed by this truncation's own steps
            done = await self._engine.run(volume, plan, (file,), request)
        assert isinstance(done, Wcc)  # there is no further step
        return done

    async def _shorten(
        self, volume: VolumeState, caller: Caller, file: FileId, cuts: list[int], request: bytes
    ) -> None:
        """Cut the far end of a file, from the last of *cuts* to the first (ADR 0062).

        Each step is a truncation of its own, so a crash leaves more of the file, and every byte of it right.
        """

        def step(view: View, at: int) -> Planned[None]:
            entry, image = view.file(file)
            edit = Edit(view, self._clock.now_ns())
            if at < image.size:
                truncate(edit, caller, entry, at)
            return edit.planned(lambda: None, _BEGUN)

        for at in reversed(cuts):
            await self._engine.run(volume, partial(step, at=at), (file,), request)
            _after_step()

    async def _cut_points(self, volume: VolumeState, content: int, start: int) -> list[int]:
        """Return offsets behind *start* with at most STEP_EXTENTS extents from each to the next; keep none of those."""
        points: list[int] = []
        count = 0
        while page := await self._engine.metastore.load_extents(volume.vol, content, start, EXTENT_PAGE):
            for extent in page:
                count += 1
                if not count % STEP_EXTENTS:
                    points.append(extent.offset)
            start = page[-1].end
        return points


def _allowed(
    caller: Caller, entry: InodeEntry, image: Inode, change: SetAttr, guard: int | None, now_ns: int
) -> dict[str, object]:
    """Return the inode fields to set beside the size, after every check that SETATTR makes."""
    if guard is not None and attr_of(entry).ctime != guard:
        raise GuardFailed("the file has changed")
    fields = _fields(caller, image, change, now_ns)
    if change.size is not None:
        if is_directory(image):
            raise IsDirectory("a directory has no size to set")
        if image.type != FileType.REGULAR:
            raise InvalidArgument("only a file has a size to set")
        WRITE_FILE.require(caller, image)
        _check_size(change.size)
    return fields


def _fields(caller: Caller, image: Inode, change: SetAttr, now_ns: int) -> dict[str, object]:
    """Return the inode fields that *change* sets, after checking the right to each (chmod(2), chown(2), utimes(2))."""
    authorize_change(caller)
    fields = _ownership(caller, image, change)
    given_away = (change.uid is not None or change.gid is not None) and not is_directory(image)
    if change.mode is not None:
        CHANGE.require(caller, image)
        gid = image.gid if change.gid is None else change.gid
        mode = change.mode & MODE_BITS
        if caller.uid != 0 and not in_group(caller, gid):
            mode &= ~SETGID  # nobody makes files run as a group of strangers
        fields["mode"] = without_privileges(mode) if given_away else mode
    elif given_away:
        fields["mode"] = without_privileges(image.mode)  # for uid 0 too, as Linux does
    fields.update(_times(caller, image, change, now_ns))
    if image.create_verf is not None:
        fields["create_verf"] = None  # the client that made the file has gone on: a later CREATE is another's
    return fields


def _ownership(caller: Caller, image: Inode, change: SetAttr) -> dict[str, object]:
    """Return the owner and group to set."""
    fields: dict[str, object] = {}
    if change.uid is not None:
        if caller.uid != 0 and (caller.uid != image.uid or change.uid != image.uid):
            raise NotPermitted("only the super-user gives files away")
        fields["uid"] = change.uid
    if change.gid is not None:
        CHANGE.require(caller, image)
        if caller.uid != 0 and change.gid != image.gid and not in_group(caller, change.gid):
            raise NotPermitted("the owner gives a file only to a group of its own")
        fields["gid"] = change.gid
    return fields


def _times(caller: Caller, image: Inode, change: SetAttr, now_ns: int) -> dict[str, int]:
    """Return the times to set: the owner sets any, a writer sets them to now."""
    times = {name: value for name in ("atime", "mtime") if (value := getattr(change, name)) is not None}
    if not times:
        return {}
    if all(value == NOW for value in times.values()):
        TOUCH.require(caller, image)
    else:
        CHANGE.require(caller, image)
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
    elif attrs.gid is not None and in_group(caller, attrs.gid):
        gid = attrs.gid
    if caller.uid != 0 and kind != FileType.DIRECTORY and not in_group(caller, gid):
        mode &= ~SETGID
    fields: dict[str, object] = {}
    for name in ("atime", "mtime"):
        value = getattr(attrs, name)
        if value is not None:
            fields[name] = now_ns if value == NOW else value
    if attrs.size is not None and kind == FileType.REGULAR:
        _check_size(attrs.size)
        fields["size"] = attrs.size
    return mode, uid, gid, fields


def truncate(edit: Edit, caller: Caller, entry: InodeEntry, size: int) -> None:
    """Plan to make a file *size* bytes long: bytes behind are let go, a hole appears before.

    Times move even where the size stays (ftruncate(2)). Truncation to nothing detaches the content in one step,
    however large it is.
    """
    _check_size(size)
    image = edit.image(entry)
    fields: dict[str, object] = {"mtime": edit.now_ns, "mode": mode_written_by(caller, image)}
    if size != image.size:
        kept = edit.view.volume.versioning and amend(edit, entry, whole=size == 0)
        if size == 0:
            if not kept:
                edit.detach_content(image)
            edit.set(entry, content=edit.view.number("content"), used=0, extents=0, **inline_fields(None))
        elif size < image.size:
            _shorten(edit, entry, size)
        fields |= {"size": size, "content_time": edit.now_ns, "write_seq": image.write_seq + 1, "etag": None}
    edit.touch(entry, **fields)
    edit.then(lambda: _truncate_overlay(entry, size))


def _shorten(edit: Edit, entry: InodeEntry, size: int) -> None:
    """Plan to let all extents behind *size* go."""
    draft = Draft(edit.view.extents(entry, size, MAX_SIZE))
    draft.replace(size, None)
    if draft.changed:
        edit.redraw(entry, draft, cut=size if len(draft.removed) > ROWS_DROPPED else None)


def _truncate_overlay(entry: InodeEntry, size: int) -> None:
    overlay = entry.overlay
    if overlay is None:
        return
    overlay.truncate(size)
    overlay.mtime = None
    if not overlay.runs:
        overlay.discard()
        entry.overlay = None
    entry.attr = None


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise TooLarge("a file has at most 2^63 - 1 bytes")
