"""A gateway that is killed: commits pairs of files for ever and prints each number that was acknowledged.

Usage: metastore_child.py DSN VOLUME WORKERS. GATEFOLD_CRASH names the point at which it dies.
"""

import itertools
import sys

from metastore_house import edge, file, take
from reactor_run import run_on_reactor

from foundation.aio import gather
from foundation.clock import SystemClock
from metastore.postgres import PgMetaStore
from metastore.records import Change, Reply


def pair(vol, number):
    """Return a Change that must be there whole or not at all."""
    rows = []
    for ino, name in ((2 * number, b"a%d"), (2 * number + 1, b"b%d")):
        rows += [file(vol, ino), edge(vol, 1, name % number, ino)]
    return Change(vol, tuple(rows), blob_refs=((1, 1),), reply=Reply(b"%d" % number, b"done"))


async def work(reactor):
    dsn, vol, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = PgMetaStore(reactor, dsn, SystemClock(reactor), "child")
    await store.open()
    await store.register_gateway("child")
    await take(store, vol)
    block = await store.reserve(vol, "ino", 1000)
    print("reserved", block.first, block.last, flush=True)
    numbers = itertools.count(1000)

    async def commit_for_ever():
        for number in numbers:
            await store.wait(vol, store.commit(pair(vol, number)))
            print("acknowledged", number, flush=True)

    await gather(commit_for_ever() for _ in range(workers))


if __name__ == "__main__":
    run_on_reactor(work, seconds=60)
