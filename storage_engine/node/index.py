"""What a node holds, in memory: rebuilt from the segments at start, changed only by what is durable.

A blob id is never used twice, so a tombstone kills every record of its blob wherever it lies, and the order of
records does not matter. A tombstone is *needed* while a record of its blob is left on the disk (or a restart would
bring the blob back), and while a late put could still arrive: until the epoch of the deleting gateway is closed, or
`TOMBSTONE_SECONDS` have passed, which no put outlives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from storage_engine.api import BlobId
from storage_engine.node.records import ALIGN_BYTES, Tombstone, span_of

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How long a tombstone refuses its blob's id after the last record of the blob is gone. A put lives for seconds.
TOMBSTONE_SECONDS = 3600.0
#: What one tombstone takes on the disk.
TOMBSTONE_BYTES = 24
_LENGTH_BITS = 23  # MAX_BLOB_BYTES itself fits
_POSITION_BITS = 32  # in units of ALIGN_BYTES


class Location(Struct, frozen=True, gc=False):
    """Where a blob's record lies."""

    segment: int
    position: int
    length: int  # of the body


class Tomb(Struct, gc=False):
    """A deleted blob that must not come back."""

    epoch: int  # of the deleting gateway
    home: int  # the segment where the tombstone lies
    records: int  # records of the blob that are left on the disk
    since: float  # boot time in seconds when it was made, or when the node started


class Use(Struct, gc=False):
    """How much of a segment is worth keeping."""

    live_bytes: int = 0  # spans of records of live blobs
    blobs: int = 0
    tombs: int = 0  # needed tombstones that lie in it
    pinned: str = ""  # why it must not be reclaimed; empty = it may


def _pack(location: Location) -> int:
    """Return *location* as one integer: an index of millions is mostly these."""
    place = location.segment << _POSITION_BITS | location.position // ALIGN_BYTES
    return place << _LENGTH_BITS | location.length


def _unpack(packed: int) -> Location:
    place = packed >> _LENGTH_BITS
    position = (place & ((1 << _POSITION_BITS) - 1)) * ALIGN_BYTES
    return Location(place >> _POSITION_BITS, position, packed & ((1 << _LENGTH_BITS) - 1))


class Index:
    """Live blobs, tombstones, closed epochs and the use of each segment."""

    def __init__(self) -> None:
        """Start empty."""
        self.uses: dict[int, Use] = {}
        self.closed: dict[int, int] = {}  # volume -> epochs below this write no more
        self.epochs_home = 0  # the segment of the newest EPOCHS record; 0 = none
        self.blobs = 0
        self.live_bytes = 0
        self._live: dict[int, dict[int, int]] = {}  # volume -> blob id -> packed location
        self._tombs: dict[int, dict[int, Tomb]] = {}
        self._copies: dict[BlobId, int] = {}  # records beyond the first that live blobs have on the disk

    # Reading

    def find(self, blob: BlobId) -> Location | None:
        """Return where *blob* lies, or None when it is not held."""
        packed = self._live.get(blob.vol, {}).get(blob.id)
        return None if packed is None else _unpack(packed)

    def is_deleted(self, blob: BlobId) -> bool:
        """Return whether a tombstone refuses *blob*."""
        return blob.id in self._tombs.get(blob.vol, {})

    def ids(self, vol: int) -> list[int]:
        """Return the ids of the live blobs of *vol*, ascending."""
        return sorted(self._live.get(vol, {}))

    def tombstones(self, home: int) -> Iterator[Tombstone]:
        """Yield the needed tombstones that lie in segment *home*."""
        for vol, tombs in self._tombs.items():
            for number, tomb in tombs.items():
                if tomb.home == home:
                    yield Tombstone(BlobId(vol, number), tomb.epoch)

    # Changing

    def use(self, segment: int) -> Use:
        """Return the use of *segment*, starting one for a new segment."""
        return self.uses.setdefault(segment, Use())

    def add(self, blob: BlobId, location: Location) -> None:
        """Take in a durable record of *blob*, which replaces an earlier one; of a deleted blob it is garbage."""
        tomb = self._tombs.get(blob.vol, {}).get(blob.id)
        if tomb is not None:
            tomb.records += 1
            self.use(location.segment)
            return
        earlier = self.find(blob)
        if earlier is not None:
            self._copies[blob] = self._copies.get(blob, 0) + 1
            self._count(earlier, -1)
        self._live.setdefault(blob.vol, {})[blob.id] = _pack(location)
        self._count(location, 1)

    def bury(self, tombstone: Tombstone, home: int, now_seconds: float) -> None:
        """Take in a durable tombstone that lies in segment *home*."""
        blob = tombstone.blob
        tombs = self._tombs.setdefault(blob.vol, {})
        tomb = tombs.get(blob.id)
        if tomb is not None:
            self.use(tomb.home).tombs -= 1
            tomb.home, tomb.epoch = home, max(tomb.epoch, tombstone.epoch)
        else:
            tombs[blob.id] = Tomb(tombstone.epoch, home, self._drop(blob), now_seconds)
        self.use(home).tombs += 1

    def _drop(self, blob: BlobId) -> int:
        """Forget a live blob; return how many records of it are left on the disk."""
        location = self.find(blob)
        if location is None:
            return 0
        del self._live[blob.vol][blob.id]
        self._count(location, -1)
        return 1 + self._copies.pop(blob, 0)

    def _count(self, location: Location, sign: int) -> None:
        span = span_of(location.length)
        use = self.use(location.segment)
        use.live_bytes += sign * span
        use.blobs += sign
        self.live_bytes += sign * span
        self.blobs += sign

    def close_epochs(self, closed: dict[int, int], home: int) -> None:
        """Take in a durable EPOCHS record that lies in segment *home*."""
        for vol, epoch in closed.items():
            self.closed[vol] = max(epoch, self.closed.get(vol, 0))
        self.epochs_home = home

    def record_gone(self, blob: BlobId) -> None:
        """Note that a record of *blob*, not its live one, has left the disk."""
        tomb = self._tombs.get(blob.vol, {}).get(blob.id)
        if tomb is not None:
            tomb.records = max(0, tomb.records - 1)
        elif blob in self._copies:
            self._copies[blob] -= 1
            if not self._copies[blob]:
                del self._copies[blob]

    def segment_gone(self, segment: int) -> None:
        """Note that *segment* has left the disk."""
        self.uses.pop(segment, None)

    def prune(self, now_seconds: float) -> None:
        """Forget the tombstones that are not needed any more."""
        before = now_seconds - TOMBSTONE_SECONDS
        for vol, tombs in self._tombs.items():
            closed = self.closed.get(vol, 0)
            spent = [
                number
                for number, tomb in tombs.items()
                if not tomb.records and (tomb.epoch < closed or tomb.since <= before)
            ]
            for number in spent:
                self.use(tombs.pop(number).home).tombs -= 1
