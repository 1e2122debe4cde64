"""`python -m benchmarks`: start a house, measure, print the table, write the JSON (`make bench`)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import limits, namespace, report
from benchmarks.measure import Figure, Meter
from benchmarks.nfs import NfsLoad
from benchmarks.s3 import S3Load
from tests.house import REPOSITORY, House

if TYPE_CHECKING:
    from collections.abc import Callable

#: Before the first run and between the runs, as long as the house needs to be quiet again.
_SETTLE_SECONDS = 0.2


def main() -> int:
    """Run all measurements; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each measurement; the median counts (default 5)")
    parser.add_argument("--mib", type=int, default=256, help="size of the sequential NFS file (default 256)")
    parser.add_argument("--only", default="", help="measure only the names that contain this")
    parser.add_argument("--folder", type=Path, help="where the house and the limits' files lie (default: temporary)")
    parser.add_argument("--output", type=Path, help="the JSON file (default: bench-results/ with the time)")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatefold-bench-", dir=wanted.folder) as folder:
        house = House.set_up(Path(folder, "home"))
        try:
            figures = _measure(house.start(), wanted.runs, wanted.mib, wanted.only)
            house.check()
        finally:
            house.remove()
    figures += namespace.measure(wanted.runs, wanted.only)
    output = wanted.output or REPOSITORY / f"bench-results/{time.strftime('%Y%m%d-%H%M%S')}.json"
    report.write_json(output, figures)
    sys.stdout.write(report.table(figures) + f"\n{output}\n")
    return 0


def _measure(house: House, runs: int, mib: int, only: str) -> list[Figure]:
    nfs = NfsLoad("127.0.0.1", house.nfs_port, house.mount_port, house.export)
    s3 = S3Load("127.0.0.1", house.s3_port, house.keys)
    figures = []
    plan = [each for each in _plan(house, nfs, s3, mib) if only in each[0].name]
    for number in range(runs):
        meter = Meter(house)
        for figure, prepare, limit in plan:
            work = prepare()
            time.sleep(_SETTLE_SECONDS)
            figure.runs.append(meter.measure(work))
            figure.limits.append(limit())
            if number == 0:
                figures.append(figure)
            sys.stderr.write(
                f"run {number + 1}: {figure.name}: {figure.runs[-1].done / figure.runs[-1].seconds:.0f} {figure.unit}\n"
            )
    return figures


def _plan(
    house: House, nfs: NfsLoad, s3: S3Load, mib: int
) -> list[tuple[Figure, Callable[[], Callable[[], float]], Callable[[], float]]]:
    """Return each figure with what prepares a run of it, and its limit."""
    folder, dsn = house.home.parent, house.database_dsn()

    def row() -> float:
        return limits.one_row_commit(dsn)

    def sync() -> float:
        return limits.file_sync(folder)

    def disk() -> float:
        return limits.file_write(folder)

    commit, copy, md5 = "one-row commit, 1 connection", "loopback copy", "MD5, 1 thread"
    creates = [
        (
            Figure(f"NFS CREATE durable, {window} in flight", "op/s", commit),
            lambda window=window: nfs.create(window),
            row,
        )
        for window in (1, 8, 32, 64)
    ]
    return [
        (
            Figure("NFS GETATTR cached, 1 in flight", "op/s", "loopback echo, 1 in flight"),
            lambda: nfs.getattr(1),
            lambda: limits.loopback_calls(1),
        ),
        (
            Figure("NFS GETATTR cached, 64 in flight", "op/s", "loopback echo, 64 in flight"),
            lambda: nfs.getattr(64),
            lambda: limits.loopback_calls(64),
        ),
        *creates,
        (Figure("NFS READ 1 MiB units", "MiB/s", copy), lambda: nfs.read(mib), limits.loopback_copy),
        (Figure("NFS WRITE 1 MiB units + COMMIT", "MiB/s", "write + fdatasync"), lambda: nfs.write(mib), disk),
        (
            Figure("S3 GET 4 KiB, 1 connection", "op/s", "loopback echo, 1 in flight"),
            lambda: s3.get_small(1),
            lambda: limits.loopback_calls(1),
        ),
        (
            Figure("S3 GET 4 KiB, 32 connections", "op/s", "loopback echo, 32 in flight"),
            lambda: s3.get_small(32),
            lambda: limits.loopback_calls(32),
        ),
        (Figure("S3 PUT 4 KiB, 1 connection", "op/s", commit), lambda: s3.put_small(1), row),
        (Figure("S3 PUT 4 KiB, 32 connections", "op/s", "4 KiB write + fdatasync"), lambda: s3.put_small(32), sync),
        (Figure("S3 GET 64 MiB", "MiB/s", copy), lambda: s3.get_large(64), limits.loopback_copy),
        (Figure("S3 PUT 64 MiB", "MiB/s", md5), lambda: s3.put_large(64), limits.md5),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
