"""The dates of S3: SigV4's basic form, HTTP's three forms, and XML's."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_tz
from functools import lru_cache

_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_XML = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z", re.ASCII)
_MAX_DATE_LENGTH = 64
_NS = 1_000_000_000
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=256)
def parse_basic(text: str) -> int | None:
    """Return the seconds since 1970 of `YYYYMMDDTHHMMSSZ` (x-amz-date), or None."""
    match = _BASIC.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups())
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        return None


@lru_cache(maxsize=256)
def parse_http(text: str) -> int | None:
    """Return the seconds since 1970 of an HTTP or RFC 5322 date (RFC 9110, section 5.6.7), or None."""
    if len(text) > _MAX_DATE_LENGTH:
        return None
    try:
        parts = parsedate_tz(text)
        if parts is None:
            return None
        moment = datetime(*parts[:6], tzinfo=UTC)
        return int(moment.timestamp()) - (parts[9] or 0)
    except (ValueError, TypeError, IndexError, OverflowError):
        # parsedate_tz is written for mail and stumbles over some nonsense instead of refusing it.
        return None


@lru_cache(maxsize=4096)
def format_http(seconds: int) -> str:
    """Return `Sun, 06 Nov 1994 08:49:37 GMT`, whatever the locale."""
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} {at:%H:%M:%S} GMT"


def format_xml(time_ns: int) -> str:
    """Return `2009-10-12T17:50:30.000Z`: whole seconds, so that lists, HEAD and GET agree."""
    return f"{datetime.fromtimestamp(time_ns // _NS, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def parse_xml(text: str) -> int | None:
    """Return the seconds since 1970 of `2009-10-12T17:50:30[.000]Z`, or None."""
    match = _XML.fullmatch(text)
    try:
        return None if match is None else int(datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def format_basic(seconds: int) -> str:
    """Return `YYYYMMDDTHHMMSSZ`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%SZ}"
