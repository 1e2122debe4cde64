"""Plans on one version of a key: find it, remove it for good, lock it (S3 by version id; ADR 0064)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import AccessDenied, InvalidArgument, IsDeleteMarker, KeyConflict, NotFound, VersionNotFound
from metastore.records import NULL_VERSION, Edge, Inode, Version
from namespace import archive
from namespace.api import DeleteResult
from namespace.authority import ANNOTATE, REMOVE
from namespace.edit import Edit, Planned
from namespace.ghosts import prune
from namespace.lineage import Lineage
from namespace.paths import KeyPath
from namespace.placing import climb, delete, place_file
from namespace.trails import Trail

if TYPE_CHECKING:
    from namespace.api import Caller
    from namespace.cache import InodeEntry
    from namespace.view import View


def look_version(view: View, caller: Caller, key: bytes, version_id: bytes) -> tuple[InodeEntry, Inode]:
    """Find a version, the right to read it still to be asked for; raise VersionNotFound or IsDeleteMarker."""
    path = KeyPath(view, caller, key)
    trail = Trail(view, caller, path)
    row = trail.version(version_id)
    if row is not None and not row.ino:
        refusal = IsDeleteMarker("the version is a delete marker")
        refusal.marker = row.version_id
        raise refusal
    if row is not None:
        entry, image = view.live(row.ino)
    elif version_id == NULL_VERSION and trail.newest is None:
        entry, image = _without_row(view, path)
    else:
        raise VersionNotFound("no such version")
    return entry, image


def _without_row(view: View, path: KeyPath) -> tuple[InodeEntry, Inode]:
    """Return the object that is its own `null` version."""
    try:
        return path.existing(view)
    except NotFound:
        raise VersionNotFound("no such version") from None


def plan_delete(view: View, caller: Caller, key: bytes, version_id: bytes, now_ns: int) -> Planned[DeleteResult]:
    """Plan to remove a version for good; what is below a current one, or a delete marker on top, shows again."""
    path = KeyPath(view, caller, key)
    trail = Trail(view, caller, path)
    row = trail.version(version_id)
    edit = Edit(view, now_ns)
    if row is not None:
        assert trail.directory is not None  # it has the version
        _remove_version(edit, caller, (path, trail), row)
    elif version_id == NULL_VERSION and trail.live is not None and trail.newest is None:
        _remove_without_row(edit, caller, (path, trail), trail.live)
    elif version_id == NULL_VERSION and path.names_directory and path.body is None and path.object(view) is not None:
        delete(edit, caller, path)  # a directory has no versions
    else:
        return Planned(lambda: DeleteResult(version_id))
    return edit.planned(lambda: DeleteResult(version_id, marker=row is not None and not row.ino))


def _remove_without_row(edit: Edit, caller: Caller, way: tuple[KeyPath, Trail], edge: Edge) -> None:
    """Remove a file that has no history for good, as in a bucket that keeps none."""
    path, trail = way
    assert trail.directory is not None  # it has the file
    REMOVE.require(caller, trail.directory, edit.view.live(edge.ino)[1])
    _drop_name(edit, edge)
    edit.touch_directory(edit.view.entry(edge.parent), entries=-1)
    climb(edit, path)


def _remove_version(edit: Edit, caller: Caller, way: tuple[KeyPath, Trail], row: Version) -> None:
    path, trail = way
    directory, live = trail.directory, trail.live
    assert directory is not None
    victim = edit.view.live(row.ino)[1] if row.ino else None
    REMOVE.require(caller, directory, victim)
    lineage = Lineage.of(edit, row.parent, row.skey)
    lineage.drop(row)
    heir = lineage.newest
    if live is not None and live.ino == row.ino:
        _drop_name(edit, live)
        if heir is not None and heir.ino:
            edit.place(row.parent, row.skey, archive.restore(edit, heir.ino).ino, alias=live.alias)
            edit.touch_directory(edit.view.entry(row.parent))
        else:
            edit.touch_directory(edit.view.entry(row.parent), entries=-1)
            climb(edit, path)
    else:
        if victim is not None:
            edit.drop_inode(victim)
        if live is None and heir is not None and heir.ino:
            _undelete(edit, caller, way, heir)
    prune(edit, trail.chain)


def _drop_name(edit: Edit, edge: Edge) -> None:
    """Take a file's name away for good, and the file with its last one."""
    edit.unplace(edge)
    entry = edit.view.entry(edge.ino)
    image = edit.image(entry)
    if image.nlink > 1:
        edit.touch(entry, nlink=image.nlink - 1)
    else:
        edit.drop_inode(image)


def _undelete(edit: Edit, caller: Caller, way: tuple[KeyPath, Trail], heir: Version) -> None:
    """Show the version below a delete marker that is gone; directories on the way come back, implied."""
    path, trail = way
    if trail.entry is not None:
        raise KeyConflict("something that S3 does not show has the name")
    path.check_room(edit.view)
    place_file(edit, caller, path, archive.restore(edit, heir.ino).ino)


def lock_of(view: View, caller: Caller, key: bytes, version_id: bytes) -> Version:
    """Return the version whose lock is asked for; an empty *version_id* is the current one.

    A version without a row has one of seq 0, that stands for it. Raise NotFound, VersionNotFound or IsDeleteMarker.
    """
    path = KeyPath(view, caller, key)
    trail = Trail(view, caller, path)
    row = trail.version(version_id) if version_id else trail.newest
    if row is None and trail.newest is None and version_id in {b"", NULL_VERSION} and (edge := trail.live) is not None:
        return Version(edge.vol, edge.parent, edge.skey, 0, NULL_VERSION, edge.ino, 0)
    if row is None:
        raise VersionNotFound("no such version") if version_id else NotFound("no such key")
    if not row.ino:
        raise IsDeleteMarker("the version is a delete marker") if version_id else NotFound("no such key")
    return row


def plan_lock(
    view: View, caller: Caller, name: tuple[bytes, bytes], lock: tuple[int | None, bool | None], now_ns: int
) -> Planned[None]:
    """Plan to retain the version *name* (key, version id), or to set or lift its legal hold."""
    row = lock_of(view, caller, *name)
    entry, image = view.live(row.ino)
    ANNOTATE.require(caller, image)
    if image.nlink > 1:
        raise InvalidArgument("a file of several names is not locked: NFS changes it in place")
    until, hold = lock
    if until is not None and until < row.retain_until and row.retain_until > now_ns:
        raise AccessDenied("a retention is not shortened")
    edit = Edit(view, now_ns)
    lineage = Lineage.of(edit, row.parent, row.skey)
    if not row.seq:
        row = lineage.add(NULL_VERSION, row.ino, image.content_time)
    lineage.alter(
        row,
        retain_until=row.retain_until if until is None else until,
        legal_hold=row.legal_hold if hold is None else hold,
    )
    archive.close(edit, entry)  # NFS must not change it in place any more
    return edit.planned(lambda: None)
