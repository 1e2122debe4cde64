"""S3 keys in the tree: what lies along a key, with the rights and conflicts on the way (DESIGN 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import InvalidName, KeyConflict, NotFound
from metastore.records import ROOT_INO, InodeFlag
from namespace.authority import LIST_KEYS, WALK
from namespace.names import BODY_SKEY, alias_of, is_directory_skey, key_components, other_form
from namespace.view import is_directory

if TYPE_CHECKING:
    from metastore.records import Edge, Inode
    from namespace.api import Caller
    from namespace.cache import InodeEntry
    from namespace.view import View


class KeyPath:
    """A key's components and as many of their inodes as exist; for a directory's key, its body too."""

    __slots__ = ("body", "components", "found", "root")

    def __init__(self, view: View, caller: Caller, key: bytes) -> None:
        """Resolve *key* with the right to search every directory on the way."""
        self.components = key_components(key)
        _, self.root = view.live(ROOT_INO)
        steps = [*self.components, BODY_SKEY] if self.names_directory else self.components
        self.found = view.path(ROOT_INO, steps)
        self.body = self.found.pop() if len(self.found) > len(self.components) else None
        directories = [self.root, *(image for image in self.found if is_directory(image))]
        for directory in directories[: len(self.components)]:
            WALK.require(caller, directory)

    @property
    def target(self) -> Inode | None:
        """Return what the whole key names."""
        return self.found[-1] if len(self.found) == len(self.components) else None

    @property
    def file(self) -> Inode | None:
        """Return the file whose content is the key's: the target, or the body of the directory that it names."""
        return self.body if self.names_directory else self.target

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

    @property
    def file_name(self) -> tuple[int, bytes]:
        """Return directory and skey of the key's file, whose directory exists."""
        last = len(self.components) - 1
        return (
            (self.found[last].ino, BODY_SKEY)
            if self.names_directory
            else (self.parent(last).ino, self.components[last])
        )

    def check_room(self, view: View) -> None:
        """Raise unless what the key lacks can be made.

        KeyConflict: an entry on the way, or at the end, is one that S3 does not show, and nothing may take its name
        from it; or the bucket is strict and the key would stand beside its other form (`a` beside `a/`).
        InvalidName: the bucket is strict and NFS could not call the key as S3 does.
        """
        if view.volume.strict and any(alias_of(each) is not None for each in self.components):
            raise InvalidName("the bucket takes only keys that are paths")
        index = len(self.found)
        if index == len(self.components):
            if not self.names_directory and not self.edge(view, index - 1).listed:
                raise KeyConflict("the key names something that S3 does not show")
            return
        other = other_form(self.components[index])
        edge = view.edge(self.parent(index).ino, other) if other != BODY_SKEY else None
        if edge is not None and (view.volume.strict or not edge.listed):
            raise KeyConflict("the key would stand both as a file and as a directory")

    def require_sight(self, view: View, caller: Caller) -> None:
        """Raise AccessDenied unless *caller* could learn from a listing that the key is not there (S3 GetObject)."""
        for directory in [self.root, *(image for image in self.found if is_directory(image))]:
            LIST_KEYS.require(caller, directory, acl=view.volume.acl)

    def object(self, view: View) -> Inode | None:
        """Return the inode of the object that S3 sees under the key: a file, an explicit directory, or its body."""
        image = self.target
        if image is None or self.body is not None:
            return self.body
        if is_directory(image):
            return image if image.flags & InodeFlag.EXPLICIT else None
        return image if self.edge(view, len(self.components) - 1).listed else None

    def existing(self, view: View) -> tuple[InodeEntry, Inode]:
        """Return the object the key names; raise NotFound where S3 sees none.

        Symbolic links, special files and silly names are not followed and not shown.
        """
        image = self.object(view)
        if image is None:
            raise NotFound("no such key")
        return view.entry(image.ino), image
