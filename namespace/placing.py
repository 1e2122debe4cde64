"""How S3 changes the tree: files and the directories their keys need come, and go again (DESIGN 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.records import FileType, Inode, InodeFlag
from namespace.authority import authorize_entry, new_mode
from namespace.collisions import directory_comes, directory_goes
from namespace.names import BODY_SKEY, alias_of, directory_skey
from namespace.tree import unlink
from namespace.view import is_directory

if TYPE_CHECKING:
    from namespace.api import Caller
    from namespace.edit import Edit
    from namespace.paths import KeyPath


def make_file(edit: Edit, caller: Caller, path: KeyPath, fields: dict[str, object]) -> Inode:
    """Make a new file under the key, and the directories that it needs.

    A file that is there has further names, and keeps its content under those: its name here, with cookie and alias,
    goes to the new one.
    """
    parent, skey = _file_place(edit, caller, path)
    there = path.file
    if there is None:
        mode = new_mode(edit.view.volume.row.settings, FileType.REGULAR)
        made = edit.new_inode(FileType.REGULAR, mode, caller.uid, caller.gid, **fields)
        edit.place(parent.ino, skey, made.ino, alias=alias_of(skey, beside=_has_directory(edit, path)))
        edit.count_entry(parent.ino)
        return made
    made = edit.new_inode(FileType.REGULAR, there.mode, there.uid, there.gid, **fields)
    edge = edit.view.edge(parent.ino, skey)
    assert edge is not None  # the path was found by it
    entry = edit.view.entry(there.ino)
    edit.touch(entry, nlink=edit.image(entry).nlink - 1)
    edit.place(parent.ino, skey, made.ino, edge.cookie, alias=edge.alias)
    edit.touch_directory(edit.view.entry(parent.ino))
    return made


def _file_place(edit: Edit, caller: Caller, path: KeyPath) -> tuple[Inode, bytes]:
    """Return directory and skey of the file that the key names, or of the body that a directory's key has."""
    if path.names_directory:
        return make_directories(edit, caller, path, len(path.components), explicit=True), BODY_SKEY
    last = len(path.components) - 1
    return make_directories(edit, caller, path, last), path.components[last]


def _has_directory(edit: Edit, path: KeyPath) -> bool:
    """Tell whether a directory stands where the key's file will: the file is then shown by its alias."""
    last = len(path.components) - 1
    if path.names_directory or len(path.found) < last:
        return False
    return edit.view.edge(path.parent(last).ino, directory_skey(path.components[last])) is not None


def make_directories(edit: Edit, caller: Caller, path: KeyPath, upto: int, *, explicit: bool = False) -> Inode:
    """Make the missing directories among the first *upto* components, implied; return the last one.

    *explicit*: the last of them is what the caller asked for, so it stays when it is empty.
    """
    directory = path.parent(min(len(path.found), upto))
    if len(path.found) < upto:
        directory_comes(edit, directory.ino, path.components[len(path.found)])
    mode = new_mode(edit.view.volume.row.settings, FileType.DIRECTORY)
    for index in range(len(path.found), upto):
        made = edit.new_inode(FileType.DIRECTORY, mode, caller.uid, caller.gid, parent=directory.ino)
        skey = path.components[index]
        edit.place(directory.ino, skey, made.ino, alias=alias_of(skey))
        edit.count_entry(directory.ino, links=1)
        directory = made
    if explicit:
        edit.make_explicit(directory.ino)
    return directory


def put_marker(edit: Edit, caller: Caller, path: KeyPath) -> Inode:
    """Make the directory that the key names explicit, and plain: a body that it has goes."""
    if path.body is not None:
        _remove_body(edit, caller, path)
    return make_directories(edit, caller, path, len(path.components), explicit=True)


def delete(edit: Edit, caller: Caller, path: KeyPath) -> None:
    """Remove the object under the key, which exists, then the implied directories that it alone kept."""
    last = len(path.components) - 1
    target = path.found[last]
    authorize_entry(caller, path.parent(last), target)
    if is_directory(target):
        if path.body is not None:
            _remove_body(edit, caller, path)
        entry = edit.view.entry(target.ino)
        edit.touch(entry, flags=edit.image(entry).flags & ~InodeFlag.EXPLICIT)
        if edit.image(entry).entries:
            return  # the key goes, the directory has others
    _remove(edit, path, last)
    for index in range(last - 1, -1, -1):
        directory = edit.image(edit.view.entry(path.found[index].ino))
        if directory.entries or directory.flags & InodeFlag.EXPLICIT:
            return
        _remove(edit, path, index)


def _remove_body(edit: Edit, caller: Caller, path: KeyPath) -> None:
    directory = path.found[-1]
    assert path.body is not None
    authorize_entry(caller, directory, path.body)
    edge = edit.view.edge(directory.ino, BODY_SKEY)
    assert edge is not None  # the body was found by it
    unlink(edit, edit.view.entry(edge.ino), edge)
    edit.touch_directory(edit.view.entry(directory.ino), entries=-1)


def _remove(edit: Edit, path: KeyPath, index: int) -> None:
    """Plan the removal of component *index* from its directory."""
    view = edit.view
    edge = path.edge(view, index)
    entry, parent = view.entry(edge.ino), view.entry(edge.parent)
    directory = is_directory(edit.image(entry))
    if directory:
        edit.unplace(edge)
        edit.drop_inode(edit.image(entry))
        directory_goes(edit, edge.parent, edge.skey)
    else:
        unlink(edit, entry, edge)
    edit.touch_directory(parent, entries=-1, links=-int(directory))
