"""The rules of volumes, inodes, names, metadata and versions (`rules` says in which form)."""

from __future__ import annotations

from metastore.postgres.rules import Rule, broken, recounted

_INO = "i.ino, ''::bytea"
_IS_DIRECTORY_NAME = "(length({0}.skey) > 0 AND get_byte({0}.skey, length({0}.skey) - 1) = 47)"
_NAMES = "SELECT count(*) FROM edge e WHERE e.vol = i.vol AND e.ino = i.ino"
_LIVE_NAMES = f"{_NAMES} AND NOT e.ghost"
_BELOW = "SELECT count(*) FROM edge e WHERE e.vol = i.vol AND e.parent = i.ino AND NOT e.ghost"
_SUBDIRECTORIES = f"{_BELOW} AND {_IS_DIRECTORY_NAME.format('e')}"
_IS_GHOST = "EXISTS (SELECT 1 FROM edge e WHERE e.vol = i.vol AND e.ino = i.ino AND e.ghost OFFSET 0)"
_HISTORY = (
    "(SELECT count(*) FROM version r WHERE r.vol = i.vol AND r.parent = i.ino)"
    " + (SELECT count(*) FROM edge e WHERE e.vol = i.vol AND e.parent = i.ino AND e.ghost)"
)
_HAS_HISTORY = "EXISTS (SELECT 1 FROM version r WHERE r.vol = i.vol AND r.ino = i.ino AND r.ino <> 0 OFFSET 0)"
_MARK = "(SELECT v.{0} FROM volume v WHERE v.vol = $1)"


def _inode(rule: str, right: str, detail: str, condition: str) -> Rule:
    return broken(rule, "inode", f"{_INO}, ({right})::bigint, {detail}", condition)


INODE_RULES: tuple[Rule, ...] = (
    recounted("inode.entries", "entries", _BELOW),
    recounted(
        "inode.nlink",
        "nlink",
        f"CASE WHEN i.type <> 2 THEN ({_LIVE_NAMES}) WHEN {_IS_GHOST} THEN 0 ELSE 2 + ({_SUBDIRECTORIES}) END",
    ),
    recounted("inode.history", "history", _HISTORY),
    recounted("inode.size", "size", "length(i.target)", "i.type = 5 AND i.target IS NOT NULL"),
    (
        "inode.named",
        # A directory has one name, the root none; anything else has some, or a history that keeps it.
        f"SELECT {_INO}, c.n, format('%s names', c.n) FROM piece i, LATERAL (SELECT"
        f"  CASE WHEN i.type = 2 THEN ({_NAMES}) ELSE ({_LIVE_NAMES}) END AS n) c"
        " WHERE CASE WHEN i.ino = 1 THEN c.n <> 0"
        f"  WHEN i.type = 2 THEN c.n <> 1 ELSE c.n = 0 AND NOT {_HAS_HISTORY} END",
    ),
    _inode(
        "inode.parent",
        # The one name says it; with none or several there is no telling.
        "CASE WHEN i.type <> 2 THEN 0 WHEN i.ino = 1 THEN 1 ELSE (SELECT min(e.parent) FROM edge e"
        " WHERE e.vol = i.vol AND e.ino = i.ino HAVING count(*) = 1) END",
        "format('parent %s', i.parent)",
        "CASE WHEN i.type <> 2 THEN i.parent <> 0 WHEN i.ino = 1 THEN i.parent <> 1"
        # OFFSET 0: the names of the inode, and never those of its parent, which may be a million.
        " ELSE NOT EXISTS (SELECT 1 FROM (SELECT e.parent FROM edge e WHERE e.vol = i.vol AND e.ino = i.ino OFFSET 0) n"
        "  WHERE n.parent = i.parent) END",
    ),
    _inode(
        "inode.target",
        "NULL",
        "'a link without text, or text without a link'",
        "(i.type = 5) <> (i.target IS NOT NULL)",
    ),
    _inode(
        "inode.range",
        "NULL",
        "format('type %s, mode %s, owner %s:%s, gen %s, flags %s', i.type, i.mode, i.uid, i.gid, i.gen, i.flags)",
        "i.type NOT BETWEEN 1 AND 7 OR i.mode NOT BETWEEN 0 AND 4095 OR i.gen NOT BETWEEN 0 AND 4294967295"
        " OR i.uid NOT BETWEEN 0 AND 4294967295 OR i.gid NOT BETWEEN 0 AND 4294967295 OR i.size < 0"
        " OR i.flags NOT BETWEEN 0 AND 1 OR (i.flags <> 0 AND i.type <> 2) OR (i.rdev <> 0 AND i.type NOT IN (3, 4))",
    ),
    _inode(
        "inode.body",
        "NULL",
        "format('content %s, %s bytes', i.content, i.used)",
        "i.type <> 1 AND (i.content <> 0 OR i.extents <> 0 OR i.x_length <> 0 OR i.used <> 0)",
    ),
    _inode(
        "inode.etag",
        "NULL",
        "format('etag of change %s, content of change %s', i.etag_seq, i.write_seq)",
        "i.etag_seq < 0 OR i.etag_seq > i.write_seq OR (i.etag IS NOT NULL AND i.type <> 1)",
    ),
    _inode(
        "inode.unreserved",
        "i.ino",
        "'its number was never reserved'",
        f"i.ino <> 1 AND i.ino >= {_MARK.format('next_ino')}",
    ),
    broken(
        "content.unreserved",
        "inode",
        "i.content, ''::bytea, i.content, format('the number of the content of ino %s was never reserved', i.ino)",
        f"i.content >= {_MARK.format('next_content')}",
    ),
)

