"""Large trees made by SQL: a million entries in seconds, where a million creates would take minutes.

Rows are those that the namespace would have written. Numbers are taken from reserved blocks, as it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from metastore.api import MetaStore

_NOW = 1_700_000_000_000_000_000

_INODES = """
INSERT INTO inode (vol, ino, gen, type, mode, uid, gid, nlink, entries, size, used, rdev, atime, mtime, ctime,
                   content_time, parent, flags, content, write_seq, etag_seq, x_offset, x_length, x_blob, x_blob_offset,
                   extents, history)
SELECT %(vol)s, %(ino)s + n, (n * 7919) %% 4294967296, %(type)s, %(mode)s, 0, 0, %(nlink)s, 0, 0, 0, 0, %(now)s + n,
       %(now)s + n, %(now)s + n, %(now)s + n, %(parent_of_new)s, %(flags)s, 0, 0, 0, 0, 0, 0, 0, 0, 0
FROM generate_series(0::bigint, %(count)s - 1) n
"""
_EDGES = """
INSERT INTO edge (vol, parent, skey, ino, cookie, listed, ghost)
SELECT %(vol)s, %(parent)s, convert_to(%(prefix)s || lpad(n::text, 7, '0') || %(suffix)s, 'UTF8'), %(ino)s + n,
       %(cookie)s + n, %(listed)s, false
FROM generate_series(0::bigint, %(count)s - 1) n
"""
_PARENT = (
    "UPDATE inode SET entries = entries + %(count)s, nlink = nlink + %(links)s WHERE vol = %(vol)s AND ino = %(parent)s"
)
_ONE_IN_EACH = """
INSERT INTO edge (vol, parent, skey, ino, cookie, listed, ghost)
SELECT %(vol)s, %(directory)s + n, 'f'::bytea, %(ino)s + n, %(cookie)s + n, true, false
FROM generate_series(0::bigint, %(count)s - 1) n
"""
_COUNT_ONE = (
    "UPDATE inode SET entries = 1 WHERE vol = %(vol)s AND ino >= %(directory)s AND ino < %(directory)s + %(count)s"
)
_EXTENTS = """
INSERT INTO extent (vol, content, "offset", length, blob, blob_offset)
SELECT %(vol)s, %(content)s, n * %(length)s, %(length)s, %(blob)s, 0 FROM generate_series(0::bigint, %(count)s - 1) n
"""


class Seeder:
    """Writes into the volume that *store* serves, past its back: nothing of what it writes may be cached yet."""

    def __init__(self, store: MetaStore, dsn: str, vol: int) -> None:
        self._store, self._dsn, self._vol = store, dsn, vol

    async def files(self, parent: int, count: int, prefix: str = "f", *, listed: bool = True) -> int:
        """Put *count* empty files `prefix0000000`... into *parent*; return the first inode number."""
        fields = await self._numbers(count)
        fields |= {"parent": parent, "prefix": prefix, "suffix": "", "listed": listed}
        fields |= {"type": 1, "mode": 0o644, "nlink": 1, "flags": 0, "parent_of_new": 0, "links": 0}
        self._run(fields, _INODES, _EDGES, _PARENT)
        return fields["ino"]

    async def directories(self, parent: int, count: int, prefix: str = "d", mode: int = 0o755) -> int:
        """Put *count* empty explicit directories into *parent*; return the first inode number."""
        fields = await self._numbers(count)
        fields |= {"parent": parent, "prefix": prefix, "suffix": "/", "listed": True}
        fields |= {"type": 2, "mode": mode, "nlink": 2, "flags": 1, "parent_of_new": parent, "links": count}
        self._run(fields, _INODES, _EDGES, _PARENT)
        return fields["ino"]

    async def one_file_in_each(self, directory: int, count: int) -> None:
        """Put a file `f` into each of *count* directories whose numbers begin with *directory*."""
        fields = await self._numbers(count)
        fields |= {"directory": directory, "type": 1, "mode": 0o644, "nlink": 1, "flags": 0, "parent_of_new": 0}
        self._run(fields, _INODES, _ONE_IN_EACH, _COUNT_ONE)

    def extents(self, ino: int, content: int, count: int, length: int, blob: int) -> None:
        """Give the file *ino* a content of *count* extents, all in one blob of *length* bytes."""
        fields = {"vol": self._vol, "ino": ino, "content": content, "count": count, "length": length, "blob": blob}
        self._run(
            fields,
            _EXTENTS,
            "INSERT INTO blob (vol, id, size, refs, ring_epoch, missing, handoff, doomed)"
            " VALUES (%(vol)s, %(blob)s, %(length)s, %(count)s, 0, 0, '', 0)",
            "UPDATE inode SET content = %(content)s, write_seq = 1, size = %(count)s::bigint * %(length)s,"
            " used = %(count)s::bigint * %(length)s, extents = %(count)s WHERE vol = %(vol)s AND ino = %(ino)s",
        )

    async def _numbers(self, count: int) -> dict[str, int]:
        """Return what the rows of *count* new inodes and edges share."""
        first = {kind: (await self._store.reserve(self._vol, kind, count)).first for kind in ("ino", "cookie")}
        return {"vol": self._vol, "count": count, "now": _NOW, **first}

    def _run(self, fields: dict[str, int | str | bool], *statements: str) -> None:
        with psycopg.connect(self._dsn) as connection:
            for statement in statements:
                connection.execute(statement, fields)


def analyze(dsn: str) -> None:
    """Do what autovacuum does after so many inserts."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE inode, edge, extent")
