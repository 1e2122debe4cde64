"""Buckets: a bucket is a volume (DESIGN 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundation.errors import BucketExists, BucketNotEmpty, BucketOwned
from metastore.records import ROOT_INO, FileType, Inode, InodeFlag, Volume
from namespace.api import Bucket
from namespace.authority import ACL, authorize_account, authorize_change, mode_by_acl
from namespace.edit import Planned
from namespace.hall import Verbs
from namespace.view import View, new_generation

if TYPE_CHECKING:
    from namespace.api import Caller

ROOT_MODE = 0o755


class BucketVerbs(Verbs):
    """The service and bucket operations of S3."""

    async def list_buckets(self, caller: Caller) -> list[Bucket]:
        """Return the caller's buckets, by name, whichever gateway holds them."""
        authorize_account(caller)
        rows = await self._engine.metastore.volumes()
        return [bucket_of(row) for row in rows if row.owner == caller.account]

    async def head_bucket(self, caller: Caller, bucket: str) -> Bucket:
        """Return the bucket; raise BucketNotFound, or AccessDenied of another's."""
        row = await self._volumes.row(bucket)
        authorize_account(caller, row.owner)
        return bucket_of(row)

    async def owner_of(self, bucket: str) -> str:
        """Return the account that the bucket belongs to; raise BucketNotFound."""
        return (await self._volumes.row(bucket)).owner

    async def create_bucket(self, caller: Caller, bucket: str, acl: str = "") -> Bucket:
        """Make a bucket whose root belongs to the caller; raise BucketExists or BucketOwned."""
        authorize_account(caller)
        authorize_change(caller)
        now_ns = self._clock.now_ns()
        row = Volume(0, bucket, caller.account, now_ns, 0, 0, {ACL: acl} if acl else {})
        root = root_inode(caller.uid, caller.gid, now_ns, new_generation())
        if acl:
            root = replace(root, mode=mode_by_acl(root, acl))
        try:
            return bucket_of(await self._volumes.make(row, root))
        except BucketExists:
            existing = await self._volumes.row(bucket)
        if existing.owner == caller.account:
            raise BucketOwned(bucket)
        raise BucketExists(bucket)

    async def delete_bucket(self, caller: Caller, bucket: str) -> None:
        """Remove an empty bucket; what a crash or another caller may still put into it makes it refuse."""
        volume = await self._volumes.named(bucket)
        authorize_account(caller, volume.row.owner)
        authorize_change(caller)
        await self._engine.run(volume, _plan_empty)
        await self._engine.settled(volume)
        await self._volumes.drop(volume)


def root_inode(uid: int, gid: int, now_ns: int, generation: int) -> Inode:
    """Return a new volume's root directory; the metastore sets its volume number."""
    return Inode(
        0,
        ROOT_INO,
        generation,
        int(FileType.DIRECTORY),
        ROOT_MODE,
        uid,
        gid,
        2,
        atime=now_ns,
        mtime=now_ns,
        ctime=now_ns,
        content_time=now_ns,
        parent=ROOT_INO,
        flags=int(InodeFlag.EXPLICIT),
    )


def bucket_of(row: Volume) -> Bucket:
    """Return a bucket as doors show it."""
    return Bucket(row.name, row.vol, row.owner, row.created)


def _plan_empty(view: View) -> Planned[None]:
    _, root = view.live(ROOT_INO)
    if root.entries or root.history:
        raise BucketNotEmpty(view.volume.row.name)
    return Planned(lambda: None)
