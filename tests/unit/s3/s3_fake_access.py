"""The fake namespace's tags and ACLs, and one that lets nobody in without an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from foundation import errors
from metastore.records import FileType
from namespace.api import Acl, Bucket
from namespace.authority import CANNED_ACLS, acl_named, grants_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from namespace.api import Caller, Grant

OWNER = "f" * 64
_CREATED = 1_600_000_000_000_000_000


class FakeAccess:
    """Keeps what it is given; rights are the true namespace's."""

    def __init__(self) -> None:
        self.bucket_tags: dict[str, dict[str, str]] = {}
        self.acls: dict[tuple[str, bytes], str] = {}
        self.uid = 1000

    async def enter_bucket(self, caller: Caller, bucket: str) -> Bucket:
        self._bucket(bucket)
        return Bucket(bucket, 1, OWNER, _CREATED)

    def _named(self, bucket: str, key: bytes) -> Any:
        objects = self._bucket(bucket)
        if key not in objects:
            raise errors.NotFound
        return objects

    async def get_tags(self, caller: Caller, bucket: str, key: bytes) -> dict[str, str]:
        return self._named(bucket, key)[key][0].tags

    async def set_tags(self, caller: Caller, bucket: str, key: bytes, tags: Mapping[str, str]) -> None:
        objects = self._named(bucket, key)
        objects[key] = (replace(objects[key][0], tags=dict(tags)), objects[key][1])

    async def get_bucket_tags(self, caller: Caller, bucket: str) -> dict[str, str]:
        self._bucket(bucket)
        return self.bucket_tags.get(bucket, {})

    async def set_bucket_tags(self, caller: Caller, bucket: str, tags: Mapping[str, str]) -> None:
        self._bucket(bucket)
        self.bucket_tags[bucket] = dict(tags)

    async def get_acl(self, caller: Caller, bucket: str, key: bytes) -> Acl:
        self._named(bucket, key)
        return Acl(OWNER, self.uid, self._grants(bucket, key, FileType.REGULAR))

    async def set_acl(self, caller: Caller, bucket: str, key: bytes, acl: str | frozenset[Grant]) -> None:
        self._named(bucket, key)
        self.acls[bucket, key] = acl_named(acl, FileType.REGULAR)

    async def get_bucket_acl(self, caller: Caller, bucket: str) -> Acl:
        self._bucket(bucket)
        return Acl(OWNER, None, self._grants(bucket, b"", FileType.DIRECTORY))

    async def set_bucket_acl(self, caller: Caller, bucket: str, acl: str | frozenset[Grant]) -> None:
        self._bucket(bucket)
        self.acls[bucket, b""] = acl_named(acl, FileType.DIRECTORY)

    def _grants(self, bucket: str, key: bytes, kind: int) -> frozenset[Grant]:
        acl = self.acls.get((bucket, key), "private")
        return grants_of(kind, CANNED_ACLS[acl][kind == FileType.DIRECTORY], acl)


class Locked:
    """A namespace behind which every verb refuses who has no account, and notes that it was asked."""

    def __init__(self, namespace: Any) -> None:
        self.namespace = namespace
        self.refused: list[str] = []
        self.open = False  # let everybody in after all

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.namespace, name)
        if not callable(verb):
            return verb

        def guarded(caller: Caller, *args: Any, **named: Any) -> Any:
            if getattr(caller, "anonymous", False) and not self.open:
                self.refused.append(name)
                raise errors.AccessDenied
            return verb(caller, *args, **named)

        return guarded
