"""A namespace in memory that keeps the promises of `ObjectVerbs` that a door can see, and records what it was told."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from msgspec.structs import replace
from s3_fake_access import OWNER, FakeAccess
from s3_fake_uploads import FakeUploads
from s3_fake_versions import FakeVersions

from foundation import errors
from namespace.api import Bucket, Listing, ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namespace.api import Buffer, Caller, Conditions, ListRequest, PutRequest

_CREATED = 1_600_000_000_000_000_000


class FakeNamespace(FakeUploads, FakeVersions, FakeAccess):
    def __init__(self) -> None:
        super().__init__()
        self.buckets: dict[str, dict[bytes, tuple[ObjectInfo, bytes]]] = {}
        self.aborted = 0
        self.finished = 0
        self.opened = 0
        self.closed = 0
        self.error: BaseException | None = None  # raised by the next verb
        self.sink = False  # forget bodies, keep their length
        self.put_acl = ""  # of the last PUT

    def _fail(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error

    def _bucket(self, name: str) -> dict[bytes, tuple[ObjectInfo, bytes]]:
        self._fail()
        if name not in self.buckets:
            raise errors.BucketNotFound
        return self.buckets[name]

    async def list_buckets(self, caller: Caller) -> list[Bucket]:
        self._fail()
        return [Bucket(name, 1, "owner", _CREATED) for name in sorted(self.buckets)]

    async def head_bucket(self, caller: Caller, bucket: str) -> Bucket:
        self._bucket(bucket)
        return Bucket(bucket, 1, "owner", _CREATED)

    async def owner_of(self, bucket: str) -> str:
        self._bucket(bucket)
        return "owner"

    async def create_bucket(self, caller: Caller, bucket: str, acl: str = "") -> Bucket:
        self._fail()
        if bucket in self.buckets:
            raise errors.BucketOwned
        self.acls[bucket, b""] = acl or "private"
        self.buckets[bucket] = {}
        return Bucket(bucket, 1, "owner", _CREATED)

    async def delete_bucket(self, caller: Caller, bucket: str) -> None:
        if self._bucket(bucket):
            raise errors.BucketNotEmpty
        del self.buckets[bucket]

    async def begin_put(self, caller: Caller, bucket: str, request: PutRequest) -> FakePut:
        objects = self._bucket(bucket)
        current = objects.get(request.key)
        _check(request.conditions, current[0] if current else None, write=True)
        return FakePut(self, objects, request)

    async def open_object(self, caller: Caller, bucket: str, key: bytes, conditions: Conditions) -> FakeOpen:
        info, body = self._object(bucket, key, conditions)
        self.opened += 1
        return FakeOpen(self, info, body)

    async def head_object(self, caller: Caller, bucket: str, key: bytes, conditions: Conditions) -> ObjectInfo:
        return self._object(bucket, key, conditions)[0]

    def _object(self, bucket: str, key: bytes, conditions: Conditions) -> tuple[ObjectInfo, bytes]:
        found = self._bucket(bucket).get(key)
        if found is None:
            raise errors.NotFound
        _check(conditions, found[0], write=False)
        return found

    async def list_objects(self, caller: Caller, bucket: str, request: ListRequest) -> Listing:
        objects = self._bucket(bucket)
        contents: list[ObjectInfo] = []
        prefixes: list[bytes] = []
        last = b""
        for key in sorted(key for key in objects if key.startswith(request.prefix)):
            cut = key.find(request.delimiter, len(request.prefix)) if request.delimiter else -1
            name = key if cut < 0 else key[: cut + len(request.delimiter)]
            if name <= request.after or (prefixes and prefixes[-1] == name and cut >= 0):
                continue
            if len(contents) + len(prefixes) >= request.limit:
                return Listing(tuple(contents), tuple(prefixes), last or None, OWNER)
            last = name
            if cut < 0:
                contents.append(replace(objects[key][0], uid=self.uid))
            else:
                prefixes.append(name)
        return Listing(tuple(contents), tuple(prefixes), None, OWNER)


def _check(conditions: Conditions, info: ObjectInfo | None, *, write: bool) -> None:
    etag = info.etag if info else None
    if conditions.if_match is not None and not (info and (b"*" in conditions.if_match or etag in conditions.if_match)):
        raise errors.PreconditionFailed if info or not write else errors.NotFound
    if conditions.if_none_match is not None and info:
        if b"*" in conditions.if_none_match or etag in conditions.if_none_match:
            raise errors.PreconditionFailed if write else errors.NotModified
        return
    since = conditions.if_modified_since
    if since is not None and info and not write and info.last_modified // 1_000_000_000 <= since:
        raise errors.NotModified


class FakePut:
    def __init__(self, namespace: FakeNamespace, objects: dict, request: PutRequest) -> None:
        self._namespace = namespace
        self._objects = objects
        self._request = request
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = False

    async def write(self, data: Buffer) -> None:
        assert not self._ended
        assert len(data) > 0
        self._size += len(data)
        if not self._namespace.sink:
            self._pieces.append(bytes(data))

    async def finish(self, etag: bytes, checksums: dict[str, str]) -> ObjectInfo:
        assert not self._ended
        self._ended = True
        self._namespace._fail()
        self._namespace.finished += 1
        body = b"".join(self._pieces)
        if not self._namespace.sink:
            assert etag == hashlib.md5(body).hexdigest().encode()
        request = self._request
        said = (request.headers, request.user, checksums)
        info = ObjectInfo(request.key, self._size, etag, _CREATED, *said, tags=request.tags)
        self._objects[request.key] = (info, body)
        self._namespace.put_acl = request.acl
        return info

    def abort(self) -> None:
        assert not self._ended
        self._ended = True
        self._namespace.aborted += 1


class FakeOpen:
    def __init__(self, namespace: FakeNamespace, info: ObjectInfo, body: bytes) -> None:
        self._namespace = namespace
        self._body = memoryview(body)
        self.info = info

    async def read(self, offset: int, length: int) -> Sequence[Buffer]:
        self._namespace._fail()
        assert 0 <= offset <= offset + length <= self.info.size
        # A copy, as what comes from a node is: what a slow reader costs is measured with this.
        return [bytes(self._body[offset : offset + length])]

    def close(self) -> None:
        self._namespace.closed += 1
