"""Real node processes killed, stopped, damaged and filled: nothing acknowledged is lost, nothing wrong read."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from storage_nodes import CLOCK, SECRET, Nodes, drive
from twisted.internet import reactor

from foundation.aio import gather, pause
from foundation.errors import Corrupt, FsError, NoSpace, Unavailable
from storage_engine.api import BlobId, Origin
from storage_engine.cluster import ClusterBodyStore, NodeAddress
from storage_engine.ring import RingNode, build_ring

ORIGIN = Origin(1, 2, 3, 4, 5)
_ports = itertools.count(22010, 4)


@pytest.fixture
def nodes(tmp_path):
    port = 22010 + (next(_ports) - 22010) % 36
    nodes = Nodes(tmp_path, port)
    nodes.start()
    yield nodes
    nodes.stop()


@pytest.fixture
def bodies(nodes):
    store = nodes.body_store()
    drive(store.open())
    yield store
    drive(store.close())


async def until(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await pause(CLOCK, 0.05)


def up(store):
    return [link.up for link in store._links.values()]


def restart(bodies, node, **how):
    """Start *node* again; return when the body store has lost the old process and found the new one."""
    node.stop()
    drive(until(lambda: not all(up(bodies))))
    node.start(**how)
    drive(until(lambda: all(up(bodies))))


class Load:
    """Writers that record what was acknowledged, and where."""

    def __init__(self, nodes, bodies):
        self.nodes, self.bodies = nodes, bodies
        self.acked, self.refused = {}, []
        self.slowest = 0.0
        self.stopped = False
        self._numbers = itertools.count(1)

    async def write(self, size=20_000):
        while not self.stopped:
            blob, body = BlobId(1, next(self._numbers)), os.urandom(size)
            began = time.monotonic()
            try:
                self.nodes.placements[blob] = await self.bodies.put(blob, [body], ORIGIN)
                self.acked[blob] = body
            except FsError as error:
                self.refused.append(error)
            self.slowest = max(self.slowest, time.monotonic() - began)

    async def check(self):
        for blob, body in self.acked.items():
            assert bytes(await self.bodies.read(blob, 0, len(body))) == body


def test_a_node_killed_and_started_again_under_load_loses_nothing_and_no_client_sees_it(nodes, bodies):
    load = Load(nodes, bodies)

    async def hurt():
        for victim in nodes.nodes:
            await pause(CLOCK, 0.4)
            before = len(load.acked)
            victim.kill()
            await until(lambda before=before: len(load.acked) > before + 20)
            victim.start()
            await until(lambda: all(up(bodies)))
        load.stopped = True

    async def work():
        await gather([hurt(), *(load.write() for _ in range(8))])
        await load.check()

    drive(work(), 90)
    assert not load.refused
    handed_off = [each for each in nodes.placements.values() if each.handoff]
    assert handed_off
    assert all(each.missing for each in handed_off)


def test_the_copies_of_each_acknowledged_blob_are_where_its_placement_says(nodes, bodies):
    load = Load(nodes, bodies)

    async def work():
        writing = gather(load.write() for _ in range(4))

        async def hurt():
            await pause(CLOCK, 0.3)
            nodes.nodes[0].kill()
            await pause(CLOCK, 0.5)
            load.stopped = True

        await gather([writing, hurt()])
        nodes.nodes[0].start()
        await until(lambda: all(up(bodies)))
        held = {}
        async for each in bodies.inventory(1, verify=True):
            assert each.sound
            held.setdefault(each.blob, set()).add(each.node)
        for blob in load.acked:
            placement = nodes.placements[blob]
            owners = bodies._ring.nodes_of(blob)[:2]
            named = {node for bit, node in enumerate(owners) if not placement.missing >> bit & 1}
            named |= {int.from_bytes(placement.handoff[at : at + 2]) for at in range(0, len(placement.handoff), 2)}
            assert len(named) >= 2
            assert named <= held[blob]

    drive(work(), 60)


@pytest.mark.parametrize("point", ["node.put.after_append:20", "node.put.after_sync:20", "node.segment.after_create:2"])
def test_a_node_that_dies_at_a_crash_point_of_a_put_loses_nothing(nodes, bodies, point):
    victim = nodes.nodes[0]
    restart(bodies, victim, crash=point)
    load = Load(nodes, bodies)

    async def work():
        async def hurt():
            await until(lambda: victim.process.poll() is not None, 40)
            load.stopped = True

        await gather([hurt(), *(load.write(400_000) for _ in range(4))])
        assert victim.wait() == -signal.SIGKILL
        victim.start()
        await until(lambda: all(up(bodies)))
        await load.check()
        async for held in bodies.inventory(1, verify=True):
            assert held.sound

    drive(work(), 90)
    assert not load.refused


def test_a_node_that_dies_after_its_tombstones_keeps_them(nodes, bodies):
    async def fill():
        await gather(bodies.put(BlobId(1, number), [b"body"], ORIGIN) for number in range(50))

    drive(fill())
    victim = nodes.nodes[0]
    restart(bodies, victim, crash="node.delete.after_tombstone")

    async def delete():
        assert await bodies.delete(1, range(50)) == []
        assert victim.wait() == -signal.SIGKILL
        victim.start()
        await until(lambda: all(up(bodies)))
        assert [held async for held in bodies.inventory(1, verify=False)] == []
        assert await bodies.delete(1, range(50)) == list(range(50))

    drive(delete())


def test_a_gateway_that_dies_after_the_quorum_leaves_whole_copies(nodes, bodies, tmp_path):
    program = tmp_path / "put.py"
    program.write_text(
        "import sys, uuid\n"
        "from storage_nodes import CLOCK, SECRET, drive, reactor\n"
        "from storage_engine.api import BlobId, Origin\n"
        "from storage_engine.cluster import ClusterBodyStore, NodeAddress\n"
        "from storage_engine.ring import RingNode, build_ring\n"
        f"nodes = [NodeAddress(n, uuid.UUID(u), h, p) for n, u, h, p in "
        f"{[(n.address.id, str(n.address.uuid), n.address.host, n.address.port) for n in nodes.nodes]!r}]\n"
        "ring = build_ring([RingNode(node.id) for node in nodes], 2)\n"
        "store = ClusterBodyStore(reactor, CLOCK, SECRET, nodes, ring, 2, None)\n"
        "drive(store.open())\n"
        "drive(store.put(BlobId(1, 1), [b'body'], Origin(1, 2, 3, 4, 5)))\n"
    )
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{tests}:{tests.parent}", "GATEFOLD_CRASH": "body.put.after_quorum"}
    ended = subprocess.run([sys.executable, program], env=environment, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL

    async def look():
        return [held async for held in bodies.inventory(1, verify=True)]

    assert [held.sound for held in drive(look())] == [True, True]


def test_a_stopped_node_costs_one_short_wait_and_not_one_per_request(nodes, bodies):
    load = Load(nodes, bodies)

    async def hurt():
        await pause(CLOCK, 0.3)
        nodes.nodes[1].signal(signal.SIGSTOP)
        await until(lambda: up(bodies) == [True, False, True])
        before = len(load.acked)
        await pause(CLOCK, 1.0)
        assert len(load.acked) > before + 20
        nodes.nodes[1].signal(signal.SIGCONT)
        await until(lambda: all(up(bodies)))
        load.stopped = True

    async def work():
        await gather([hurt(), *(load.write() for _ in range(4))])
        await load.check()

    drive(work(), 60)
    assert not load.refused
    assert load.slowest < 4.0


def test_a_failed_fdatasync_ends_the_node_and_a_restart_reads_its_disk(nodes, bodies):
    victim = nodes.nodes[2]
    load = Load(nodes, bodies)
    prelude = (
        "import errno\n"
        "from foundation.crash import crash_point\n"
        "import storage_engine.node.log\n"
        "def fail():\n    raise OSError(errno.EIO, 'injected')\n"
        "crash_point('node.put.after_append').arm(fail, 10)\n"
    )
    restart(bodies, victim, prelude=prelude)

    async def work():
        async def hurt():
            await until(lambda: victim.process.poll() is not None)
            load.stopped = True

        await gather([hurt(), *(load.write() for _ in range(4))])
        assert victim.wait() == 1
        assert "the disk failed" in victim.log.read_text()
        victim.start()
        await until(lambda: all(up(bodies)))
        await load.check()

    drive(work(), 60)
    assert not load.refused


def test_a_wrong_swapped_or_empty_disk_is_refused(nodes):
    one, two, three = nodes.nodes
    for node in nodes.nodes:
        node.stop()
    one.folder.rename(one.folder.with_name("aside"))
    two.folder.rename(one.folder)
    one.folder.with_name("aside").rename(two.folder)
    for node, word in ((one, "belongs to node 2"), (two, "belongs to node 1")):
        with pytest.raises(AssertionError):
            node.start()
        assert node.wait() == 2
        assert word in node.log.read_text()
    three.folder.rename(three.folder.with_name("unmounted"))
    three.folder.mkdir()
    with pytest.raises(AssertionError):
        three.start()
    assert three.wait() == 2
    assert "mounted" in three.log.read_text()
    assert list(three.folder.iterdir()) == []


def test_full_nodes_refuse_with_no_space_and_take_again_after_deletes(tmp_path):
    nodes = Nodes(tmp_path, 22046, segment_bytes=5 << 20, capacity_bytes=16 << 20)
    nodes.start()
    bodies = nodes.body_store()
    body = [os.urandom(1 << 20)]

    async def work():
        await bodies.open()
        number = 0
        with pytest.raises(NoSpace):  # noqa: PT012 - the put that fails is any of them
            for number in range(100):
                await bodies.put(BlobId(1, number), body, ORIGIN)
        assert number > 5
        for node in nodes.nodes:
            assert "refuses" not in node.log.read_text()
        assert await bodies.delete(1, range(number + 1)) == list(range(number + 1))

        async def room():
            try:
                await bodies.put(BlobId(1, 1000), body, ORIGIN)
            except NoSpace:
                return False
            return True

        deadline = time.monotonic() + 20
        while not await room():
            assert time.monotonic() < deadline
            await pause(CLOCK, 0.3)

    try:
        drive(work(), 60)
    finally:
        drive(bodies.close())
        nodes.stop()


def records_of(node):
    return sorted((node.folder / "segments").glob("*.seg"))


def damage(node, body):
    """Flip a byte of the copy of *body* on *node*'s disk; return whether it has one."""
    for path in records_of(node):
        at = path.read_bytes().find(body)
        if at >= 0:
            with path.open("r+b") as file:
                file.seek(at + 3)
                file.write(bytes([body[3] ^ 0x55]))
            return True
    return False


