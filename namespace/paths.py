"""S3 keys in the tree: what lies along a key, with the rights and conflicts on the way (DESIGN 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import KeyConflict, NotFound
from metastore.records import ROOT_INO, FileType
from namespace.authority import SEARCH, authorize
from namespace.names import directory_skey, is_directory_skey, key_components
from namespace.view import is_directory

if TYPE_CHECKING:
    from metastore.records import Edge, Inode
    from namespace.api import Caller
    from namespace.cache import InodeEntry
    from namespace.view import View


class KeyPath:
    """A key's components and as many of their inodes as exist."""

    __slots__ = ("components", "found", "root")

    def __init__(self, view: View, caller: Caller, key: bytes) -> None:
        """Resolve *key* with the right to search every directory on the way."""
        self.components = key_components(key)
        _, self.root = view.live(ROOT_INO)
        self.found = view.path(ROOT_INO, self.components)
        directories = [self.root, *(image for image in self.found if is_directory(image))]
        for directory in directories[: len(self.components)]:
            authorize(caller, directory, SEARCH)

    @property
    def target(self) -> Inode | None:
        """Return what the whole key names."""
        return self.found[-1] if len(self.found) == len(self.components) else None

    @property
    def names_directory(self) -> bool:
        """Tell whether the key ends in `/`."""
        return is_directory_skey(self.components[-1])

    def parent(self, index: int) -> Inode:
        """Return the directory in which component *index* stands, or would stand."""
        return self.found[index - 1] if index else self.root

    def edge(self, view: View, index: int) -> Edge:
        """Return the entry of component *index*, which exists."""
        edge = view.edge(self.parent(index).ino, self.components[index])
        assert edge is not None  # the path was found by it
        return edge

    def check_room(self, view: View) -> None:
        """Raise KeyConflict if the first missing component stands beside its other form (`a` beside `a/`)."""
        index = len(self.found)
        if index == len(self.components):
            return
        skey = self.components[index]
        other = skey[:-1] if is_directory_skey(skey) else directory_skey(skey)
        if view.edge(self.parent(index).ino, other) is not None:
            raise KeyConflict("the key would stand both as a file and as a directory")

    def existing(self, view: View) -> tuple[InodeEntry, Inode]:
        """Return the object the key names; raise NotFound where S3 sees none.

        S3 sees files and explicit directories; symbolic links and special files are not followed and not shown.
        """
        image = self.target
        if image is None or not is_object(image):
            raise NotFound("no such key")
        return view.entry(image.ino), image


def is_object(image: Inode) -> bool:
    """Tell whether S3 sees *image* under its key."""
    return image.type == FileType.REGULAR or (is_directory(image) and bool(image.flags))
