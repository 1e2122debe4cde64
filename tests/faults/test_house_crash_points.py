"""Die at each named crash point under mixed load: acknowledged is there, unacknowledged is whole or absent.

`foundation.crash` kills the component at its n-th pass, once; the supervisor's next process lives. A point that is
never passed fails its test: the load must reach every commit sequence of the house.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from house import House
from ledger import Ledger
from load import start_workers, verify
from nfs_client import NfsClient
from test_house_kill import wait_until

from namespace.contents import CHUNK
from protocols.nfs.codec.nfs3_types import stable_how

if TYPE_CHECKING:
    from pathlib import Path

#: Point and pass: late enough that there is something to lose. Those of take-over and numbers pass at the start.
GATEWAY_POINTS = [
    ("reserve.after_commit", 2),
    ("engine.after_install", 60),
    ("engine.before_answer", 300),
    ("commit.before_send", 40),
    ("commit.after_send", 41),
    ("commit.before_release", 42),
    ("seal.after_put", 15),
    ("flush.before_commit", 16),
    ("put.after_body", 17),
    ("body.put.after_quorum", 30),
    ("renew.after_commit", 4),
    ("lease.after_renewal", 5),
    ("rewrite.after_put", 1),
    ("rewrite.before_commit", 1),
    ("garbage.after_reclaim", 1),
    ("garbage.after_doom", 3),
    ("garbage.after_delete", 12),
    ("copy.after_name", 9),
    ("complete.after_name", 9),
    ("reap.after_chunk", 3),
    ("draft.after_chunk", 1),
]
NODE_POINTS = [
    ("node.put.after_append", 20),
    ("node.put.after_sync", 20),
    ("node.segment.after_create", 1),
    ("node.delete.after_tombstone", 2),
]
AFTERWARDS = 30
#: Passed only while a gateway starts, where a death at the first start ends `serve`.
START_POINTS = ["take_volume.after_commit", "volumes.after_take"]
#: Passed only while a gateway stops.
STOP_POINTS = ["release_volume.after_commit", "volumes.after_release"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Return one installation, stopped, that all points are tried on, one after the other."""
    return House.set_up(tmp_path_factory.mktemp("crash") / "home")


def arm(monkeypatch: pytest.MonkeyPatch, folder: Path, point: str, nth: int) -> Path:
    """Let the next house die at *point* while the returned file is there."""
    token = folder / "token"
    monkeypatch.setenv("GATEFOLD_CRASH", f"{point}:{nth}")
    monkeypatch.setenv("GATEFOLD_CRASH_TOKEN", str(token))
    return token


def detach_extents(house: House) -> None:
    """Overwrite an object of several blobs: only such content is freed in chunks, and no worker makes any."""
    s3 = house.s3()
    for fill in (b"a", b"b"):
        s3.put_object(Bucket=house.bucket, Key="several-blobs", Body=fill * (9 << 20))


def fragment(house: House, name: bytes) -> None:
    """Write a file in pieces that adjoin and were never neighbours in memory: it is rewritten, maybe before the end."""
    with suppress(ConnectionError), NfsClient("127.0.0.1", house.nfs_port, house.mount_port) as nfs:
        file = nfs.create(nfs.mount(house.export), name)
        for parity in (0, 1):
            for number in range(parity, 200, 2):
                nfs.write(file, number * 512, bytes([number]) * 512, stable_how.UNSTABLE)
            nfs.commit(file)


def copy_pieces(house: House, name: bytes) -> None:
    """Copy a file of more extents than one Change takes: with holes between them, pieces never become one."""
    with suppress(ConnectionError), NfsClient("127.0.0.1", house.nfs_port, house.mount_port) as nfs:
        file = nfs.create(nfs.mount(house.export), name)
        for number in range(CHUNK + 1):
            nfs.write(file, number * 8192, b"x", stable_how.UNSTABLE)
        nfs.commit(file)
    with suppress(BotoCoreError, ClientError), closing(house.s3()) as s3:
        source = {"Bucket": house.bucket, "Key": name.decode()}
        s3.copy_object(Bucket=house.bucket, Key=f"{name.decode()}-copy", CopySource=source)


@pytest.mark.parametrize(("point", "nth"), GATEWAY_POINTS + NODE_POINTS)
def test_nothing_acknowledged_is_lost_by_a_death_at(
    prepared: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, nth: int
):
    token = arm(monkeypatch, tmp_path, point, nth)
    token.touch()
    folder = point.replace(".", "-")
    with prepared, Ledger(tmp_path / "manifest") as ledger:
        if point == "garbage.after_reclaim":
            detach_extents(prepared)
        if point.startswith("rewrite."):
            fragment(prepared, point.encode())
        if point == "draft.after_chunk":
            copy_pieces(prepared, point.encode())
        workers = start_workers(prepared, folder, ledger, seed=nth)
        wait_until(lambda: not token.exists(), 60, f"the {nth}th pass of {point}", prepared)
        wait_until(prepared.answers, 60, "the doors to answer again", prepared)
        back = ledger.acknowledged
        wait_until(lambda: ledger.acknowledged >= back + AFTERWARDS, 60, "load after recovery", prepared)
        for worker in workers:
            worker.stop()
        verify(prepared, folder, ledger)
        prepared.check()


@pytest.mark.parametrize("point", STOP_POINTS)
def test_a_gateway_that_dies_while_it_gives_its_volumes_back_is_followed(
    prepared: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
):
    token = arm(monkeypatch, tmp_path, point, 1)
    folder = point.replace(".", "-")
    with Ledger(tmp_path / "manifest") as ledger:
        with prepared:
            workers = start_workers(prepared, folder, ledger, seed=1)
            wait_until(lambda: ledger.acknowledged >= AFTERWARDS, 60, "load", prepared)
            for worker in workers:
                worker.stop()
            token.touch()
        assert not token.exists()
        with prepared:
            verify(prepared, folder, ledger)
            prepared.check()


@pytest.mark.parametrize("point", START_POINTS)
def test_a_gateway_that_dies_while_it_takes_its_volumes_takes_them_again(
    prepared: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
):
    token = arm(monkeypatch, tmp_path, point, 1)
    folder = point.replace(".", "-")
    with prepared, Ledger(tmp_path / "manifest") as ledger:
        workers = start_workers(prepared, folder, ledger, seed=1)
        wait_until(lambda: ledger.acknowledged >= AFTERWARDS, 60, "load", prepared)
        token.touch()
        prepared.wait_replaced("gateway", prepared.kill("gateway"))
        assert not token.exists()
        back = ledger.acknowledged
        wait_until(lambda: ledger.acknowledged >= back + AFTERWARDS, 60, "load after recovery", prepared)
        for worker in workers:
            worker.stop()
        verify(prepared, folder, ledger)
        prepared.check()
