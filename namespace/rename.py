"""RENAME: one entry moves, whatever lies below it (POSIX rename(); RFC 1813, section 3.3.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import CrossVolume, InvalidArgument, IsDirectory, NotDirectory, NotEmpty
from metastore.records import FileType, InodeFlag
from namespace.api import Renamed
from namespace.attributes import Before
from namespace.authority import ENTER, MOVE, REMOVE
from namespace.collisions import directory_goes, free_place, taken_place
from namespace.edit import Edit, Planned
from namespace.ghosts import make_way, vacate
from namespace.hall import Verbs
from namespace.lineage import bury, entitle
from namespace.names import check_new_name
from namespace.once import renamed_again
from namespace.tree import find, find_existing, is_listed, open_directory, unlink
from namespace.view import View, is_directory

if TYPE_CHECKING:
    from metastore.records import Edge, Inode
    from namespace.api import Caller, FileId
    from namespace.cache import InodeEntry


class RenameVerb(Verbs):
    """RENAME."""

    async def rename(
        self,
        caller: Caller,
        source: FileId,
        name: bytes,
        target: FileId,
        new_name: bytes,
        request: bytes = b"",
    ) -> Renamed:
        """Move an entry, over what has the new name; raise CrossVolume between volumes."""
        if source.vol != target.vol:
            raise CrossVolume("the directories are in different volumes")
        volume = await self._volumes.numbered(source.vol, request)

        def plan(view: View) -> Planned[Renamed]:
            from_entry, from_image = open_directory(view, source)
            to_entry, to_image = open_directory(view, target)
            check_new_name(new_name)
            edge = find_existing(view, caller, from_image, name)
            victim = find(view, caller, to_image, new_name)
            before_from, before_to = Before(from_entry), Before(to_entry)

            def answer() -> Renamed:
                return Renamed(before_from.wcc(), before_to.wcc())

            entry, image = view.live(edge.ino)
            REMOVE.require(caller, from_image, image)
            ENTER.require(caller, to_image)
            if victim is not None and victim.ino == edge.ino:
                return Planned(answer)  # two names of one file: POSIX says to do nothing
            edit = Edit(view, self._clock.now_ns())
            if is_directory(image):
                _check_directory_move(view, caller, image, from_image, to_image)
            listed = is_listed(image.type, new_name)
            if victim is not None:
                _replace(edit, caller, image, to_entry, victim, listed=listed)
                place = taken_place(victim, new_name, image.type)
            else:
                place = free_place(view, to_image.ino, new_name, image.type, edge)
            _move(edit, entry, edge, (from_entry, to_entry), place, listed=listed)
            return edit.planned(answer)

        return await self._engine.run(volume, plan, (source, target), request, renamed_again(source, target))


def _check_directory_move(view: View, caller: Caller, image: Inode, source: Inode, target: Inode) -> None:
    """Refuse a move into the directory's own sub-tree: the whole chain above the target is looked at."""
    if source.ino == target.ino:
        return
    if image.ino in view.ancestors(target):
        raise InvalidArgument("a directory cannot move below itself")
    MOVE.require(caller, image)  # its `..` changes


def _replace(edit: Edit, caller: Caller, image: Inode, to_entry: InodeEntry, victim: Edge, *, listed: bool) -> None:
    """Take away what has the new name, if POSIX lets *image* replace it; *listed*: S3 will see it under that name."""
    entry, gone = edit.view.live(victim.ino)
    REMOVE.require(caller, edit.image(to_entry), gone)
    if is_directory(gone):
        if not is_directory(image):
            raise IsDirectory("a directory is in the way")
        if gone.entries:
            raise NotEmpty("a directory with entries is in the way")
        vacate(edit, victim, gone, aside=True)
        edit.touch_directory(to_entry, entries=-1, links=-1)
        return
    if is_directory(image):
        raise NotDirectory("a file is in the way of a directory")
    # What S3 sees there next is a version on top of what goes; otherwise the key is deleted.
    unlink(edit, entry, victim, nfs=True, marker=not listed)
    edit.touch_directory(to_entry, entries=-1)


def _move(
    edit: Edit,
    entry: InodeEntry,
    edge: Edge,
    directories: tuple[InodeEntry, InodeEntry],
    place: tuple[bytes, bytes | None],
    *,
    listed: bool,
) -> None:
    """Put the entry in its new place: its cookie stays within one directory and is new in another."""
    source, target = directories
    directory = is_directory(edit.image(entry))
    within = source.ino == target.ino
    skey, alias = place
    edit.unplace(edge)
    if directory:
        directory_goes(edit, source.ino, edge.skey)
        make_way(edit, target.ino, skey)
    versioned = bool(edit.view.volume.versioning) and edit.image(entry).type == FileType.REGULAR
    if versioned and edge.listed:
        bury(edit, entry, edge, nfs=True, stays=True)
    edit.place(target.ino, skey, entry.ino, edge.cookie if within else None, alias=alias, listed=listed)
    if versioned and listed:
        entitle(edit, target.ino, skey, entry.ino)
    links = int(directory and not within)
    edit.touch_directory(source, entries=-1, links=-links, explicit=True)
    edit.touch_directory(target, entries=1, links=links, explicit=True)
    if directory:
        edit.touch(entry, parent=target.ino, flags=edit.image(entry).flags | InodeFlag.EXPLICIT)
    else:
        edit.touch(entry)
