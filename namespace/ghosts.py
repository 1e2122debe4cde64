"""Ghosts: directories kept only because names in or below them have a history (ADR 0064).

A directory goes when it has no entries; while its `history` counts versions or further ghosts, its edge stays as a
ghost, which no door shows, and its inode with no links, which no handle reaches. A new directory of that name is the
ghost come back: the same number, so all history below is where it was, and else new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from metastore.records import FileType, Inode
from namespace.aliases import NAME_MAX
from namespace.view import new_generation

if TYPE_CHECKING:
    from metastore.records import Edge
    from namespace.edit import Edit


def vacate(edit: Edit, edge: Edge, image: Inode, *, aside: bool = False) -> None:
    """Take the name of an empty directory away, and the directory too unless there is history in it.

    *aside*: another directory gets the name at once, so the ghost has another.
    """
    edit.unplace(edge)
    if not image.history:
        edit.drop_inode(image)
        return
    edit.replace(image.ino, nlink=0, flags=0)
    ghost = replace(edge, ghost=True, alias=None)
    edit.put(replace(ghost, skey=_aside(edit, ghost)) if aside else ghost)
    edit.count_history(edge.parent, 1)


def make_directory(edit: Edit, parent: int, skey: bytes, owner: tuple[int, int, int], **fields: object) -> Inode:
    """Return a new directory of *owner* (mode, uid, gid) for `place` to name: the ghost of that name, if there is."""
    mode, uid, gid = owner
    ghost = edit.view.ghost(parent, skey) if edit.image_of(parent).history else None
    if ghost is None:
        return edit.new_inode(FileType.DIRECTORY, mode, uid, gid, **{"parent": parent, **fields})
    now = max(edit.now_ns, edit.image_of(ghost.ino).ctime + 1)
    times = {"atime": edit.now_ns, "mtime": edit.now_ns, "ctime": now, "content_time": edit.now_ns}
    edit.count_history(parent, -1)
    return edit.replace(
        ghost.ino, nlink=2, gen=new_generation(), mode=mode, uid=uid, gid=gid, **{"flags": 0, **times, **fields}
    )


def make_way(edit: Edit, parent: int, skey: bytes) -> None:
    """Move a ghost aside for a directory that is renamed to its name: what is below keeps its history under another."""
    ghost = edit.view.ghost(parent, skey) if edit.image_of(parent).history else None
    if ghost is not None:
        edit.unplace(ghost)
        edit.put(replace(ghost, skey=_aside(edit, ghost)))


def _aside(edit: Edit, ghost: Edge) -> bytes:
    """Return a free name like that of *ghost*: with `~` and the inode's number."""
    mark = b"~%x/" % ghost.ino
    name = ghost.skey[:-1]
    while True:
        skey = name[: NAME_MAX + 1 - len(mark)].decode("utf-8", "ignore").encode() + mark
        if edit.view.edge(ghost.parent, skey) is None and edit.view.ghost(ghost.parent, skey) is None:
            return skey
        mark = b"~" + mark


def prune(edit: Edit, chain: list[Edge]) -> None:
    """Let the ghosts at the end of *chain*, edges from the root downwards, go that have no history any more."""
    for edge in reversed(chain):
        if edit.is_gone(edge.ino):
            continue
        image = edit.image_of(edge.ino)
        if image.nlink or image.history:
            return
        edit.unplace(edge)
        edit.drop_inode(image)
        edit.count_history(edge.parent, -1)
