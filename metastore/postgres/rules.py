"""How the rules of a sound volume are asked in SQL, chunk by chunk.

A rule is a SELECT of (number, name, right, detail) of what breaks it, as `metastore.findings` takes them, from
`piece`: the next rows of a table by its key. The rules of one *scan* go together in one statement, so that each sees
one state of the tree: a batch is in it whole or not at all, and a house that serves meanwhile breaks no rule by it.

Nothing is left to the planner that could read more than the chunk: its rows are taken once, in the order of the key,
and what is looked for beside them is looked up row by row. OFFSET 0 keeps such a look-up from becoming a join, in which
a directory, or the volume, might be read whole for every chunk.
"""

from __future__ import annotations

from metastore.postgres.encoding import BYTEA, INT8
from metastore.postgres.session import Statement

Rule = tuple[str, str]

#: Table -> its alias in a rule, the columns that a chunk of it is bounded by, and their types.
_CHUNK_OF = {
    # Of the edges by their whole key: one directory may hold most of a volume's.
    "edge": ("e", ("parent", "skey"), (INT8, BYTEA)),
    "version": ("r", ("parent", "skey", "seq"), (INT8, BYTEA, INT8)),
    "inode": ("i", ("ino",), (INT8,)),
    "object_meta": ("m", ("ino",), (INT8,)),
    "extent": ("x", ("content",), (INT8,)),
    "reclaim": ("r", ("content",), (INT8,)),
    "upload": ("u", ("upload_id",), (BYTEA,)),
    "part": ("p", ("upload_id", "number"), (BYTEA, INT8)),
    "blob": ("b", ("id",), (INT8,)),
}


def chunk(table: str) -> str:
    """Return the condition that a row of *table* lies in the chunk: volume, the key before it, its last key."""
    alias, columns, _ = _CHUNK_OF[table]
    count = len(columns)
    key = ", ".join(f"{alias}.{column}" for column in columns)
    before = ", ".join(f"${number + 2}" for number in range(count))
    last = ", ".join(f"${number + 2 + count}" for number in range(count))
    return f"{alias}.vol = $1 AND ({key}) > ({before}) AND ({key}) <= ({last})"


def broken(rule: str, table: str, columns: str, condition: str) -> Rule:
    """Return *rule*: in each chunk of *table* no row meets *condition*; *columns* are what it selects of one."""
    return (rule, f"SELECT {columns} FROM piece {_CHUNK_OF[table][0]} WHERE {condition}")


def recounted(rule: str, column: str, counted: str, only: str = "true") -> Rule:
    """Return *rule*: of inodes that meet *only*, *column* is what *counted* says."""
    select = (
        f"SELECT i.ino, ''::bytea, c.n, format('{column} %s, counted %s', i.{column}, c.n)"
        f" FROM piece i, LATERAL (SELECT ({counted})::bigint AS n) c WHERE {only} AND i.{column} <> c.n"
    )
    return (rule, select)


def key_types(table: str) -> tuple[int, ...]:
    """Return the types of the columns that bound a chunk of *table*."""
    return _CHUNK_OF[table][2]


def scan(name: str, table: str, rules: tuple[Rule, ...]) -> Statement:
    """Return the statement that runs *rules* over the next rows of *table*.

    Its parameters: volume, the key before them, how many rows, and how many findings of a rule. The last row that it
    returns names no rule: it is the key of the last row that was looked at (see `next_key`).
    """
    alias, columns, types = _CHUNK_OF[table]
    key = ", ".join(f"{alias}.{column}" for column in columns)
    before = ", ".join(f"${number + 2}" for number in range(len(columns)))
    numbers = [column for column, kind in zip(columns, types, strict=True) if kind == INT8]
    names = [column for column, kind in zip(columns, types, strict=True) if kind == BYTEA]
    first, second = [*(f"{column}::bigint" for column in numbers), "NULL::bigint", "NULL::bigint"][:2]
    last = ", ".join(f"{column} DESC" for column in columns)
    piece = (
        f"SELECT {alias}.* FROM {table} {alias} WHERE {alias}.vol = $1 AND ({key}) > ({before})"
        f" ORDER BY {key} LIMIT ${len(columns) + 2}"
    )
    return Statement(
        f"audit {name}",
        f"WITH piece AS MATERIALIZED ({piece}) {together(rules, len(columns) + 3)} UNION ALL"
        f" (SELECT NULL, {first}, {names[0] if names else 'NULL::bytea'}, {second}, NULL FROM piece"
        f" ORDER BY {last} LIMIT 1)",
        (INT8, *types, INT8, INT8),
    )


def next_key(table: str, number: int | None, name: bytes | None, second: int | None) -> tuple[int | bytes, ...]:
    """Return the key of *table* that the last row of a `scan` tells."""
    numbers = iter((number, second))
    key = (name if kind == BYTEA else next(numbers) for kind in key_types(table))
    return tuple(each for each in key if each is not None)


def together(rules: tuple[Rule, ...], limit: int) -> str:
    """Return one query of (rule, number, name, right, detail), of each rule at most as many rows as ``$limit``."""
    return " UNION ALL ".join(
        f"(SELECT '{rule}'::text, q.* FROM ({select}) AS q (number, name, \"right\", detail) LIMIT ${limit})"
        for rule, select in rules
    )


def bound(table: str) -> Statement:
    """Return the statement that tells the last key of the next so many rows: volume, key before them, how many."""
    alias, columns, types = _CHUNK_OF[table]
    key = ", ".join(f"{alias}.{column}" for column in columns)
    last = ", ".join(f"{alias}.{column} DESC" for column in columns)
    after = ", ".join(f"${number + 2}" for number in range(len(columns)))
    rows = (
        f"SELECT {key} FROM {table} {alias} WHERE {alias}.vol = $1 AND ({key}) > ({after})"
        f" ORDER BY {key} LIMIT ${len(columns) + 2}"
    )
    return Statement(
        f"audit bound {table}", f"SELECT * FROM ({rows}) {alias} ORDER BY {last} LIMIT 1", (INT8, *types, INT8)
    )
