"""What is in memory of one name's versions, in volumes that keep them.

The rules are those of names (`cache`): a loaded version never replaces one, or a deletion mark, that is present; there
is no further version only where that is known. Plans look through the functions below, which say what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.records import NEWEST, NULL_VERSION
from namespace.attributes import is_as_put
from namespace.intervals import IntervalSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from metastore.records import Inode, Version

#: About what a name's history, and each version in it, costs in memory, in bytes.
HISTORY_COST = 500
VERSION_COST = 300
#: A file whose content NFS changes is left alone for so long before what it holds is a version of its own.
QUIET_NS = 60_000_000_000


class History:
    """The versions of one name, and the ranges of seq in which those in memory are all there are."""

    __slots__ = ("batch", "cost", "known", "null_known", "parent", "recount", "rows", "skey", "stamp")

    def __init__(self, parent: int, skey: bytes, recount: Callable[[History], None]) -> None:
        """Know nothing of the versions of *skey* in *parent*; tell *recount* of what changes in size."""
        self.parent = parent
        self.skey = skey
        self.recount = recount
        self.batch = 0  # of the last change
        self.stamp = 0
        self.rows: dict[int, Version | None] = {}  # by seq; None is a deletion mark
        self.known: IntervalSet[int] = IntervalSet()
        self.null_known = False  # the `null` version is in `rows`, or there is none
        self.cost = 0  # about how many bytes it takes, as the cache has counted it

    def size(self) -> int:
        """Return about how many bytes it takes now."""
        return HISTORY_COST + len(self.skey) + VERSION_COST * len(self.rows)

    def put(self, seq: int, row: Version | None, batch: int) -> None:
        """Make *row* the version *seq* as of *batch*."""
        self.batch = batch
        self.rows[seq] = row
        self.recount(self)

    def learn(self, page: Sequence[Version], start: int, *, whole: bool) -> None:
        """Enter what a load found from *start* on, in order; *whole*: that is all."""
        for row in page:
            self._learn(row)
        self.known.add(start, None if whole else page[-1].seq + 1)

    def learn_null(self, row: Version | None) -> None:
        """Enter what a load found to be the `null` version."""
        self.null_known = True
        if row is not None:
            self._learn(row)

    def know_whole(self) -> None:
        """Note that the versions in memory are all there are."""
        self.known.add(NEWEST, None)

    def first(self, start: int) -> tuple[bool, Version | None]:
        """Tell whether it is known which version is the newest of those from *start* on, and which."""
        row = min((row for seq, row in self.rows.items() if row and seq >= start), key=_seq, default=None)
        return self.known.covers_range(start, row.seq if row else None) or (row is not None and row.seq == start), row

    def null(self) -> tuple[bool, Version | None]:
        """Tell whether it is known which version is the `null` version, and which."""
        row = next((row for row in self.rows.values() if row and row.version_id == NULL_VERSION), None)
        return row is not None or self.null_known or self.known.covers_range(NEWEST, None), row

    def _learn(self, row: Version) -> None:
        if row.seq not in self.rows and not self.known.covers(row.seq):
            self.rows[row.seq] = row
            self.recount(self)


def _seq(row: Version) -> int:
    return row.seq


def is_open(image: Inode, now_ns: int) -> bool:
    """Tell whether NFS is still writing *image*'s content: it is no version of its own before it was left alone.

    What S3 wrote is one at once. What nobody wrote yet is none, unless it was closed (`archive.close`).
    """
    if is_as_put(image) and (image.write_seq or image.etag is not None):
        return False
    # A clock that was set back keeps nothing open for long.
    return not image.write_seq or abs(now_ns - image.content_time) < QUIET_NS
