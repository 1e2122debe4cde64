"""The tree: inodes, edges, metadata, versions."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, SmallInteger, Table, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSON, ExcludeConstraint

from metastore.schema.columns import key, metadata, number

inode = Table(
    "inode",
    metadata,
    number("vol"),
    # The inode's number, from a reserved block, never used twice; 1 is the root directory. By batch, all below too.
    number("ino"),
    # A random 32-bit number given at birth, never changed; with ino it names the object for ever.
    number("gen"),
    # ftype3 of RFC 1813: 1 regular, 2 directory, 3 block, 4 character, 5 symlink, 6 socket, 7 FIFO. Never changes.
    Column("type", SmallInteger, nullable=False),
    # The 12 permission bits.
    Column("mode", Integer, nullable=False),
    # Owner and group, unsigned 32-bit.
    number("uid"),
    number("gid"),
    # Edges that name it (ghosts excluded); for a directory 2 + its sub-directories. 0 only for an object that is
    # kept for its history of versions.
    Column("nlink", Integer, nullable=False),
    # A directory's edges, listed or not, ghosts excluded; 0 for all else.
    number("entries"),
    # Length of a file, or of a symbolic link's text; a directory shows what the namespace chooses.
    number("size"),
    # Sum of the lengths of the content's extents, the inline one included.
    number("used"),
    # A device's major << 32 | minor, as signed 64 bits; 0 for all else.
    number("rdev"),
    # atime is relatime-like and lazy; ctime grows with every change, max(now, previous + 1 ns).
    number("atime"),
    number("mtime"),
    number("ctime"),
    # When the content last changed: S3 Last-Modified.
    number("content_time"),
    # A directory's parent (the root's is itself), so that `..` and cycle checks need no index; 0 for all else.
    number("parent"),
    # records.InodeFlag; 1 = the directory is explicit.
    Column("flags", Integer, nullable=False),
    # The current content generation, from a reserved block, never used twice; 0 = it never had any.
    number("content"),
    # Grows with every change of the content.
    number("write_seq"),
    # The ETag as S3 shows it, without quotes; NULL = none. True only while etag_seq = write_seq.
    Column("etag", LargeBinary, nullable=True),
    number("etag_seq"),
    # The 8 bytes of an EXCLUSIVE create (RFC 1813, section 3.3.8), NULL for all else.
    Column("create_verf", LargeBinary, nullable=True),
    # A symbolic link's text, NULL for all else.
    Column("target", LargeBinary, nullable=True),
    # The single extent of a content that has exactly one; x_length = 0 says that there is none here. Counted in
    # blob.refs like a row of `extent`.
    number("x_offset"),
    number("x_length"),
    number("x_blob"),
    number("x_blob_offset"),
    # Rows of `extent` for (vol, content); 0 while the extent is inline.
    number("extents"),
    # A directory's rows of `version` and ghost edges; 0 for all else. A directory goes only when it has none.
    number("history"),
    key("vol", "ino"),
    # Which file a content or a blob belongs to: for check, and to say whose bytes are damaged.
    Index("inode_content", "vol", "content", postgresql_where=text("extents > 0")),
    Index("inode_x_blob", "vol", "x_blob", postgresql_where=text("x_length > 0")),
    # Room for the new image of an often changed row (a directory's times) on its own page, without index work.
    postgresql_with={"fillfactor": "80"},
)

edge = Table(
    "edge",
    metadata,
    number("vol"),
    # The directory. By batch, all below too.
    number("parent"),
    # The S3 form of the name: a file's name, a directory's name plus `/`; it decides the order. Empty = the object
    # `dir/` with a body, inside `dir`.
    Column("skey", LargeBinary, nullable=False),
    # What it names.
    number("ino"),
    # READDIR's cookie, >= 3, from a reserved block, never used twice in the volume; kept by a rename within the
    # directory.
    number("cookie"),
    # The NFS name where it differs from skey (less the directory's `/`), NULL where it does not.
    Column("alias", LargeBinary, nullable=True),
    # False for what S3 does not list: symbolic links, special files, silly names.
    Column("listed", Boolean, nullable=False),
    # True for a directory kept only for the history of versions below it: no door shows it.
    Column("ghost", Boolean, nullable=False),
    key("vol", "parent", "skey"),
    # Deferred, because two names may be swapped in one batch.
    UniqueConstraint("vol", "parent", "cookie", name="edge_cookie", deferrable=True, initially="DEFERRED"),
    # A unique constraint that leaves out the many rows without an alias: those cost no index entry.
    ExcludeConstraint(
        ("vol", "="),
        ("parent", "="),
        ("alias", "="),
        name="edge_alias",
        using="btree",
        where=text("alias IS NOT NULL"),
        deferrable=True,
        initially="DEFERRED",
    ),
    # The way to history that has no live directory.
    Index("edge_ghost", "vol", "parent", "skey", postgresql_where=text("ghost")),
    # Listings step over any number of unlisted entries without reading them.
    Index("edge_listed", "vol", "parent", "skey", postgresql_where=text("listed AND NOT ghost")),
    # The few that are not: to find what clients left of files that were open when they were removed.
    Index("edge_unlisted", "vol", "parent", "skey", postgresql_where=text("NOT listed AND NOT ghost")),
    # The names of an inode: for check, and to tell a file's path.
    Index("edge_ino", "vol", "ino"),
)

object_meta = Table(
    "object_meta",
    metadata,
    number("vol"),
    # The object; a row exists only where there is something to keep. By batch, all below too.
    number("ino"),
    # Each is a JSON object of text to text, by lower-case name. `json` and not `jsonb`: it keeps what it is given.
    Column("headers", JSON, nullable=False),
    Column("user", JSON, nullable=False),
    Column("checksums", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("acl", JSON, nullable=False),
    # Of an object that was uploaded in parts: their sizes, and what else the namespace packs. As checksums, it is true
    # only while the inode's etag_seq is its write_seq.
    Column("parts", JSON, nullable=False),
    key("vol", "ino"),
)

version = Table(
    "version",
    metadata,
    number("vol"),
    # The directory and name whose history this is: history moves with a directory's rename.
    number("parent"),
    Column("skey", LargeBinary, nullable=False),
    # Order within one name: counts down from -1, so that the primary key runs as S3 lists, newest first.
    number("seq"),
    # The id that S3 clients see; `null` for what was made while the bucket kept no versions.
    Column("version_id", LargeBinary, nullable=False),
    # The live inode (the current version), or one with nlink 0 that keeps attributes, content and metadata; 0 = a
    # delete marker.
    number("ino"),
    # When the version was made.
    number("modified"),
    # Object lock: kept at least until then (0 = no retention), and while the hold is on.
    number("retain_until"),
    Column("legal_hold", Boolean, nullable=False),
    key("vol", "parent", "skey", "seq"),
    # A name has one null version. All other ids tell their seq.
    Index("version_null", "vol", "parent", "skey", unique=True, postgresql_where=text("version_id = 'null'::bytea")),
    # For check: who keeps an inode that has no name.
    Index("version_ino", "vol", "ino", postgresql_where=text("ino <> 0")),
)
