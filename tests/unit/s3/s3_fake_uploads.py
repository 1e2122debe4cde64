"""Copies and multipart uploads of the fake namespace: one upload, `x`, of the key that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace as with_fields

from foundation import errors
from namespace.api import NO_CONDITIONS, ObjectInfo, PartInfo, PartPage, UploadInfo, UploadPage

if TYPE_CHECKING:
    from namespace.api import (
        Caller,
        Completion,
        CopyDirectives,
        CopySource,
        PutRequest,
        UploadListRequest,
        UploadRequest,
        UploadTarget,
    )

_BEGUN = 1_600_000_000_000_000_000
_ETAG = b"0" * 32


class FakeUploads:
    async def copy_object(
        self, caller: Caller, source: CopySource, bucket: str, request: PutRequest, directives: CopyDirectives
    ) -> ObjectInfo:
        info, body = self._object(source.bucket, source.key, NO_CONDITIONS)
        copied = with_fields(info, key=request.key)
        self._bucket(bucket)[request.key] = (copied, body)
        return copied

    async def create_upload(self, caller: Caller, bucket: str, request: UploadRequest) -> UploadInfo:
        self._bucket(bucket)
        return UploadInfo(request.key, b"x", _BEGUN, caller.account, request.checksum)

    async def begin_part(self, caller: Caller, target: UploadTarget, number: int) -> FakePart:
        self._upload(target)
        return FakePart(number)

    async def copy_part(self, caller: Caller, target: UploadTarget, number: int, source: CopySource) -> PartInfo:
        self._upload(target)
        return PartInfo(number, 0, _ETAG, {}, _BEGUN)

    async def complete_upload(self, caller: Caller, target: UploadTarget, completion: Completion) -> ObjectInfo:
        self._upload(target)
        info = ObjectInfo(target.key, 0, _ETAG, _BEGUN, {}, {}, {})
        self._bucket(target.bucket)[target.key] = (info, b"")
        return info

    async def abort_upload(self, caller: Caller, target: UploadTarget) -> None:
        self._upload(target)

    async def list_parts(self, caller: Caller, target: UploadTarget, after: int, limit: int) -> PartPage:
        self._upload(target)
        return PartPage(UploadInfo(target.key, target.upload_id, _BEGUN, caller.account, ""), (), None)

    async def list_uploads(self, caller: Caller, bucket: str, request: UploadListRequest) -> UploadPage:
        self._bucket(bucket)
        return UploadPage((), (), None)

    def _upload(self, target: UploadTarget) -> None:
        self._bucket(target.bucket)
        if target.upload_id != b"x":
            raise errors.UploadNotFound


class FakePart:
    checksum = ""

    def __init__(self, number: int) -> None:
        self._number = number
        self._size = 0

    async def write(self, data: bytes) -> None:
        self._size += len(data)

    async def finish(self, etag: bytes, checksums: dict[str, str]) -> PartInfo:
        return PartInfo(self._number, self._size, etag, checksums, _BEGUN)

    def abort(self) -> None:
        """Nothing was kept."""
