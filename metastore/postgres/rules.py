"""The rules of a sound volume as SQL: what `gatefold check` asks of the metastore.

A rule is a SELECT of (subject, detail) for the rows that break it. The rules of one *scan* drive over the same table
and go together in one statement per chunk of it, so that each statement sees one state of the tree: a batch is in it
whole or not at all, and a house that serves meanwhile breaks no rule by it.
"""

from __future__ import annotations

from metastore.postgres.encoding import BYTEA, INT8
from metastore.postgres.session import Statement

#: Findings of one rule in one chunk; a broken volume need not be told row by row.
LIMIT = 100

_IS_DIRECTORY_NAME = "(length(e.skey) > 0 AND get_byte(e.skey, length(e.skey) - 1) = 47)"
_INODES = "FROM inode i WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3"
_EDGES = "FROM edge e WHERE e.vol = $1 AND (e.parent, e.skey) > ($2, $3) AND (e.parent, e.skey) <= ($4, $5)"
_CONTENTS = "FROM inode i WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.type = 1"
_BLOBS = "FROM blob b WHERE b.vol = $1 AND b.id > $2 AND b.id <= $3"
_NAMES = "(SELECT count(*) FROM edge e WHERE e.vol = i.vol AND e.ino = i.ino)"
_ROWS_OF = "FROM extent x WHERE x.vol = i.vol AND x.content = i.content"

Rule = tuple[str, str]

INODE_RULES: tuple[Rule, ...] = (
    (
        "inode.entries",
        "SELECT 'ino ' || i.ino, format('entries %s, counted %s', i.entries, c.n) FROM inode i, LATERAL ("
        "  SELECT count(*) AS n FROM edge e WHERE e.vol = i.vol AND e.parent = i.ino AND NOT e.ghost) c"
        " WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.entries <> c.n",
    ),
    (
        "inode.nlink",
        "SELECT 'ino ' || i.ino, format('nlink %s, counted %s', i.nlink, c.n) FROM inode i, LATERAL ("
        f"  SELECT CASE WHEN i.type = 2 THEN 2 + (SELECT count(*) FROM edge e WHERE e.vol = i.vol"
        f"    AND e.parent = i.ino AND NOT e.ghost AND {_IS_DIRECTORY_NAME}) ELSE {_NAMES} END AS n) c"
        " WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.nlink <> c.n",
    ),
    (
        "inode.named",
        f"SELECT 'ino ' || i.ino, format('%s names', {_NAMES}) {_INODES}"
        f" AND CASE WHEN i.ino = 1 THEN {_NAMES} <> 0 WHEN i.type = 2 THEN {_NAMES} <> 1 ELSE {_NAMES} = 0 END",
    ),
    (
        "inode.parent",
        f"SELECT 'ino ' || i.ino, format('parent %s', i.parent) {_INODES} AND CASE"
        "  WHEN i.type <> 2 THEN i.parent <> 0 WHEN i.ino = 1 THEN i.parent <> 1"
        "  ELSE NOT EXISTS (SELECT 1 FROM edge e WHERE e.vol = i.vol AND e.parent = i.parent AND e.ino = i.ino) END",
    ),
    (
        "inode.target",
        f"SELECT 'ino ' || i.ino, 'a link without text, or text without a link' {_INODES}"
        " AND (i.type = 5) <> (i.target IS NOT NULL)",
    ),
    (
        "inode.unreserved",
        f"SELECT 'ino ' || i.ino, format('ino, or content %s, was never reserved', i.content) {_INODES} AND EXISTS ("
        "  SELECT 1 FROM volume v WHERE v.vol = i.vol AND (i.ino >= v.next_ino AND i.ino <> 1"
        "  OR i.content >= v.next_content))",
    ),
)

