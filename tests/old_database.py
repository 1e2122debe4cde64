"""A database as the first release left it: schema 1, with rows of every kind, all of them sound."""

from __future__ import annotations

import psycopg

from metastore import migrate

#: Tables with what a small installation held; sizes and references agree.
_ROWS = """
INSERT INTO gateway (name, started) VALUES ('gateway', 5);
INSERT INTO volume (name, owner, created, holder, epoch, next_ino, next_cookie, next_content, next_blob, settings)
VALUES ('data', 'me', 5, 1, 3, 100, 100, 100, 100, '{"k": "v"}');
INSERT INTO inode SELECT 1, i.ino, i.ino + 5, i.type, 420, 0, 0, i.nlink, i.entries, i.size, i.used, 0, 1, 2, 3, 4,
    i.parent, i.flags, i.content, 1, NULL, 0, NULL, NULL, 0, i.x_length, i.x_blob, 0, i.extents
FROM (VALUES
    (1, 2, 3, 2, 0, 0, 1, 1, 0, 0, 0, 0),
    (2, 2, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0),
    (3, 1, 1, 0, 10, 10, 0, 0, 7, 10, 1, 0),
    (4, 1, 1, 0, 30, 20, 0, 0, 8, 0, 0, 2)
) AS i (ino, type, nlink, entries, size, used, parent, flags, content, x_length, x_blob, extents);
INSERT INTO edge (vol, parent, skey, ino, cookie, alias, listed, ghost)
VALUES (1, 1, 'dir/', 2, 3, NULL, true, false), (1, 1, 'one', 3, 4, NULL, true, false),
       (1, 2, 'two', 4, 5, NULL, true, false);
INSERT INTO extent (vol, content, "offset", length, blob, blob_offset)
VALUES (1, 8, 0, 10, 2, 0), (1, 8, 20, 10, 2, 10), (1, 9, 0, 5, 2, 0), (1, 10, 0, 5, 1, 5);
INSERT INTO blob (vol, id, size, refs, ring_epoch, missing, handoff, doomed)
VALUES (1, 1, 10, 2, 1, 0, '', 0), (1, 2, 20, 3, 1, 0, '', 0), (1, 3, 9, 0, 1, 0, '', 77);
INSERT INTO blob_range (vol, first, last, gateway, epoch) VALUES (1, 1, 99, 1, 3);
INSERT INTO reclaim (vol, content, since) VALUES (1, 9, 50);
INSERT INTO upload (vol, upload_id, object_key, owner, initiated, headers, "user", tags, acl, checksum)
VALUES (1, 'u1', 'dir/big', 'me', 60, '{}', '{"a": "b"}', '{}', '{}', '');
INSERT INTO part (vol, upload_id, number, content, size, etag, checksums, modified)
VALUES (1, 'u1', 1, 10, 5, 'e', '{}', 61);
INSERT INTO object_meta (vol, ino, headers, "user", checksums, tags, acl)
VALUES (1, 3, '{"content-type": "a/b"}', '{}', '{}', '{}', '{}');
INSERT INTO version (vol, parent, skey, seq, version_id, ino, modified, retain_until, legal_hold)
VALUES (1, 1, 'one', 1, 'v', 3, 4, 0, false);
INSERT INTO account (id, name, uid, gid, groups) VALUES ('a', 'me', 1, 1, '{}');
"""


def make_old(dsn: str) -> None:
    """Bring the empty database of *dsn* to schema 1 and fill it."""
    assert migrate.upgrade(dsn, "0001") == (0, 1)
    with psycopg.connect(dsn) as connection:
        connection.execute(_ROWS)


def columns_of(dsn: str) -> dict[str, list[str]]:
    """Return the columns of every table."""
    columns: dict[str, list[str]] = {}
    with psycopg.connect(dsn) as connection:
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, ordinal_position"
        ):
            columns.setdefault(table, []).append(column)
    return columns


def rows_of(dsn: str, columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return every row of *columns*, in an order that does not change."""
    found = {}
    with psycopg.connect(dsn) as connection:
        for table, names in columns.items():
            listed = ", ".join(f'"{name}"' for name in names)
            found[table] = sorted(map(repr, connection.execute(f"SELECT {listed} FROM {table}")))
    return found
