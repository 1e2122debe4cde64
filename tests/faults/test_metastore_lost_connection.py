"""Connections that break at every moment: nothing is lost and nothing is done twice."""

import os
import re
import select
import signal
import socket
import threading
from contextlib import contextmanager, suppress

import psycopg
import pytest
from metastore_child import pair
from metastore_house import House, file, new_volume, take
from postgres_server import make_server, migrated_dsn, postgres, remove_server  # noqa: F401
from reactor_run import run_on_reactor

from foundation.aio import gather, pause, start
from foundation.crash import crash_points
from foundation.errors import NoReply, Unavailable
from metastore.api import VolumeTaken
from metastore.grouping import DurabilityLost
from metastore.postgres import Unfit, link
from metastore.postgres.session import Statement
from metastore.records import Blob, Change


def run(dsn, work, seconds=60.0):
    async def in_house(reactor):
        house = House(reactor, dsn)
        try:
            return await work(house)
        finally:
            await house.close()

    return run_on_reactor(in_house, seconds)


async def prepared(house):
    store = await house.gateway()
    vol = await new_volume(store)
    await store.wait(vol, store.commit(Change(vol, (Blob(vol, 1, 10, 0, 1),))))
    return store, vol


async def commit_pairs(store, vol, numbers):
    for number in numbers:
        await store.wait(vol, store.commit(pair(vol, number)))


async def assert_all_there(store, vol, count):
    assert len(await store.page_by_cookie(vol, 1, 0, 10 * count)) == 2 * count
    assert (await store.load_blob(vol, 1)).refs == count


@pytest.fixture
def disarmed():
    yield
    for point in crash_points().values():
        point.disarm()


@pytest.mark.parametrize("moment", ["commit.before_send", "commit.after_send", "commit.before_release"])
def test_a_batch_whose_connection_breaks_is_done_exactly_once(migrated_dsn, disarmed, moment):
    async def work(house):
        store, vol = await prepared(house)
        point = crash_points()[moment]
        sent = []
        for number in range(1000, 1030):
            point.arm(lambda: store._committer._link.cut("test"))
            await commit_pairs(store, vol, [number])
            sent.append(point.passes)
        await assert_all_there(store, vol, 30)
        # Cut before: sent again. Cut after: found to be committed, mostly. Answered already: nothing to find out.
        assert set(sent) == {"commit.before_send": {2}, "commit.before_release": {1}}.get(moment, set(sent))
        assert min(sent) == 1 or moment == "commit.before_send"

    run(migrated_dsn, work)


def test_server_processes_that_are_killed_under_load_cost_nothing_but_time(migrated_dsn):
    async def work(house):
        store, vol = await prepared(house)
        numbers = iter(range(1000, 1600))
        kills = 0

        async def kill():
            nonlocal kills
            with psycopg.connect(house.dsn, autocommit=True) as other:
                while not done:
                    await pause(house.clock, 0.15)
                    sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE %s"
                    kills += other.execute(sql, ["gatefold%"]).fetchone()[0]

        done = []
        killer = start(kill())
        await gather(commit_pairs(store, vol, numbers) for _ in range(8))
        done.append(True)
        await killer
        assert kills > 0
        await assert_all_there(store, vol, 600)
        # It all lies in one epoch: no batch was refused and no volume was taken again.
        assert (await store.volumes())[0].epoch == 1

    run(migrated_dsn, work)


def test_changes_queue_while_postgres_is_down_and_are_durable_when_it_is_back():
    server = make_server()
    try:
        dsn = server.new_migrated_database()

        async def work(house):
            store, vol = await prepared(house)
            waits = [start(commit_pairs(store, vol, [number])) for number in range(1000, 1020)]
            os.kill(server.pid, signal.SIGQUIT)
            server._process.wait(30)
            waits += [start(commit_pairs(store, vol, [number])) for number in range(1020, 1100)]
            await pause(house.clock, 0.3)
            assert store.pending_bytes > 0
            server.start()
            for each in waits:
                await each
            await assert_all_there(store, vol, 100)

        run(dsn, work)
    finally:
        remove_server(server)


def test_look_ups_are_unavailable_when_postgres_stays_away(monkeypatch):
    monkeypatch.setattr(link, "PATIENCE_SECONDS", 0.2)
    server = make_server()
    try:
        dsn = server.new_migrated_database()

        async def work(house):
            store, vol = await prepared(house)
            server.stop(signal.SIGQUIT)
            first, second = start(store.load_inodes(vol, [1])), start(store.load_inodes(vol, [2]))
            errors = []
            for each in (first, second):
                with pytest.raises(Unavailable) as raised:
                    await each
                errors.append(raised.value)
            assert errors[0] is not errors[1]
            server.start()
            await pause(house.clock, 3)
            assert len(await store.load_inodes(vol, [1])) == 1

        run(dsn, work)
    finally:
        remove_server(server)


def test_a_passing_error_sends_the_batch_again(migrated_dsn):
    async def work(house):
        store, vol = await prepared(house)
        with psycopg.connect(house.dsn) as other, psycopg.connect(house.dsn, autocommit=True) as canceller:
            other.execute("SELECT 1 FROM volume FOR UPDATE")
            waiting = start(commit_pairs(store, vol, [1000]))
            sql = (
                "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name LIKE %s AND wait_event_type = 'Lock'"
            )
            while not canceller.execute(sql, ["%commit"]).fetchone()[0]:
                await pause(house.clock, 0.02)
            await pause(house.clock, 0.05)
            assert not waiting.called
        await waiting
        await assert_all_there(store, vol, 1)

    run(migrated_dsn, work)


