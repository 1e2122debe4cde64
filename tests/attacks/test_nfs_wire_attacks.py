"""Attacks on the RPC layer of the NFS door, one test each: what floods, what lies about lengths, what is not served.

The letters in the names are the kinds of attack (S: exhaustion, N: NFS rights, P: paths and names, R: RPC services),
numbered for good, so that a report can name them.
"""
# ruff: noqa: N802 - attacks have capital letters

from __future__ import annotations

import tracemalloc

import pytest
from nfs_client import PROC, RpcClient, RpcFailed, auth_sys, call_bytes
from nfs_hall import NfsHall
from nfs_wire import NfsWire, answers, framed, xids
from scene import Scene

from protocols.nfs.codec import mount as mount_wire
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec import portmap as pmap
from protocols.nfs.codec import rpc
from protocols.nfs.codec.nfs3_results import SIGNATURES
from protocols.nfs.codec.nfs3_types import NFS_PROGRAM
from protocols.nfs.codec.record import MAX_FRAGMENTS, record_mark
from protocols.nfs.codec.xdr import Unpacker, encode
from protocols.nfs.dispatch import Call, Dispatcher, Peer
from protocols.nfs.mount import _MAX_MOUNTS
from protocols.nfs.portmap import Portmap

ACL_PROGRAM = 100227


@pytest.fixture
def hall():
    return NfsHall()


@pytest.fixture
def nfs(hall):
    return hall.client()


@pytest.fixture
def wire(nfs):
    return NfsWire(nfs.dispatcher)


def refusal(nfs, message):
    """Return the reply head to *message*, which must not have been run."""
    reply = rpc.unpack_reply(Unpacker(nfs.message(message)))
    assert reply.accepted != rpc.accept_stat.SUCCESS
    return reply


@pytest.mark.parametrize(
    ("first", "then", "seconds"),
    [(b"", b"", 30), (record_mark(100)[:2], b"", 10), (record_mark(100), b"", 10), (record_mark(100), b"x", 10)],
    ids=["nothing", "half a mark", "half a record", "a byte a second"],
)
def test_S02_who_says_nothing_or_drips_is_closed_in_time_while_others_are_served(wire, first, then, seconds):
    slow = [wire.connect() for _ in range(200)]
    for each in slow:
        each.dataReceived(first) if first else None
    other = wire.connect("192.0.2.8")
    for second in range(seconds + 5):
        for each in slow:
            if then and each.transport.state == "open":
                each.dataReceived(then)
        other.dataReceived(framed(call_bytes(second, NFS_PROGRAM, 3, 0)))
        wire.clock.advance(1.0)
    assert {each.transport.state for each in slow} == {"closed"}
    assert (xids(other), other.transport.state) == (list(range(seconds + 5)), "open")


