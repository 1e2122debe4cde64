"""A metastore for tests, in memory or over PostgreSQL, seen by any number of gateways."""

from __future__ import annotations

import itertools

import pytest
from reactor_run import run_on_reactor

from foundation.clock import SystemClock
from metastore.memory import MemoryDatabase, MemoryMetaStore
from metastore.postgres import PgMetaStore
from metastore.records import Edge, FileType, Inode, Volume


class House:
    """What a test runs in: `gateway()` opens one more gateway on the same data."""

    def __init__(self, reactor, dsn):
        self.reactor = reactor
        self.clock = SystemClock(reactor)
        self.dsn = dsn  # None: in memory
        self._database = MemoryDatabase()
        self._stores = []
        self._names = itertools.count(1)

    def make(self):
        """Return a store that is not open yet."""
        if self.dsn is None:
            return MemoryMetaStore(self.clock, self._database)
        return PgMetaStore(self.reactor, self.dsn, self.clock, f"gateway{next(self._names)}")

    async def gateway(self):
        """Open and register one more gateway."""
        store = self.make()
        await store.open()
        self._stores.append(store)
        store.gateway = await store.register_gateway("test")
        return store

    async def close(self):
        for store in self._stores:
            await store.close()


class Houses:
    """Runs a test's coroutine in a house of one kind."""

    def __init__(self, kind, dsn):
        self.kind = kind
        self.dsn = dsn

    def run(self, work, seconds=30.0):
        async def in_house(reactor):
            house = House(reactor, self.dsn)
            try:
                return await work(house)
            finally:
                await house.close()

        return run_on_reactor(in_house, seconds)


@pytest.fixture(params=["memory", "postgres"])
def houses(request):
    """Return a `Houses` of each kind in turn."""
    if request.param == "memory":
        return Houses("memory", None)
    return Houses("postgres", request.getfixturevalue("migrated_dsn"))


# -- rows ---------------------------------------------------------------------------------------------------------


def root(**changes):
    """Return a root directory for `create_volume`."""
    return directory(0, 1, **{"parent": 1, "gen": 77, **changes})


def directory(vol, ino, parent=1, **changes):
    fields = {"gen": ino, "mode": 0o755, "uid": 0, "gid": 0, "nlink": 2, **changes}
    return Inode(vol, ino, type=FileType.DIRECTORY, parent=parent, **fields)


def file(vol, ino, **changes):
    fields = {"gen": ino, "type": FileType.REGULAR, "mode": 0o644, "uid": 0, "gid": 0, "nlink": 1, **changes}
    return Inode(vol, ino, **fields)


def edge(vol, parent, skey, ino, **changes):
    return Edge(vol, parent, skey, ino, **{"cookie": ino + 10, **changes})


async def take(store, vol):
    """Take *vol* from whoever holds it now, dead or not: the fence is what these tests are about."""
    row = await store.volume_of(vol)
    return await store.take_volume(vol, row.holder, row.epoch)


async def new_volume(store, name="bucket", **settings):
    """Make an empty volume that *store* holds and return its number."""
    made = await store.create_volume(Volume(0, name, "owner", 1, 0, 0, settings), root())
    return made.vol
