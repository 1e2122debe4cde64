"""The object verbs that read and delete: open, head, delete (S3 GetObject, HeadObject, DeleteObject, DeleteObjects)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundation.aio import gather
from foundation.errors import FsError, InvalidArgument, IsDeleteMarker, NotFound, VersionNotFound
from metastore.records import NULL_VERSION
from namespace.api import NO_CONDITIONS, CopySource, Deleted, DeleteResult
from namespace.authority import GET, PRIVATE, REMOVE
from namespace.conditions import check_likeness, check_read, check_write
from namespace.edit import Edit, Planned
from namespace.hall import Verbs
from namespace.lineage import current_id
from namespace.metadata import object_info, validators
from namespace.paths import KeyPath
from namespace.placing import delete
from namespace.snapshot import ObjectReader, Snapshot, pin
from namespace.trails import deletion, marker_of
from namespace.versions import look_version, plan_delete
from namespace.view import View, is_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from metastore.records import Inode, ObjectMeta
    from namespace.api import Caller, Conditions, DeleteTarget, ObjectInfo, OpenObject
    from namespace.cache import InodeEntry
    from namespace.snapshot import Pinned

    #: Decides conditions: what is asked, the ETag, Last-Modified in ns.
    ConditionCheck = Callable[[Conditions, bytes, int], None]

#: Keys of one DeleteObjects.
DELETE_MAX = 1000
#: What of an object's ACL is kept: the name of the canned one.
CANNED = "canned"


class ObjectVerbs(Verbs):
    """Objects, seen and removed."""

    async def head_object(self, caller: Caller, bucket: str, key: bytes, conditions: Conditions) -> ObjectInfo:
        """Return what S3 shows of the object; raise NotFound, NotModified or PreconditionFailed."""
        volume = await self._volumes.named(bucket)
        return await self._engine.run(volume, lambda view: _plan_head(view, caller, key, conditions))

    async def open_object(self, caller: Caller, bucket: str, key: bytes, conditions: Conditions) -> OpenObject:
        """Open the object's content as it is now; raise as `head_object` does."""
        return await self._open(caller, CopySource(bucket, key, conditions), check_read)

    async def _open(self, caller: Caller, source: CopySource, check: ConditionCheck) -> ObjectReader:
        """Open all of the object, or version, that *source* names."""
        volume = await self._volumes.named(source.bucket)

        def plan(view: View) -> Planned[tuple[ObjectInfo, Pinned]]:
            info, image = look(view, caller, source.key, source.conditions, check, source.version_id)
            entry = view.entry(image.ino)
            pinned = pin(view, entry, image)
            opened = (pinned.open,) if isinstance(pinned, Snapshot) else ()
            return Planned(lambda: (info, pinned), None, opened)

        token = volume.begin_read(self._clock.now_ns())
        try:
            info, pinned = await self._engine.run(volume, plan)
        except BaseException:
            volume.end_read(token)
            raise
        return ObjectReader(info, pinned, volume, (self._engine, self._bodies), token)

    async def delete_object(
        self, caller: Caller, bucket: str, key: bytes, conditions: Conditions = NO_CONDITIONS
    ) -> DeleteResult:
        """Remove the object, and the implied directories that it alone kept; no error if there is none."""
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[DeleteResult]:
            path = KeyPath(view, caller, key)
            seen = path.object(view)
            if seen is None:
                depth = min(len(path.found), len(path.components) - 1)
                REMOVE.require(caller, path.parent(depth), acl=view.volume.acl)
                check_write(conditions, None, 0)
                standing = deletion(marker_of(view, caller, path))
                return Planned(lambda: standing)
            check_delete(conditions, caller, seen)
            edit = Edit(view, self._clock.now_ns())
            result = deletion(delete(edit, caller, path))
            return edit.planned(lambda: result)

        return await self._engine.run(volume, plan)

    async def delete_version(self, caller: Caller, bucket: str, key: bytes, version_id: bytes) -> DeleteResult:
        """Remove one version for good; raise AccessDenied if a lock keeps it."""
        volume = await self._volumes.named(bucket)
        now = self._clock.now_ns
        return await self._engine.run(volume, lambda view: plan_delete(view, caller, key, version_id, now()))

    async def delete_objects(self, caller: Caller, bucket: str, targets: Sequence[DeleteTarget]) -> list[Deleted]:
        """Remove at most 1,000 objects, side by side, so that they share loads and batches; each has its own outcome.

        Each is planned when what it needs is in memory: of keys that hang on each other (`d/` and `d/a`) the outcome
        is that of some order, and the same for either. Raise InvalidArgument for more keys, NoReply if the volume
        crashed.
        """
        if len(targets) > DELETE_MAX:
            raise InvalidArgument("one request deletes at most 1,000 objects")
        await self._volumes.named(bucket)
        return await gather(self._delete_one(caller, bucket, target) for target in targets)

    async def _delete_one(self, caller: Caller, bucket: str, target: DeleteTarget) -> Deleted:
        try:
            if target.version_id:
                result = await self.delete_version(caller, bucket, target.key, target.version_id)
            else:
                result = await self.delete_object(caller, bucket, target.key, target.conditions)
        except FsError as error:
            return Deleted(target.key, error)
        return Deleted(target.key, result=result)


def _plan_head(view: View, caller: Caller, key: bytes, conditions: Conditions) -> Planned[ObjectInfo]:
    info, _ = look(view, caller, key, conditions)
    return Planned(lambda: info)


def look(
    view: View,
    caller: Caller,
    key: bytes,
    conditions: Conditions,
    check: ConditionCheck = check_read,
    version_id: bytes = b"",
) -> tuple[ObjectInfo, Inode]:
    """Find an object, or one version of it, that *caller* may read and whose *conditions* hold by *check*."""
    path = KeyPath(view, caller, key)
    try:
        if version_id:
            entry, image = look_version(view, caller, key, version_id)
        else:
            entry, image = _existing(view, caller, path)
            version_id = NULL_VERSION if is_directory(image) else current_id(view, *path.file_name)
    except (NotFound, VersionNotFound, IsDeleteMarker):
        path.require_sight(view, caller)
        raise
    meta = None if is_directory(image) else view.meta(entry)
    GET.require(caller, image, acl=canned_acl(meta))
    info = object_info(key, image, meta)
    if view.volume.versioning:
        info = replace(info, version_id=version_id)
    check(conditions, info.etag, info.last_modified)
    return info, image


def canned_acl(meta: ObjectMeta | None) -> str:
    """Return the canned ACL that was given to an object with *meta*."""
    return meta.acl.get(CANNED, PRIVATE) if meta is not None else PRIVATE


def _existing(view: View, caller: Caller, path: KeyPath) -> tuple[InodeEntry, Inode]:
    """Return the object of a key; raise NotFound, which names the delete marker on top of the key's history."""
    try:
        return path.existing(view)
    except NotFound as error:
        marker = marker_of(view, caller, path)
        error.marker = marker.version_id if marker is not None else b""
        raise


def check_delete(conditions: Conditions, caller: Caller, seen: Inode) -> None:
    """Raise PreconditionFailed unless the object may go; who asks for a condition must be one who may read."""
    if conditions != NO_CONDITIONS:
        GET.require(caller, seen)
        check_write(conditions, *validators(seen))
        check_likeness(conditions, 0 if is_directory(seen) else seen.size, validators(seen)[1])
