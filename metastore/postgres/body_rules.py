"""The rules of bodies: contents, extents, parts, what is to be freed, blobs (`rules` says in which form)."""

from __future__ import annotations

from metastore.postgres.rules import Rule, broken, recounted

_ROWS_OF = "FROM extent x WHERE x.vol = {0}.vol AND x.content = {0}.content"
_END = f'SELECT max(x."offset" + x.length) {_ROWS_OF}'
#: The first byte of which an owner has two.
_TWICE = (
    'SELECT o.at FROM (SELECT x."offset" AS at, lag(x."offset" + x.length) OVER (ORDER BY x."offset") AS before'
    f" {_ROWS_OF}) o WHERE o.before > o.at LIMIT 1"
)
#: That the bytes of an extent (blob, blob_offset, length) lie in a blob that is there.
_HELD = (
    "EXISTS (SELECT 1 FROM blob b WHERE b.vol = $1 AND b.id = x.blob AND b.doomed = 0 AND x.blob_offset >= 0"
    " AND x.length > 0 AND x.blob_offset + x.length <= b.size OFFSET 0)"
)
_MARK = "(SELECT v.{0} FROM volume v WHERE v.vol = $1)"
_RECLAIMED = "EXISTS (SELECT 1 FROM reclaim r WHERE r.vol = {0}.vol AND r.content = {0}.content OFFSET 0)"

#: Of the regular files among a chunk of inodes.
CONTENT_RULES: tuple[Rule, ...] = (
    recounted("extent.count", "extents", f"SELECT count(*) {_ROWS_OF.format('i')}", "i.type = 1"),
    recounted(
        "extent.used",
        "used",
        f"SELECT i.x_length + coalesce(sum(x.length), 0) {_ROWS_OF.format('i')}",
        "i.type = 1",
    ),
    broken(
        "extent.inline",
        "inode",
        "i.ino, ''::bytea, NULL::bigint, format('inline of %s bytes, %s rows', i.x_length, i.extents)",
        "i.type = 1 AND (i.x_length < 0 OR i.x_length > 0 AND (i.extents > 0 OR i.x_blob = 0)"
        " OR i.x_length = 0 AND (i.x_blob <> 0 OR i.extents = 1))",
    ),
    (
        "extent.end",
        "SELECT i.ino, ''::bytea, NULL::bigint, format('size %s, bytes up to %s', i.size, c.n) FROM piece i,"
        f" LATERAL (SELECT greatest(CASE WHEN i.x_length > 0 THEN i.x_offset + i.x_length END,"
        f"  ({_END.format('i')})) AS n) c"
        f" WHERE i.type = 1 AND c.n > i.size",
    ),
    (
        "extent.overlap",
        "SELECT i.ino, ''::bytea, NULL::bigint, format('two extents hold byte %s', o.at) FROM piece i,"
        f" LATERAL ({_TWICE.format('i')}) o WHERE i.type = 1",
    ),
    (
        "extent.blob",
        "SELECT i.ino, ''::bytea, NULL::bigint, format('blob %s does not hold its bytes', x.blob) FROM piece i,"
        f" LATERAL (SELECT x.blob, x.blob_offset, x.length {_ROWS_OF.format('i')}"
        f"  UNION ALL SELECT i.x_blob, i.x_blob_offset, i.x_length WHERE i.x_length > 0) x"
        f" WHERE i.type = 1 AND NOT {_HELD}",
    ),
    broken(
        "content.reclaimed",
        "inode",
        "i.content, ''::bytea, NULL::bigint, format('it is being reclaimed, and ino %s has it', i.ino)",
        f"i.type = 1 AND i.content <> 0 AND {_RECLAIMED.format('i')}",
    ),
    broken(
        "content.shared",
        "inode",
        "i.content, ''::bytea, NULL::bigint, format('ino %s has it, and so has another file or a part', i.ino)",
        "i.type = 1 AND i.extents > 0 AND (EXISTS (SELECT 1 FROM inode o WHERE o.vol = i.vol AND o.content = i.content"
        "  AND o.extents > 0 AND o.ino <> i.ino OFFSET 0)"
        " OR EXISTS (SELECT 1 FROM part p WHERE p.vol = i.vol AND p.content = i.content OFFSET 0))",
    ),
)

#: Contents that have extents and that nobody has. The chunk is of contents.
EXTENT_RULES: tuple[Rule, ...] = (
    (
        "content.owner",
        "SELECT x.content, ''::bytea, NULL::bigint, 'nobody has it' FROM ("
        "  SELECT DISTINCT x.content FROM piece x) x WHERE NOT EXISTS ("
        "  SELECT 1 FROM inode i WHERE i.vol = $1 AND i.content = x.content AND i.extents > 0 OFFSET 0)"
        " AND NOT EXISTS (SELECT 1 FROM reclaim r WHERE r.vol = $1 AND r.content = x.content OFFSET 0)"
        " AND NOT EXISTS (SELECT 1 FROM part p WHERE p.vol = $1 AND p.content = x.content OFFSET 0)",
    ),
)


