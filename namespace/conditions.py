"""RFC 9110 conditions on an object (section 13), decided inside the plan that acts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import NotFound, NotModified, PreconditionFailed

if TYPE_CHECKING:
    from namespace.api import Conditions

NS_PER_SECOND = 1_000_000_000


def check_read(conditions: Conditions, etag: bytes, modified_ns: int) -> None:
    """Raise PreconditionFailed or NotModified unless a read may go on (RFC 9110, section 13.2.2)."""
    seconds = modified_ns // NS_PER_SECOND
    if conditions.if_match is not None:
        if not _matches(conditions.if_match, etag):
            raise PreconditionFailed("If-Match")
    elif conditions.if_unmodified_since is not None and seconds > conditions.if_unmodified_since:
        raise PreconditionFailed("If-Unmodified-Since")
    if conditions.if_none_match is not None:
        if _matches(conditions.if_none_match, etag):
            raise NotModified("If-None-Match")
    elif conditions.if_modified_since is not None and seconds <= conditions.if_modified_since:
        raise NotModified("If-Modified-Since")


def check_source(conditions: Conditions, etag: bytes, modified_ns: int) -> None:
    """Raise PreconditionFailed unless a copy may read its source: as a read, but nothing is ever "not modified"."""
    try:
        check_read(conditions, etag, modified_ns)
    except NotModified as error:
        raise PreconditionFailed(*error.args) from None


def check_write(conditions: Conditions, etag: bytes | None, modified_ns: int) -> None:
    """Raise PreconditionFailed unless a write or delete may replace what has *etag*; None: there is nothing.

    Raise NotFound where If-Match asks for something and there is nothing, as S3 does (RFC 9110 would say 412).
    """
    if conditions.if_match is not None:
        if etag is None:
            raise NotFound("If-Match, and there is no such key")
        if not _matches(conditions.if_match, etag):
            raise PreconditionFailed("If-Match")
    elif etag is not None and _is_newer(modified_ns, conditions.if_unmodified_since):
        raise PreconditionFailed("If-Unmodified-Since")
    if conditions.if_none_match is not None and etag is not None and _matches(conditions.if_none_match, etag):
        raise PreconditionFailed("If-None-Match")


def check_likeness(conditions: Conditions, size: int, modified_ns: int) -> None:
    """Raise PreconditionFailed unless what is to be deleted has the size and the second that the caller knows."""
    if conditions.if_match_size not in (None, size):
        raise PreconditionFailed("size")
    if conditions.if_match_modified not in (None, modified_ns // NS_PER_SECOND):
        raise PreconditionFailed("Last-Modified")


def _is_newer(modified_ns: int, since: int | None) -> bool:
    return since is not None and modified_ns // NS_PER_SECOND > since


def _matches(tags: tuple[bytes, ...], etag: bytes) -> bool:
    return b"*" in tags or etag in tags
