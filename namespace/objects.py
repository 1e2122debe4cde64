"""The object verbs that read and delete: open, head, delete (S3 GetObject, HeadObject, DeleteObject)."""

from __future__ import annotations

import mimetypes
from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING

from namespace.api import ObjectInfo
from namespace.attributes import EMPTY_ETAG, etag_of
from namespace.authority import READ, authorize
from namespace.conditions import check_read
from namespace.edit import Edit, Planned
from namespace.hall import Verbs
from namespace.paths import KeyPath
from namespace.placing import delete
from namespace.reading import committed_pieces, fetch
from namespace.view import View, is_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metastore.records import Extent, Inode, ObjectMeta
    from namespace.api import Buffer, Caller, Conditions, OpenObject
    from namespace.volume import VolumeState
    from storage_engine.api import BodyStore

DEFAULT_CONTENT_TYPE = "binary/octet-stream"
DIRECTORY_CONTENT_TYPE = "application/x-directory"
_offset = attrgetter("offset")


class ObjectReader:
    """One content of an object, kept readable until `close`."""

    def __init__(
        self, info: ObjectInfo, extents: Sequence[Extent], volume: VolumeState, bodies: BodyStore, token: object
    ) -> None:
        """Read *extents*; *token* keeps their blobs."""
        self.info = info
        self._extents = extents
        self._volume = volume
        self._bodies = bodies
        self._token = token

    async def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """Return exactly *length* bytes, which must lie inside the object."""
        first = max(0, bisect_right(self._extents, offset, key=_offset) - 1)
        last = bisect_right(self._extents, offset + length, key=_offset)
        return await fetch(self._bodies, self._volume, committed_pieces(self._extents[first:last], offset, length))

    def close(self) -> None:
        """Let the content go."""
        self._volume.end_read(self._token)


class ObjectVerbs(Verbs):
    """Objects, seen and removed."""

    async def head_object(self, caller: Caller, bucket: str, key: bytes, conditions: Conditions) -> ObjectInfo:
        """Return what S3 shows of the object; raise NotFound, NotModified or PreconditionFailed."""
        volume = await self._volumes.named(bucket)
        return await self._engine.run(volume, lambda view: _plan_head(view, caller, key, conditions))

    async def open_object(self, caller: Caller, bucket: str, key: bytes, conditions: Conditions) -> OpenObject:
        """Open the object's content as it is now; raise as `head_object` does."""
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[tuple[ObjectInfo, list[Extent]]]:
            info, image = _look(view, caller, key, conditions)
            extents = view.extents(view.entry(image.ino), 0, info.size).extents
            snapshot = list(extents)
            return Planned(lambda: (info, snapshot))

        token = volume.begin_read(self._clock.now_ns())
        try:
            info, extents = await self._engine.run(volume, plan)
        except BaseException:
            volume.end_read(token)
            raise
        return ObjectReader(info, extents, volume, self._bodies, token)

    async def delete_object(self, caller: Caller, bucket: str, key: bytes) -> None:
        """Remove the object, and the implied directories that it alone kept; no error if there is none."""
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[None]:
            path = KeyPath(view, caller, key)
            if path.object(view) is None:
                return Planned(lambda: None)
            edit = Edit(view, self._clock.now_ns())
            delete(edit, caller, path)
            return edit.planned(lambda: None)

        await self._engine.run(volume, plan)


def _plan_head(view: View, caller: Caller, key: bytes, conditions: Conditions) -> Planned[ObjectInfo]:
    info, _ = _look(view, caller, key, conditions)
    return Planned(lambda: info)


def _look(view: View, caller: Caller, key: bytes, conditions: Conditions) -> tuple[ObjectInfo, Inode]:
    """Find an object that *caller* may read and whose *conditions* hold."""
    entry, image = KeyPath(view, caller, key).existing(view)
    authorize(caller, image, READ)
    info = object_info(key, image, None if is_directory(image) else view.meta(entry))
    check_read(conditions, info.etag, info.last_modified)
    return info, image


def object_info(key: bytes, image: Inode, meta: ObjectMeta | None) -> ObjectInfo:
    """Return what S3 shows of *image* under *key*; checksums count only for the content they were made of."""
    if is_directory(image):
        return ObjectInfo(key, 0, EMPTY_ETAG, image.mtime, {"content-type": DIRECTORY_CONTENT_TYPE}, {}, {})
    headers = dict(meta.headers) if meta is not None else {}
    if "content-type" not in headers:
        guessed, _ = mimetypes.guess_type(key.rpartition(b"/")[2].decode("utf-8", "replace"))
        headers["content-type"] = guessed or DEFAULT_CONTENT_TYPE
    own = meta is not None and image.etag is not None and image.etag_seq == image.write_seq
    checksums = meta.checksums if meta is not None and own else {}
    return ObjectInfo(
        key,
        image.size,
        etag_of(image),
        image.content_time,
        headers,
        meta.user if meta is not None else {},
        checksums,
    )
