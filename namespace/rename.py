"""RENAME: one entry moves, whatever lies below it (POSIX rename(); RFC 1813, section 3.3.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import CrossVolume, InvalidArgument, IsDirectory, NotDirectory, NotEmpty
from metastore.records import FileType
from namespace.api import Renamed
from namespace.attributes import Before
from namespace.authority import WRITE, authorize, authorize_entry
from namespace.edit import Edit, Planned
from namespace.ghosts import make_way, vacate
from namespace.hall import Verbs
from namespace.lineage import bury, entitle
from namespace.names import check_new_name, directory_skey, file_skey
from namespace.silly import is_silly_name
from namespace.tree import find, find_existing, open_directory, unlink
from namespace.view import View, is_directory

if TYPE_CHECKING:
    from metastore.records import Edge, Inode
    from namespace.api import Caller, FileId
    from namespace.cache import InodeEntry


class RenameVerb(Verbs):
    """RENAME."""

    async def rename(self, caller: Caller, source: FileId, name: bytes, target: FileId, new_name: bytes) -> Renamed:
        """Move an entry, over what has the new name; raise CrossVolume between volumes."""
        if source.vol != target.vol:
            raise CrossVolume("the directories are in different volumes")
        volume = await self._volumes.numbered(source.vol)

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
            authorize_entry(caller, from_image, image)
            authorize_entry(caller, to_image)
            if victim is not None and victim.ino == edge.ino:
                return Planned(answer)  # two names of one file: POSIX says to do nothing
            edit = Edit(view, self._clock.now_ns())
            if is_directory(image):
                _check_directory_move(view, caller, image, from_image, to_image)
            if victim is not None:
                _replace(edit, caller, image, to_entry, victim)
            _move(edit, entry, edge, from_entry, to_entry, new_name)
            return edit.planned(answer)

        return await self._engine.run(volume, plan, (source, target))


def _check_directory_move(view: View, caller: Caller, image: Inode, source: Inode, target: Inode) -> None:
    """Refuse a move into the directory's own sub-tree: the whole chain above the target is looked at."""
    if source.ino == target.ino:
        return
    if image.ino in view.ancestors(target):
        raise InvalidArgument("a directory cannot move below itself")
    authorize(caller, image, WRITE)  # its `..` changes


def _replace(edit: Edit, caller: Caller, image: Inode, to_entry: InodeEntry, victim: Edge) -> None:
    """Take away what has the new name, if POSIX lets *image* replace it."""
    entry, gone = edit.view.live(victim.ino)
    authorize_entry(caller, edit.image(to_entry), gone)
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
    unlink(edit, entry, victim, nfs=True, marker=False)
    edit.touch_directory(to_entry, entries=-1)


def _move(
    edit: Edit, entry: InodeEntry, edge: Edge, from_entry: InodeEntry, to_entry: InodeEntry, new_name: bytes
) -> None:
    """Put the entry under its new name: its cookie stays within one directory and is new in another."""
    image = edit.image(entry)
    directory = is_directory(image)
    skey = directory_skey(new_name) if directory else file_skey(new_name)
    within = from_entry.ino == to_entry.ino
    listed = directory or (image.type == FileType.REGULAR and not is_silly_name(new_name))
    edit.unplace(edge)
    if directory:
        make_way(edit, to_entry.ino, skey)
    versioned = bool(edit.view.volume.versioning) and image.type == FileType.REGULAR
    if versioned and edge.listed:
        bury(edit, entry, edge, nfs=True, stays=True)
    edit.place(to_entry.ino, skey, image.ino, edge.cookie if within else None, listed=listed)
    if versioned and listed:
        entitle(edit, to_entry.ino, skey, image.ino)
    links = int(directory and not within)
    edit.touch_directory(from_entry, entries=-1, links=-links, explicit=True)
    edit.touch_directory(to_entry, entries=1, links=links, explicit=True)
    edit.touch(entry, **({"parent": to_entry.ino} if directory else {}))