def test_a_damaged_copy_is_never_served_and_is_replaced_by_a_sound_one(nodes, bodies):
    blob, body = BlobId(1, 1), os.urandom(5000)

    async def work():
        await bodies.put(blob, [body], ORIGIN)
        owners = [node for node in nodes.nodes if node.address.id in bodies._ring.nodes_of(blob)[:2]]
        assert damage(owners[0], body)
        for _ in range(20):
            assert bytes(await bodies.read(blob, 0, len(body))) == body
        await until(lambda: bodies.healed_copies == 1)
        assert bodies.bad_copies >= 1
        assert damage(owners[1], body)
        assert bytes(await bodies.read(blob, 0, len(body))) == body
        return [held.sound async for held in bodies.inventory(1, verify=True)]

    assert drive(work())


def test_when_every_copy_is_damaged_the_read_is_corrupt_and_never_wrong(nodes, bodies):
    blob, body = BlobId(1, 1), os.urandom(5000)

    async def work():
        await bodies.put(blob, [body], ORIGIN)
        assert sum(damage(node, body) for node in nodes.nodes) == 2
        with pytest.raises(Corrupt):
            await bodies.read(blob, 0, len(body))

    drive(work())


def test_with_two_nodes_down_writes_are_unavailable_and_later_work_again(nodes, bodies):
    async def work():
        nodes.nodes[0].kill()
        nodes.nodes[1].kill()
        await until(lambda: up(bodies) == [False, False, True])
        with pytest.raises(Unavailable):
            await bodies.put(BlobId(1, 1), [b"x"], ORIGIN)
        with pytest.raises(Unavailable):
            await bodies.read(BlobId(1, 2), 0, 1)
        assert await bodies.delete(1, [1]) == []
        nodes.nodes[0].start()
        await until(lambda: up(bodies) == [True, False, True])
        placement = await bodies.put(BlobId(1, 3), [b"x"], ORIGIN)
        assert placement.missing.bit_count() == len(placement.handoff) // 2

    drive(work())


