"""Concurrent NFS renames that permute names, in one batch on PostgreSQL, against a dictionary."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metastore_house import House
from postgres_server import migrated_dsn, postgres  # noqa: F401
from reactor_run import run_on_reactor

from foundation.aio import gather
from foundation.clock import SystemClock
from foundation.errors import NotFound
from namespace.api import Caller, CreateMode, SetAttr
from namespace.service import GatefoldNamespace
from storage_engine.memory import MemoryBodyStore

ROOT = Caller(0, 0, account="owner")
BUCKETS = itertools.count(1)
FILES = 7
PLACES = [(directory, b"f%d" % n) for directory in (0, 1) for n in range(FILES)]
ASIDE = (0, b"aside")

#: Whole permutations of the places, several after each other in one batch, and single renames that replace.
shuffles = st.lists(
    st.one_of(st.permutations(PLACES).map(list), st.tuples(st.sampled_from(PLACES), st.sampled_from(PLACES))),
    min_size=1,
    max_size=4,
)


def moves_of(shuffle):
    """Return the renames that do *shuffle*: a cycle goes by way of a name aside."""
    if isinstance(shuffle, tuple):
        return [shuffle]
    moves, target = [], dict(zip(PLACES, shuffle, strict=True))
    while target:
        start = place = next(iter(target))
        cycle = [start]
        while (place := target.pop(place)) != start:
            cycle.append(place)
        if len(cycle) > 1:
            moves.append((cycle[-1], ASIDE))
            moves += [(cycle[n], cycle[n + 1]) for n in reversed(range(len(cycle) - 1))]
            moves.append((ASIDE, cycle[0]))
    return moves


def model_of(names, moves):
    """Return what *names* (place to inode) are after *moves*; one of a name that is not there does nothing."""
    after = dict(names)
    for source, target in moves:
        if source in after and source != target:
            after[target] = after.pop(source)
    return after


async def listed(namespace, directories):
    """Return place -> inode of the directories *directories*."""
    found = {}
    for index, directory in enumerate(directories):
        page = await namespace.readdir(ROOT, directory, 2, 1000)
        assert page.eof
        assert len({entry.cookie for entry in page.entries}) == len(page.entries)
        found |= {(index, entry.name): entry.ino for entry in page.entries}
    return found


async def quietly(rename):
    try:
        await rename
    except NotFound:
        return  # an earlier rename took the name away; the model knows


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(shuffles, min_size=1, max_size=3))
def test_renames_of_everything_to_everything_in_one_batch(migrated_dsn, batches):
    async def work(reactor):
        house = House(reactor, migrated_dsn)
        store = await house.gateway()
        clock = SystemClock(reactor)
        namespace = GatefoldNamespace(store, MemoryBodyStore(clock), clock)
        await namespace.open()
        bucket = await namespace.create_bucket(ROOT, f"bucket{next(BUCKETS)}")
        top = await namespace.root(bucket.vol)
        volume = await namespace._volumes.numbered(bucket.vol)
        directories = [(await namespace.mkdir(ROOT, top, b"d%d" % n, SetAttr())).file.file for n in (0, 1)]
        names = {}
        for directory, name in PLACES:
            made = await namespace.create(ROOT, directories[directory], name, CreateMode.GUARDED, SetAttr(), b"")
            names[directory, name] = made.file.file.ino
        try:
            for shuffled in batches:
                moves = [move for shuffle in shuffled for move in moves_of(shuffle)]
                before = volume.last_batch
                # In one turn of the reactor: nothing of it can be sent before all of it is queued.
                await gather(
                    quietly(namespace.rename(ROOT, directories[source], old, directories[target], new))
                    for (source, old), (target, new) in moves
                )
                names = model_of(names, moves)
                assert volume.last_batch - before <= 1
                assert await listed(namespace, directories) == names
            assert [finding async for finding in store.audit(bucket.vol)] == []
            await namespace.close()
            again = GatefoldNamespace(await house.gateway(), MemoryBodyStore(clock), clock)
            await again.open()
            assert await listed(again, directories) == names
            await again.close()
        finally:
            await house.close()

    run_on_reactor(work)
