"""A gateway killed at its named points: what it acknowledged is there, what it did not is whole or absent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from metastore_house import House, new_volume, take
from postgres_server import migrated_dsn, postgres  # noqa: F401
from reactor_run import run_on_reactor

from metastore.records import Blob, Change

HERE = Path(__file__).parent


def killed_child(dsn, vol, crash, workers):
    """Run the child until it dies of *crash*; return what it printed."""
    folders = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]
    done = subprocess.run(
        [sys.executable, str(HERE / "metastore_child.py"), dsn, str(vol), str(workers)],
        env={**os.environ, "GATEFOLD_CRASH": crash, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"the point {crash} was not hit: {done.stderr}"
    lines = [line.split() for line in done.stdout.splitlines()]
    return {int(words[1]) for words in lines if words[0] == "acknowledged"}, lines


def in_house(dsn, work):
    async def run(reactor):
        house = House(reactor, dsn)
        try:
            return await work(await house.gateway())
        finally:
            await house.close()

    return run_on_reactor(run)


async def prepare(store):
    vol = await new_volume(store)
    await store.wait(vol, store.commit(Change(vol, (Blob(vol, 1, 10, 0, 1),))))
    return vol


async def found_pairs(store, vol):
    """Return the numbers of the pairs that are there; raise if half of one is."""
    inodes = {inode.ino for inode in await store.load_inodes(vol, range(2000, 6000))}
    whole = {ino // 2 for ino in inodes if {ino, ino ^ 1} <= inodes}
    assert {ino // 2 for ino in inodes} == whole, "half a Change"
    names = {named.edge.skey for named in await store.page_by_cookie(vol, 1, 0, 5000)}
    assert names == {prefix % number for number in whole for prefix in (b"a%d", b"b%d")}
    assert (await store.load_blob(vol, 1)).refs == len(whole), "a reference lost or counted twice"
    return whole


@pytest.mark.parametrize("workers", [1, 16])
@pytest.mark.parametrize("point", ["commit.before_send", "commit.after_send", "commit.before_release"])
@pytest.mark.parametrize("nth", [1, 7])
def test_a_killed_gateway_loses_nothing_it_acknowledged(migrated_dsn, point, nth, workers):
    vol = in_house(migrated_dsn, prepare)
    acknowledged, _ = killed_child(migrated_dsn, vol, f"{point}:{nth}", workers)

    async def verify(store):
        holding = await take(store, vol)  # waits for what the dead gateway's server process still does
        found = await found_pairs(store, vol)
        assert acknowledged <= found
        assert {int(reply.key) for reply in holding.replies} == found
        if point == "commit.before_send":
            assert found == acknowledged
        if point == "commit.before_release":
            assert found > acknowledged

    in_house(migrated_dsn, verify)


def test_a_gateway_killed_after_taking_a_volume_leaves_it_to_be_taken(migrated_dsn):
    vol = in_house(migrated_dsn, prepare)
    killed_child(migrated_dsn, vol, "take_volume.after_commit", 1)

    async def verify(store):
        assert (await take(store, vol)).volume.epoch == 3

    in_house(migrated_dsn, verify)


def test_numbers_reserved_by_a_killed_gateway_are_never_given_again(migrated_dsn):
    vol = in_house(migrated_dsn, prepare)
    _, lines = killed_child(migrated_dsn, vol, "reserve.after_commit", 1)
    assert lines == []

    async def verify(store):
        await take(store, vol)
        assert (await store.reserve(vol, "ino", 1)).first == 1002

    in_house(migrated_dsn, verify)
