"""Tags and ACLs: what hangs on an object or a bucket and touches no content (S3 tagging and ACLs; ADR 0065).

An object's tags and canned ACL lie in its metadata row, a bucket's in its settings. A canned ACL sets the mode, which
is what accounts and NFS users go by; the ACL's own word lets anonymous callers in, and only where the mode does too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from foundation.crash import crash_point
from foundation.errors import NotFound, NotSupported
from metastore.records import ROOT_INO, FileType, ObjectMeta
from namespace.api import Acl
from namespace.authority import (
    ACL,
    ANNOTATE,
    ASK,
    CHANGE,
    LIST_KEYS,
    acl_named,
    authorize_account,
    authorize_change,
    grants_of,
    mode_by_acl,
)
from namespace.buckets import bucket_of
from namespace.edit import Edit, Planned
from namespace.hall import Verbs
from namespace.objects import CANNED, canned_acl
from namespace.paths import KeyPath
from namespace.settings import change_settings
from namespace.view import is_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metastore.records import Inode
    from namespace.api import Bucket, Caller, Grant
    from namespace.cache import InodeEntry
    from namespace.view import View
    from namespace.volume import VolumeState

_after_acl = crash_point("bucket_acl.after_setting")
#: The bucket's setting that keeps its tags, as a JSON object.
TAGS = "tags"
_Tags = msgspec.json.Decoder(dict[str, str])


class AccessVerbs(Verbs):
    """Tags and ACLs of objects and buckets."""

    async def enter_bucket(self, caller: Caller, bucket: str) -> Bucket:
        """Return a bucket whose keys *caller* may list; its own account finds it whoever holds it."""
        row = await self._volumes.row(bucket)
        if not caller.anonymous and caller.account == row.owner:
            return bucket_of(row)
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[Bucket]:
            LIST_KEYS.require(caller, view.live(ROOT_INO)[1], acl=volume.acl)
            return Planned(lambda: bucket_of(volume.row))

        return await self._engine.run(volume, plan)

    async def get_tags(self, caller: Caller, bucket: str, key: bytes) -> dict[str, str]:
        """Return the object's tags."""
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[dict[str, str]]:
            entry, image = _existing(view, caller, key)
            ASK.require(caller, image)
            meta = None if is_directory(image) else view.meta(entry)
            return Planned(lambda: meta.tags if meta is not None else {})

        return await self._engine.run(volume, plan)

    async def set_tags(self, caller: Caller, bucket: str, key: bytes, tags: Mapping[str, str]) -> None:
        """Replace the object's tags: its content, ETag and Last-Modified stay, its ctime moves."""
        volume = await self._volumes.named(bucket)
        kept = dict(tags)

        def plan(view: View) -> Planned[None]:
            entry, image = _existing(view, caller, key)
            ANNOTATE.require(caller, image)
            edit = Edit(view, self._clock.now_ns())
            if not is_directory(image):
                edit.touch(entry)
                edit.put(replace(_meta(view, entry), tags=kept))
            elif kept:
                raise NotSupported("a directory's plain key has no tags")
            return edit.planned(lambda: None)

        await self._engine.run(volume, plan)

    async def get_bucket_tags(self, caller: Caller, bucket: str) -> dict[str, str]:
        """Return the bucket's tags."""
        volume = await self._own(caller, bucket)
        self._engine.confirm(volume)
        return _Tags.decode(volume.row.settings.get(TAGS) or "{}")

    async def set_bucket_tags(self, caller: Caller, bucket: str, tags: Mapping[str, str]) -> None:
        """Replace the bucket's tags."""
        volume = await self._own(caller, bucket)
        authorize_change(caller)
        text = msgspec.json.encode(tags).decode() if tags else ""
        await change_settings(self._engine.metastore, volume, {TAGS: text})

    async def get_acl(self, caller: Caller, bucket: str, key: bytes) -> Acl:
        """Return who may do what with the object; for its owner, and for the bucket's account."""
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[Acl]:
            entry, image = _existing(view, caller, key)
            if caller.uid not in {0, image.uid} or caller.anonymous:
                authorize_account(caller, volume.row.owner)
            canned = canned_acl(None if is_directory(image) else view.meta(entry))
            grants = grants_of(image.type, image.mode, canned)
            return Planned(lambda: Acl(volume.row.owner, image.uid, grants))

        return await self._engine.run(volume, plan)

    async def set_acl(self, caller: Caller, bucket: str, key: bytes, acl: str | frozenset[Grant]) -> None:
        """Give the object a canned ACL and its mode; a directory's plain key has but the mode."""
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[None]:
            entry, image = _existing(view, caller, key)
            CHANGE.require(caller, image)
            name = acl_named(acl, image.type)
            edit = Edit(view, self._clock.now_ns())
            edit.touch(entry, mode=mode_by_acl(image, name))
            if not is_directory(image):
                edit.put(replace(_meta(view, entry), acl={CANNED: name}))
            return edit.planned(lambda: None)

        await self._engine.run(volume, plan)

    async def get_bucket_acl(self, caller: Caller, bucket: str) -> Acl:
        """Return who may do what with the bucket."""
        volume = await self._own(caller, bucket)

        def plan(view: View) -> Planned[Acl]:
            _, root = view.live(ROOT_INO)
            grants = grants_of(root.type, root.mode, volume.acl)
            return Planned(lambda: Acl(volume.row.owner, None, grants))

        return await self._engine.run(volume, plan)

    async def set_bucket_acl(self, caller: Caller, bucket: str, acl: str | frozenset[Grant]) -> None:
        """Give the bucket a canned ACL, then its root the mode: between the two nobody may do more than by either."""
        volume = await self._own(caller, bucket)
        authorize_change(caller)
        name = acl_named(acl, FileType.DIRECTORY)
        await change_settings(self._engine.metastore, volume, {ACL: name})
        _after_acl()

        def plan(view: View) -> Planned[None]:
            entry, root = view.live(ROOT_INO)
            edit = Edit(view, self._clock.now_ns())
            edit.touch(entry, mode=mode_by_acl(root, name))
            return edit.planned(lambda: None)

        await self._engine.run(volume, plan)

    async def _own(self, caller: Caller, bucket: str) -> VolumeState:
        volume = await self._volumes.named(bucket)
        authorize_account(caller, volume.row.owner)
        return volume


def _existing(view: View, caller: Caller, key: bytes) -> tuple[InodeEntry, Inode]:
    """Return the object the key names; raise NotFound, or AccessDenied to those who may not know that there is none."""
    path = KeyPath(view, caller, key)
    try:
        return path.existing(view)
    except NotFound:
        path.require_sight(view, caller)
        raise


def _meta(view: View, entry: InodeEntry) -> ObjectMeta:
    """Return the object's metadata, empty if it has none yet."""
    return view.meta(entry) or ObjectMeta(view.volume.vol, entry.ino, {}, {})
