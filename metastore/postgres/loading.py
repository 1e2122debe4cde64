"""The look-ups of `metastore.api.Loads`, each one query for all who ask at the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metastore.postgres import decoding
from metastore.postgres.decoding import (
    BLOB_COLUMNS,
    EXTENT_COLUMNS,
    INODE_COLUMNS,
    META_COLUMNS,
    NAMED_COLUMNS,
)
from metastore.postgres.encoding import BYTEA_ARRAY, INT8_ARRAY, bigint_array, bytes_array
from metastore.postgres.gathering import Gathered
from metastore.postgres.parts import Parts
from metastore.postgres.session import Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foundation.clock import Clock
    from metastore.records import Blob, Extent, Inode, Named, ObjectMeta

    _Numbers = tuple[int, int]
    _NameKey = tuple[int, int, bytes]  # volume, parent, name
    _ExtentKey = tuple[int, int, int, int]  # volume, content, start, limit
    _PathKey = tuple[int, int, tuple[bytes, ...]]  # volume, top, components

_INODES = Statement(
    "load inodes",
    f"SELECT {INODE_COLUMNS} FROM unnest($1, $2) AS k (vol, ino) JOIN inode i ON i.vol = k.vol AND i.ino = k.ino",
    (INT8_ARRAY, INT8_ARRAY),
)
_WITH_INODE = "JOIN inode i ON i.vol = e.vol AND i.ino = e.ino"
_EDGES = Statement(
    "load edges",
    f"SELECT {NAMED_COLUMNS} FROM unnest($1, $2, $3) AS k (vol, parent, skey)"
    f" JOIN edge e ON e.vol = k.vol AND e.parent = k.parent AND e.skey = k.skey {_WITH_INODE}",
    (INT8_ARRAY, INT8_ARRAY, BYTEA_ARRAY),
)
_ALIASES = Statement(
    "load aliases",
    f"SELECT {NAMED_COLUMNS} FROM unnest($1, $2, $3) AS k (vol, parent, alias)"
    f" JOIN edge e ON e.vol = k.vol AND e.parent = k.parent AND e.alias = k.alias {_WITH_INODE}",
    (INT8_ARRAY, INT8_ARRAY, BYTEA_ARRAY),
)
_EXTENTS = Statement(
    "load extents",
    # The one extent that may reach over the start is the last that begins before it.
    f"""
    SELECT k.ord, {EXTENT_COLUMNS}
    FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS k (vol, content, start, lim, ord), LATERAL (
        SELECT * FROM extent x
        WHERE x.vol = k.vol AND x.content = k.content AND x."offset" >= coalesce(
            (SELECT max(y."offset") FROM extent y
             WHERE y.vol = k.vol AND y.content = k.content AND y."offset" <= k.start), k.start)
          AND x."offset" + x.length > k.start
        ORDER BY x."offset" LIMIT k.lim
    ) AS x
    """,
    (INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY),
)
_BLOBS = Statement(
    "load blobs",
    f"SELECT {BLOB_COLUMNS} FROM unnest($1, $2) AS k (vol, id) JOIN blob b ON b.vol = k.vol AND b.id = k.id",
    (INT8_ARRAY, INT8_ARRAY),
)
_METAS = Statement(
    "load metas",
    f"SELECT {META_COLUMNS} FROM unnest($1, $2) AS k (vol, ino) JOIN object_meta m ON m.vol = k.vol AND m.ino = k.ino",
    (INT8_ARRAY, INT8_ARRAY),
)
_PATHS = Statement(
    "resolve paths",
    # $5 holds the components of all paths; a path is a run of it, and each turn of the recursion goes one step down
    # every path together.
    f"""
    WITH RECURSIVE step AS (
        SELECT k.ord, k.first + 1 AS next, k.last, e.*
        FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS k (vol, top, first, last, ord)
        JOIN edge e ON e.vol = k.vol AND e.parent = k.top AND e.skey = ($5)[k.first]
        UNION ALL
        SELECT s.ord, s.next + 1, s.last, e.*
        FROM step s JOIN edge e ON e.vol = s.vol AND e.parent = s.ino AND e.skey = ($5)[s.next]
        WHERE s.next <= s.last
    )
    SELECT e.ord, e.next, {NAMED_COLUMNS} FROM step e {_WITH_INODE} ORDER BY e.ord, e.next
    """,
    (INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, BYTEA_ARRAY),
)


def _encode_numbers(keys: Sequence[tuple[int, ...]]) -> list[bytes | None]:
    return [bigint_array(column) for column in zip(*keys, strict=True)]


def _encode_names(keys: Sequence[_NameKey]) -> list[bytes | None]:
    vols, parents, names = zip(*keys, strict=True)
    return [bigint_array(vols), bigint_array(parents), bytes_array(names)]


def _encode_paths(keys: Sequence[_PathKey]) -> list[bytes | None]:
    components = [component for _, _, path in keys for component in path]
    firsts, lasts, end = [], [], 0
    for _, _, path in keys:
        firsts.append(end + 1)  # SQL counts from 1
        end += len(path)
        lasts.append(end)
    vols, tops = [key[0] for key in keys], [key[1] for key in keys]
    return [*map(bigint_array, (vols, tops, firsts, lasts)), bytes_array(components)]


def _by_row(
    decode: Callable[[Sequence[Any]], Any], key_of: Callable[[Any], Any]
) -> Callable[[list[Any], list[tuple[Any, ...]]], dict[Any, Any]]:
    """Return what tells by a row itself which key it was found for."""

    def collect(_keys: list[Any], rows: list[tuple[Any, ...]]) -> dict[Any, Any]:
        found = map(decode, rows)
        return {key_of(each): each for each in found}

    return collect


def _collect_extents(keys: list[_ExtentKey], rows: list[tuple[Any, ...]]) -> dict[_ExtentKey, list[Extent]]:
    found: dict[_ExtentKey, list[Extent]] = {}
    for row in rows:
        found.setdefault(keys[row[0] - 1], []).append(decoding.extent(row[1:]))
    return {key: sorted(extents, key=lambda extent: extent.offset) for key, extents in found.items()}


def _collect_paths(keys: list[_PathKey], rows: list[tuple[Any, ...]]) -> dict[_PathKey, list[Named]]:
    found: dict[_PathKey, list[Named]] = {key: [] for key in keys}
    starts = {}
    start = 1
    for key in keys:
        starts[key] = start
        start += len(key[2])
    for row in rows:
        key = keys[row[0] - 1]
        # Rows come by step; one is missing where an entry has no inode, and what lies below it does not count.
        if row[1] == starts[key] + len(found[key]) + 1:
            found[key].append(decoding.named(row[2:]))
    return found


class PgLoads(Parts):
    """`metastore.api.Loads` over PostgreSQL."""

    def __init__(self, reactor: Any, dsn: str, clock: Clock, gateway_name: str) -> None:
        """Describe one gatherer per kind of look-up."""
        super().__init__(reactor, dsn, clock, gateway_name)
        pool = self._pool
        self._inodes: Gathered[_Numbers, Inode] = Gathered(
            pool, _INODES, _encode_numbers, _by_row(decoding.inode, lambda row: (row.vol, row.ino))
        )
        self._edges: Gathered[_NameKey, Named] = Gathered(
            pool,
            _EDGES,
            _encode_names,
            _by_row(decoding.named, lambda row: (row.edge.vol, row.edge.parent, row.edge.skey)),
        )
        self._aliases: Gathered[_NameKey, Named] = Gathered(
            pool,
            _ALIASES,
            _encode_names,
            _by_row(decoding.named, lambda row: (row.edge.vol, row.edge.parent, row.edge.alias)),
        )
        self._extents: Gathered[_ExtentKey, list[Extent]] = Gathered(pool, _EXTENTS, _encode_numbers, _collect_extents)
        self._blobs: Gathered[_Numbers, Blob] = Gathered(
            pool, _BLOBS, _encode_numbers, _by_row(decoding.blob, lambda row: (row.vol, row.id))
        )
        self._metas: Gathered[_Numbers, ObjectMeta] = Gathered(
            pool, _METAS, _encode_numbers, _by_row(decoding.meta, lambda row: (row.vol, row.ino))
        )
        self._paths: Gathered[_PathKey, list[Named]] = Gathered(pool, _PATHS, _encode_paths, _collect_paths)

    async def load_inodes(self, vol: int, inos: Sequence[int]) -> list[Inode]:
        """Return the inodes among *inos* that exist."""
        found = await self._inodes.load((vol, ino) for ino in inos)
        return [found[vol, ino] for ino in dict.fromkeys(inos) if (vol, ino) in found]

    async def load_edges(self, vol: int, keys: Sequence[tuple[int, bytes]]) -> list[Named]:
        """Return the entries among *keys* that exist, with their inodes."""
        found = await self._edges.load((vol, *key) for key in keys)
        return [found[vol, *key] for key in dict.fromkeys(keys) if (vol, *key) in found]

    async def load_alias(self, vol: int, parent: int, alias: bytes) -> Named | None:
        """Return the entry of *parent* whose NFS alias is *alias*."""
        return (await self._aliases.load([(vol, parent, alias)])).get((vol, parent, alias))

    async def resolve_path(self, vol: int, top: int, components: Sequence[bytes]) -> list[Named]:
        """Walk *components* as far as they exist."""
        if not components:
            return []
        key = (vol, top, tuple(components))
        return (await self._paths.load([key]))[key]

    async def load_extents(self, vol: int, content: int, start: int, limit: int) -> list[Extent]:
        """Return at most *limit* extents of *content* that end after *start*, by offset."""
        key = (vol, content, start, limit)
        return (await self._extents.load([key])).get(key, [])

    async def load_blob(self, vol: int, blob: int) -> Blob | None:
        """Return the row of *blob*."""
        return (await self._blobs.load([(vol, blob)])).get((vol, blob))

    async def load_meta(self, vol: int, ino: int) -> ObjectMeta | None:
        """Return the S3 metadata of *ino*."""
        return (await self._metas.load([(vol, ino)])).get((vol, ino))