def test_a_durable_batch_that_is_gone_stops_everything(migrated_dsn):
    async def work(house):
        store, vol = await prepared(house)
        other = await new_volume(store, "other")
        crashed = {}
        store.refused = crashed.__setitem__
        await store.wait(other, store.commit(Change(other, (file(other, 2),))))
        with psycopg.connect(house.dsn) as connection:
            connection.execute("DELETE FROM batch WHERE vol = %s", [vol])
        store._committer._link.cut("test")
        with pytest.raises(NoReply):
            await commit_pairs(store, vol, [1000])
        assert {volume: type(error) for volume, error in crashed.items()} == {
            vol: DurabilityLost,
            other: DurabilityLost,
        }
        for volume in (vol, other):
            with pytest.raises(NoReply):
                store.commit(Change(volume, (file(volume, 3),)))
            with pytest.raises(DurabilityLost):
                await take(store, volume)

    run(migrated_dsn, work)


def test_a_take_whose_answer_was_lost_finds_its_own_work_once(migrated_dsn):
    async def work(house):
        first, vol = await prepared(house)
        second = await house.gateway()
        with psycopg.connect(house.dsn, autocommit=True) as other:  # what the attempt did before its connection broke
            other.execute("UPDATE volume SET holder = %s, epoch = 2 WHERE vol = %s", [second.gateway_id, vol])
        holding = await second.take_volume(vol, first.gateway_id, 1)
        assert (holding.volume.holder, holding.volume.epoch) == (second.gateway_id, 2)
        with pytest.raises(VolumeTaken):
            await second.take_volume(vol, first.gateway_id, 1)
        await commit_pairs(second, vol, [1000])
        await assert_all_there(second, vol, 1)

    run(migrated_dsn, work)


def test_a_holder_stopped_in_the_middle_of_a_batch_does_not_hold_up_its_successor(migrated_dsn):
    async def work(house):
        first, vol = await prepared(house)
        second = await house.gateway()
        session = await first._committer._link.session()
        for sql in ("BEGIN", "SELECT vol FROM volume FOR SHARE"):  # the fence is sent, and the rest is not
            await session.run([(Statement(f"half a batch: {sql}", sql, ()), [])])
        began = house.clock.boottime_seconds()
        await second.take_volume(vol, first.gateway_id, 1)
        assert house.clock.boottime_seconds() - began < 2
        await commit_pairs(second, vol, [1000])
        with pytest.raises(NoReply):
            await commit_pairs(first, vol, [1001])

    run(migrated_dsn, work)


def test_old_batch_numbers_and_replies_are_pruned_but_for_the_last(migrated_dsn):
    async def work(house):
        store, vol = await prepared(house)
        await commit_pairs(store, vol, range(1000, 1010))
        await store._pruner.prune(store.durable - 2, {vol: 1})
        await store._pruner.prune(10**9, {vol: 1})
        with psycopg.connect(house.dsn) as connection:
            assert connection.execute("SELECT number FROM batch").fetchall() == [(store.durable,)]
            assert connection.execute("SELECT count(*) FROM reply_cache").fetchone() == (1,)
        store._committer._link.cut("test")
        await commit_pairs(store, vol, [1010])
        assert [reply.key for reply in (await take(store, vol)).replies] == [b"1009", b"1010"]

    run(migrated_dsn, work)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "schema 9999"),
        ("DROP TABLE alembic_version", "no schema"),
    ],
)
def test_a_database_of_another_schema_is_refused(migrated_dsn, damage, message):
    with psycopg.connect(migrated_dsn) as connection:
        connection.execute(damage)

    async def work(house):
        with pytest.raises(Unfit, match=message):
            await house.make().open()

    run(migrated_dsn, work)


def test_a_server_that_does_not_fsync_is_refused():
    server = make_server("fsync = off")
    try:
        dsn = server.new_migrated_database()

        async def work(house):
            with pytest.raises(Unfit, match="fsync"):
                await house.make().open()

        run(dsn, work)
    finally:
        remove_server(server)


def test_a_transaction_pooler_is_refused(postgres, migrated_dsn):
    with pooled(str(postgres.folder)) as port:

        async def work(house):
            with pytest.raises(Unfit, match="pooler"):
                await house.make().open()

        run(f"{migrated_dsn} host=127.0.0.1 port={port}", work)


#: BackendKeyData: the process id that a client is told, and the key to cancel with.
KEY = re.compile(rb"K\x00\x00\x00\x0c....", re.DOTALL)
ANOTHER_KEY = b"K\x00\x00\x00\x0c\x00\x00\x00\x07"


@contextmanager
def pooled(folder):
    """Pass connections on to the server in *folder*, and tell clients another process id, as a pooler does."""

    def pass_on(client):
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(f"{folder}/.s.PGSQL.5432")
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is client:
                        server.sendall(data)
                    else:
                        client.sendall(KEY.sub(ANOTHER_KEY, data))

    def accept():
        with suppress(OSError):
            while True:
                workers.append(threading.Thread(target=pass_on, args=listener.accept()[:1]))
                workers[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        workers = [threading.Thread(target=accept)]
        workers[0].start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for worker in workers:
            worker.join(10)


def test_a_setting_of_the_database_cannot_weaken_a_session(migrated_dsn):
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        name = connection.info.dbname
        for setting in ("synchronous_commit = off", "default_transaction_read_only = on", "enable_seqscan = on"):
            connection.execute(f"ALTER DATABASE {name} SET {setting}")

    async def work(house):
        store, vol = await prepared(house)
        await commit_pairs(store, vol, [1000])
        await assert_all_there(store, vol, 1)

    run(migrated_dsn, work)