_NAMED = "EXISTS (SELECT 1 FROM inode i WHERE i.vol = e.vol AND i.ino = e.ino AND ({0}) OFFSET 0)"


def _edge(rule: str, right: str, detail: str, condition: str) -> Rule:
    return broken(rule, "edge", f"e.parent, e.skey, ({right})::bigint, {detail}", condition)


EDGE_RULES: tuple[Rule, ...] = (
    _edge("edge.inode", "NULL", "format('no inode %s', e.ino)", f"NOT {_NAMED.format('true')}"),
    _edge(
        "edge.parent",
        "e.ino",
        "'its parent is no directory'",
        "NOT EXISTS (SELECT 1 FROM inode i WHERE i.vol = e.vol AND i.ino = e.parent AND i.type = 2 OFFSET 0)",
    ),
    _edge(
        "edge.form",
        "NULL",
        "'the form does not fit the type'",
        _NAMED.format(f"(i.type = 2) <> {_IS_DIRECTORY_NAME.format('e')}"),
    ),
    _edge(
        "edge.marker",
        "NULL",
        "'an empty name is a regular file, and never in the root'",
        f"length(e.skey) = 0 AND (e.parent = 1 OR {_NAMED.format('i.type <> 1')})",
    ),
    _edge("edge.listed", "0", "'S3 cannot show what it is'", f"e.listed AND {_NAMED.format('i.type NOT IN (1, 2)')}"),
    _edge(
        "edge.cookie",
        "NULL",
        "format('cookie %s', e.cookie)",
        f"e.cookie < 3 OR e.cookie >= {_MARK.format('next_cookie')}",
    ),
    _edge(
        "edge.alias",
        "NULL",
        "format('alias %s', encode(e.alias, 'escape'))",
        "e.alias IS NOT NULL AND (length(e.alias) NOT BETWEEN 1 AND 255 OR position('\\x2f'::bytea IN e.alias) > 0"
        " OR position('\\x00'::bytea IN e.alias) > 0)",
    ),
    _edge(
        "edge.ghost",
        "NULL",
        "'a ghost is a directory with nothing in it but history, and has no alias'",
        f"e.ghost AND (e.alias IS NOT NULL OR {_NAMED.format('i.type <> 2 OR i.history = 0')}"
        " OR EXISTS (SELECT 1 FROM edge l WHERE l.vol = e.vol AND l.parent = e.ino AND NOT l.ghost OFFSET 0))",
    ),
)

#: What an object's parts add up to; -1 for a text that tells no sizes.
_PARTS_SIZE = (
    "CASE WHEN m.parts->>'sizes' ~ '^[0-9]{1,5}x[0-9]{1,13}( [0-9]{1,5}x[0-9]{1,13})*$' THEN"
    " (SELECT sum(split_part(r, 'x', 1)::bigint * split_part(r, 'x', 2)::bigint)"
    " FROM unnest(string_to_array(m.parts->>'sizes', ' ')) r) ELSE -1 END"
)

