"""What a bucket may be called: by whichever door it is made (S3 "Bucket naming rules")."""

from __future__ import annotations

import re

from foundation.errors import InvalidName

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*")
_IP_ADDRESS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_MIN, _MAX = 3, 63
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_bucket_name(name: str) -> None:
    """Raise InvalidName unless *name* may be a new bucket's."""
    fits = _MIN <= len(name) <= _MAX and _NAME.fullmatch(name) and not _IP_ADDRESS.fullmatch(name)
    ends_well = not name.endswith("-") and "-." not in name
    if not (fits and ends_well) or name.startswith(_RESERVED_STARTS) or name.endswith(_RESERVED_ENDS):
        raise InvalidName("no name for a bucket")
