"""The depth-first walk in byte order of full keys, in batches of directories.

A directory's skey ends in `/`, so depth-first order by skey is the byte order of the whole keys. The walk keeps an
ordered list of what it knows: keys, and *scans* (directories, or rests of directories, still to be read). Each round
reads the first scans of the list with one query and puts what they hold in their places. A round reads a bounded
number of rows, few at first, so a page costs O(page + depth), whatever the shape of the tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from metastore.records import FileType, InodeFlag, KeyEntry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from metastore.records import Named

#: Rows of the first round; a round that found keys and filled its budget lets the next one read more.
_FIRST_BUDGET = 128
_GROWTH = 4


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


async def walk(read: Read, top: int, lower: bytes, upper: bytes | None, limit: int) -> list[KeyEntry]:
    """Return the first *limit* keys with lower <= path < upper below *top*."""
    page: list[KeyEntry] = []
    todo: list[KeyEntry | Scan] = [_scan(top, b"", lower, upper, limit)]
    budget = min(limit + 1, _FIRST_BUDGET)
    while True:
        todo = _take_keys(todo, page)
        # One more than the page is needed: it may replace the last (see _take_keys).
        if not todo or len(page) > limit:
            return page[:limit]
        # No more rows than the page lacks, but for a few: they may be directories, which are no keys.
        budget = min(budget, max(limit + 1 - len(page), _FIRST_BUDGET))
        scans = _next_scans(todo, budget)
        rows = await read(scans, budget)
        _check_order(scans, rows)
        full = len(rows) == budget
        todo = _spliced(todo, scans, rows, full=full)
        if full and any(isinstance(item, KeyEntry) for item in todo):
            budget = min(limit + 1, budget * _GROWTH)


def _take_keys(todo: list[KeyEntry | Scan], page: list[KeyEntry]) -> list[KeyEntry | Scan]:
    """Move the keys at the front of *todo* to *page*; return the rest."""
    for index, item in enumerate(todo):
        if isinstance(item, Scan):
            return todo[index:]
        if page and page[-1].path == item.path:
            # The object `dir/` with a body is an entry of its own inside the directory; the key is listed once.
            page[-1] = item
        else:
            page.append(item)
    return []


def _next_scans(todo: Sequence[KeyEntry | Scan], budget: int) -> list[Scan]:
    """Return the first scans that together are thought to fill *budget*."""
    scans: list[Scan] = []
    expected = 0
    for item in todo:
        if isinstance(item, Scan):
            scans.append(item)
            expected += item.rows
            if expected >= budget:
                break
        else:
            expected += 1
            if expected >= budget and scans:
                break
    return scans


def _check_order(scans: Sequence[Scan], rows: Sequence[Found]) -> None:
    """Raise RuntimeError unless rows come scan by scan and by skey: a wrong order would lose keys silently."""
    last = (-1, b"")
    for index, entry in rows:
        place = (index, entry.edge.skey)
        if place <= last or index >= len(scans):
            raise RuntimeError("the database returned a directory walk out of order")
        last = place


def _spliced(
    todo: Sequence[KeyEntry | Scan], scans: Sequence[Scan], rows: Sequence[Found], *, full: bool
) -> list[KeyEntry | Scan]:
    """Return *todo* with what was read in the places of *scans*; when *full*, the last one read has a rest."""
    held: list[list[Named]] = [[] for _ in scans]
    for index, entry in rows:
        held[index].append(entry)
    last = rows[-1][0] if full else len(scans)
    result: list[KeyEntry | Scan] = []
    index = 0
    for item in todo:
        if index == len(scans) or item is not scans[index]:
            result.append(item)
            continue
        for entry in held[index]:
            result.extend(_items(item, entry))
        if index == last:
            # skey + NUL is the next possible name.
            after = held[index][-1].edge.skey + b"\x00"
            result.append(replace(item, start=after))
        elif index > last:
            result.append(item)
        index += 1
    return result


def _items(scan: Scan, entry: Named) -> list[KeyEntry | Scan]:
    """Return what one row of *scan* stands for: a key, a directory to be read, or a directory that is a key too."""
    edge, inode = entry.edge, entry.inode
    skey, path = edge.skey, scan.prefix + edge.skey
    inside = skey >= scan.lower
    if inode.type != FileType.DIRECTORY:
        return [KeyEntry(path, edge, inode)] if inside else []
    items: list[KeyEntry | Scan] = []
    if inside and inode.flags & InodeFlag.EXPLICIT:
        items.append(KeyEntry(path, edge, inode))
    lower = scan.lower[len(skey) :] if scan.lower.startswith(skey) else b""
    upper = scan.upper[len(skey) :] if scan.upper is not None and scan.upper.startswith(skey) else None
    items.append(_scan(inode.ino, path, lower, upper, max(1, inode.entries)))
    return items
