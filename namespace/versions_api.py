"""Versions of objects, as the door of the namespace offers them; `namespace.api` is where doors enter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from namespace.conditions_api import NO_CONDITIONS, Conditions

if TYPE_CHECKING:
    from namespace.api import Caller, ObjectInfo, OpenObject


class DeleteResult(Struct, frozen=True, gc=False):
    """What a deletion did, in a bucket that keeps versions; both say nothing in another."""

    version_id: bytes = b""  # of the delete marker that stands now, or of the version that is gone
    marker: bool = False  # a delete marker stands, or one is gone


class VersionInfo(Struct, frozen=True, gc=False):
    """One version of a key."""

    info: ObjectInfo  # of a delete marker: no bytes, no ETag
    latest: bool
    marker: bool


class VersionListing(Struct, frozen=True, gc=False):
    """One page of versions, by key and newest first; `common_prefixes` in byte order."""

    versions: tuple[VersionInfo, ...]
    common_prefixes: tuple[bytes, ...]
    next_key: bytes | None  # start the next page after this key's version `next_version`; None: nothing follows
    next_version: bytes = b""  # empty: behind all versions of `next_key`


class VersionListRequest(Struct, frozen=True, gc=False):
    """What to list of a bucket's versions."""

    prefix: bytes = b""
    delimiter: bytes = b""
    after_key: bytes = b""  # only what comes behind this key,
    after_version: bytes = b""  # or behind this version of it
    limit: int = 1000


class VersionVerbs(Protocol):
    """The verbs of S3 on versions. A version id is the bytes that `ObjectInfo` tells, `null` among them."""

    async def get_versioning(self, caller: Caller, bucket: str) -> str:
        """Return `enabled`, `suspended`, or an empty string: the bucket never kept versions."""

    async def set_versioning(self, caller: Caller, bucket: str, state: str) -> None:
        """Begin to keep versions (`enabled`), or keep what there is and no more (`suspended`); for the owner alone."""

    async def open_version(
        self, caller: Caller, bucket: str, key: bytes, version_id: bytes, conditions: Conditions = NO_CONDITIONS
    ) -> OpenObject:
        """Open a version's content; raise VersionNotFound or IsDeleteMarker."""

    async def head_version(
        self, caller: Caller, bucket: str, key: bytes, version_id: bytes, conditions: Conditions = NO_CONDITIONS
    ) -> ObjectInfo: ...
    async def delete_version(self, caller: Caller, bucket: str, key: bytes, version_id: bytes) -> DeleteResult:
        """Remove one version for good, and show the one below if it was the current one; none is no error.

        Raise AccessDenied if it is locked.
        """

    async def get_lock(self, caller: Caller, bucket: str, key: bytes, version_id: bytes) -> tuple[int, bool]:
        """Return until when a version is retained (ns, 0 = not) and whether it has a legal hold."""

    async def set_lock(
        self, caller: Caller, bucket: str, key: bytes, version_id: bytes, lock: tuple[int | None, bool | None]
    ) -> None:
        """Retain a version until then, set or lift its legal hold; None leaves it. A retention is never shortened.

        An empty *version_id* is the current version. Raise AccessDenied for a shorter retention.
        """

    async def list_versions(self, caller: Caller, bucket: str, request: VersionListRequest) -> VersionListing: ...
