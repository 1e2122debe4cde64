"""Conditional headers (RFC 9110, section 13) as the namespace's `Conditions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from namespace.api import Conditions
from protocols.s3.codec.dates import parse_http

if TYPE_CHECKING:
    from collections.abc import Mapping

#: More ETags than any client lists.
MAX_ETAGS = 64
NO_CONDITIONS = Conditions()
NAMES = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


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


def _etags(header: str) -> tuple[bytes, ...]:
    """Return the ETags of a list without quotes and `W/`; S3's ETags hold no commas."""
    parts = (part.strip().removeprefix("W/").strip('"') for part in header.split(",", MAX_ETAGS)[:MAX_ETAGS])
    return tuple(part.encode("latin-1") for part in parts if part)
