"""The way to a key's history: its directories, ghosts included (ADR 0064)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.records import NULL_VERSION, FileType
from namespace.api import DeleteResult
from namespace.authority import WALK
from namespace.lineage import seq_of
from namespace.names import BODY_SKEY

if TYPE_CHECKING:
    from metastore.records import Edge, Inode, Version
    from namespace.api import Caller
    from namespace.paths import KeyPath
    from namespace.view import View


class Trail:
    """The directories that lead to a key's name, as far as they exist."""

    __slots__ = ("chain", "directory", "skey", "view")

    def __init__(self, view: View, caller: Caller, path: KeyPath) -> None:
        """Follow *path* with the right to search every directory on the way."""
        self.view = view
        directories = path.components if path.names_directory else path.components[:-1]
        self.skey = BODY_SKEY if path.names_directory else path.components[-1]
        self.chain: list[Edge] = []  # the entries of the directories, from the root downwards
        self.directory: Inode | None = path.root  # the last one; None if one is missing
        for skey in directories:
            edge = view.edge(self.directory.ino, skey) or view.ghost(self.directory.ino, skey)
            if edge is None:
                self.directory = None
                return
            _, self.directory = view.live(edge.ino)
            WALK.require(caller, self.directory)
            self.chain.append(edge)

    @property
    def newest(self) -> Version | None:
        """Return the newest version of the name."""
        return None if self.directory is None else self.view.newest(self.directory.ino, self.skey)

    def version(self, version_id: bytes) -> Version | None:
        """Return the version of that id, if it has a row."""
        if self.directory is None:
            return None
        if version_id == NULL_VERSION:
            return self.view.null_version(self.directory.ino, self.skey)
        seq = seq_of(version_id)
        row = self.view.newest(self.directory.ino, self.skey, seq) if seq is not None else None
        return row if row is not None and row.version_id == version_id else None

    @property
    def live(self) -> Edge | None:
        """Return the entry of the live file that S3 sees under the name."""
        edge = self.entry
        if edge is None or not edge.listed:
            return None
        return edge if self.view.live(edge.ino)[1].type == FileType.REGULAR else None

    @property
    def entry(self) -> Edge | None:
        """Return whatever has the name."""
        return None if self.directory is None else self.view.edge(self.directory.ino, self.skey)


def marker_of(view: View, caller: Caller, path: KeyPath) -> Version | None:
    """Return the delete marker that hides the key's history, if there is one."""
    if not view.volume.versioning:
        return None
    newest = Trail(view, caller, path).newest
    return newest if newest is not None and not newest.ino else None


def deletion(marker: Version | None) -> DeleteResult:
    """Return what a deletion answers that left *marker*."""
    return DeleteResult() if marker is None else DeleteResult(marker.version_id, marker=True)