def _part(rule: str, right: str, detail: str, condition: str) -> Rule:
    return broken(rule, "part", f"p.number, p.upload_id, ({right})::bigint, {detail}", condition)


PART_RULES: tuple[Rule, ...] = (
    _part(
        "part.upload",
        "p.content",
        "'its upload is not there'",
        "NOT EXISTS (SELECT 1 FROM upload u WHERE u.vol = p.vol AND u.upload_id = p.upload_id OFFSET 0)",
    ),
    _part("part.number", "NULL", "'parts have numbers from 1 to 10000'", "p.number NOT BETWEEN 1 AND 10000"),
    _part(
        "part.unreserved",
        "p.content",
        "format('content %s was never reserved', p.content)",
        f"p.content >= {_MARK.format('next_content')}",
    ),
    _part(
        "part.size",
        "NULL",
        f"format('size %s, bytes up to %s', p.size, ({_END.format('p')}))",
        f"p.size < coalesce(({_END.format('p')}), 0)",
    ),
    _part("part.overlap", "NULL", "'two extents hold one byte'", f"EXISTS ({_TWICE.format('p')})"),
    _part(
        "part.blob",
        "NULL",
        "'a blob does not hold its bytes'",
        f"EXISTS (SELECT 1 {_ROWS_OF.format('p')} AND NOT {_HELD} OFFSET 0)",
    ),
    _part(
        "part.reclaimed",
        "p.content",
        "format('content %s is being reclaimed', p.content)",
        _RECLAIMED.format("p"),
    ),
    _part(
        "part.shared",
        "NULL",
        "format('another part has content %s too', p.content)",
        "p.content <> 0 AND EXISTS (SELECT 1 FROM part o WHERE o.vol = p.vol AND o.content = p.content"
        " AND (o.upload_id, o.number) <> (p.upload_id, p.number) OFFSET 0)",
    ),
)

UPLOAD_RULES: tuple[Rule, ...] = (
    broken(
        "upload.key",
        "upload",
        "0::bigint, u.upload_id, NULL::bigint, 'its key is empty or too long'",
        "length(u.object_key) NOT BETWEEN 1 AND 1024 OR length(u.upload_id) = 0",
    ),
)

RECLAIM_RULES: tuple[Rule, ...] = (
    broken(
        "reclaim.unreserved",
        "reclaim",
        "r.content, ''::bytea, r.content, 'its number was never reserved'",
        f"r.content >= {_MARK.format('next_content')}",
    ),
    broken(
        "reclaim.epoch",
        "reclaim",
        "r.content, ''::bytea, 0::bigint, format('a draft of epoch %s, which is still to come', r.epoch)",
        f"r.epoch > {_MARK.format('epoch')}",
    ),
)

#: Ranges do not overlap: the last that begins at or before a number is the only one that can hold it.
_RANGE_END = "(SELECT r.last FROM blob_range r WHERE r.vol = b.vol AND r.first <= b.id ORDER BY r.first DESC LIMIT 1)"

BLOB_RULES: tuple[Rule, ...] = (
    (
        "blob.refs",
        "SELECT b.id, ''::bytea, c.n, format('refs %s, counted %s', b.refs, c.n) FROM piece b, LATERAL (SELECT"
        "  (SELECT count(*) FROM extent x WHERE x.vol = b.vol AND x.blob = b.id)"
        "  + (SELECT count(*) FROM inode i WHERE i.vol = b.vol AND i.x_blob = b.id AND i.x_length > 0) AS n) c"
        " WHERE b.refs <> c.n",
    ),
    broken(
        "blob.doomed",
        "blob",
        "b.id, ''::bytea, NULL::bigint, format('doomed with refs %s', b.refs)",
        "b.doomed <> 0 AND b.refs <> 0",
    ),
    broken(
        "blob.unreserved",
        "blob",
        "b.id, ''::bytea, b.id, 'its number was never reserved'",
        f"b.id >= {_MARK.format('next_blob')} OR coalesce({_RANGE_END} < b.id, true)",
    ),
    broken(
        "blob.ring",
        "blob",
        "b.id, ''::bytea, NULL::bigint, format('placed by ring %s, which is still to come', b.ring_epoch)",
        "b.ring_epoch > (SELECT max(g.epoch) FROM ring g)",
    ),
)
