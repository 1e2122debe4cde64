"""What stands for the version that a name without history is, in both metastores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.records import NULL_VERSION, FileType, InodeFlag, Version

if TYPE_CHECKING:
    from metastore.records import Inode


def is_key(inode: Inode) -> bool:
    """Tell whether a listed entry of *inode* is a key: a file, or an explicit directory."""
    return inode.type != FileType.DIRECTORY or bool(inode.flags & InodeFlag.EXPLICIT)


def without_row(parent: int, skey: bytes, inode: Inode) -> Version:
    """Return what stands for the row that a name without history does not have."""
    modified = inode.mtime if inode.type == FileType.DIRECTORY else inode.content_time
    return Version(inode.vol, parent, skey, 0, NULL_VERSION, inode.ino, modified)
