"""Buckets and objects, as the door of the namespace offers them; `namespace.api` is where doors enter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from namespace.access_api import AccessVerbs
from namespace.conditions_api import NO_CONDITIONS as NO_CONDITIONS
from namespace.conditions_api import Conditions as Conditions
from namespace.uploads_api import UploadVerbs
from namespace.versions_api import DeleteResult, VersionVerbs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foundation.errors import FsError
    from namespace.api import Buffer, Caller


class Bucket(Struct, frozen=True, gc=False):
    """A volume as S3 shows it."""

    name: str
    vol: int
    owner: str
    created: int


class ObjectInfo(Struct, frozen=True, gc=False):
    """An object as S3 shows it."""

    key: bytes
    size: int
    etag: bytes  # without quotes
    last_modified: int  # ns
    headers: dict[str, str]  # content headers by lower-case name; always has content-type
    user: dict[str, str]  # x-amz-meta-* without the prefix
    checksums: dict[str, str]  # base64 by lower-case algorithm: crc32, crc32c, crc64nvme, sha1, sha256
    version_id: bytes = b""  # empty: the bucket never kept versions
    tags: dict[str, str] = {}
    parts: dict[str, str] = {}  # packed: `ObjectParts` reads it; empty: it was not uploaded in parts
    uid: int = -1  # the file's owner, in listings; -1: not told


class PutRequest(Struct, frozen=True, gc=False):
    """What a PUT says of its object before the body."""

    key: bytes
    headers: dict[str, str]
    user: dict[str, str]
    conditions: Conditions = NO_CONDITIONS
    tags: dict[str, str] = {}
    acl: str = ""  # a canned ACL (`namespace.authority.CANNED_ACLS`); empty: the bucket's default modes


class CopySource(Struct, frozen=True, gc=False):
    """What a copy reads: an object, or the bytes [start, end) of it, which must not be empty and lie inside."""

    bucket: str
    key: bytes
    conditions: Conditions = NO_CONDITIONS  # none of them is NotModified here: all that fail are PreconditionFailed
    start: int = 0
    end: int | None = None  # None: to the end
    version_id: bytes = b""  # empty: the current version


class CopyDirectives(Struct, frozen=True, gc=False):
    """What of a copy is the request's, and not the source's."""

    metadata: bool = False  # headers and user metadata
    tags: bool = False
    checksums: dict[str, str] | None = None  # of the whole source, as the caller has computed them


class DeleteTarget(Struct, frozen=True, gc=False):
    """One key of DeleteObjects."""

    key: bytes
    conditions: Conditions = NO_CONDITIONS
    version_id: bytes = b""  # not empty: this version, for good, and whatever the conditions say


class Deleted(Struct, frozen=True, gc=False):
    """What became of one key of DeleteObjects; a key that did not exist is deleted too."""

    key: bytes
    error: FsError | None = None
    result: DeleteResult = DeleteResult()


class PutSession(Protocol):
    """A PUT whose body is on its way. Exactly one of `finish` and `abort` ends it."""

    async def write(self, data: Buffer) -> None:
        """Take more of the body; returns when there is room for the next piece. *data* must stay unchanged."""

    async def finish(self, etag: bytes, checksums: dict[str, str]) -> ObjectInfo:
        """Check permission and conditions again and make the body the object's content, atomically."""

    def abort(self) -> None:
        """Forget the body: nothing changed."""


class OpenObject(Protocol):
    """One content of an object, pinned: later changes do not show. `close` it."""

    info: ObjectInfo

    async def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """Return exactly *length* bytes, which must lie inside the object."""

    def close(self) -> None:
        """Let the content go."""


class Listing(Struct, frozen=True, gc=False):
    """One page of a listing. `contents` and `common_prefixes` are each in byte order.

    Objects come without headers, user metadata and checksums: a listing loads none.
    """

    contents: tuple[ObjectInfo, ...]
    common_prefixes: tuple[bytes, ...]
    next_after: bytes | None  # start the next page after this; None: nothing follows
    account: str = ""  # the bucket's


class ListRequest(Struct, frozen=True, gc=False):
    """What to list."""

    prefix: bytes = b""
    delimiter: bytes = b""
    after: bytes = b""  # only keys (and common prefixes) greater than this
    limit: int = 1000


class ObjectVerbs(UploadVerbs, VersionVerbs, AccessVerbs, Protocol):
    """The verbs of S3, by bucket and key. Keys are the decoded bytes; the namespace checks them."""

    async def list_buckets(self, caller: Caller) -> list[Bucket]:
        """Return the caller's buckets, by name."""

    async def head_bucket(self, caller: Caller, bucket: str) -> Bucket:
        """Return a bucket of the caller's own; raise AccessDenied of another's."""

    async def owner_of(self, bucket: str) -> str:
        """Return the account that a bucket belongs to, whoever asks: doors compare it and do not tell it."""

    async def create_bucket(self, caller: Caller, bucket: str, acl: str = "") -> Bucket:
        """Make a bucket, by a canned *acl* if there is one; raise BucketExists or BucketOwned.

        The door has checked the name's form.
        """

    async def delete_bucket(self, caller: Caller, bucket: str) -> None: ...
    async def begin_put(self, caller: Caller, bucket: str, request: PutRequest) -> PutSession: ...
    async def open_object(self, caller: Caller, bucket: str, key: bytes, conditions: Conditions) -> OpenObject: ...
    async def head_object(self, caller: Caller, bucket: str, key: bytes, conditions: Conditions) -> ObjectInfo: ...
    async def delete_object(
        self, caller: Caller, bucket: str, key: bytes, conditions: Conditions = NO_CONDITIONS
    ) -> DeleteResult:
        """Remove the object; a key that does not exist is no error, unless *conditions* ask for it."""

    async def delete_objects(self, caller: Caller, bucket: str, targets: Sequence[DeleteTarget]) -> list[Deleted]:
        """Remove at most 1,000 objects side by side, each with its own outcome.

        Of two that hang on each other (`a/` and `a/b`) either may be first.
        """

    async def copy_object(
        self, caller: Caller, source: CopySource, bucket: str, request: PutRequest, directives: CopyDirectives
    ) -> ObjectInfo:
        """Make the source's committed content the object's; inside a bucket no byte moves.

        What *directives* do not give to *request* is as the source has it. An object copied onto itself keeps content
        and Last-Modified, or is a new version; raise NothingToChange if that would change nothing.
        """

    async def open_source(self, caller: Caller, source: CopySource) -> OpenObject:
        """Open all of what a copy would read; raise as the copy would."""

    async def compose(
        self, caller: Caller, bucket: str, request: PutRequest, sources: Sequence[CopySource]
    ) -> ObjectInfo:
        """Make an object of the *sources*, all of *bucket*, one behind the other; no byte moves."""

    async def list_objects(self, caller: Caller, bucket: str, request: ListRequest) -> Listing: ...
