"""What the NFS door costs by itself: calls served from memory over loopback, beside a server that does nothing.

    python benchmarks/nfs_door.py [--port N] [--seconds S] [--rounds R] [--profile]

The namespace is the tests' fake one. The client replays one pre-encoded call from its own process and does not parse
the replies; its share of a CPU is printed, so that one sees which side is the limit. Figures are medians of the
rounds; `us/call` is the server's CPU time. The limit is a bare Twisted protocol (small calls) or a socket loop
(1 MiB READ) that sends ready-made replies of the same size.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet import epollreactor

epollreactor.install()

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE), str(HERE / "tests")]

from nfs_client import PROC, NfsClient, args3, auth_sys, call_bytes  # noqa: E402 - found by the path above
from twisted.internet import protocol, reactor  # noqa: E402 - the reactor is installed first

from protocols.nfs.codec.nfs3_types import NFS_PROGRAM, NFS_V3, diropargs3, stable_how  # noqa: E402 - the same
from protocols.nfs.codec.record import record_mark  # noqa: E402 - the same

MIB = 1 << 20
#: Name, procedure, calls in flight.
CASES = [
    ("GETATTR", "GETATTR", 1),
    ("GETATTR", "GETATTR", 64),
    ("LOOKUP", "LOOKUP", 64),
    ("READ 1 MiB", "READ", 1),
    ("READ 1 MiB", "READ", 4),
    ("WRITE 1 MiB", "WRITE", 1),
    ("WRITE 1 MiB", "WRITE", 2),
    ("READDIRPLUS 400", "READDIRPLUS", 1),
]


def serve_limit(port: int, call_size: int, reply_size: int) -> None:
    """Answer every *call_size* bytes with *reply_size* ready-made bytes, with nothing in between."""
    if reply_size < MIB:
        _serve_limit_twisted(port, call_size, bytes(reply_size))
        return
    reply = [bytes(44), bytes(reply_size - 44)]
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
            due = 0
            while data := connection.recv(65536):
                due += len(data)
                while due >= call_size:
                    due -= call_size
                    sent = connection.sendmsg(reply)
                    connection.sendall(b"".join(reply)[sent:]) if sent < reply_size else None


def _serve_limit_twisted(port: int, call_size: int, reply: bytes) -> None:
    class Limit(protocol.Protocol):
        due = 0

        def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
            calls, self.due = divmod(self.due + len(data), call_size)
            self.transport.write(reply * calls)

    loop: Any = reactor
    loop.listenTCP(port, protocol.Factory.forProtocol(Limit), interface="127.0.0.1")
    loop.run()


def prepare(client: NfsClient, procedure: str) -> bytes:
    """Return the record of the call to replay."""
    root = client.mount("/bucket")
    if procedure == "GETATTR":
        args: Any = args3.GETATTR3args(root)
    elif procedure == "LOOKUP":
        client.create(root, b"name")
        args = args3.LOOKUP3args(diropargs3(root, b"name"))
    elif procedure == "READDIRPLUS":
        directory = client.mkdir(root, b"directory%d" % time.monotonic_ns())
        for number in range(398):
            client.create(directory, b"file%08d" % number)
        args = args3.READDIRPLUS3args(directory, 0, bytes(8), 131072, 131072)
    else:
        file = client.create(root, procedure.encode())
        client.write(file, 0, bytes(MIB), stable_how.UNSTABLE)
        args = args3.READ3args(file, 0, MIB)
        if procedure == "WRITE":
            args = args3.WRITE3args(file, 0, MIB, stable_how.UNSTABLE, bytes(MIB))
    message = call_bytes(7, NFS_PROGRAM, NFS_V3, PROC[procedure], args, auth_sys(1000, 100, (1, 2, 3)))
    return record_mark(len(message)) + message


def replay(
    sock: socket.socket, record: bytes, reply_size: int, depth: int, seconds: float, pid: int
) -> dict[str, float]:
    """Keep *depth* calls in flight for *seconds*; return what was reached."""
    buffer = bytearray(4 * MIB)

    def take(size: int) -> None:
        while size:
            got = sock.recv_into(buffer, min(size, len(buffer)))
            if not got:
                raise ConnectionError("the server closed the connection")
            size -= got

    half = max(1, depth // 2)
    batch = record * half
    sock.sendall(record * (depth - half))
    server_before, client_before, begin = cpu_seconds(pid), time.process_time(), time.perf_counter()
    calls, in_flight = 0, depth - half
    while time.perf_counter() < begin + seconds:
        sock.sendall(batch)
        in_flight += half
        while in_flight > depth - half:
            take(reply_size * half)
            in_flight -= half
            calls += half
    elapsed = time.perf_counter() - begin
    figures = {
        "calls_per_second": calls / elapsed,
        "server_us_per_call": (cpu_seconds(pid) - server_before) / calls * 1e6,
        "client_cpu_share": (time.process_time() - client_before) / elapsed,
    }
    take(reply_size * in_flight)
    return figures


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that process *pid* has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Served:
    """A server process, listening when entered."""

    def __init__(self, port: int, *args: str) -> None:
        self._port = port
        self._command = [sys.executable, *args]
        self._out = None if "--profile" in args else subprocess.DEVNULL

    def __enter__(self) -> int:
        self._process = subprocess.Popen(self._command, stdout=self._out, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
            except ConnectionRefusedError:
                time.sleep(0.05)
            else:
                return self._process.pid
        raise TimeoutError("the server does not listen")

    def __exit__(self, *_exc: object) -> None:
        self._process.terminate()
        self._process.wait(20)


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 4 * MIB)
    return sock


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run every case against the door and against its limit."""
    rows = []
    port = str(options.port)
    door = [str(HERE / "tests/unit/nfs/serve_fake.py"), "--port", port, "--mount-port", port]
    with Served(options.port, *door, *(["--profile"] if options.profile else [])) as pid:
        for name, procedure, depth in CASES:
            with NfsClient("127.0.0.1", options.port) as client:
                record = prepare(client, procedure)
                client.socket.sendall(record)
                reply_size = len(client.receive_record()) + 4
            limit_port = options.port + 1
            limit_args = ("--port", str(limit_port), "--limit", str(len(record)), str(reply_size))
            with Served(limit_port, __file__, *limit_args) as limit_pid:
                ours, limits = [], []
                for _ in range(options.rounds):
                    for at, server, into in ((options.port, pid, ours), (limit_port, limit_pid, limits)):
                        with connect(at) as sock:
                            into.append(replay(sock, record, reply_size, depth, options.seconds, server))
            row = {key: statistics.median(each[key] for each in ours) for key in ours[0]}
            limit = statistics.median(each["calls_per_second"] for each in limits)
            size = max(len(record), reply_size)
            rows.append({"case": name, "depth": depth, **row, "limit_per_second": limit, "bytes": size})
            print(
                f"{name:16} depth {depth:3}: {row['calls_per_second']:8.0f}/s"
                f" {row['calls_per_second'] * size / 1e9:6.2f} GB/s"
                f" {row['server_us_per_call']:7.1f} us/call, client {row['client_cpu_share']:4.0%} of a CPU,"
                f" {row['calls_per_second'] / limit:4.0%} of the limit {limit:8.0f}/s",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=23050)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="print the server's cProfile at the end")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--limit", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.limit:
        serve_limit(options.port, *options.limit)
    else:
        rows = measure(options)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