EDGE_RULES: tuple[Rule, ...] = (
    (
        "edge.inode",
        "SELECT format('name %s in %s', encode(e.skey, 'escape'), e.parent), format('no inode %s', e.ino)"
        f" {_EDGES} AND NOT EXISTS (SELECT 1 FROM inode i WHERE i.vol = e.vol AND i.ino = e.ino)",
    ),
    (
        "edge.parent",
        "SELECT format('name %s in %s', encode(e.skey, 'escape'), e.parent), 'its parent is no directory'"
        f" {_EDGES} AND NOT EXISTS (SELECT 1 FROM inode i WHERE i.vol = e.vol AND i.ino = e.parent AND i.type = 2)",
    ),
    (
        "edge.form",
        "SELECT format('name %s in %s', encode(e.skey, 'escape'), e.parent), 'the form does not fit the type'"
        f" {_EDGES} AND EXISTS (SELECT 1 FROM inode i WHERE i.vol = e.vol AND i.ino = e.ino"
        f" AND (i.type = 2) <> {_IS_DIRECTORY_NAME})",
    ),
    (
        "edge.listed",
        "SELECT format('name %s in %s', encode(e.skey, 'escape'), e.parent), 'S3 cannot show what it is'"
        f" {_EDGES} AND e.listed AND EXISTS (SELECT 1 FROM inode i WHERE i.vol = e.vol AND i.ino = e.ino"
        " AND i.type NOT IN (1, 2))",
    ),
    (
        "edge.cookie",
        "SELECT format('name %s in %s', encode(e.skey, 'escape'), e.parent), format('cookie %s', e.cookie)"
        f" {_EDGES} AND (e.cookie < 3 OR e.cookie >= (SELECT v.next_cookie FROM volume v WHERE v.vol = e.vol))",
    ),
)

CONTENT_RULES: tuple[Rule, ...] = (
    (
        "extent.count",
        "SELECT 'ino ' || i.ino, format('extents %s, counted %s', i.extents, c.n) FROM inode i, LATERAL ("
        f"  SELECT count(*) AS n {_ROWS_OF}) c"
        " WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.type = 1 AND i.extents <> c.n",
    ),
    (
        "extent.inline",
        f"SELECT 'ino ' || i.ino, format('inline of %s bytes, %s rows', i.x_length, i.extents) {_CONTENTS}"
        " AND (i.x_length > 0 AND (i.extents > 0 OR i.x_blob = 0)"
        " OR i.x_length = 0 AND (i.x_blob <> 0 OR i.extents = 1))",
    ),
    (
        "extent.used",
        "SELECT 'ino ' || i.ino, format('used %s, counted %s', i.used, c.n) FROM inode i, LATERAL ("
        f"  SELECT i.x_length + coalesce(sum(x.length), 0) AS n {_ROWS_OF}) c"
        " WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.type = 1 AND i.used <> c.n",
    ),
    (
        "extent.end",
        "SELECT 'ino ' || i.ino, format('size %s, bytes up to %s', i.size, c.n) FROM inode i, LATERAL (SELECT greatest("
        f'  i.x_offset + i.x_length, (SELECT max(x."offset" + x.length) {_ROWS_OF})) AS n) c'
        " WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.type = 1 AND c.n > i.size",
    ),
    (
        "extent.overlap",
        "SELECT 'ino ' || i.ino, format('two extents hold byte %s', o.at) FROM inode i, LATERAL (SELECT o.at FROM ("
        '  SELECT x."offset" AS at, lag(x."offset" + x.length) OVER (ORDER BY x."offset") AS before'
        f" {_ROWS_OF}) o WHERE o.before > o.at LIMIT 1) o"
        " WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.type = 1",
    ),
    (
        "extent.blob",
        "SELECT 'ino ' || i.ino, format('blob %s does not hold its bytes', x.blob) FROM inode i, LATERAL ("
        f"  SELECT x.blob, x.blob_offset, x.length {_ROWS_OF}"
        "  UNION ALL SELECT i.x_blob, i.x_blob_offset, i.x_length WHERE i.x_length > 0) x"
        " WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.type = 1 AND NOT EXISTS (SELECT 1 FROM blob b"
        "  WHERE b.vol = $1 AND b.id = x.blob AND b.doomed = 0 AND x.blob_offset >= 0 AND x.length > 0"
        "  AND x.blob_offset + x.length <= b.size)",
    ),
    (
        "content.reclaimed",
        f"SELECT 'ino ' || i.ino, format('content %s is being reclaimed', i.content) {_CONTENTS}"
        " AND EXISTS (SELECT 1 FROM reclaim r WHERE r.vol = i.vol AND r.content = i.content)",
    ),
)

