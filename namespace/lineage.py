"""Versions of a name: what happens to its history when its content comes, changes and goes (ADR 0064).

Used only in volumes whose `versioning` says so. The rules, for a name whose file S3 lists:

- It has rows for all its versions or for none; the newest one names the live file. Without a file the newest is a
  delete marker, and nothing but history ever lies below one. A file without rows is its own `null` version.
- *Enabled*: content that S3 replaces or deletes stays as a version. Of what NFS does, only content that was left alone
  for a minute, or that S3 wrote, is kept (`history.is_open`): so a temporary file leaves nothing behind.
- *Suspended*: what comes is the `null` version, and replaces the one there was; other versions are kept as before.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundation.errors import AccessDenied
from metastore.records import NEWEST, NULL_VERSION, Version
from namespace import archive
from namespace.history import is_open
from namespace.volume import SUSPENDED

if TYPE_CHECKING:
    from metastore.records import Edge, Inode, Row, RowType
    from namespace.cache import InodeEntry
    from namespace.edit import Edit
    from namespace.view import View


class Lineage:
    """The versions of one name as an edit has them so far."""

    def __init__(self, edit: Edit, parent: int, skey: bytes) -> None:
        """Look at *skey* in *parent*, which may be a directory that *edit* makes."""
        self.parent = parent
        self.skey = skey
        self._edit = edit
        self._is_new = edit.is_new(parent)
        if self._is_new:
            edit.then(lambda: _know_new(edit, parent, skey))
        self._changed: dict[int, Version | None] = {}
        self._fresh: set[int] = set()  # of those, what was not there before this edit

    @classmethod
    def of(cls, edit: Edit, parent: int, skey: bytes) -> Lineage:
        """Return the one that *edit* has for the name."""
        lineage = edit.lineages.get((parent, skey))
        if lineage is None:
            lineage = edit.lineages[parent, skey] = cls(edit, parent, skey)
        return lineage

    @property
    def newest(self) -> Version | None:
        """Return the newest version."""
        mine = min((seq for seq, row in self._changed.items() if row), default=None)
        start = NEWEST
        while (row := self._installed(start)) is not None and row.seq in self._changed:
            start = row.seq + 1
        if mine is None or (row is not None and row.seq < mine):
            return row
        return self._changed[mine]

    def _installed(self, start: int) -> Version | None:
        return None if self._is_new else self._edit.view.newest(self.parent, self.skey, start)

    @property
    def null(self) -> Version | None:
        """Return the `null` version."""
        mine = [row for row in self._changed.values() if row and row.version_id == NULL_VERSION]
        if mine or self._is_new:
            return mine[0] if mine else None
        row = self._edit.view.null_version(self.parent, self.skey)
        return None if row is None or row.seq in self._changed else row

    def add(self, version_id: bytes, ino: int, modified: int) -> Version:
        """Put a new version on top; an empty *version_id* is chosen here."""
        newest = self.newest
        seq = (newest.seq if newest else 0) - 1
        row = Version(self._edit.view.volume.vol, self.parent, self.skey, seq, version_id or new_id(seq), ino, modified)
        if seq not in self._changed:
            self._fresh.add(seq)
        self._changed[seq] = row
        self._edit.count_history(self.parent, 1)
        return row

    def alter(self, row: Version, **fields: object) -> Version:
        """Set *fields* of a version."""
        altered = self._changed[row.seq] = replace(row, **fields)
        return altered

    def drop(self, row: Version) -> None:
        """Take a version away; raise AccessDenied if a lock keeps it."""
        check_unlocked(row, self._edit.now_ns)
        self._changed[row.seq] = None
        self._edit.count_history(self.parent, -1)

    def rows(self) -> list[Row]:
        """Return the final rows of what changed."""
        return [row for row in self._changed.values() if row is not None]

    def drops(self) -> list[tuple[RowType, tuple[int | bytes, ...]]]:
        """Return the keys of what is gone."""
        gone = [seq for seq, row in self._changed.items() if row is None and seq not in self._fresh]
        return [(Version, (self.parent, self.skey, seq)) for seq in gone]


def _know_new(edit: Edit, parent: int, skey: bytes) -> None:
    """Note that a directory made here has no versions but those that came with it."""
    cache = edit.view.volume.cache
    cache.whole_histories.add(parent)
    cache.history(parent, skey).know_whole()


def new_id(seq: int) -> bytes:
    """Return the id of a new version: its place among its name's versions, and what nobody guesses; 32 digits."""
    return b"%016x%s" % (-seq, secrets.token_hex(8).encode())


def seq_of(version_id: bytes) -> int | None:
    """Return the place that an id tells; None for `null` and for what was never an id."""
    try:
        return -int(version_id[:16], 16) if len(version_id) == 32 and version_id.isalnum() else None  # noqa: PLR2004
    except ValueError:
        return None


def current_id(view: View, parent: int, skey: bytes) -> bytes:
    """Return the version id of a live file under its name; empty in a volume that never kept versions."""
    if not view.volume.versioning:
        return b""
    row = view.newest(parent, skey)
    return NULL_VERSION if row is None else row.version_id


def made_id(edit: Edit) -> bytes:
    """Return the version id of the one object that *edit* makes; empty in a volume that never kept versions."""
    if not edit.view.volume.versioning:
        return b""
    row = next((lineage.newest for lineage in edit.lineages.values()), None)
    return NULL_VERSION if row is None else row.version_id


