"""A crowd at the NFS door: 2,000 idle connections, 200 active ones, and 100 peers that hang in the middle of something.

The door's process is measured: what an idle connection costs, and what others notice of those that hang.
"""

from __future__ import annotations

import json
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from crowd import descriptors as descriptors
from crowd import resident_bytes
from nfs_client import PROC, NfsClient, auth_sys, call_bytes

from protocols.nfs.budget import Limits
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_types import NFS_PROGRAM, stable_how
from protocols.nfs.codec.record import record_mark

TESTS = Path(__file__).parents[1]
IDLE, ACTIVE, SLOW = 2000, 200, 100
ROUNDS, TRIES = 10, 3
IDLE_BYTES = 64 << 10
#: What those that hang may cost, whatever they do: the budget, and a few copies on their way.
SLOW_BYTES = Limits().bytes_in_all * 3 // 2
#: Others may wait so much longer than before for the slowest of a hundred replies: the machine is shared.
LATER, LATER_SECONDS = 3, 0.1


@contextmanager
def door():
    """Serve the fake namespace; yield (port, pid)."""
    command = [sys.executable, str(TESTS / "unit/nfs/serve_fake.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        try:
            ports = json.loads(server.stdout.readline())
            yield ports["nfs"], ports["mount"], server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            _, log = server.communicate(timeout=60)
    assert server.returncode == 0
    assert b"Traceback" not in log, log.decode()


def connect(stack, port, number):
    """Connect from one of several addresses, as so many connections would."""
    made = socket.create_connection(("127.0.0.1", port), 10, (f"127.0.0.{2 + number % 8}", 0))
    return stack.enter_context(made)


def framed(message):
    return record_mark(len(message)) + message


def serve_all(connections, call, rounds=ROUNDS):
    """Make *rounds* calls on each connection, one at a time on each; return what every reply took, in seconds."""
    reply_bytes, took, left = 4 + 24 + 4 + 84, [], {}
    with selectors.DefaultSelector() as selector:
        for each in connections:
            selector.register(each, selectors.EVENT_READ)
            left[each] = [rounds, time.monotonic(), 0]
            each.sendall(call)
        while left:
            ready = selector.select(timeout=30)
            assert ready, f"{len(left)} connections were not served"
            for key, _ in ready:
                state = left[key.fileobj]
                state[2] += len(key.fileobj.recv(reply_bytes - state[2]))
                if state[2] < reply_bytes:
                    continue
                took.append(time.monotonic() - state[1])
                state[:] = [state[0] - 1, time.monotonic(), 0]
                if state[0]:
                    key.fileobj.sendall(call)
                else:
                    selector.unregister(key.fileobj)
                    del left[key.fileobj]
    return took


def slowest_of_a_hundred(connections, call):
    """Return the time that one reply of a hundred takes longer than, in the best of some tries."""
    return min(statistics.quantiles(serve_all(connections, call), n=100)[-1] for _ in range(TRIES))


def hang(stack, port, file, cred, number):
    """Begin something and do not go on: half a mark, half a WRITE, many READs whose replies nobody takes."""
    peer = connect(stack, port, number)
    kind = number % 10  # seven of ten read nothing
    if kind == 0:
        peer.sendall(b"\x80\0")
    elif kind == 1:
        args = args3.WRITE3args(file, 0, 1 << 20, stable_how.UNSTABLE, bytes(1 << 20))
        peer.setblocking(False)
        send_some(peer, framed(call_bytes(1, NFS_PROGRAM, 3, PROC["WRITE"], args, cred))[:-1])
    elif kind == 2:
        peer.sendall(record_mark(1 << 20) + b"x")
    else:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        read = framed(call_bytes(1, NFS_PROGRAM, 3, PROC["READ"], args3.READ3args(file, 0, 1 << 20), cred))
        peer.setblocking(False)
        send_some(peer, read * 100)
    return peer


def send_some(peer, data):
    """Send what the socket takes at once."""
    try:
        while data:
            data = data[peer.send(data) :]
    except BlockingIOError:
        pass


def crowd(nfs_port, mount_port, pid, path):
    """Bring the crowd in, kind by kind; return what was measured."""
    with ExitStack() as stack:
        nfs = stack.enter_context(NfsClient("127.0.0.1", nfs_port, mount_port, timeout_seconds=60))
        root = nfs.mount(path)
        file = nfs.create(root, b"crowd")
        nfs.write(file, 0, bytes(1 << 20))
        call = framed(call_bytes(1, NFS_PROGRAM, 3, PROC["GETATTR"], args3.GETATTR3args(root), nfs.cred))
        active = [connect(stack, nfs_port, number) for number in range(ACTIVE)]
        serve_all(active, call)
        alone = slowest_of_a_hundred(active, call)
        before = resident_bytes(pid)
        idle = [connect(stack, nfs_port, number) for number in range(IDLE)]
        serve_all(idle, call, rounds=1)
        each_idle = (resident_bytes(pid) - before) / IDLE
        with_idle = slowest_of_a_hundred(active, call)
        before = resident_bytes(pid)
        slow = [hang(stack, nfs_port, file, nfs.cred, number) for number in range(SLOW)]
        with_slow = slowest_of_a_hundred(active, call)
        all_slow = resident_bytes(pid) - before
        serve_all(idle, call, rounds=1)
        del slow
    print(f"p99 {alone * 1e3:.0f}, {with_idle * 1e3:.0f}, {with_slow * 1e3:.0f} ms; idle {each_idle:.0f} B each")
    print(f"100 that hang: {all_slow >> 20} MiB")
    return alone, with_idle, with_slow, each_idle, all_slow


def check(measured):
    alone, with_idle, with_slow, each_idle, all_slow = measured
    assert each_idle <= IDLE_BYTES
    assert all_slow <= SLOW_BYTES
    assert with_idle <= LATER * alone + LATER_SECONDS
    assert with_slow <= LATER * alone + LATER_SECONDS


def test_a_crowd_costs_little_and_those_that_hang_keep_nobody_waiting():
    with door() as (nfs_port, mount_port, pid):
        check(crowd(nfs_port, mount_port, pid, "/bucket"))


def test_a_crowd_at_a_whole_house_does_as_well(house):
    [gateway] = house.components("gateway")
    check(crowd(house.nfs_port, house.mount_port, gateway.pid, house.export))


def test_more_connections_than_there_may_be_of_one_host_are_closed_and_others_are_let_in():
    most = Limits().connections_per_host
    with door() as (nfs_port, _, _), ExitStack() as stack:
        null = framed(call_bytes(1, NFS_PROGRAM, 3, 0, b"", auth_sys()))
        one = [stack.enter_context(socket.create_connection(("127.0.0.1", nfs_port), 10)) for _ in range(most + 50)]
        alive = 0
        for each in one:
            try:
                each.sendall(null)
                alive += bool(each.recv(100))
            except ConnectionError:
                pass
        assert alive == most
        other = connect(stack, nfs_port, 0)
        other.sendall(null)
        assert other.recv(100)
