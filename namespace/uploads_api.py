"""Multipart uploads, as the door of the namespace offers them; `namespace.api` is where doors enter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namespace.api import Buffer, Caller, Conditions, CopySource, ObjectInfo


class PartInfo(Struct, frozen=True, gc=False):
    """One part of a multipart upload."""

    number: int  # 1..10000
    size: int
    etag: bytes  # without quotes
    checksums: dict[str, str]  # as in ObjectInfo
    modified: int  # ns


class PartChoice(Struct, frozen=True, gc=False):
    """A part as CompleteMultipartUpload names it; what is empty is not compared."""

    number: int
    etag: bytes
    checksums: dict[str, str] = {}


class Completion(Struct, frozen=True, gc=False):
    """What CompleteMultipartUpload says: the parts, and what the caller takes the whole for; all of it is compared."""

    parts: Sequence[PartChoice]
    conditions: Conditions
    checksums: dict[str, str] = {}  # of the whole, as in ObjectInfo
    kind: str = ""  # of the checksum: COMPOSITE or FULL_OBJECT; empty: not said
    size: int | None = None


class UploadRequest(Struct, frozen=True, gc=False):
    """What CreateMultipartUpload says of the object to be."""

    key: bytes
    headers: dict[str, str]
    user: dict[str, str]
    checksum: str = ""  # announced: algorithm and kind (`crc32 COMPOSITE`); empty: crc64nvme, of the whole
    tags: dict[str, str] = {}
    acl: str = ""  # as in PutRequest


class UploadInfo(Struct, frozen=True, gc=False):
    """A multipart upload in progress."""

    key: bytes
    upload_id: bytes
    initiated: int  # ns
    owner: str  # the account that began it
    checksum: str


class UploadTarget(Struct, frozen=True, gc=False):
    """Which upload a request means; both must fit."""

    bucket: str
    key: bytes
    upload_id: bytes


class PartPage(Struct, frozen=True, gc=False):
    """One page of ListParts, by number."""

    upload: UploadInfo
    parts: tuple[PartInfo, ...]
    next_after: int | None  # start the next page after this number; None: nothing follows


class UploadListRequest(Struct, frozen=True, gc=False):
    """What ListMultipartUploads lists: uploads after (*key_marker*, *upload_id_marker*) in that order.

    Without *upload_id_marker* only keys greater than *key_marker* are listed.
    """

    prefix: bytes = b""
    delimiter: bytes = b""
    key_marker: bytes = b""
    upload_id_marker: bytes = b""
    limit: int = 1000


class UploadPage(Struct, frozen=True, gc=False):
    """One page of ListMultipartUploads. `uploads` are by key and id, `common_prefixes` in byte order."""

    uploads: tuple[UploadInfo, ...]
    common_prefixes: tuple[bytes, ...]
    next_marker: tuple[bytes, bytes] | None  # key and id of the last; None: nothing follows


class PartSession(Protocol):
    """A part whose body is on its way. Exactly one of `finish` and `abort` ends it."""

    checksum: str  # of the upload, as in UploadRequest: which checksum of the part `finish` should be given

    async def write(self, data: Buffer) -> None:
        """Take more of the body; returns when there is room for the next piece. *data* must stay unchanged."""

    async def finish(self, etag: bytes, checksums: dict[str, str]) -> PartInfo:
        """Make the body the upload's part, atomically; *etag* is its MD5 in hex. It replaces one of that number.

        Raise UploadNotFound if the upload has ended meanwhile.
        """

    def abort(self) -> None:
        """Forget the body: nothing changed."""


class UploadVerbs(Protocol):
    """The multipart verbs of S3."""

    async def create_upload(self, caller: Caller, bucket: str, request: UploadRequest) -> UploadInfo:
        """Begin a multipart upload of an object that the caller could put now."""

    async def begin_part(self, caller: Caller, target: UploadTarget, number: int) -> PartSession:
        """Make ready for the body of part *number* (1..10000); raise UploadNotFound."""

    async def copy_part(self, caller: Caller, target: UploadTarget, number: int, source: CopySource) -> PartInfo:
        """Make bytes of an object a part; inside a bucket no byte moves."""

    async def complete_upload(self, caller: Caller, target: UploadTarget, completion: Completion) -> ObjectInfo:
        """Make an object of the parts, with a checksum made of theirs, and end the upload.

        Raise UploadNotFound, InvalidPart, InvalidPartOrder, PartTooSmall, BadDigest or CompletionMismatch, and whatever
        a PUT may be refused with.
        """

    async def abort_upload(self, caller: Caller, target: UploadTarget) -> None:
        """End the upload; its parts go. Raise UploadNotFound."""

    async def list_parts(self, caller: Caller, target: UploadTarget, after: int, limit: int) -> PartPage:
        """Return the parts with a number > *after*."""

    async def list_uploads(self, caller: Caller, bucket: str, request: UploadListRequest) -> UploadPage:
        """Return uploads in progress, by key and id."""