def test_a_node_that_was_away_learns_which_epochs_were_closed(nodes, bodies):
    async def work():
        await bodies.put(BlobId(1, 1), [b"x"], ORIGIN)
        nodes.nodes[0].kill()
        await until(lambda: not all(up(bodies)))
        await bodies.close_epochs(1, 2)
        nodes.nodes[0].start()
        await until(lambda: all(up(bodies)))
        zombie = nodes.body_store(copies=1, quorum=1)
        await zombie.open()
        for number in range(10, 30):
            with pytest.raises(Unavailable):
                await zombie.put(BlobId(1, number), [b"x"], ORIGIN)
        await zombie.close()

    drive(work())


def test_a_gateway_without_the_secret_gets_nowhere(nodes):
    ring = build_ring([RingNode(node.address.id) for node in nodes.nodes], 2)
    addresses = [node.address for node in nodes.nodes]
    stranger = ClusterBodyStore(reactor, CLOCK, SECRET + b"x", addresses, ring, 2, None)

    async def work():
        await stranger.open()
        with pytest.raises(Unavailable):
            await stranger.put(BlobId(1, 1), [b"x"], ORIGIN)
        await stranger.close()

    drive(work())
    assert not any(records_of(node) for node in nodes.nodes)


def test_a_gateway_refuses_a_node_that_is_not_the_one_it_expects(nodes):
    swapped = [NodeAddress(n.address.id, uuid.uuid4(), n.address.host, n.address.port) for n in nodes.nodes]
    ring = build_ring([RingNode(node.address.id) for node in nodes.nodes], 2)
    bodies = ClusterBodyStore(reactor, CLOCK, SECRET, swapped, ring, 2, None)

    async def work():
        await bodies.open()
        assert not any(up(bodies))
        states = await bodies.states()
        await bodies.close()
        return states

    assert all("answers where" in state.detail for state in drive(work()))


@pytest.mark.parametrize("garbage", [b"", b"\0" * 16, b"GET / HTTP/1.1\r\n\r\n" * 10, os.urandom(4096)])
def test_a_node_drops_who_talks_nonsense_and_serves_the_others(nodes, bodies, garbage):
    address = nodes.nodes[0].address
    with socket.create_connection((address.host, address.port)) as stranger:
        stranger.sendall(garbage)
        stranger.settimeout(1)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            assert stranger.recv(100) == b""
    drive(bodies.put(BlobId(1, 1), [b"x"], ORIGIN))


def test_with_w_below_n_the_placement_counts_only_what_is_durable_at_return(nodes):
    bodies = nodes.body_store(copies=2, quorum=1)

    async def work():
        await bodies.open()
        placements = [await bodies.put(BlobId(1, number), [b"x" * 100], ORIGIN) for number in range(20)]
        for placement in placements:
            assert placement.missing.bit_count() - len(placement.handoff) // 2 in {0, 1}
        await pause(CLOCK, 0.5)
        held = [each async for each in bodies.inventory(1, verify=True)]
        await bodies.close()
        return held

    assert len(drive(work())) == 40