def check_unlocked(row: Version, now_ns: int) -> None:
    """Raise AccessDenied if a retention or a legal hold keeps the version (S3 Object Lock)."""
    if row.legal_hold or row.retain_until > now_ns:
        raise AccessDenied("the version is locked")


def entitle(edit: Edit, parent: int, skey: bytes, ino: int) -> Version | None:
    """Begin a version for the content that a name gets with *ino*; return it, None if it has no row."""
    lineage = Lineage.of(edit, parent, skey)
    edit.then(lambda: _note_name(edit, ino, (parent, skey)))
    if edit.view.volume.versioning != SUSPENDED:
        return lineage.add(b"", ino, edit.now_ns)
    _remove_null(edit, lineage)
    return None if lineage.newest is None else lineage.add(NULL_VERSION, ino, edit.now_ns)


def _note_name(edit: Edit, ino: int, name: tuple[int, bytes]) -> None:
    entry = edit.view.volume.cache.inodes.get(ino)
    if entry is not None:
        entry.name = name


def _remove_null(edit: Edit, lineage: Lineage) -> None:
    """Take the `null` version away, for another: it is not the current one."""
    row = lineage.null
    if row is not None:
        lineage.drop(row)
        if row.ino:
            edit.drop_inode(edit.image_of(row.ino))


def bury(
    edit: Edit, entry: InodeEntry, edge: Edge, *, nfs: bool, stays: bool = False, marker: bool = True
) -> Version | None:
    """Plan what becomes of a file that loses the name *edge*, and of the version that it is.

    *stays*: the inode lives on under a new name, with its links as they are. With *marker*, return the delete marker
    on top of the history that is left; None if there is none.
    """
    image = edit.image(entry)
    lineage = Lineage.of(edit, edge.parent, edge.skey)
    row = lineage.newest  # of a live file: its own, or there are none
    kept = 0
    if _is_kept(edit, image, row, nfs=nfs):
        kept = archive.share(edit, entry) if stays or image.nlink > 1 else archive.shelve(edit, entry)
    if kept:
        _keep(lineage, row, kept, image)
    elif row is not None:
        lineage.drop(row)
    if not stays and image.nlink > 1:
        edit.touch(entry, nlink=image.nlink - 1)
    elif not stays and not kept:
        edit.drop_inode(image)
    return put_marker(edit, lineage) if marker else None


def _is_kept(edit: Edit, image: Inode, row: Version | None, *, nfs: bool) -> bool:
    """Tell whether the live version stays as history when its content goes from the name."""
    if edit.view.volume.versioning == SUSPENDED:
        return row is not None and row.version_id != NULL_VERSION
    return not (nfs and is_open(image, edit.now_ns))


def _keep(lineage: Lineage, row: Version | None, ino: int, image: Inode) -> None:
    """Let *ino* keep what was the live version."""
    if row is not None:
        lineage.alter(row, ino=ino)
    else:
        lineage.add(NULL_VERSION, ino, image.content_time)


def put_marker(edit: Edit, lineage: Lineage) -> Version | None:
    """Put a delete marker on a history, unless one is on top already; nothing on none. Return it."""
    newest = lineage.newest
    if newest is None or not newest.ino:
        return newest
    if edit.view.volume.versioning != SUSPENDED:
        return lineage.add(b"", 0, edit.now_ns)
    _remove_null(edit, lineage)
    return None if lineage.newest is None else lineage.add(NULL_VERSION, 0, edit.now_ns)


def supersede(edit: Edit, entry: InodeEntry, edge: Edge, *, whole: bool) -> bool:
    """Begin a new version of the file *edge* names, which keeps its inode; return whether its content was taken.

    *whole*: all of the content is about to be replaced, so that history takes it. Otherwise it is shared.
    """
    image = edit.image(entry)
    lineage = Lineage.of(edit, edge.parent, edge.skey)
    row = lineage.newest
    if not _is_kept(edit, image, row, nfs=False):
        if row is not None:
            check_unlocked(row, edit.now_ns)
            lineage.alter(row, modified=edit.now_ns)
        return False
    kept = archive.part_with(edit, entry) if whole else archive.share(edit, entry)
    _keep(lineage, row, kept, image)
    entitle(edit, edge.parent, edge.skey, image.ino)
    return whole


def check_linkable(view: View, entry: InodeEntry, now_ns: int) -> None:
    """Raise AccessDenied for a second name of a locked file: NFS changes a file of several names in place."""
    image = entry.image
    assert image is not None
    edge = view.name_of(entry) if image.nlink == 1 else None
    row = view.newest(edge.parent, edge.skey) if edge is not None and edge.listed else None
    if row is not None:
        check_unlocked(row, now_ns)


def amend(edit: Edit, entry: InodeEntry, *, whole: bool) -> bool:
    """Begin a new version for a change of content that NFS makes in place, if one is due; return as `supersede`.

    A file of several names has no one name whose version it would be: it changes in place.
    """
    image = edit.image(entry)
    if image.nlink != 1 or is_open(image, edit.now_ns):
        return False
    edge = edit.view.name_of(entry)
    return edge.listed and supersede(edit, entry, edge, whole=whole)
