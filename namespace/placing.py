"""How S3 changes the tree: files and the directories their keys need come, and go again (DESIGN 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.records import FileType, Inode, InodeFlag
from namespace.authority import REMOVE, mode_by_acl, new_mode
from namespace.collisions import directory_comes, directory_goes
from namespace.ghosts import make_directory, vacate
from namespace.lineage import bury, entitle
from namespace.names import BODY_SKEY, alias_of, directory_skey
from namespace.tree import unlink
from namespace.view import is_directory

if TYPE_CHECKING:
    from metastore.records import Version
    from namespace.api import Caller
    from namespace.edit import Edit
    from namespace.paths import KeyPath


def make_file(edit: Edit, caller: Caller, path: KeyPath, fields: dict[str, object], acl: str = "") -> Inode:
    """Make a new file under the key, by a canned *acl* if there is one, and the directories that it needs.

    A file that is there has further names, and keeps its content under those: its name here, with cookie and alias,
    goes to the new one.
    """
    there = path.file
    if there is None:
        mode = new_mode(edit.view.volume.row.settings, FileType.REGULAR, acl)
        made = edit.new_inode(FileType.REGULAR, mode, caller.uid, caller.gid, **fields)
        parent, skey = place_file(edit, caller, path, made.ino)
    else:
        made = edit.new_inode(FileType.REGULAR, there.mode, there.uid, there.gid, **fields)
        parent, skey = _take_name(edit, path, there, made.ino)
    if edit.view.volume.versioning:
        entitle(edit, parent, skey, made.ino)
    return made


def place_file(edit: Edit, caller: Caller, path: KeyPath, ino: int) -> tuple[int, bytes]:
    """Give the key, which names no file, to *ino*, with the directories that it needs; return directory and skey."""
    parent, skey = _file_place(edit, caller, path)
    edit.place(parent.ino, skey, ino, alias=alias_of(skey, beside=_has_directory(edit, path)))
    edit.count_entry(parent.ino)
    return parent.ino, skey


def _take_name(edit: Edit, path: KeyPath, there: Inode, ino: int) -> tuple[int, bytes]:
    """Give *ino* the name of the file that is *there*, with cookie and alias."""
    parent, skey = path.file_name
    edge = edit.view.edge(parent, skey)
    assert edge is not None  # the path was found by it
    entry = edit.view.entry(there.ino)
    if edit.view.volume.versioning:
        bury(edit, entry, edge, nfs=False, marker=False)
    else:
        edit.touch(entry, nlink=edit.image(entry).nlink - 1)
    if path.names_directory:
        edit.make_explicit(parent)
    edit.place(parent, skey, ino, edge.cookie, alias=edge.alias)
    edit.touch_directory(edit.view.entry(parent))
    return parent, skey


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
        skey = path.components[index]
        made = make_directory(edit, directory.ino, skey, (mode, caller.uid, caller.gid))
        edit.place(directory.ino, skey, made.ino, alias=alias_of(skey))
        edit.count_entry(directory.ino, links=1)
        directory = made
    if explicit:
        edit.make_explicit(directory.ino)
    return directory


def put_marker(edit: Edit, caller: Caller, path: KeyPath, acl: str = "") -> Inode:
    """Make the directory that the key names explicit, and plain: a body that it has goes.

    A canned *acl* gives the directory its mode: the caller makes it, or owns it.
    """
    if path.body is not None:
        _remove_body(edit, caller, path)
    made = make_directories(edit, caller, path, len(path.components), explicit=True)
    return edit.replace(made.ino, mode=mode_by_acl(made, acl)) if acl else made


def delete(edit: Edit, caller: Caller, path: KeyPath) -> Version | None:
    """Remove the object under the key, which exists, then the implied directories that it alone kept.

    Return the delete marker that is left on its history.
    """
    last = len(path.components) - 1
    target = path.found[last]
    REMOVE.require(caller, path.parent(last), target, acl=edit.view.volume.acl)
    if not is_directory(target):
        marker = _remove(edit, path, last)
    else:
        marker = None if path.body is None else _remove_body(edit, caller, path)
    climb(edit, path)
    return marker


def climb(edit: Edit, path: KeyPath) -> None:
    """Remove what is left empty of the key's directories: the one it names, then implied ones above."""
    if path.names_directory:
        entry = edit.view.entry(path.found[-1].ino)
        edit.touch(entry, flags=edit.image(entry).flags & ~InodeFlag.EXPLICIT)
    first = len(path.components) - (1 if path.names_directory else 2)
    for index in range(first, -1, -1):
        directory = edit.image(edit.view.entry(path.found[index].ino))
        if directory.entries or directory.flags & InodeFlag.EXPLICIT:
            return
        _remove(edit, path, index)


def _remove_body(edit: Edit, caller: Caller, path: KeyPath) -> Version | None:
    directory = path.found[-1]
    assert path.body is not None
    REMOVE.require(caller, directory, path.body, acl=edit.view.volume.acl)
    edge = edit.view.edge(directory.ino, BODY_SKEY)
    assert edge is not None  # the body was found by it
    marker = unlink(edit, edit.view.entry(edge.ino), edge, nfs=False)
    edit.touch_directory(edit.view.entry(directory.ino), entries=-1)
    return marker


def _remove(edit: Edit, path: KeyPath, index: int) -> Version | None:
    """Plan the removal of component *index* from its directory; return the delete marker that is left of a file."""
    view = edit.view
    edge = path.edge(view, index)
    entry, parent = view.entry(edge.ino), view.entry(edge.parent)
    directory = is_directory(edit.image(entry))
    marker = None
    if directory:
        vacate(edit, edge, edit.image(entry))
        directory_goes(edit, edge.parent, edge.skey)
    else:
        marker = unlink(edit, entry, edge, nfs=False)
    edit.touch_directory(parent, entries=-1, links=-int(directory))
    return marker
