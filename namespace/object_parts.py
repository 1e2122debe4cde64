"""The parts that an object was uploaded in, packed into text that its metadata row keeps.

`sizes` are runs of equal parts (`9999x8388608 1x77`), so that 10,000 parts cost a few bytes. Where the checksum of the
object is a COMPOSITE one, the parts' digests lie behind each other under the algorithm's name, as base64. `upload` is
the id of the upload that made the object. All of it holds for one content: as the checksums, it goes with an NFS edit.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct

from namespace.checksums import COMPOSITE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from metastore.records import Part

SIZES, UPLOAD = "sizes", "upload"
#: Digests of more bytes are left out: the row is in memory whenever the object is looked at.
DIGESTS_MAX_BYTES = 128 << 10


class ObjectPart(Struct, frozen=True, gc=False):
    """One part of an object; parts are numbered by their place, from 1, whatever numbers they were sent under."""

    number: int
    offset: int
    size: int
    checksums: dict[str, str]  # as in ObjectInfo


class ObjectParts:
    """The parts of an object, read from `ObjectInfo.parts`."""

    def __init__(self, packed: dict[str, str]) -> None:
        """Unpack; what was not uploaded in parts has none."""
        self._runs = [(int(count), int(size)) for count, _, size in _runs_of(packed)]
        self._digests = {name: b64decode(value) for name, value in packed.items() if name not in {SIZES, UPLOAD}}
        self.count = sum(count for count, _ in self._runs)

    def part(self, number: int) -> ObjectPart | None:
        """Return one part, or None if there is none of that number."""
        return next(iter(self.page(number - 1, 1)), None)

    def page(self, after: int, limit: int) -> list[ObjectPart]:
        """Return at most *limit* parts with a number > *after*."""
        page: list[ObjectPart] = []
        first, offset = 1, 0
        for count, size in self._runs:
            start = max(first, after + 1)
            stop = min(first + count, start + limit - len(page))
            page += [self._part(number, offset + (number - first) * size, size) for number in range(start, stop)]
            first, offset = first + count, offset + count * size
        return page

    def _part(self, number: int, offset: int, size: int) -> ObjectPart:
        checksums = {}
        for name, digests in self._digests.items():
            width = len(digests) // self.count
            checksums[name] = b64encode(digests[(number - 1) * width : number * width]).decode()
        return ObjectPart(number, offset, size, checksums)


def _runs_of(packed: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    return (run.partition("x") for run in packed.get(SIZES, "").split())


def packed_parts(parts: Sequence[Part], announced: str, upload_id: bytes) -> dict[str, str]:
    """Return what an object made of *parts* by an upload keeps of them; *announced* is the upload's checksum."""
    sizes = " ".join(f"{len(list(run))}x{size}" for size, run in groupby(part.size for part in parts))
    packed = {SIZES: sizes, UPLOAD: upload_id.decode()}
    algorithm, _, kind = announced.partition(" ")
    if kind == COMPOSITE and all(algorithm in part.checksums for part in parts):
        digests = b"".join(b64decode(part.checksums[algorithm]) for part in parts)
        if len(digests) <= DIGESTS_MAX_BYTES:
            packed[algorithm] = b64encode(digests).decode()
    return packed


def kept_parts(packed: dict[str, str], *, digests: bool) -> dict[str, str]:
    """Return *packed*, without the *digests* of the parts where the object gets another checksum."""
    return packed if digests else {name: value for name, value in packed.items() if name in {SIZES, UPLOAD}}


def copied_parts(packed: dict[str, str]) -> dict[str, str]:
    """Return what a copy of the whole object keeps: it was made by no upload."""
    return {name: value for name, value in packed.items() if name != UPLOAD}
