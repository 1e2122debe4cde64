"""Versions of names: look-ups, and the walk over all versions of all keys, in batches of directories.

The walk is that of `walking`, over two kinds of rows: a directory's entries and its versions, merged by name. A round
reads a bounded number of rows, so a page costs O(page + depth), whatever the shape of the tree and of the histories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from metastore.history import is_key, without_row
from metastore.postgres.decoding import EDGE_COLUMNS, INODE_COLUMNS, VERSION_COLUMNS, inode, tuples, version
from metastore.postgres.encoding import BYTEA, BYTEA_ARRAY, INT8, INT8_ARRAY, bigint, bigint_array, bytes_array
from metastore.postgres.gathering import Gathered
from metastore.postgres.parts import Parts
from metastore.postgres.session import Statement
from metastore.records import NEWEST, Edge, FileType, Inode, Version, VersionEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foundation.clock import Clock
    from metastore.api import Enters

    _HistoryKey = tuple[int, int, bytes, int, int]  # volume, parent, skey, start, limit

#: Rows of a round beyond those that the page lacks: directories, and files that have rows of their own, are no keys.
_SPARE_ROWS = 64
#: Directories of one round.
_SCANS_PER_ROUND = 256
#: Columns of the walk before those of the inode.
_ROW_WIDTH = 10

_VERSIONS = Statement(
    "load versions",
    f"""
    SELECT k.ord, {VERSION_COLUMNS} FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY
      AS k (vol, parent, skey, start, lim, ord), LATERAL (
        SELECT * FROM version v
        WHERE v.vol = k.vol AND v.parent = k.parent AND v.skey = k.skey AND v.seq >= k.start
        ORDER BY v.seq LIMIT k.lim
    ) AS r
    """,
    (INT8_ARRAY, INT8_ARRAY, BYTEA_ARRAY, INT8_ARRAY, INT8_ARRAY),
)
_NULL = Statement(
    "load null version",
    f"SELECT {VERSION_COLUMNS} FROM version r"
    " WHERE r.vol = $1 AND r.parent = $2 AND r.skey = $3 AND r.version_id = 'null'::bytea",
    (INT8, INT8, BYTEA),
)
_NAMES = Statement(
    "load names",
    f"SELECT {EDGE_COLUMNS} FROM edge e WHERE e.vol = $1 AND e.ino = $2 AND NOT e.ghost LIMIT $3",
    (INT8, INT8, INT8),
)


def _entries(which: str) -> str:
    """Return the entries of a scanned directory that are *which*; each stands before all versions of its name."""
    return f"""
        (SELECT e.skey AS name, {NEWEST}::bigint AS seq, e.ino, e.ghost, EXISTS (
            SELECT 1 FROM version v WHERE v.vol = e.vol AND v.parent = e.parent AND v.skey = e.skey OFFSET 0) AS kept,
            NULL::bytea, NULL::bigint, NULL::bigint, NULL::boolean
         FROM edge e WHERE e.vol = $1 AND e.parent = k.parent AND e.skey >= k.first
           AND (e.parent, e.skey) < (k.upper_parent, k.upper) AND {which}
         ORDER BY e.skey LIMIT $8)"""


_WALK = Statement(
    "walk versions",
    # Directories in the order given, each by name and age, and no further than $8 rows: each of the three kinds is
    # read in the order of an index of its own, and no further either. The order is checked on arrival. OFFSET 0 keeps
    # EXISTS a look-up: without it all of `version` would be hashed.
    f"""
    SELECT k.ord - 1, u.*, {INODE_COLUMNS} FROM unnest($2, $3, $4, $5, $6, $7) WITH ORDINALITY
      AS k (parent, first, start, seq, upper_parent, upper, ord), LATERAL (
        SELECT * FROM (
            {_entries("e.listed AND NOT e.ghost")}
            UNION ALL {_entries("e.ghost")}
            UNION ALL
            (SELECT v.skey, v.seq, v.ino, false, true, v.version_id, v.modified, v.retain_until, v.legal_hold
             FROM version v WHERE v.vol = $1 AND v.parent = k.parent AND (v.skey, v.seq) >= (k.start, k.seq)
               AND (v.parent, v.skey) < (k.upper_parent, k.upper)
             ORDER BY v.skey, v.seq LIMIT $8)
        ) AS x ORDER BY name, seq LIMIT $8
    ) AS u LEFT JOIN inode i ON i.vol = $1 AND i.ino = u.ino LIMIT $8
    """,
    (INT8, INT8_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, INT8_ARRAY, INT8_ARRAY, BYTEA_ARRAY, INT8),
)


class Scan(Struct, frozen=True, gc=False):
    """A directory to be read: its entries from `first` on, its versions from (`start`, `seq`) on."""

    parent: int
    prefix: bytes  # the directory's path below the walk's top
    first: bytes
    start: bytes
    seq: int
    lower: bytes  # paths below this, relative to the directory, do not count
    lower_seq: int  # nor versions of that very path below this
    upper: bytes | None  # nor paths at or above this

    def behind(self, row: _Row) -> Scan:
        """Return the rest of the directory behind *row*."""
        # skey + NUL is the next possible name.
        return replace(self, first=row.name + b"\0", start=row.name, seq=row.seq + 1)


class _Row(Struct, frozen=True, gc=False):
    """One row of a scan: an entry, or a version."""

    inode: Inode | None
    scan: int
    name: bytes
    seq: int
    ino: int
    ghost: bool  # of an entry
    kept: bool  # the name has versions
    version_id: bytes | None  # None: an entry
    modified: int
    retain_until: int
    legal_hold: bool


_Item: TypeAlias = "VersionEntry | Scan"


class PgHistories(Parts):
    """`metastore.api.Histories` over PostgreSQL."""

    def __init__(self, reactor: Any, dsn: str, clock: Clock, gateway_name: str) -> None:
        """Describe the gatherer of histories."""
        super().__init__(reactor, dsn, clock, gateway_name)
        self._versions: Gathered[_HistoryKey, list[Version]] = Gathered(
            self._pool, _VERSIONS, _encode_histories, _collect_histories
        )

    async def load_versions(self, vol: int, parent: int, skey: bytes, start: int, limit: int) -> list[Version]:
        """Return the next versions of a name, by seq."""
        key = (vol, parent, skey, start, limit)
        return (await self._versions.load([key])).get(key, [])

    async def load_null_version(self, vol: int, parent: int, skey: bytes) -> Version | None:
        """Return the `null` version of a name."""
        (result,) = await self._pool.query([(_NULL, [bigint(vol), bigint(parent), skey])])
        return next(map(version, tuples(result)), None)

    async def load_names(self, vol: int, ino: int, limit: int) -> list[Edge]:
        """Return the entries that name *ino*, ghosts excluded."""
        (result,) = await self._pool.query([(_NAMES, [bigint(vol), bigint(ino), bigint(limit)])])
        return [Edge(*row) for row in tuples(result)]

    async def walk_versions(
        self, vol: int, top: int, lower: tuple[bytes, int], upper: bytes | None, limit: int, enters: Enters
    ) -> list[VersionEntry]:
        """Return the versions of all keys below *top*, by path and seq."""
        page: list[VersionEntry] = []
        todo: list[_Item] = [_scan(top, b"", *lower, upper)]
        while True:
            todo = _take(todo, page)
            # One more than the page is needed: it may replace the last.
            if not todo or len(page) > limit:
                return page[:limit]
            scans = [item for item in todo if isinstance(item, Scan)][:_SCANS_PER_ROUND]
            budget = 2 * (limit + 1 - len(page)) + _SPARE_ROWS
            rows = await self._read(vol, scans, budget)
            todo = _spliced(
                todo, scans, rows, lambda scan, row: _items(vol, scan, row, enters), full=len(rows) == budget
            )

    async def _read(self, vol: int, scans: Sequence[Scan], limit: int) -> list[_Row]:
        """Read *scans* in order and stop after *limit* rows; raise RuntimeError if the order is another."""
        ends = [(scan.parent + 1, b"") if scan.upper is None else (scan.parent, scan.upper) for scan in scans]
        parameters = [
            bigint(vol),
            bigint_array([scan.parent for scan in scans]),
            bytes_array([scan.first for scan in scans]),
            bytes_array([scan.start for scan in scans]),
            bigint_array([scan.seq for scan in scans]),
            bigint_array([parent for parent, _ in ends]),
            bytes_array([end for _, end in ends]),
            bigint(limit),
        ]
        (result,) = await self._pool.query([(_WALK, parameters)])
        rows = [_row(columns) for columns in tuples(result)]
        last = (-1, b"", 0)
        for row in rows:
            place = (row.scan, row.name, row.seq)
            if place <= last:
                raise RuntimeError("the database returned a walk over history out of order")
            last = place
        return rows


def _scan(parent: int, prefix: bytes, lower: bytes, lower_seq: int, upper: bytes | None) -> Scan:
    """Scan a directory from the least name that can lead to *lower*: the directory on the way, or *lower* itself."""
    head, slash, _ = lower.partition(b"/")
    start = head + slash
    here = not slash and lower_seq != NEWEST  # some versions of this very name are left out, and its entry with them
    return Scan(
        parent, prefix, start + b"\0" if here else start, start, lower_seq if here else NEWEST, lower, lower_seq, upper
    )


def _row(columns: Sequence[Any]) -> _Row:
    image = columns[_ROW_WIDTH:]
    return _Row(inode(image) if image[0] is not None else None, *columns[:_ROW_WIDTH])


def _take(todo: list[_Item], page: list[VersionEntry]) -> list[_Item]:
    """Move what is known at the front of *todo* to *page*; return the rest."""
    for index, item in enumerate(todo):
        if isinstance(item, Scan):
            return todo[index:]
        if page and page[-1].path == item.path and not page[-1].version.seq and item.version.ino:
            # The object `dir/` with a body stands for the explicit directory.
            page[-1] = item
        else:
            page.append(item)
    return []


def _spliced(
    todo: Sequence[_Item],
    scans: Sequence[Scan],
    rows: Sequence[_Row],
    items: Callable[[Scan, _Row], list[_Item]],
    *,
    full: bool,
) -> list[_Item]:
    """Return *todo* with the *items* of what was read in the places of *scans*; when *full*, the last has a rest."""
    held: list[list[_Row]] = [[] for _ in scans]
    for row in rows:
        held[row.scan].append(row)
    last = rows[-1].scan if full else len(scans)
    result: list[_Item] = []
    index = 0
    for item in todo:
        if index == len(scans) or item is not scans[index]:
            result.append(item)
            continue
        if index > last:
            result.append(item)
        else:
            result += [found for row in held[index] for found in items(item, row)]
        if index == last:
            result.append(item.behind(held[index][-1]))
        index += 1
    return result


def _items(vol: int, scan: Scan, row: _Row, enters: Enters) -> list[_Item]:
    """Return what one row stands for: a version, a directory to be read, or one that is a key too."""
    path, image = scan.prefix + row.name, row.inode
    inside = (row.name, row.seq) >= (scan.lower, scan.lower_seq)
    if row.version_id is not None:
        about = (row.version_id, row.ino, row.modified, row.retain_until, row.legal_hold)
        return [VersionEntry(path, Version(vol, scan.parent, row.name, row.seq, *about), image)] if inside else []
    items: list[_Item] = []
    if image is None or (image.type == FileType.DIRECTORY and not enters(image)):
        return items
    if inside and not row.ghost and not row.kept and is_key(image):
        items.append(VersionEntry(path, without_row(scan.parent, row.name, image), image))
    if image.type == FileType.DIRECTORY:
        lower, seq = (scan.lower[len(row.name) :], scan.lower_seq) if scan.lower.startswith(row.name) else (b"", NEWEST)
        upper = scan.upper[len(row.name) :] if scan.upper is not None and scan.upper.startswith(row.name) else None
        items.append(_scan(image.ino, path, lower, seq, upper))
    return items


def _encode_histories(keys: Sequence[_HistoryKey]) -> list[bytes | None]:
    vols, parents, skeys, starts, limits = zip(*keys, strict=True)
    return [
        bigint_array(vols),
        bigint_array(parents),
        bytes_array(skeys),
        bigint_array(starts),
        bigint_array(limits),
    ]


def _collect_histories(keys: list[_HistoryKey], rows: list[tuple[Any, ...]]) -> dict[_HistoryKey, list[Version]]:
    found: dict[_HistoryKey, list[Version]] = {}
    for row in rows:
        found.setdefault(keys[row[0] - 1], []).append(version(row[1:]))
    return {key: sorted(versions, key=lambda each: each.seq) for key, versions in found.items()}
