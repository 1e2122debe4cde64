"""The NFS door over real sockets, with the fake namespace behind it: one process serves, the test is the client."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from nfs_client import (  # noqa: E402 - found by the path above
    NfsClient,
    NfsStatus,
    RpcClient,
    RpcFailed,
    args3,
    auth_sys,
    call_bytes,
    rpc,
    stable_how,
)

from protocols.nfs.codec import portmap as pmap  # noqa: E402 - the same
from protocols.nfs.codec.record import record_mark  # noqa: E402 - the same
from protocols.nfs.codec.xdr import Unpacker, decode  # noqa: E402 - the same


@pytest.fixture(scope="module")
def ports():
    command = [sys.executable, str(TESTS / "unit/nfs/serve_fake.py"), "--portmap-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        try:
            yield json.loads(server.stdout.readline()) | {"pid": server.pid}
        finally:
            server.send_signal(signal.SIGTERM)
            _, log = server.communicate(timeout=20)
    assert server.returncode == 0
    assert b"Traceback" not in log, log.decode()


@pytest.fixture
def nfs(ports):
    with NfsClient("127.0.0.1", ports["nfs"], ports["mount"]) as client:
        yield client


def test_a_tree_is_made_read_and_removed(nfs):
    root = nfs.mount("/bucket")
    nfs.null()
    directory = nfs.mkdir(root, b"tree")
    file = nfs.create(directory, b"file")
    body = os.urandom(3 << 20)
    for offset in range(0, len(body), 1 << 20):
        nfs.write(file, offset, body[offset : offset + (1 << 20)], stable_how.UNSTABLE)
    nfs.commit(file)
    assert nfs.read_all(file) == body
    nfs.symlink(directory, b"link", b"file")
    nfs.link(file, directory, b"again")
    nfs.rename(directory, b"file", root, b"moved")
    assert sorted(nfs.names(directory)) == [b"again", b"link"]
    assert nfs.readlink(nfs.walk(root, "tree/link")) == b"file"
    assert nfs.getattr(nfs.lookup(root, b"moved")).nlink == 2
    with pytest.raises(NfsStatus, match="NFS3ERR_NOTEMPTY"):
        nfs.rmdir(root, b"tree")


def test_many_entries_come_page_by_page(nfs):
    directory = nfs.mkdir(nfs.mount("/bucket"), b"many")
    names = [b"%05d" % number for number in range(300)]
    for name in names:
        nfs.create(directory, name)
    assert nfs.names(directory) == names
    assert [entry.name for entry in nfs.readdir(directory, 512)][2:] == names


def test_calls_in_flight_are_answered_whatever_their_size(nfs):
    file = nfs.create(nfs.mount("/bucket"), b"large")
    body = bytes(range(256)) * 4096
    nfs.write(file, 0, body)
    xids = [nfs.send(100003, 3, 6, args3.READ3args(file, 0, 1 << 20), nfs.cred) for _ in range(40)]
    xids += [nfs.send(100003, 3, 1, args3.GETATTR3args(file), nfs.cred) for _ in range(500)]
    sizes = []
    for xid in xids:
        record = nfs.receive_record()
        assert int.from_bytes(record[:4], "big") == xid
        sizes.append(len(record))
    assert sizes == [24 + 4 + 88 + 12 + len(body)] * 40 + [24 + 4 + 84] * 500


def test_a_client_that_reads_nothing_does_not_keep_others_waiting(nfs, ports):
    file = nfs.create(nfs.mount("/bucket"), b"stuck")
    nfs.write(file, 0, bytes(1 << 20))
    with NfsClient("127.0.0.1", ports["nfs"], ports["mount"]) as stuck:
        stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        stuck.socket.settimeout(1)
        before = resident_bytes(ports["pid"])
        message = call_bytes(1, 100003, 3, 6, args3.READ3args(file, 0, 1 << 20), stuck.cred)
        with pytest.raises(TimeoutError):
            stuck.socket.sendall((record_mark(len(message)) + message) * 100_000)
        assert nfs.getattr(file).size == 1 << 20
        assert resident_bytes(ports["pid"]) - before < 64 << 20


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_several_clients_are_served_side_by_side(ports):
    errors = []

    def work(number):
        try:
            with NfsClient("127.0.0.1", ports["nfs"], ports["mount"], cred=auth_sys(number)) as client:
                root = client.mount("/bucket")
                file = client.create(root, b"client%d" % number)
                for round_ in range(50):
                    client.write(file, 0, b"%d" % round_)
                    assert client.read(file, 0, 10) == b"%d" % round_
                assert client.getattr(file).uid == number
        except (AssertionError, OSError, NfsStatus) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []


def test_a_call_that_is_not_accepted_says_why(nfs):
    with pytest.raises(RpcFailed) as failed:
        nfs.rpc(100003, 4, 0)
    assert (failed.value.reply.accepted, failed.value.reply.high) == (rpc.accept_stat.PROG_MISMATCH, 3)


def test_the_nfs_port_serves_no_mount_when_it_is_a_port_of_its_own(nfs):
    with pytest.raises(RpcFailed) as failed:
        nfs.rpc(100005, 3, 0)
    assert failed.value.reply.accepted == rpc.accept_stat.PROG_UNAVAIL


def test_the_port_mapper_tells_the_real_ports_by_tcp_and_udp(ports):
    with RpcClient("127.0.0.1", ports["portmap"]) as client:
        wanted = pmap.mapping(100003, 3, pmap.IPPROTO_TCP, 0)
        assert client.rpc(100000, 2, pmap.PMAPPROC_GETPORT, wanted).uint32() == ports["nfs"]
        dumped = decode(pmap.dump_result.unpack, client.rpc(100000, 2, pmap.PMAPPROC_DUMP)).mappings
        assert pmap.mapping(100005, 3, pmap.IPPROTO_UDP, ports["mount"]) in dumped
    wanted = pmap.mapping(100005, 3, pmap.IPPROTO_UDP, 0)
    assert by_udp(ports["portmap"], 100000, 2, pmap.PMAPPROC_GETPORT, wanted).uint32() == ports["mount"]


def test_mount_answers_by_udp(ports):
    assert not by_udp(ports["mount"], 100005, 3, 0).rest()


def by_udp(port, prog, vers, proc, args=b""):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(call_bytes(3, prog, vers, proc, args), ("127.0.0.1", port))
        results = Unpacker(sock.recv(65536))
    assert rpc.unpack_reply(results).accepted == rpc.accept_stat.SUCCESS
    return results
