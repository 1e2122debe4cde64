"""The verbs that change names: create, mkdir, symlink, mknod, link, remove, rmdir (POSIX; RFC 1813, section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import (
    AlreadyExists,
    InvalidArgument,
    IsDirectory,
    NameTooLong,
    NotDirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
    TooManyLinks,
)
from metastore.records import FileType, Inode, InodeFlag
from namespace.api import CreateMode, Linked, Made, SetAttr
from namespace.attributes import Before, attr_of
from namespace.authority import ENTER, REMOVE, WALK, WRITE_FILE
from namespace.collisions import directory_goes, free_place
from namespace.edit import Edit, Planned
from namespace.ghosts import make_directory, vacate
from namespace.hall import Verbs
from namespace.lineage import bury, check_linkable, entitle
from namespace.names import check_name, check_new_name
from namespace.once import changed_again, linked_again, made_again, made_record
from namespace.setattr import initial_fields, truncate
from namespace.silly import is_silly_name
from namespace.view import View, is_directory

if TYPE_CHECKING:
    from metastore.records import Edge, Version
    from namespace.api import Caller, FileId, Wcc
    from namespace.cache import InodeEntry

#: Longest text of a symbolic link, in bytes.
TARGET_MAX = 4096
LINK_MAX = 65_000
SETGID = 0o2000


class TreeVerbs(Verbs):
    """Names, made and taken away."""

    async def create(  # noqa: PLR0913, PLR0917 - all that CREATE said
        self,
        caller: Caller,
        directory: FileId,
        name: bytes,
        mode: CreateMode,
        attrs: SetAttr,
        verifier: bytes,
        request: bytes = b"",
    ) -> Made:
        """Make a regular file (RFC 1813, section 3.3.8)."""
        volume = await self._volumes.numbered(directory.vol, request)

        def plan(view: View) -> Planned[Made]:
            parent, image = open_directory(view, directory)
            check_new_name(name)
            existing = find(view, caller, image, name)
            if existing is not None:
                return self._existing(view, caller, parent, existing, mode, attrs, verifier)
            edit = Edit(view, self._clock.now_ns())
            extra = {"create_verf": verifier} if mode == CreateMode.EXCLUSIVE else {}
            return self._make(edit, caller, parent, name, FileType.REGULAR, attrs, **extra)

        return await self._engine.run(volume, plan, (directory,), request, made_again(directory))

    def _existing(  # noqa: PLR0913, PLR0917 - all that CREATE said
        self,
        view: View,
        caller: Caller,
        parent: InodeEntry,
        existing: Edge,
        mode: CreateMode,
        attrs: SetAttr,
        verifier: bytes,
    ) -> Planned[Made]:
        """Answer a CREATE whose name is taken: UNCHECKED takes the file as it is, EXCLUSIVE knows its own."""
        entry, image = view.live(existing.ino)
        before = Before(parent)
        mine = mode == CreateMode.EXCLUSIVE and image.create_verf is not None and image.create_verf == verifier
        if mode != CreateMode.UNCHECKED and not mine:
            raise AlreadyExists("the name is taken")
        if image.type != FileType.REGULAR:
            raise AlreadyExists("the name is taken by something else than a file")
        if mine or attrs.size is None:
            return Planned(lambda: Made(attr_of(entry), before.wcc()))
        WRITE_FILE.require(caller, image)
        edit = Edit(view, self._clock.now_ns())
        truncate(edit, caller, entry, attrs.size)
        return edit.planned(lambda: Made(attr_of(entry), before.wcc()), made_record(image))

    async def mkdir(self, caller: Caller, directory: FileId, name: bytes, attrs: SetAttr, request: bytes = b"") -> Made:
        """Make a directory, explicit (RFC 1813, section 3.3.9)."""
        fields = {"flags": int(InodeFlag.EXPLICIT)}
        return await self._new(caller, directory, name, FileType.DIRECTORY, attrs, request, **fields)

    async def symlink(
        self, caller: Caller, directory: FileId, name: bytes, target: bytes, attrs: SetAttr, request: bytes = b""
    ) -> Made:
        """Make a symbolic link (RFC 1813, section 3.3.10)."""
        if len(target) > TARGET_MAX:
            raise NameTooLong("a symbolic link has at most 4,096 bytes")
        if not target or b"\0" in target:
            raise InvalidArgument("a symbolic link is neither empty nor has it a NUL")
        fields = {"target": target, "size": len(target)}
        return await self._new(caller, directory, name, FileType.SYMLINK, attrs, request, **fields)

    async def mknod(  # noqa: PLR0913, PLR0917 - all that MKNOD said
        self,
        caller: Caller,
        directory: FileId,
        name: bytes,
        kind: int,
        rdev: int,
        attrs: SetAttr,
        request: bytes = b"",
    ) -> Made:
        """Make a device, socket or FIFO (RFC 1813, section 3.3.11)."""
        if kind not in (FileType.BLOCK, FileType.CHARACTER, FileType.SOCKET, FileType.FIFO):
            raise InvalidArgument("not a special file")
        if kind in (FileType.BLOCK, FileType.CHARACTER) and caller.uid != 0:
            raise NotPermitted("only the super-user makes devices")
        return await self._new(caller, directory, name, FileType(kind), attrs, request, rdev=rdev)

    async def _new(
        self,
        caller: Caller,
        directory: FileId,
        name: bytes,
        kind: FileType,
        attrs: SetAttr,
        request: bytes,
        **fields: object,
    ) -> Made:
        volume = await self._volumes.numbered(directory.vol, request)

        def plan(view: View) -> Planned[Made]:
            parent, image = open_directory(view, directory)
            check_new_name(name)
            if find(view, caller, image, name) is not None:
                raise AlreadyExists("the name is taken")
            return self._make(Edit(view, self._clock.now_ns()), caller, parent, name, kind, attrs, **fields)

        return await self._engine.run(volume, plan, (directory,), request, made_again(directory))

    def _make(
        self,
        edit: Edit,
        caller: Caller,
        parent: InodeEntry,
        name: bytes,
        kind: FileType,
        attrs: SetAttr,
        **fields: object,
    ) -> Planned[Made]:
        """Plan a new inode called *name* in *parent*."""
        directory = edit.image(parent)
        ENTER.require(caller, directory)
        before = Before(parent)
        mode, uid, gid, times = initial_fields(caller, directory, kind, attrs, edit.now_ns)
        skey, alias = free_place(edit.view, directory.ino, name, kind)
        if kind == FileType.DIRECTORY:
            made = make_directory(edit, directory.ino, skey, (mode, uid, gid), **{**times, **fields})
        else:
            made = edit.new_inode(kind, mode, uid, gid, **{**times, **fields})
        listed = is_listed(kind, name)
        edit.place(directory.ino, skey, made.ino, alias=alias, listed=listed)
        if edit.view.volume.versioning and listed and kind == FileType.REGULAR:
            entitle(edit, directory.ino, skey, made.ino)
        edit.touch_directory(parent, entries=1, links=int(kind == FileType.DIRECTORY), explicit=True)
        cache = edit.view.volume.cache
        return edit.planned(lambda: Made(attr_of(cache.inodes[made.ino]), before.wcc()), made_record(made))

    async def link(self, caller: Caller, file: FileId, directory: FileId, name: bytes, request: bytes = b"") -> Linked:
        """Give a file a further name (RFC 1813, section 3.3.15)."""
        volume = await self._volumes.numbered(directory.vol, request)

        def plan(view: View) -> Planned[Linked]:
            entry, image = view.file(file)
            parent, parent_image = open_directory(view, directory)
            check_new_name(name)
            if is_directory(image):
                raise IsDirectory("a directory has one name")
            if find(view, caller, parent_image, name) is not None:
                raise AlreadyExists("the name is taken")
            ENTER.require(caller, parent_image)
            if image.nlink >= LINK_MAX:
                raise TooManyLinks("the file has as many names as it can have")
            edit = Edit(view, self._clock.now_ns())
            if view.volume.versioning and image.type == FileType.REGULAR:
                check_linkable(view, entry, edit.now_ns)
            before = Before(parent)
            edit.touch(entry, nlink=image.nlink + 1)
            skey, alias = free_place(view, parent_image.ino, name, image.type)
            listed = is_listed(image.type, name)
            edit.place(parent_image.ino, skey, image.ino, alias=alias, listed=listed)
            if view.volume.versioning and listed:
                entitle(edit, parent_image.ino, skey, image.ino)
            edit.touch_directory(parent, entries=1, explicit=True)
            return edit.planned(lambda: Linked(attr_of(entry), before.wcc()))

        return await self._engine.run(volume, plan, (file, directory), request, linked_again(file, directory))

    async def remove(self, caller: Caller, directory: FileId, name: bytes, request: bytes = b"") -> Wcc:
        """Unlink anything but a directory (RFC 1813, section 3.3.12)."""
        volume = await self._volumes.numbered(directory.vol, request)

        def plan(view: View) -> Planned[Wcc]:
            parent, image = open_directory(view, directory)
            edge = find_existing(view, caller, image, name)
            entry, victim = view.live(edge.ino)
            if is_directory(victim):
                raise IsDirectory("a directory is removed by rmdir")
            REMOVE.require(caller, image, victim)
            edit = Edit(view, self._clock.now_ns())
            before = Before(parent)
            unlink(edit, entry, edge, nfs=True)
            edit.touch_directory(parent, entries=-1, explicit=True)
            return edit.planned(before.wcc)

        return await self._engine.run(volume, plan, (directory,), request, changed_again(directory))

    async def rmdir(self, caller: Caller, directory: FileId, name: bytes, request: bytes = b"") -> Wcc:
        """Remove an empty directory (RFC 1813, section 3.3.13)."""
        volume = await self._volumes.numbered(directory.vol, request)

        def plan(view: View) -> Planned[Wcc]:
            parent, image = open_directory(view, directory)
            if name == b".":
                raise InvalidArgument("`.` cannot be removed")
            edge = find_existing(view, caller, image, name)
            _, victim = view.live(edge.ino)
            if not is_directory(victim):
                raise NotDirectory("rmdir removes directories")
            REMOVE.require(caller, image, victim)
            if victim.entries:
                raise NotEmpty("the directory has entries")
            edit = Edit(view, self._clock.now_ns())
            before = Before(parent)
            vacate(edit, edge, victim)
            directory_goes(edit, image.ino, edge.skey)
            edit.touch_directory(parent, entries=-1, links=-1, explicit=True)
            return edit.planned(before.wcc)

        return await self._engine.run(volume, plan, (directory,), request, changed_again(directory))


def open_directory(view: View, directory: FileId) -> tuple[InodeEntry, Inode]:
    """Return the directory that a handle names; raise NotDirectory."""
    entry, image = view.file(directory)
    if not is_directory(image):
        raise NotDirectory("the handle names no directory")
    return entry, image


def find(view: View, caller: Caller, directory: Inode, name: bytes) -> Edge | None:
    """Look *name* up with the right to search *directory*."""
    check_name(name)
    WALK.require(caller, directory)
    return view.named(directory.ino, name)


def find_existing(view: View, caller: Caller, directory: Inode, name: bytes) -> Edge:
    """Return the entry *name*; raise NotFound if there is none."""
    check_new_name(name)
    edge = find(view, caller, directory, name)
    if edge is None:
        raise NotFound("no such name")
    return edge


def is_listed(kind: int, name: bytes) -> bool:
    """Tell whether S3 lists what NFS has called *name*: directories, and files that are no client's open remains."""
    return kind == FileType.DIRECTORY or (kind == FileType.REGULAR and not is_silly_name(name))


def unlink(edit: Edit, entry: InodeEntry, edge: Edge, *, nfs: bool, marker: bool = True) -> Version | None:
    """Take one name of a file away, and the file with its last name, unless history keeps it.

    Return the delete marker that is left on the name's history (see `lineage.bury`).
    """
    image = edit.image(entry)
    edit.unplace(edge)
    if edit.view.volume.versioning and edge.listed and image.type == FileType.REGULAR:
        return bury(edit, entry, edge, nfs=nfs, marker=marker)
    if image.nlink > 1:
        edit.touch(entry, nlink=image.nlink - 1)
    else:
        edit.drop_inode(image)
    return None
