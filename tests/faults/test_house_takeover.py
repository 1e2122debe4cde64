"""Two gateways on one database and three nodes: the first is killed, stopped and woken, or asked to go."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from ledger import Ledger
from load import start_workers, verify
from nfs_client import NfsClient, NfsStatus
from retransmission import Nine, was_known
from test_house_kill import wait_until

from namespace.lease import Terms
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_results import SIGNATURES, unpack_result
from protocols.nfs.codec.nfs3_types import NFS_PROGRAM, NFS_V3, nfsstat3, stable_how
from protocols.nfs.codec.xdr import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from house import House

TERMS = Terms()
#: A stopped gateway's volumes are another's after this, in seconds: what the lease costs, a look round, some work.
TAKEN_OVER = TERMS.lease_seconds + TERMS.margin_seconds + TERMS.watch_seconds + 3.0
#: An orderly hand-over takes no longer than this, in seconds.
HANDED_OVER = 2.0
_PROC = {signature.name: number for number, signature in SIGNATURES.items()}


@pytest.fixture
def west(own_house: House) -> Iterator[House]:
    """Return a second gateway on the house's database and nodes."""
    further = own_house.further_gateway("west").start()
    try:
        yield further
    finally:
        own_house.resume_serve()
        for process in own_house.components("gateway"):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(_pidfd(process.pid), signal.SIGCONT)
        further.stop()


def _pidfd(pid: int) -> int:
    import os  # noqa: PLC0415

    return os.pidfd_open(pid)


def nfs(house: House) -> NfsClient:
    return NfsClient("127.0.0.1", house.nfs_port, house.mount_port, timeout_seconds=20)


def serves(house: House, file: bytes) -> bool:
    """Return whether *house* answers GETATTR of *file*: with a handle that another gateway gave out."""
    with nfs(house) as client:
        return client.call("GETATTR", args3.GETATTR3args(file))[0] == nfsstat3.NFS3_OK


def taken_over(house: House, file: bytes, since: float, limit: float) -> float:
    """Wait until *house* serves *file*; return the seconds *since* then."""
    wait_until(lambda: serves(house, file), limit, "the second gateway to serve", house)
    took = time.monotonic() - since
    assert took <= limit
    return took


