"""The part of the fake namespace that deletes, and tells of versions: a bucket in memory keeps none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation import errors
from namespace.api import NO_CONDITIONS, Deleted, DeleteResult, VersionInfo, VersionListing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namespace.api import Caller, Conditions, DeleteTarget, ObjectInfo, VersionListRequest


class FakeVersions:
    _bucket: Any
    _object: Any
    open_object: Any

    async def delete_object(
        self, caller: Caller, bucket: str, key: bytes, conditions: Conditions = NO_CONDITIONS
    ) -> DeleteResult:
        objects = self._bucket(bucket)
        if conditions != NO_CONDITIONS and key in objects and objects[key][0].etag not in conditions.if_match:
            raise errors.PreconditionFailed
        objects.pop(key, None)
        return DeleteResult()

    async def delete_objects(self, caller: Caller, bucket: str, targets: Sequence[DeleteTarget]) -> list[Deleted]:
        self._bucket(bucket)
        outcomes = []
        for target in targets:
            try:
                outcomes.append(
                    Deleted(target.key, result=await self.delete_object(caller, bucket, target.key, target.conditions))
                )
            except errors.FsError as error:
                outcomes.append(Deleted(target.key, error))
        return outcomes

    async def get_versioning(self, caller: Caller, bucket: str) -> str:
        self._bucket(bucket)
        return ""

    async def open_version(
        self, caller: Caller, bucket: str, key: bytes, version_id: bytes, conditions: Conditions
    ) -> Any:
        _check_id(version_id)
        return await self.open_object(caller, bucket, key, conditions)

    async def head_version(
        self, caller: Caller, bucket: str, key: bytes, version_id: bytes, conditions: Conditions
    ) -> ObjectInfo:
        _check_id(version_id)
        return self._object(bucket, key, conditions)[0]

    async def delete_version(self, caller: Caller, bucket: str, key: bytes, version_id: bytes) -> DeleteResult:
        if version_id == b"null":
            self._bucket(bucket).pop(key, None)
        return DeleteResult(version_id)

    async def list_versions(self, caller: Caller, bucket: str, request: VersionListRequest) -> VersionListing:
        objects = self._bucket(bucket)
        return VersionListing(
            tuple(VersionInfo(objects[key][0], latest=True, marker=False) for key in sorted(objects)), (), None
        )


def _check_id(version_id: bytes) -> None:
    if version_id != b"null":
        raise errors.VersionNotFound
