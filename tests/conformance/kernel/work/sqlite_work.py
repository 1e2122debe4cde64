"""Insert, change and delete rows of databases in the working folder and in memory: `sqlite_work.py ROWS`.

Prints, for each journal mode, the digest of what the sqlite3 shell must dump.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path


def work(database: sqlite3.Connection, rows: int, seed: str) -> None:
    """Do *rows* inserts in transactions of many sizes, with updates, deletes and roll-backs between."""
    dice = random.Random(seed)
    database.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, body BLOB)")
    database.execute("CREATE INDEX by_name ON t(name)")
    done = 0
    while done < rows:
        count = min(dice.choice((1, 3, 20, 200)), rows - done)
        database.execute("BEGIN")
        for number in range(done, done + count):
            body = dice.randbytes(dice.choice((10, 100, 1000, 9000)))
            database.execute("INSERT INTO t VALUES(?, ?, ?)", (number, f"name {dice.randrange(1000)}", body))
        if dice.random() < 0.1:
            database.execute("ROLLBACK")
            continue
        done += count
        if dice.random() < 0.5:
            name = f"name {dice.randrange(1000)}"
            database.execute("UPDATE t SET body = ? WHERE name = ?", (dice.randbytes(300), name))
            database.execute("DELETE FROM t WHERE id = ?", (dice.randrange(done),))
        database.execute("COMMIT")


def run(mode: str, rows: int) -> None:
    """Work on both, compare them, and print the digest of the one in memory."""
    ours = sqlite3.connect(f"file:{mode}.db?nolock=1", uri=True, isolation_level=None)
    ours.execute(f"PRAGMA journal_mode={mode}")
    ours.execute("PRAGMA cache_size=50")  # it must read again what it wrote
    theirs = sqlite3.connect(f"/tmp/{mode}.db", isolation_level=None)
    for database in (ours, theirs):
        work(database, rows, mode)
    assert ours.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert list(ours.iterdump()) == list(theirs.iterdump())
    ours.close()
    theirs.close()
    dump = subprocess.run(["sqlite3", f"/tmp/{mode}.db", ".dump"], check=True, capture_output=True).stdout
    digest = subprocess.run(["sha256sum"], input=dump, check=True, capture_output=True, text=False).stdout.decode()
    print(mode, digest.strip())
    Path(f"/tmp/{mode}.db").unlink()


if __name__ == "__main__":
    for each in ("delete", "truncate", "persist"):
        run(each, int(sys.argv[1]))
