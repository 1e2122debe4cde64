"""The depth-first walk in byte order of full keys, in batches of directories.

A directory's skey ends in `/`, so depth-first order by skey is the byte order of the whole keys. The walk keeps an
ordered list of what it knows: keys, and *scans* (directories, or rests of directories, still to be read). Each round
reads the first scans of the list with one query and puts what they hold in their places. A round reads a bounded
number of rows, few at first, so a page costs O(page + depth), whatever the shape of the tree; a directory that the
walk is steered past is one row, whatever lies below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from metastore.api import Step
from metastore.records import FileType, InodeFlag, KeyEntry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from metastore.api import Steer
    from metastore.records import Named

#: Rows of the first round; a round that filled it and got on lets the next one read more.
_FIRST_BUDGET = 1024
_GROWTH = 4
#: Rows of a round that looks for the next key behind directories which are passed by: bounds a turn of the reactor.
_MOST_PASSED = 2048


class Scan(Struct, frozen=True, gc=False):
    """A directory to be read, from the entry `start` on. Bounds are relative to it."""

    parent: int
    prefix: bytes  # the directory's path below the walk's top
    start: bytes  # the first skey to be read
    lower: bytes  # paths below this do not count
    upper: bytes | None  # nor those at or above this
    rows: int  # how many it is thought to have


def _scan(parent: int, prefix: bytes, lower: bytes, upper: bytes | None, rows: int) -> Scan:
    """Scan a directory from the least skey that can lead to *lower*: the directory on the way, or *lower* itself."""
    head, slash, _ = lower.partition(b"/")
    return Scan(parent, prefix, head + slash, lower, upper, rows)


#: One row: which of the scans it belongs to, and the entry.
Found: TypeAlias = "tuple[int, Named]"
#: Read scans in order, each by skey, and stop after so many rows.
Read: TypeAlias = "Callable[[Sequence[Scan], int], Awaitable[list[Found]]]"
_Todo: TypeAlias = "list[KeyEntry | Scan]"


async def walk(
    read: Read, top: int, lower: bytes, upper: bytes | None, limit: int, steer: Steer | None = None
) -> list[KeyEntry]:
    """Return the first *limit* keys with lower <= path < upper below *top*."""
    page: list[KeyEntry] = []
    todo: _Todo = [_scan(top, b"", lower, upper, limit)]
    budget = min(limit + 1, _FIRST_BUDGET)
    floor = _FIRST_BUDGET
    while True:
        todo = _take_keys(todo, page)
        # One more than the page is needed: it may replace the last (see _take_keys).
        if not todo or len(page) > limit:
            return page[:limit]
        # No more rows than the page lacks, but for a few: they may be directories, which are no keys.
        budget = min(budget, max(limit + 1 - len(page), floor))
        scans = _next_scans(todo, budget)
        rows = await read(scans, budget)
        full = len(rows) == budget
        todo, keys, passed = _Splice(scans, rows, steer, full=full).into(todo)
        if full and keys:
            budget = min(limit + 1, budget * _GROWTH)
        elif full and passed:
            budget = floor = min(floor * _GROWTH, _MOST_PASSED)


def _take_keys(todo: _Todo, page: list[KeyEntry]) -> _Todo:
    """Move the keys at the front of *todo* to *page*; return the rest."""
    for index, item in enumerate(todo):
        if type(item) is Scan:
            return todo[index:]
        assert type(item) is KeyEntry
        if page and page[-1].path == item.path:
            # The object `dir/` with a body is an entry of its own inside the directory; the key is listed once.
            page[-1] = item
        else:
            page.append(item)
    return []


def _next_scans(todo: _Todo, budget: int) -> list[Scan]:
    """Return the first scans that together are thought to fill *budget*."""
    scans: list[Scan] = []
    expected = 0
    for item in todo:
        if type(item) is Scan:
            scans.append(item)
            expected += item.rows
            if expected >= budget:
                break
        else:
            expected += 1
            if expected >= budget and scans:
                break
    return scans


class _Splice:
    """One round: puts what was read in the places of the scans that it was read for."""

    def __init__(self, scans: Sequence[Scan], rows: Sequence[Found], steer: Steer | None, *, full: bool) -> None:
        """Splice *rows* of *scans*; when *full*, the last scan that was read has a rest."""
        self._scans = scans
        self._rows = rows
        self._steer = steer
        self._last = rows[-1][0] if full else len(scans)
        self._at = 0  # the next row
        self._new: _Todo = []
        self._keys = self._passed = 0

    def into(self, todo: _Todo) -> tuple[_Todo, int, int]:
        """Return *todo* as it is after the round, and how many keys it found and directories it passed by."""
        index, new = 0, self._new
        for item in todo:
            if index == len(self._scans) or item is not self._scans[index]:
                new.append(item)
                continue
            if index > self._last:
                new.append(item)
            else:
                self._place(index)
            index += 1
        if self._at < len(self._rows):
            raise RuntimeError(_OUT_OF_ORDER)
        return new, self._keys, self._passed

    def _place(self, index: int) -> None:
        """Put the entries of scan *index* where it stood, and its rest behind them."""
        scan, rows, new, at = self._scans[index], self._rows, self._new, self._at
        prefix, lower, skey = scan.prefix, scan.lower, None
        while at < len(rows) and rows[at][0] == index:
            entry = rows[at][1]
            at += 1
            if skey is not None and entry.edge.skey <= skey:
                raise RuntimeError(_OUT_OF_ORDER)
            skey = entry.edge.skey
            if entry.inode.type == FileType.DIRECTORY:
                self._directory(scan, entry)
            elif skey >= lower:
                new.append(KeyEntry(prefix + skey, entry.edge, entry.inode))
                self._keys += 1
        self._at = at
        if index == self._last:
            if skey is None:
                raise RuntimeError(_OUT_OF_ORDER)
            # skey + NUL is the next possible name.
            new.append(replace(scan, start=skey + b"\x00"))

    def _directory(self, scan: Scan, entry: Named) -> None:
        """Put what a directory stands for: one to be read, a key, both, or nothing."""
        skey, inode = entry.edge.skey, entry.inode
        path = scan.prefix + skey
        step = Step.INTO if self._steer is None else self._steer(path, inode)
        if step == Step.PAST:
            self._passed += 1
            return
        if skey >= scan.lower and (step == Step.OVER or inode.flags & InodeFlag.EXPLICIT):
            self._new.append(KeyEntry(path, entry.edge, inode))
            self._keys += 1
        if step == Step.INTO:
            lower = scan.lower[len(skey) :] if scan.lower.startswith(skey) else b""
            upper = scan.upper[len(skey) :] if scan.upper is not None and scan.upper.startswith(skey) else None
            self._new.append(_scan(inode.ino, path, lower, upper, max(1, inode.entries)))


#: A wrong order would lose keys silently.
_OUT_OF_ORDER = "the database returned a directory walk out of order"
