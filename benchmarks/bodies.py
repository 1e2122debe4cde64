"""`python -m benchmarks.bodies`: the storage engine alone, beside raw write + fdatasync of the same run.

Three real nodes on loopback, one client in this process. Each figure comes with the CPU time that the client and the
nodes spent per operation, because on a machine with two cores that is what bounds it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import tempfile
import time
from pathlib import Path

from foundation.aio import gather
from storage_engine.api import BlobId, Origin
from tests.storage_nodes import Nodes, drive

KIB, MIB = 1 << 10, 1 << 20
_FIRST_PORT = 22050
_TICKS = os.sysconf("SC_CLK_TCK")
_numbers = itertools.count(1)


def raw_writes(folder: Path, size: int, seconds: float) -> float:
    """Return writes + fdatasync per second of *size* bytes each, into a file written before."""
    path, body, slots = folder / "raw", os.urandom(size), max(1, 64 * MIB // size)
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    for slot in range(slots):
        os.pwrite(fd, bytes(size), slot * size)
    os.fsync(fd)
    count, end, began = 0, time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < end:
        os.pwrite(fd, body, count % slots * size)
        os.fdatasync(fd)
        count += 1
    rate = count / (time.monotonic() - began)
    os.close(fd)
    path.unlink()
    return rate


def cpu_seconds(nodes: Nodes) -> tuple[float, float]:
    """Return the CPU time spent so far by this process and by the nodes."""
    spent = 0
    for node in nodes.nodes:
        fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12])
    return time.process_time(), spent / _TICKS


def rate(nodes: Nodes, work, in_flight: int, seconds: float) -> tuple[float, float, float]:
    """Return operations per second of *work*, and the CPU microseconds per operation of client and nodes."""
    count, end = 0, time.monotonic() + seconds

    async def one() -> None:
        nonlocal count
        while time.monotonic() < end:
            await work()
            count += 1

    mine, theirs = cpu_seconds(nodes)
    began = time.monotonic()
    drive(gather(one() for _ in range(in_flight)), seconds + 60)
    took = time.monotonic() - began
    mine_after, theirs_after = cpu_seconds(nodes)
    return count / took, (mine_after - mine) / count * 1e6, (theirs_after - theirs) / count * 1e6


def measure(nodes: Nodes, folder: Path, seconds: float, only: str) -> None:
    raw = {size: raw_writes(folder, size, seconds) for size in (4 * KIB, MIB, 4 * MIB)}
    for size, writes in raw.items():
        print(f"{'raw write+fdatasync ' + name(size):34}{writes:10.0f}/s {writes * size / 1e6:8.0f} MB/s")
    for copies in (1, 2):
        bodies = nodes.body_store(copies, copies)
        drive(bodies.open())
        for size, in_flight in itertools.product((4 * KIB, MIB, 4 * MIB), (1, 8, 32)):
            body = [os.urandom(size)]

            async def put(body=body, bodies=bodies) -> None:
                await bodies.put(BlobId(1, next(_numbers)), body, Origin(1, 1, 1, 0, 1))

            show(nodes, f"put {name(size)} N={copies} x{in_flight}", size, put, in_flight, seconds, only, raw[size])
        drive(bodies.close())
    bodies = nodes.body_store()
    drive(bodies.open())
    for size in (4 * KIB, MIB):
        blobs = [BlobId(2, next(_numbers)) for _ in range(64)]
        body = [os.urandom(size)]
        drive(gather(bodies.put(blob, body, Origin(1, 1, 1, 0, 1)) for blob in blobs))

        async def read(blobs=blobs, size=size) -> None:
            await bodies.read(random.choice(blobs), 0, size)

        async def read_4k(blobs=blobs, size=size) -> None:
            await bodies.read(random.choice(blobs), random.randrange(size // 4096) * 4096, 4096)

        for in_flight in (1, 8, 32):
            show(nodes, f"read {name(size)} x{in_flight}", size, read, in_flight, seconds, only)
            if size > 4 * KIB:
                show(nodes, f"read 4 KiB of {name(size)} x{in_flight}", 4 * KIB, read_4k, in_flight, seconds, only)
    drive(bodies.close())


def show(nodes, title, size, work, in_flight, seconds, only, limit=0.0) -> None:  # noqa: PLR0913, PLR0917 - a table's row
    if only not in title:
        return
    per_second, mine, theirs = rate(nodes, work, in_flight, seconds)
    share = f"{per_second / limit:7.0%} of raw" if limit else ""
    speed = f"{per_second:10.0f}/s {per_second * size / 1e6:8.0f} MB/s"
    print(f"{title:34}{speed}   cpu us/op: client {mine:6.0f} nodes {theirs:6.0f} {share}", flush=True)


def name(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bodies", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each figure is measured (default 1)")
    parser.add_argument("--only", default="", help="measure only what contains this")
    parser.add_argument("--folder", type=Path, help="where the nodes' disks lie (default: temporary)")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatefold-bodies-", dir=wanted.folder) as folder:
        nodes = Nodes(Path(folder), _FIRST_PORT, segment_bytes=64 * MIB)
        nodes.start()
        try:
            measure(nodes, Path(folder), wanted.seconds, wanted.only)
        finally:
            nodes.stop()


if __name__ == "__main__":
    main()
