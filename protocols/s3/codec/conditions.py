"""Conditional headers (RFC 9110, section 13) as the namespace's `Conditions`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from namespace.api import Conditions
from protocols.s3.codec.dates import parse_http, parse_xml
from protocols.s3.codec.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Mapping

#: More ETags than any client lists.
MAX_ETAGS = 64
NO_CONDITIONS = Conditions()
NAMES = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
#: Headers of DeleteObject that only some buckets of S3 know; here all do.
IF_MATCH_SIZE, IF_MATCH_TIME = "x-amz-if-match-size", "x-amz-if-match-last-modified-time"
_SIZE = re.compile(r"[0-9]{1,19}", re.ASCII)


def parse_conditions(headers: Mapping[str, str]) -> Conditions:
    """Return the conditions of a request; dates that are none are ignored, as the RFC demands."""
    if not any(name in headers for name in NAMES):
        return NO_CONDITIONS
    match, none_match, modified, unmodified = (headers.get(name) for name in NAMES)
    return Conditions(
        if_match=None if match is None else _etags(match),
        if_none_match=None if none_match is None else _etags(none_match),
        if_modified_since=None if modified is None else parse_http(modified),
        if_unmodified_since=None if unmodified is None else parse_http(unmodified),
    )


def delete_conditions(headers: Mapping[str, str]) -> Conditions:
    """Return the conditions of DeleteObject, which knows If-Match and what follows it alone; raise S3Error."""
    for name in NAMES[1:]:
        if name in headers:
            raise S3Error("NotImplemented", Header=name)
    conditions = parse_conditions(headers)
    size, time = headers.get(IF_MATCH_SIZE), headers.get(IF_MATCH_TIME)
    return conditions if size is time is None else _like(conditions, size, time)


def entry_conditions(etag: str | None, size: str | None, time: str | None) -> Conditions:
    """Return the conditions of one key of DeleteObjects; raise S3Error InvalidArgument."""
    conditions = Conditions(if_match=_etags(etag)) if etag is not None else NO_CONDITIONS
    return conditions if size is time is None else _like(conditions, size, time)


def _like(conditions: Conditions, size: str | None, time: str | None) -> Conditions:
    """Add what the object must be like to the second and the byte: a condition that cannot be read is not dropped."""
    modified = None
    if time is not None:
        modified = parse_http(time) or parse_xml(time)
        if modified is None:
            raise S3Error("InvalidArgument", "The time of the condition is no date.", ArgumentName=IF_MATCH_TIME)
    if size is not None and not _SIZE.fullmatch(size):
        raise S3Error("InvalidArgument", "The size of the condition is no number.", ArgumentName=IF_MATCH_SIZE)
    return replace(conditions, if_match_size=None if size is None else int(size), if_match_modified=modified)


def _etags(header: str) -> tuple[bytes, ...]:
    """Return the ETags of a list without quotes and `W/`; S3's ETags hold no commas."""
    parts = (part.strip().removeprefix("W/").strip('"') for part in header.split(",", MAX_ETAGS)[:MAX_ETAGS])
    return tuple(part.encode("latin-1", "replace") for part in parts if part)
