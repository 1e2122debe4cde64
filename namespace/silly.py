"""Silly names: what Linux NFS clients rename an open file to when it is removed. S3 does not list them (DESIGN 3.2)."""

from __future__ import annotations

import re

_SILLY = re.compile(rb"\.nfs[0-9a-f]{24}")


def is_silly_name(name: bytes) -> bool:
    """Tell whether *name* is one (`.nfs` and 24 hex digits)."""
    return _SILLY.fullmatch(name) is not None
