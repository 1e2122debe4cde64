"""The headers that make a request a copy: x-amz-copy-source and what belongs to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from namespace.api import CopySource
from protocols.s3.codec.conditions import NAMES, parse_conditions
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.uri import MAX_KEY_BYTES, percent_decode

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = "x-amz-copy-source"
_CONDITION = "x-amz-copy-source-"
RANGE = "x-amz-copy-source-range"
#: All that an operation must serve that copies.
SOURCE_HEADERS = frozenset({SOURCE, *(_CONDITION + name for name in NAMES)})
_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{1,15})", re.ASCII)
_BUCKET = re.compile(rb"[A-Za-z0-9._-]{3,63}")
_VERSION = b"versionId="


def parse_copy_source(headers: Mapping[str, str]) -> CopySource:
    """Return what a request copies from: `[/]bucket/key[?versionId=id]`, decoded once.

    It is a name and never a URL. Raise S3Error InvalidArgument, InvalidURI for a bad escape, KeyTooLongError.
    """
    # The question mark that begins the version is the one that is not encoded: no key can bring one in.
    path, mark, query = headers[SOURCE].encode("latin-1").partition(b"?")
    bucket, _, key = percent_decode(path).removeprefix(b"/").partition(b"/")
    version_id = percent_decode(query.removeprefix(_VERSION))
    is_version = query.startswith(_VERSION) and b"&" not in query and version_id
    if not _BUCKET.fullmatch(bucket) or not key or (mark and not is_version):
        raise _refused(SOURCE)
    if len(key) > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError")
    try:
        key.decode()
    except UnicodeDecodeError:
        raise _refused(SOURCE) from None
    conditions = parse_conditions(
        {name: value for name in NAMES if (value := headers.get(_CONDITION + name)) is not None}
    )
    first, last = _range(headers.get(RANGE))
    return CopySource(bucket.decode(), key, conditions, first, last, version_id)


def _range(text: str | None) -> tuple[int, int | None]:
    """Return the first byte, and the one behind the last or None; UploadPartCopy knows `bytes=first-last` alone."""
    if text is None:
        return 0, None
    match = _RANGE.fullmatch(text)
    first, last = map(int, match.groups()) if match is not None else (1, 0)
    if last < first:
        raise _refused(RANGE)
    return first, last + 1


def _refused(name: str) -> S3Error:
    return S3Error("InvalidArgument", f"{name} is not valid.", ArgumentName=name)


def directive(headers: Mapping[str, str], name: str) -> bool:
    """Tell whether the directive *name* says REPLACE, not COPY; raise S3Error InvalidArgument for another word."""
    value = headers.get(name, "COPY").upper()
    if value not in {"COPY", "REPLACE"}:
        raise S3Error("InvalidArgument", f"Unknown {name.removeprefix('x-amz-')}.", ArgumentName=name)
    return value == "REPLACE"