def test_a_killed_gateway_is_followed_by_the_second_with_all_that_was_acknowledged(
    own_house: House, west: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with nfs(own_house) as client:
        root = client.mount(own_house.export)
        unstable = client.create(root, b"unstable")
        verifier = client.write(unstable, 0, b"bytes", stable_how.UNSTABLE).verf
    assert not serves(west, root), "a living gateway's volume is not served by another"
    with Ledger(tmp_path / "manifest") as ledger:
        workers = start_workers(own_house, "takeover", ledger, seed=5)
        wait_until(lambda: ledger.acknowledged >= 60, 60, "load", own_house)
        once = Nine(own_house, b"once")
        once.ask(own_house)
        own_house.pause_serve()
        own_house.kill("gateway")
        killed = time.monotonic()
        # Sent again at once, before the lease of the dead gateway has run out: they wait for that.
        again = once.ask(west)
        assert all(was_known(name, reply) for name, reply in again.items())
        took = taken_over(west, root, killed, TAKEN_OVER)
        once.check(west)
        for worker in workers:
            worker.stop()
        assert ledger.failed
        before = verify(west, "takeover", ledger)
        with nfs(west) as client:
            assert client.commit(unstable).verf != verifier
        workers = start_workers(west, "takeover", ledger, seed=6)
        back = ledger.acknowledged
        wait_until(lambda: ledger.acknowledged >= back + 40, 60, "load after the take-over", west)
        own_house.resume_serve()
        wait_until(own_house.answers, 60, "the first gateway's doors", own_house)
        assert not serves(own_house, root), "the restarted gateway takes nothing from the living one"
        for worker in workers:
            worker.stop()
        verify(west, "takeover", ledger)
    with capsys.disabled():
        print(f"\n  taken over {took:.2f} s after kill -9, {before} names verified", end="")
    status = {row["name"]: row["volumes"] for row in west.json("status")["gateways"] if row["alive"]}
    assert status["west"] == [west.bucket]
    own_house.check()


def test_a_stopped_gateway_that_is_woken_answers_no_stale_read_and_does_no_write(
    own_house: House, west: House, capsys: pytest.CaptureFixture[str]
):
    s3 = own_house.s3()
    with nfs(own_house) as client:
        root = client.mount(own_house.export)
        file = client.create(root, b"file")
        client.write(file, 0, b"old")
        assert client.read_all(file) == b"old"
        assert client.getattr(file).size == 3
    s3.put_object(Bucket=own_house.bucket, Key="object", Body=b"old")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": own_house.bucket, "Key": "object"})
    questions: dict[str, Any] = {
        "GETATTR": args3.GETATTR3args(file),
        "READ": args3.READ3args(file, 0, 100),
        "LOOKUP": args3.LOOKUP3args(args3.diropargs3(root, b"file")),
        "ACCESS": args3.ACCESS3args(file, 0x3F),
        "READDIRPLUS": args3.READDIRPLUS3args(root, 0, bytes(8), 65536, 65536),
        "WRITE": args3.WRITE3args(file, 0, 6, stable_how.FILE_SYNC, b"zombie"),
        "REMOVE": args3.REMOVE3args(args3.diropargs3(root, b"file")),
    }
    clients = {name: nfs(own_house) for name in questions}
    getter = socket.create_connection(("127.0.0.1", own_house.s3_port), 20)
    for client in clients.values():
        client.null()  # accepted before the stop
    zombie = own_house.send("gateway", signal.SIGSTOP)
    stopped = time.monotonic()
    for name, question in questions.items():
        clients[name].send(NFS_PROGRAM, NFS_V3, _PROC[name], question, clients[name].cred)
    parts = urlsplit(url)
    getter.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    took = taken_over(west, file, stopped, TAKEN_OVER)
    with nfs(west) as client:
        client.write(file, 0, b"new bytes")
    with closing(west.s3()) as other:
        other.put_object(Bucket=west.bucket, Key="object", Body=b"new bytes")
    assert own_house.components("gateway")[0] == zombie
    own_house.send("gateway", signal.SIGCONT)
    for name, client in clients.items():
        assert refused(client, name), f"{name} was answered by a gateway that had lost its lease"
    with getter:
        answer = getter.recv(1 << 16)
        assert not answer.startswith(b"HTTP/1.1 200"), answer
    wait_until(lambda: refuses(own_house, file), 20, "the first gateway to know who holds the volume", own_house)
    with pytest.raises(s3.exceptions.ClientError) as unavailable:
        s3.get_object(Bucket=own_house.bucket, Key="object")
    assert unavailable.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert unavailable.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    with nfs(west) as client:
        assert client.read_all(file) == b"new bytes"
        assert client.names(root).count(b"file") == 1
    with closing(west.s3()) as other, closing(other.get_object(Bucket=west.bucket, Key="object")["Body"]) as body:
        assert body.read() == b"new bytes"
    with capsys.disabled():
        print(f"\n  taken over {took:.2f} s after SIGSTOP", end="")
    own_house.check()


def refused(client: NfsClient, name: str) -> bool:
    """Return whether the call under way ends with no answer, or with one that says: not now."""
    with client:
        try:
            reply, results = client.receive()
        except ConnectionError:
            return True
    assert reply.accepted == 0
    status, _ = decode(lambda unpacker: unpack_result(_PROC[name], unpacker), results)
    return bool(status == nfsstat3.NFS3ERR_JUKEBOX)


def refuses(house: House, file: bytes) -> bool:
    """Return whether *house* says JUKEBOX of *file*."""
    try:
        with nfs(house) as client:
            client.getattr(file)
    except NfsStatus as status:
        return bool(status.status == nfsstat3.NFS3ERR_JUKEBOX)
    except ConnectionError:
        return False
    raise AssertionError("a gateway that lost its volume answers for it")


def test_a_gateway_that_stops_in_order_hands_over_at_once(
    own_house: House, west: House, capsys: pytest.CaptureFixture[str]
):
    with nfs(own_house) as client:
        root = client.mount(own_house.export)
        file = client.create(root, b"file")
        client.write(file, 0, b"unstable", stable_how.UNSTABLE)
    own_house.pause_serve()
    asked = time.monotonic()
    own_house.send("gateway", signal.SIGTERM)
    took = taken_over(west, root, asked, 2 * HANDED_OVER)
    with capsys.disabled():
        print(f"\n  handed over {took:.2f} s after SIGTERM", end="")
    assert took < HANDED_OVER
    with nfs(west) as client:
        assert client.read_all(file) == b"unstable"
    own_house.resume_serve()
    wait_until(own_house.answers, 60, "the first gateway's doors", own_house)
    held = {row["name"]: row["volumes"] for row in own_house.json("status")["gateways"]}
    assert held == {"gateway": [], "west": [west.bucket]}
    own_house.check()
