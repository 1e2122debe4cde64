"""`MemoryHall` with the object verbs in few words."""

from __future__ import annotations

import hashlib
from typing import Any

from hall import ROOT, MemoryHall, run

from namespace.api import (
    Caller,
    Completion,
    Conditions,
    CopyDirectives,
    CopySource,
    PartChoice,
    PartInfo,
    PutRequest,
    SetAttr,
    Stability,
    UploadRequest,
    UploadTarget,
)

#: The least size of a part that is not the last.
PART = 5 << 20


def md5_of(body: bytes) -> bytes:
    """Return the ETag of a body."""
    return hashlib.md5(body).hexdigest().encode()


class ObjectHall(MemoryHall):
    """A hall whose objects have true ETags."""

    def store(self, key: bytes, body: bytes, bucket: str = "bucket", caller: Caller = ROOT, **fields: Any) -> Any:
        """PUT an object."""
        request = PutRequest(key, **{"headers": {}, "user": {}, **fields})
        session = run(self.ns.begin_put(caller, bucket, request))
        run(session.write(body))
        return run(session.finish(md5_of(body), {"crc32": md5_of(body)[:6].decode()}))

    def head(self, key: bytes, bucket: str = "bucket", conditions: Conditions | None = None) -> Any:
        """HEAD an object."""
        return run(self.ns.head_object(ROOT, bucket, key, conditions or Conditions()))

    def read(self, key: bytes, bucket: str = "bucket") -> bytes:
        """GET an object's bytes."""
        reader = run(self.ns.open_object(ROOT, bucket, key, Conditions()))
        try:
            return b"".join(run(reader.read(0, reader.info.size)))
        finally:
            reader.close()

    def copy(self, source: bytes, key: bytes, *, replace: bool = False, bucket: str = "bucket", **fields: Any) -> Any:
        """Copy an object; tags that are given replace the source's."""
        request = PutRequest(key, **{"headers": {}, "user": {}, **fields})
        return run(
            self.ns.copy_object(
                ROOT, CopySource("bucket", source), bucket, request, CopyDirectives(replace, "tags" in fields)
            )
        )

    def file(self, name: bytes) -> Any:
        """Return the handle of a name in the root."""
        return run(self.ns.lookup(ROOT, self.root, name)).file.file

    def write(self, name: bytes, offset: int, data: bytes, stability: Stability = Stability.FILE_SYNC) -> None:
        """WRITE to a file in the root."""
        run(self.ns.write(ROOT, self.file(name), offset, data, stability))

    def truncate(self, name: bytes, size: int) -> None:
        """SETATTR the size of a file in the root."""
        run(self.ns.setattr(ROOT, self.file(name), SetAttr(size=size), None))

    def upload(self, key: bytes, **fields: Any) -> UploadTarget:
        """Begin a multipart upload."""
        request = UploadRequest(key, **{"headers": {}, "user": {}, **fields})
        return UploadTarget("bucket", key, run(self.ns.create_upload(ROOT, "bucket", request)).upload_id)

    def part(self, target: UploadTarget, number: int, body: bytes) -> PartInfo:
        """Upload a part."""
        session = run(self.ns.begin_part(ROOT, target, number))
        run(session.write(body))
        return run(session.finish(md5_of(body), {}))

    def complete(self, target: UploadTarget, parts: list[PartInfo], conditions: Conditions | None = None) -> Any:
        """Complete an upload."""
        return run(
            self.ns.complete_upload(
                ROOT, target, Completion([choice(part) for part in parts], conditions or Conditions())
            )
        )

    def settle(self) -> None:
        """Let the duties do all there is to do, and look for faults and for what was left behind."""
        for _ in range(3):
            self.clock.advance(30)
        assert self.findings() == []

    def rows(self, kind: Any) -> list[Any]:
        """Return what the database holds of one kind of row."""
        return [row for row in self.database.rows[kind].values() if row.vol == self.vol]


def choice(part: PartInfo) -> PartChoice:
    """Return a part as CompleteMultipartUpload lists it."""
    return PartChoice(part.number, part.etag)
