"""Requests that must not run twice, over PostgreSQL: asked again of the gateways that follow each other."""

from __future__ import annotations

import pytest
from asked_again import ROOT, VERBS, Nine, ask_all, check_again, request_of
from metastore_house import House, file, new_volume, take
from postgres_server import migrated_dsn, postgres  # noqa: F401
from reactor_run import run_on_reactor

from foundation.aio import gather
from foundation.clock import SystemClock
from metastore.postgres import volumes
from metastore.records import Change, Reply
from namespace.service import GatefoldNamespace
from storage_engine.memory import MemoryBodyStore


async def next_gateway(house, *dead):
    """Return the namespace of one more gateway, which follows the stores *dead*."""
    store = await house.gateway()
    clock = SystemClock(house.reactor)
    ns = GatefoldNamespace(
        store, MemoryBodyStore(clock), clock, predecessors=frozenset(each.gateway.id for each in dead)
    )
    await ns.open()
    return store, ns


async def one_by_one(ns, nine, guard):
    return await ask_all(ns, nine, guard)


async def together(ns, nine, guard):
    answers = await gather(ask(ns, nine, request_of(verb), guard) for verb, ask in VERBS.items())
    return dict(zip(VERBS, answers, strict=True))


@pytest.mark.parametrize("ask", [one_by_one, together])
def test_each_runs_once_however_many_gateways_are_asked(migrated_dsn, ask):
    async def work(reactor):
        house = House(reactor, migrated_dsn)
        try:
            store, ns = await next_gateway(house)
            bucket = await ns.create_bucket(ROOT, "bucket")
            nine = await Nine.prepare(ns, await ns.root(bucket.vol))
            guard = (await ns.getattr(ROOT, nine.file)).ctime
            first = await ask(ns, nine, guard)
            dead = [store]
            for _ in range(2):
                store, ns = await next_gateway(house, *dead)
                await check_again(ns, nine, first, guard)
                dead.append(store)
            assert [finding async for finding in store.audit(bucket.vol)] == []
            await ns.close()
        finally:
            await house.close()

    run_on_reactor(work)


def test_who_takes_a_volume_over_loads_the_newest_replies_up_to_a_bound(migrated_dsn, monkeypatch):
    monkeypatch.setattr(volumes, "_MAX_REPLIES", 300)

    async def work(reactor):
        house = House(reactor, migrated_dsn)
        try:
            store = await house.gateway()
            vol = await new_volume(store)
            sent = [Reply(b"key%d" % number, b"") for number in range(400)]
            for reply in sent:
                await store.wait(vol, store.commit(Change(vol, (file(vol, 2),), reply=reply)))
            assert (await take(await house.gateway(), vol)).replies == tuple(sent[100:])
        finally:
            await house.close()

    run_on_reactor(work)
