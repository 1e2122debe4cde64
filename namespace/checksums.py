"""The checksum of an object made of parts, from those of its parts: no byte is read (S3, "Checking object integrity").

A COMPOSITE one is the digest of the parts' digests, with how many they are behind it (`<base64>-3`). A FULL_OBJECT one
is what the whole object's bytes give; CRCs can be combined to it, digests cannot. A part that was copied by reference
may have none, and then the object has none.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from awscrt import checksums as crt

from foundation.errors import BadDigest, CompletionMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from metastore.records import Part
    from namespace.api import Completion

COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"
#: What S3 computes where nothing is announced.
DEFAULT = f"crc64nvme {FULL_OBJECT}"
_COMBINE: dict[str, Callable[[int, int, int], int]] = {
    "crc32": crt.combine_crc32,
    "crc32c": crt.combine_crc32c,
    "crc64nvme": crt.combine_crc64nvme,
}
_DIGEST: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: crt.crc32c(data).to_bytes(4, "big"),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


def of_parts(announced: str, parts: Sequence[Part]) -> dict[str, str]:
    """Return the checksum of an object made of *parts*, of the kind *announced*; none if a part has none."""
    algorithm, _, kind = (announced or DEFAULT).partition(" ")
    found = [part.checksums.get(algorithm) for part in parts]
    digests = [b64decode(value) for value in found if value is not None]
    if len(digests) < len(parts):
        return {}
    if kind == COMPOSITE:
        return {algorithm: f"{b64encode(_DIGEST[algorithm](b''.join(digests))).decode()}-{len(parts)}"}
    combine, whole = _COMBINE[algorithm], int.from_bytes(digests[0])
    for part, digest in zip(parts[1:], digests[1:], strict=True):
        whole = combine(whole, int.from_bytes(digest), part.size)
    return {algorithm: b64encode(whole.to_bytes(len(digests[0]))).decode()}


def whole_of(announced: str, parts: Sequence[Part], completion: Completion) -> dict[str, str]:
    """Return the checksum of an object made of *parts*; raise if *completion* takes it for another object.

    Raise BadDigest for another checksum, CompletionMismatch for another size, another kind of checksum, one that cannot
    be compared, and where the parts' checksums must be named and are not.
    """
    algorithm, _, kind = (announced or DEFAULT).partition(" ")
    if completion.kind not in {"", kind}:
        raise CompletionMismatch(f"the upload's checksum is of type {kind}")
    if completion.size is not None and completion.size != sum(part.size for part in parts):
        raise CompletionMismatch("the object has another size")
    if kind == COMPOSITE and any(
        algorithm in part.checksums and algorithm not in choice.checksums
        for part, choice in zip(parts, completion.parts, strict=True)
    ):
        raise CompletionMismatch(f"the {algorithm} of a part is missing")
    whole = of_parts(announced, parts)
    for name, wanted in completion.checksums.items():
        actual = whole.get(name)
        if actual is None:
            raise CompletionMismatch(f"{name} is not known")
        if wanted not in {actual, actual.partition("-")[0]}:
            raise BadDigest(f"the object's {name} is another")
    return whole
