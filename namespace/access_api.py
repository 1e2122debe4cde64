"""Tags and ACLs, as the door of the namespace offers them; `namespace.api` is where doors enter."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from namespace.api import Caller
    from namespace.objects_api import Bucket


class Grantee(Enum):
    """Who may be granted something, beside the owner, who may do everything."""

    EVERYBODY = "everybody"  # without an account too
    ACCOUNTS = "accounts"
    BUCKET_OWNER = "bucket owner"


class Permission(Enum):
    """What is granted."""

    READ = "read"  # of a bucket: to list it
    WRITE = "write"
    FULL_CONTROL = "full control"


Grant: TypeAlias = tuple[Grantee, Permission]
#: The canned ACLs, by S3's names (`namespace.authority.CANNED_ACLS` has what they mean).
CANNED_ACL_NAMES = (
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
)


class Acl(Struct, frozen=True):
    """Who may do what with an object or a bucket, beside its owner: what its ACL and its mode say together."""

    account: str  # the bucket's
    uid: int | None  # the object's owner; None: a bucket, which its account owns
    grants: frozenset[Grant]


class AccessVerbs(Protocol):
    """The verbs of S3 on tags and ACLs."""

    async def enter_bucket(self, caller: Caller, bucket: str) -> Bucket:
        """Return a bucket whose keys *caller* may list, or which is the caller's (S3 HeadBucket)."""

    async def get_tags(self, caller: Caller, bucket: str, key: bytes) -> dict[str, str]:
        """Return the object's tags."""

    async def set_tags(self, caller: Caller, bucket: str, key: bytes, tags: Mapping[str, str]) -> None:
        """Replace the object's tags; raise NotSupported for a directory that has no body to hang them on."""

    async def get_bucket_tags(self, caller: Caller, bucket: str) -> dict[str, str]:
        """Return the bucket's tags."""

    async def set_bucket_tags(self, caller: Caller, bucket: str, tags: Mapping[str, str]) -> None:
        """Replace the bucket's tags."""

    async def get_acl(self, caller: Caller, bucket: str, key: bytes) -> Acl:
        """Return who may do what with the object."""

    async def set_acl(self, caller: Caller, bucket: str, key: bytes, acl: str | frozenset[Grant]) -> None:
        """Give the object a canned ACL, by name or by what it grants, and the mode that goes with it.

        Raise NotSupported for grants that no canned ACL gives.
        """

    async def get_bucket_acl(self, caller: Caller, bucket: str) -> Acl:
        """Return who may do what with the bucket."""

    async def set_bucket_acl(self, caller: Caller, bucket: str, acl: str | frozenset[Grant]) -> None:
        """Give the bucket a canned ACL, by name or by what it grants, and its root the mode that goes with it."""
