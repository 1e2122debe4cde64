"""What docs/SEMANTICS.md says of objects, in the fewest lines, for flat keys and one caller."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import Any

PART_MIN = 5 << 20
_versions = itertools.count(1)


class Refused(Exception):
    """The model expects an error of this name."""


def md5_of(body: bytes) -> bytes:
    return hashlib.md5(body).hexdigest().encode()


@dataclass(eq=False)
class File:
    """A file: the bytes that S3 sees, those that NFS sees, and what S3 said of the former."""

    committed: bytes
    etag: bytes | None = None  # None: synthetic
    user: dict[str, str] = field(default_factory=dict)
    is_as_put: bool = True  # no NFS change of the content since `user` was said
    data: bytes = b""
    is_pending: bool = False  # NFS wrote what S3 does not see yet
    nlink: int = 1
    version: int = 0  # of the committed content

    def __post_init__(self) -> None:
        self.data = self.committed
        self.version = next(_versions)

    def content(self, body: bytes, etag: bytes | None, user: dict[str, str]) -> None:
        self.committed = self.data = body
        self.is_pending = False
        self.etag, self.user, self.is_as_put, self.version = etag, user, True, next(_versions)

    def nfs_changed(self) -> None:
        self.committed, self.is_pending = self.data, False
        self.etag, self.is_as_put, self.version = None, False, next(_versions)

    def nfs_lost(self) -> None:
        self.data, self.is_pending = self.committed, False


@dataclass
class Upload:
    key: bytes
    user: dict[str, str]
    parts: dict[int, tuple[bytes, Any]] = field(default_factory=dict)  # number -> bytes, what the house answered


class Objects:
    def __init__(self) -> None:
        self.files: dict[bytes, File] = {}
        self.uploads: dict[bytes, Upload] = {}

    def file(self, key: bytes) -> File:
        if key not in self.files:
            raise Refused("NotFound")
        return self.files[key]

    def put(self, key: bytes, body: bytes, etag: bytes | None, user: dict[str, str]) -> None:
        file = self.files.get(key)
        if file is not None and file.nlink == 1:
            file.content(body, etag, user)
            return
        if file is not None:
            file.nlink -= 1
        self.files[key] = File(body, etag, user)

    def check_write(self, key: bytes, *, match: bytes | None, absent: bool) -> None:
        file = self.files.get(key)
        if match is not None:
            if file is None:
                raise Refused("NotFound")
            if match not in (b"*", file.etag):
                raise Refused("PreconditionFailed")
        if absent and file is not None:
            raise Refused("PreconditionFailed")

    def delete(self, key: bytes) -> None:
        file = self.files.pop(key, None)
        if file is not None:
            file.nlink -= 1

    def link(self, key: bytes, new: bytes) -> None:
        file = self.file(key)
        if new in self.files:
            raise Refused("AlreadyExists")
        file.nlink += 1
        self.files[new] = file

    def write(self, key: bytes, offset: int, data: bytes, *, stable: bool) -> None:
        file = self.file(key)
        file.data = file.data.ljust(offset, b"\0")[:offset] + data + file.data[offset + len(data) :]
        file.is_pending = True
        if stable:
            file.nfs_changed()

    def flush(self, key: bytes) -> None:
        file = self.file(key)
        if file.is_pending:
            file.nfs_changed()

    def complete(self, upload_id: bytes, numbers: list[int]) -> None:
        upload = self.uploads[upload_id]
        if not numbers:
            raise Refused("InvalidArgument")
        if sorted(set(numbers)) != numbers:
            raise Refused("InvalidPartOrder")
        if any(number not in upload.parts for number in numbers):
            raise Refused("InvalidPart")
        bodies = [upload.parts[number][0] for number in numbers]
        if any(len(body) < PART_MIN for body in bodies[:-1]):
            raise Refused("PartTooSmall")
        digests = b"".join(bytes.fromhex(upload.parts[number][1].etag.decode()) for number in numbers)
        etag = b"%s-%d" % (md5_of(digests), len(numbers))
        self.put(upload.key, b"".join(bodies), etag, upload.user)
        del self.uploads[upload_id]
