"""What a verb on objects may be made to depend on; `namespace.api` is where doors enter."""

from __future__ import annotations

from msgspec import Struct


class Conditions(Struct, frozen=True, gc=False):
    """RFC 9110 conditions; ETags without quotes, `*` as `b"*"`, times in whole seconds since 1970."""

    if_match: tuple[bytes, ...] | None = None
    if_none_match: tuple[bytes, ...] | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None
    if_match_modified: int | None = None  # of a delete: Last-Modified is exactly this
    if_match_size: int | None = None  # of a delete


NO_CONDITIONS = Conditions()