META_RULES: tuple[Rule, ...] = (
    broken(
        "meta.inode",
        "object_meta",
        "m.ino, ''::bytea, NULL::bigint, 'it belongs to no file'",
        "NOT EXISTS (SELECT 1 FROM inode i WHERE i.vol = m.vol AND i.ino = m.ino AND i.type = 1 OFFSET 0)",
    ),
    broken(
        "meta.parts",
        "object_meta",
        "m.ino, ''::bytea, NULL::bigint, format('parts of %s', m.parts->>'sizes')",
        f"m.parts->>'sizes' IS NOT NULL AND EXISTS (SELECT 1 FROM inode i WHERE i.vol = m.vol AND i.ino = m.ino"
        f" AND i.type = 1 AND i.etag_seq = i.write_seq AND i.size <> {_PARTS_SIZE} OFFSET 0)",
    ),
)

_OF_NAME = "n.vol = r.vol AND n.parent = r.parent AND n.skey = r.skey"
_IS_NEWEST = f"NOT EXISTS (SELECT 1 FROM version n WHERE {_OF_NAME} AND n.seq < r.seq OFFSET 0)"
_LIVE = (
    "coalesce((SELECT e.ino FROM edge e JOIN inode i ON i.vol = e.vol AND i.ino = e.ino WHERE e.vol = r.vol"
    " AND e.parent = r.parent AND e.skey = r.skey AND e.listed AND NOT e.ghost AND i.type = 1), 0)"
)

VERSION_RULES: tuple[Rule, ...] = (
    broken(
        "version.current",
        "version",
        f"r.parent, r.skey, NULL::bigint, format('the newest version is ino %s, the file is ino %s', r.ino, {_LIVE})",
        f"{_IS_NEWEST} AND r.ino <> {_LIVE}",
    ),
    broken(
        "version.kept",
        "version",
        "r.parent, r.skey, NULL::bigint, format('version %s shares ino %s', r.seq, r.ino)",
        f"r.ino <> 0 AND NOT {_IS_NEWEST} AND ("
        " EXISTS (SELECT 1 FROM edge e WHERE e.vol = r.vol AND e.ino = r.ino) OR EXISTS (SELECT 1 FROM version o"
        " WHERE o.vol = r.vol AND o.ino = r.ino AND o.ino <> 0"
        " AND (o.parent, o.skey, o.seq) <> (r.parent, r.skey, r.seq)))",
    ),
    broken(
        "version.inode",
        "version",
        "r.parent, r.skey, NULL::bigint, format('version %s is no file: ino %s', r.seq, r.ino)",
        "r.ino <> 0 AND NOT EXISTS ("
        "  SELECT 1 FROM inode i WHERE i.vol = r.vol AND i.ino = r.ino AND i.type = 1 OFFSET 0)",
    ),
    broken(
        "version.parent",
        "version",
        "r.parent, r.skey, NULL::bigint, 'its parent is no directory'",
        "NOT EXISTS (SELECT 1 FROM inode i WHERE i.vol = r.vol AND i.ino = r.parent AND i.type = 2 OFFSET 0)",
    ),
)

#: Rules of the volume itself and of the ranges of blob numbers, which are few: no chunks.
VOLUME_RULES: tuple[Rule, ...] = (
    (
        "volume.holder",
        "SELECT 0::bigint, ''::bytea, NULL::bigint, format('gateway %s holds it, and nobody knows that', v.holder)"
        " FROM volume v WHERE v.vol = $1 AND v.holder <> 0"
        " AND NOT EXISTS (SELECT 1 FROM gateway g WHERE g.id = v.holder)",
    ),
    (
        "volume.root",
        "SELECT 0::bigint, ''::bytea, NULL::bigint, 'it has no root directory' FROM volume v WHERE v.vol = $1"
        " AND NOT EXISTS (SELECT 1 FROM inode i WHERE i.vol = v.vol AND i.ino = 1 AND i.type = 2)",
    ),
    (
        "range.unreserved",
        "SELECT r.first, ''::bytea, r.last, format('up to %s, and the next free number is %s', r.last, v.next_blob)"
        " FROM volume v JOIN blob_range r ON r.vol = v.vol WHERE v.vol = $1 AND r.last >= v.next_blob",
    ),
    (
        "range.epoch",
        "SELECT r.first, ''::bytea, NULL::bigint, format('of epoch %s, which is still to come', r.epoch)"
        " FROM volume v JOIN blob_range r ON r.vol = v.vol WHERE v.vol = $1 AND r.epoch > v.epoch",
    ),
    (
        "range.overlap",
        "SELECT o.first, ''::bytea, NULL::bigint, format('the one before it ends at %s', o.before) FROM ("
        "  SELECT r.first, lag(r.last) OVER (ORDER BY r.first) AS before FROM blob_range r WHERE r.vol = $1) o"
        " WHERE o.before >= o.first",
    ),
)