BLOB_RULES: tuple[Rule, ...] = (
    (
        "blob.refs",
        "SELECT 'blob ' || b.id, format('refs %s, counted %s', b.refs, c.n) FROM blob b, LATERAL (SELECT"
        "  (SELECT count(*) FROM extent x WHERE x.vol = b.vol AND x.blob = b.id)"
        "  + (SELECT count(*) FROM inode i WHERE i.vol = b.vol AND i.x_blob = b.id AND i.x_length > 0) AS n) c"
        " WHERE b.vol = $1 AND b.id > $2 AND b.id <= $3 AND b.refs <> c.n",
    ),
    (
        "blob.doomed",
        f"SELECT 'blob ' || b.id, format('doomed with refs %s', b.refs) {_BLOBS} AND b.doomed <> 0 AND b.refs <> 0",
    ),
    (
        "blob.unreserved",
        f"SELECT 'blob ' || b.id, 'its number was never reserved' {_BLOBS} AND NOT EXISTS ("
        "  SELECT 1 FROM blob_range r WHERE r.vol = b.vol AND r.first <= b.id AND r.last >= b.id)",
    ),
)

#: Contents that have extents and that nobody has. The chunk is of contents.
EXTENT_RULES: tuple[Rule, ...] = (
    (
        "extent.owner",
        "SELECT DISTINCT 'content ' || x.content, 'no inode has it' FROM extent x"
        " WHERE x.vol = $1 AND x.content > $2 AND x.content <= $3"
        " AND NOT EXISTS (SELECT 1 FROM inode i WHERE i.vol = x.vol AND i.content = x.content AND i.extents > 0)"
        " AND NOT EXISTS (SELECT 1 FROM reclaim r WHERE r.vol = x.vol AND r.content = x.content)"
        " AND NOT EXISTS (SELECT 1 FROM part p WHERE p.vol = x.vol AND p.content = x.content)",
    ),
)

_CHUNK_OF = {
    # Of the edges by their whole key: one directory may hold most of a volume's.
    "edge": (("e.parent", "e.skey"), (INT8, BYTEA)),
    "inode": (("i.ino",), (INT8,)),
    "extent": (("x.content",), (INT8,)),
    "blob": (("b.id",), (INT8,)),
}


def scan(name: str, table: str, rules: tuple[Rule, ...]) -> Statement:
    """Return the statement that runs *rules* over a chunk of *table*: volume, key before it, last key."""
    parts = (
        f"(SELECT '{rule}'::text, q.* FROM ({select}) AS q (subject, detail) LIMIT {LIMIT})" for rule, select in rules
    )
    types = _CHUNK_OF[table][1]
    return Statement(f"audit {name}", " UNION ALL ".join(parts), (INT8, *types, *types))


def bound(table: str) -> Statement:
    """Return the statement that tells the last key of the next so many rows: volume, key before them, how many."""
    columns, types = _CHUNK_OF[table]
    key = ", ".join(columns)
    last = ", ".join(f"{column} DESC" for column in columns)
    after = ", ".join(f"${number + 2}" for number in range(len(columns)))
    rows = (
        f"SELECT {key} FROM {table} {columns[0][0]} WHERE {columns[0][0]}.vol = $1 AND ({key}) > ({after})"
        f" ORDER BY {key} LIMIT ${len(columns) + 2}"
    )
    return Statement(
        f"audit bound {table}",
        f"SELECT * FROM ({rows}) {columns[0][0]} ORDER BY {last} LIMIT 1",
        (INT8, *types, INT8),
    )