@pytest.mark.parametrize(
    "stream",
    [
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff",
        bytes(4_000_000),
        b"\0\0\0\1x" * 1_000_000,
        (b"\0\x01\0\0" + bytes(1 << 16)) * 100,
        b"\0\x10\x20\x01",
    ],
    ids=["2^31-1", "2^31-1, the last", "10^6 empty ones", "10^6 of a byte", "never the last", "one byte too many"],
)
def test_S03_fragments_that_are_too_long_or_too_many_close_the_connection_and_cost_no_memory(wire, stream):
    connection = wire.connect()
    tracemalloc.start()
    for at in range(0, len(stream), 1 << 16):
        if connection.transport.state == "open":
            connection.dataReceived(stream[at : at + (1 << 16)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert connection.transport.state == "closed"
    assert peak < 3 * wire.limits.record_bytes
    assert MAX_FRAGMENTS <= 1024


@pytest.mark.parametrize("length", [2**32 - 1, 2**32 - 3, 2**31, 65])
@pytest.mark.parametrize("number", SIGNATURES)
def test_S04_a_length_that_overflows_is_garbage_and_allocates_nothing(nfs, number, length):
    message = call_bytes(1, NFS_PROGRAM, 3, number, length.to_bytes(4, "big") + bytes(64), auth_sys())
    nfs.message(message)  # what is made once is made
    tracemalloc.start()
    reply = refusal(nfs, message)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reply.accepted == rpc.accept_stat.GARBAGE_ARGS
    assert peak < 1 << 16


def test_S04_credentials_that_are_too_long_are_refused(nfs):
    head = call_bytes(1, NFS_PROGRAM, 3, 1)[:24]
    for length in (401, 2**32 - 3, 2**32 - 1):
        assert refusal(nfs, head + (1).to_bytes(4, "big") + length.to_bytes(4, "big") + bytes(404)).auth == (
            rpc.auth_stat.AUTH_BADCRED
        )
    seventeen = auth_sys(gids=tuple(range(16))).body[:-68] + (17).to_bytes(4, "big") + bytes(68)
    message = call_bytes(1, NFS_PROGRAM, 3, 1, b"", rpc.opaque_auth(1, seventeen))
    assert refusal(nfs, message).auth == rpc.auth_stat.AUTH_BADCRED


@pytest.mark.parametrize(
    ("cred", "why"),
    [
        (rpc.NO_AUTH, rpc.auth_stat.AUTH_TOOWEAK),
        (rpc.opaque_auth(2, b"abcd"), rpc.auth_stat.AUTH_REJECTEDCRED),
        (rpc.opaque_auth(3, b""), rpc.auth_stat.AUTH_TOOWEAK),
        (rpc.opaque_auth(6, b"\0\0\0\1"), rpc.auth_stat.AUTH_TOOWEAK),
        (rpc.opaque_auth(2**32 - 1, b""), rpc.auth_stat.AUTH_TOOWEAK),
        (rpc.opaque_auth(1, bytes(4) + (256).to_bytes(4, "big") + b"n" * 256 + bytes(12)), rpc.auth_stat.AUTH_BADCRED),
        (rpc.opaque_auth(1, auth_sys().body + bytes(4)), rpc.auth_stat.AUTH_BADCRED),
        (rpc.opaque_auth(1, auth_sys().body[:-1]), rpc.auth_stat.AUTH_BADCRED),
    ],
    ids=["none", "short", "DH", "GSS", "unknown", "a machine name of 256", "trailing bytes", "cut"],
)
@pytest.mark.parametrize("name", PROC)
def test_N08_no_procedure_but_null_runs_for_a_credential_that_is_not_accepted(nfs, name, cred, why):
    reply = refusal(nfs, call_bytes(1, NFS_PROGRAM, 3, PROC[name], b"", cred))
    assert (reply.rejected, reply.auth) == (rpc.reject_stat.AUTH_ERROR, why)
    nfs.rpc(NFS_PROGRAM, 3, 0, b"", cred)


@pytest.mark.parametrize(
    ("prog", "vers", "stat", "served"),
    [
        (NFS_PROGRAM, 2, "PROG_MISMATCH", (3, 3)),
        (NFS_PROGRAM, 4, "PROG_MISMATCH", (3, 3)),
        (NFS_PROGRAM, 0, "PROG_MISMATCH", (3, 3)),
        (NFS_PROGRAM, 2**32 - 1, "PROG_MISMATCH", (3, 3)),
        (mount_wire.MOUNT_PROGRAM, 2, "PROG_MISMATCH", (1, 3)),
        (mount_wire.MOUNT_PROGRAM, 4, "PROG_MISMATCH", (1, 3)),
        (ACL_PROGRAM, 3, "PROG_UNAVAIL", (0, 0)),
        (ACL_PROGRAM, 2, "PROG_UNAVAIL", (0, 0)),
        (0, 3, "PROG_UNAVAIL", (0, 0)),
    ],
)
def test_N14_what_is_not_served_says_so_with_the_versions_that_are(nfs, prog, vers, stat, served):
    for cred in (rpc.NO_AUTH, auth_sys(), rpc.opaque_auth(6, b"\0\0\0\1")):
        reply = refusal(nfs, call_bytes(1, prog, vers, 0, b"", cred))
        assert (reply.accepted.name, (reply.low, reply.high)) == (stat, served)


def test_N14_a_probe_of_version_4_or_2_leads_a_client_of_a_whole_house_to_version_3(house):
    with RpcClient("127.0.0.1", house.nfs_port) as probe:
        for vers, cred in ((4, auth_sys()), (2, rpc.NO_AUTH), (4, rpc.NO_AUTH)):
            with pytest.raises(RpcFailed) as refused:
                probe.rpc(NFS_PROGRAM, vers, 0, b"", cred)
            reply = refused.value.reply
            assert (reply.accepted, reply.low, reply.high) == (rpc.accept_stat.PROG_MISMATCH, 3, 3)
        with pytest.raises(RpcFailed) as refused:
            probe.rpc(ACL_PROGRAM, 3, 0)
        assert refused.value.reply.accepted == rpc.accept_stat.PROG_UNAVAIL
        probe.rpc(NFS_PROGRAM, 3, 0)


class PortmapDoor:
    """A port mapper alone."""

    def __init__(self):
        self.portmap = Portmap([pmap.mapping(NFS_PROGRAM, 3, pmap.IPPROTO_TCP, 2049)])
        self.dispatcher = Dispatcher([self.portmap])

    def ask(self, proc, args, vers=2, host="192.0.2.7", *, datagram=True):
        message = call_bytes(1, pmap.PMAP_PROG, vers, proc, args)
        call = self.dispatcher.open(message, Peer(host, 9, host.startswith("127."), datagram))
        if not isinstance(call, Call):
            return message, call
        out = [rpc.success(1)]
        with pytest.raises(StopIteration):
            call.program.answer(call, out).send(None)
        return message, b"".join(out)


MAPPING = pmap.mapping(200_000, 1, 17, 40_000)


def test_R03_an_answer_by_udp_is_never_much_longer_than_its_question():
    door = PortmapDoor()
    for vers in (2, 3, 4):
        for proc in range(14):
            for args in (b"", MAPPING, pmap.mapping(NFS_PROGRAM, 3, 6, 0)):
                question, answer = door.ask(proc, args, vers)
                assert len(answer) <= 1.2 * len(question), (vers, proc)
    assert rpc.unpack_reply(Unpacker(door.ask(pmap.PMAPPROC_DUMP, b"")[1])).accepted == rpc.accept_stat.PROC_UNAVAIL
    by_tcp = Unpacker(door.ask(pmap.PMAPPROC_DUMP, b"", datagram=False)[1])
    assert rpc.unpack_reply(by_tcp).accepted == rpc.accept_stat.SUCCESS


def test_R04_nobody_from_elsewhere_sets_or_unsets_and_nothing_is_called_for_anybody():
    door = PortmapDoor()
    before = door.portmap.mappings()
    for proc in (pmap.PMAPPROC_SET, pmap.PMAPPROC_UNSET):
        for args in (MAPPING, pmap.mapping(NFS_PROGRAM, 3, 6, 1)):
            for datagram in (False, True):
                assert door.ask(proc, args, datagram=datagram)[1][24:] == bytes(4)
    for args in (b"", MAPPING, bytes(400)):
        reply = rpc.unpack_reply(Unpacker(door.ask(5, args)[1]))
        assert reply.accepted == rpc.accept_stat.PROC_UNAVAIL
    assert door.portmap.mappings() == before


def test_R05_dump_and_export_tell_a_host_nothing_that_is_not_its_own(hall):
    hall.client(host="192.0.2.7").mount("/bucket")
    for version in (1, 3):
        for host, mounts, exports in (("192.0.2.7", 1, 2), ("192.0.2.8", 0, 2), ("198.51.100.1", 0, 0)):
            client = hall.client(host=host)
            dumped = client.rpc(mount_wire.MOUNT_PROGRAM, version, mount_wire.MOUNTPROC_DUMP)
            assert len(mount_wire.dump_result.unpack(dumped).mounts) == mounts
            exported = client.rpc(mount_wire.MOUNT_PROGRAM, version, mount_wire.MOUNTPROC_EXPORT)
            assert len(mount_wire.export_result.unpack(exported).exports) == exports
            for proc in (mount_wire.MOUNTPROC_DUMP, mount_wire.MOUNTPROC_EXPORT):
                message = call_bytes(1, mount_wire.MOUNT_PROGRAM, version, proc)
                reply = rpc.unpack_reply(Unpacker(client.message(message, datagram=True)))
                assert reply.accepted == rpc.accept_stat.PROC_UNAVAIL


def test_R09_mounts_without_end_are_remembered_in_bounded_memory(hall):
    def mount(start):
        for number in range(start, start + 5 * _MAX_MOUNTS):
            hall.mounts.add(f"192.0.2.{number % 250}", b"/bucket/%d" % number)

    mount(0)
    tracemalloc.start()
    mount(5 * _MAX_MOUNTS)
    full = tracemalloc.get_traced_memory()[0]
    mount(10 * _MAX_MOUNTS)
    grown = tracemalloc.get_traced_memory()[0] - full
    tracemalloc.stop()
    assert len(hall.mounts._mounts) == _MAX_MOUNTS
    assert grown < 1 << 16


@pytest.mark.parametrize("number", SIGNATURES)
def test_arguments_that_are_cut_or_followed_by_more_are_garbage_for_every_procedure(nfs, number):
    args = encode(Scene(nfs, nfs, nfs.mount("/bucket")).good(SIGNATURES[number].name))
    for wrong in (args + bytes(4), args + b"x", args[:-1], args[:-4], b""):
        message = call_bytes(1, NFS_PROGRAM, 3, number, wrong, nfs.cred)
        assert refusal(nfs, message).accepted == rpc.accept_stat.GARBAGE_ARGS


def test_a_stream_of_refused_calls_leaves_the_connection_as_it_was(wire, nfs):
    connection = wire.connect()
    calls = [call_bytes(xid, NFS_PROGRAM, 3, xid % 40, b"", nfs.cred) for xid in range(400)]
    for _ in range(10):
        connection.dataReceived(framed(*calls[:40]))
        calls = calls[40:]
        wire.turn()
    wire.turn()
    assert len(answers(connection)) == 400
    assert connection.transport.state == "open"
    connection.dataReceived(
        framed(call_bytes(5, NFS_PROGRAM, 3, 1, args3.GETATTR3args(nfs.mount("/bucket")), nfs.cred))
    )
    assert answers(connection)[-1][24:28] == bytes(4)
