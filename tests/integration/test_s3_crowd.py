"""A crowd at the S3 door: 2,000 idle connections and 200 active ones, readers that do not read, writers that drip.

The door's process is measured: what each kind of client costs, and that others are served meanwhile.
"""

from __future__ import annotations

import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from crowd import descriptors as descriptors
from crowd import resident_bytes
from signing import signed

from protocols.s3.http.site import Limits

TESTS = Path(__file__).parents[1]
IDLE, ACTIVE, SLOW, ROUNDS = 2000, 200, 50, 5
IDLE_BYTES = 64 << 10
OBJECT_BYTES = 64 << 20
#: Of an answer that nobody takes: what is read ahead, what waits for the socket, and a copy of a piece on its way.
READER_BYTES = 3 << 20
#: Of a body that drips: a connection, a session, and a read of the socket.
WRITER_BYTES = 256 << 10
#: Of the process itself, whatever comes: buffers that its allocator keeps.
SLACK_BYTES = 16 << 20
LONGEST_SECONDS = 5.0


@contextmanager
def door():
    """Serve the fake namespace, with a bucket and a small object in it; yield (port, pid)."""
    command = [sys.executable, str(TESTS / "unit/s3/door_process.py")]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as server,
    ):
        try:
            port = int(server.stdout.readline())
            with socket.create_connection(("127.0.0.1", port), 10) as first:
                assert ask(first, signed("V4_HEADER", "PUT", "/bkt")) == 200
                assert ask(first, signed("V4_HEADER", "PUT", "/bkt/key", {}, b"hello")) == 200
            yield port, server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)
        log.seek(0)
        said = log.read()
    assert server.returncode == 0
    assert b"Traceback" not in said, said.decode()


def ask(connection, request):
    """Send a request and return the status; the answer is short."""
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < _length(answer):
        piece = connection.recv(65536)
        assert piece, answer
        answer += piece
    return int(answer[9:12])


def _length(answer):
    match = re.search(rb"content-length: (\d+)", answer)
    return int(match[1]) if match else 0


def connect(stack, port, number=0):
    """Connect from one of several addresses, as so many connections would."""
    made = socket.create_connection(("127.0.0.1", port), 30, (f"127.0.0.{2 + number % 8}", 0))
    return stack.enter_context(made)


def serve_all(connections, rounds=1):
    """Ask for the small object on all *connections* at once, *rounds* times."""
    request = signed("V4_HEADER", "GET", "/bkt/key")
    for _ in range(rounds):
        with selectors.DefaultSelector() as selector:
            for each in connections:
                selector.register(each, selectors.EVENT_READ)
                each.sendall(request)
            left = dict.fromkeys(connections, b"")
            while left:
                ready = selector.select(timeout=30)
                assert ready, f"{len(left)} connections were not served"
                for key, _ in ready:
                    left[key.fileobj] += key.fileobj.recv(65536)
                    if left[key.fileobj].endswith(b"hello"):
                        assert left.pop(key.fileobj).startswith(b"HTTP/1.1 200")
                        selector.unregister(key.fileobj)


def served_in_time(connection):
    """Ask ten times; return the longest wait."""
    longest = 0.0
    for _ in range(10):
        started = time.monotonic()
        assert ask(connection, signed("V4_HEADER", "GET", "/bkt/key")) == 200
        longest = max(longest, time.monotonic() - started)
    return longest


def test_s01_two_thousand_idle_connections_cost_little_and_two_hundred_active_ones_are_served():
    with door() as (port, pid), ExitStack() as stack:
        active = [connect(stack, port, number) for number in range(ACTIVE)]
        serve_all(active)
        before = resident_bytes(pid)
        idle = [connect(stack, port, number) for number in range(IDLE)]
        serve_all(idle)
        each = (resident_bytes(pid) - before) / IDLE
        serve_all(active, ROUNDS)
        serve_all(idle)
    print(f"an idle connection: {each / 1024:.1f} KiB")
    assert each <= IDLE_BYTES


def test_s01_more_connections_than_there_may_be_of_one_host_are_turned_away_and_others_are_let_in():
    most = Limits().connections_per_host
    with door() as (port, _), ExitStack() as stack:
        one = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 30)) for _ in range(most + 20)]
        serve_all(one[:most:300])
        for each in one[most:]:
            assert each.recv(1000).startswith(b"HTTP/1.1 503")
        serve_all([connect(stack, port)])
        for each in one[:20]:
            each.close()
        again = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30))
        serve_all([again])


def test_s01_readers_that_do_not_read_cost_bounded_memory_and_keep_nobody_waiting():
    with door() as (port, pid), ExitStack() as stack:
        other = connect(stack, port)
        assert ask(other, signed("V4_HEADER", "PUT", "/bkt/big", {}, bytes(OBJECT_BYTES))) == 200
        request = signed("V4_HEADER", "GET", "/bkt/big")
        before = resident_bytes(pid)
        for number in range(SLOW):
            reader = connect(stack, port, number)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
            reader.sendall(request)
            assert reader.recv(12) == b"HTTP/1.1 200"
        longest = served_in_time(other)
        each = (resident_bytes(pid) - before) / SLOW
    print(f"a reader that does not read: {each / 1024:.0f} KiB; others waited {longest * 1e3:.0f} ms at most")
    assert each <= READER_BYTES + SLACK_BYTES / SLOW
    assert longest < LONGEST_SECONDS


def test_s01_writers_that_drip_cost_bounded_memory_and_keep_nobody_waiting():
    with door() as (port, pid), ExitStack() as stack:
        other = connect(stack, port)
        target = signed("V4_HEADER", "PUT", "/bkt/drip", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, b"x")
        request = target.replace(b"Content-Length: 1\r\n", b"Content-Length: %d\r\n" % OBJECT_BYTES)
        assert request != target
        before = resident_bytes(pid)
        writers = [connect(stack, port, number) for number in range(SLOW)]
        for each in writers:
            each.sendall(request)
        for _ in range(5):
            for each in writers:
                each.sendall(b"y")
            longest = served_in_time(other)
        each = (resident_bytes(pid) - before) / SLOW
    print(f"a writer that drips: {each / 1024:.0f} KiB; others waited {longest * 1e3:.0f} ms at most")
    assert each <= WRITER_BYTES + SLACK_BYTES / SLOW
    assert longest < LONGEST_SECONDS
