"""The Range header (RFC 9110, section 14.2): one range of bytes."""

from __future__ import annotations

import re

from msgspec import Struct

_ONE_RANGE = re.compile(r"bytes=([0-9]{1,19})?-([0-9]{1,19})?", re.ASCII)


class ByteRange(Struct, frozen=True, gc=False):
    """A part of an object."""

    offset: int
    length: int


class Unsatisfiable(Exception):
    """The range starts past the end of the object, or asks for its last zero bytes."""


def resolve_range(header: str | None, size: int) -> ByteRange | None:
    """Return the part of *size* bytes that *header* asks for; None: all of it.

    A header that is no single byte range is ignored, as the RFC allows and S3 does; raise Unsatisfiable.
    """
    match = _ONE_RANGE.fullmatch(header) if header else None
    if match is None:
        return None
    first, last = (int(part) if part is not None else None for part in match.groups())
    if first is None:
        if last is None:
            return None
        if last == 0 or size == 0:
            raise Unsatisfiable
        return ByteRange(max(0, size - last), min(last, size))
    if last is not None and last < first:
        return None
    if first >= size:
        raise Unsatisfiable
    end = size if last is None else min(last + 1, size)
    return ByteRange(first, end - first)
