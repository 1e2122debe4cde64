"""MOUNT and the port mapper (reliability: N04, R03 to R05, R09)."""

import pytest
from door import BUCKET, Door
from nfs_client import call_bytes

from foundation import errors
from namespace.api import Caller, FileId, SetAttr
from protocols.nfs.codec import mount as wire
from protocols.nfs.codec import portmap as pmap
from protocols.nfs.codec import rpc
from protocols.nfs.codec.mount import mountstat3
from protocols.nfs.codec.nfs3_args import GETATTR3args
from protocols.nfs.codec.nfs3_types import nfsstat3
from protocols.nfs.codec.xdr import Unpacker, decode
from protocols.nfs.dispatch import Call, Dispatcher, Peer
from protocols.nfs.exports import Export
from protocols.nfs.mount import MountTable
from protocols.nfs.portmap import Portmap


@pytest.fixture
def door():
    door = Door(BUCKET, Export("/gone", ("192.0.2.0/24",)), Export("/hidden", ("10.0.0.0/8",)))
    root = door.namespace.roots[1].attr.file
    run(door.namespace.mkdir(Caller(0, 0), root, b"dir", SetAttr()))
    run(door.namespace.symlink(Caller(0, 0), root, b"link", b"dir", SetAttr()))
    run(door.namespace.create(Caller(0, 0), root, b"file", 0, SetAttr(), b""))
    return door


def run(work):
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def test_a_bucket_mounts_with_its_canonical_handle(door):
    assert door.mount(b"/bucket") == door.mount(b"/bucket/") == door.root


def test_version_1_gives_the_same_handle_in_its_32_bytes(door):
    assert door.mount(b"/bucket", version=1) == door.root


def test_n05_a_directory_below_an_export_mounts_as_the_caller(door):
    inner = run(door.namespace.lookup(Caller(0, 0), FileId(1, 1, 7), b"dir")).file.file
    door.namespace.callers.clear()
    assert door.mount(b"/bucket/dir") == door.handle(inner)
    assert door.namespace.callers == [Caller(1000, 100, frozenset({7, 8}))]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/bucket/../hidden", mountstat3.MNT3ERR_ACCES),
        (b"/hidden", mountstat3.MNT3ERR_ACCES),
        (b"/none", mountstat3.MNT3ERR_ACCES),
        (b"/BUCKET", mountstat3.MNT3ERR_ACCES),
        (b"/", mountstat3.MNT3ERR_ACCES),
        (b"/gone", mountstat3.MNT3ERR_NOENT),
        (b"/bucket/none", mountstat3.MNT3ERR_NOENT),
        (b"/bucket/link", mountstat3.MNT3ERR_ACCES),
        (b"/bucket/file", mountstat3.MNT3ERR_NOTDIR),
        (b"/bucket/file/x", mountstat3.MNT3ERR_NOTDIR),
        (b"/" + b"x" * 1024, mountstat3.MNT3ERR_NAMETOOLONG),
        (b"/\xff", mountstat3.MNT3ERR_ACCES),
    ],
)
def test_n04_a_path_that_cannot_be_mounted_is_refused_by_its_reason(door, path, status):
    assert door.mount(path) == status
    assert door.mount(path, version=1) == status


def test_a_sub_directory_export_mounts_at_its_own_top(door):
    top = run(door.namespace.lookup(Caller(0, 0), FileId(1, 1, 7), b"dir")).file.file
    door.exports.replace([BUCKET, Export("/bucket/dir", ("192.0.2.0/24",), id=9)])
    assert door.mount(b"/bucket/dir") == door.handle(top, 9)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotPermitted(), mountstat3.MNT3ERR_PERM),
        (errors.NotFound(), mountstat3.MNT3ERR_NOENT),
        (errors.StaleHandle(), mountstat3.MNT3ERR_NOENT),
        (errors.AccessDenied(), mountstat3.MNT3ERR_ACCES),
        (errors.NotDirectory(), mountstat3.MNT3ERR_NOTDIR),
        (errors.InvalidName(), mountstat3.MNT3ERR_INVAL),
        (errors.NameTooLong(), mountstat3.MNT3ERR_NAMETOOLONG),
        (errors.NotSupported(), mountstat3.MNT3ERR_NOTSUPP),
        (errors.Unavailable(), mountstat3.MNT3ERR_IO),
        (errors.Corrupt(), mountstat3.MNT3ERR_IO),
        (ZeroDivisionError(), mountstat3.MNT3ERR_SERVERFAULT),
    ],
)
def test_what_goes_wrong_on_the_way_has_a_mount_status(door, error, status):
    door.namespace.fail_with = error
    assert door.mount(b"/bucket/dir") == status
    door.namespace.fail_with = error
    in_version_1 = status if status < mountstat3.MNT3ERR_NOTSUPP else mountstat3.MNT3ERR_IO
    assert door.mount(b"/bucket/dir", version=1) == in_version_1


def test_n04_names_may_have_any_bytes(door):
    root = door.namespace.roots[1].attr.file
    odd = b"\xff caf\xc3\xa9\n"
    made = run(door.namespace.mkdir(Caller(0, 0), root, odd, SetAttr())).file.file
    assert door.mount(b"/bucket/" + odd) == door.handle(made)


def test_n09_a_secure_export_is_mounted_from_privileged_ports_alone(door):
    door.exports.replace([Export("/bucket", ("192.0.2.0/24",), secure=True)])
    door.port = 1023
    handle = door.mount(b"/bucket")
    door.ok("GETATTR", GETATTR3args(handle))
    door.port = 1024
    assert door.mount(b"/bucket") == mountstat3.MNT3ERR_ACCES
    assert door.nfs("GETATTR", GETATTR3args(handle))[0] == nfsstat3.NFS3ERR_ACCES


def mounts(door):
    return decode(wire.dump_result.unpack, door.rpc(100005, 3, wire.MOUNTPROC_DUMP)[1]).mounts


def test_the_table_of_mounts_shows_everyone_their_own(door):
    door.mount(b"/bucket")
    door.mount(b"/bucket/dir", version=1)
    mine = (wire.mountbody(b"192.0.2.7", b"/bucket"), wire.mountbody(b"192.0.2.7", b"/bucket/dir"))
    assert mounts(door) == mine
    door.host = "192.0.2.8"
    assert mounts(door) == ()
    door.host = "127.0.0.1"
    assert mounts(door) == mine
    door.host = "192.0.2.7"
    door.rpc(100005, 3, wire.MOUNTPROC_UMNT, wire.path_args(b"/bucket"))
    assert mounts(door) == mine[1:]
    door.rpc(100005, 1, wire.MOUNTPROC_UMNTALL)
    assert mounts(door) == ()


def test_the_table_of_mounts_is_bounded(monkeypatch):
    monkeypatch.setattr("protocols.nfs.mount._MAX_MOUNTS", 10)
    table = MountTable()
    for number in range(50):
        table.add("192.0.2.1", b"/%d" % number)
    table.add("192.0.2.1", b"/45")
    assert len(table._mounts) == 10


def test_exports_are_shown_to_whom_may_mount_them(door):
    shown = decode(wire.export_result.unpack, door.rpc(100005, 3, wire.MOUNTPROC_EXPORT)[1]).exports
    assert [(each.ex_dir, [group.gr_name for group in each.ex_groups]) for each in shown] == [
        (b"/bucket", [b"192.0.2.0/24"]),
        (b"/gone", [b"192.0.2.0/24"]),
    ]


@pytest.mark.parametrize("proc", [wire.MOUNTPROC_EXPORT, wire.MOUNTPROC_DUMP])
def test_by_udp_nothing_is_answered_that_dwarfs_the_question(door, proc):
    reply = door.message(call_bytes(1, 100005, 3, proc), datagram=True)
    assert rpc.unpack_reply(Unpacker(reply)).accepted == rpc.accept_stat.PROC_UNAVAIL
    door.host = "127.0.0.1"
    reply = door.message(call_bytes(1, 100005, 3, proc), datagram=True)
    assert rpc.unpack_reply(Unpacker(reply)).accepted == rpc.accept_stat.SUCCESS


class TestPortmap:
    """The port mapper, version 2."""

    served = (pmap.mapping(100003, 3, 6, 2049), pmap.mapping(100005, 3, 17, 20048))

    @pytest.fixture
    def portmap(self):
        return Dispatcher([Portmap(self.served)])

    def ask(self, portmap, proc, args=b"", *, local=False, datagram=False, vers=2):
        peer = Peer("127.0.0.1" if local else "192.0.2.7", 9, local, datagram)
        call = portmap.open(call_bytes(3, 100000, vers, proc, args), peer)
        if isinstance(call, Call):
            call = b"".join(run(portmap.run(call)))
        unpacker = Unpacker(call)
        return rpc.unpack_reply(unpacker), unpacker

    def port(self, portmap, *wanted):
        return self.ask(portmap, pmap.PMAPPROC_GETPORT, pmap.mapping(*wanted, 0))[1].uint32()

    def test_it_tells_the_port_of_what_is_served_and_0_for_the_rest(self, portmap):
        assert self.port(portmap, 100003, 3, 6) == 2049
        assert self.port(portmap, 100005, 3, 17) == 20048
        assert self.port(portmap, 100003, 3, 17) == 0
        assert self.port(portmap, 100003, 4, 6) == 0

    @pytest.mark.parametrize("vers", [3, 4])
    def test_rpcbind_is_sent_back_to_version_2(self, portmap, vers):
        reply, _ = self.ask(portmap, 3, vers=vers)
        assert (reply.accepted, reply.low, reply.high) == (rpc.accept_stat.PROG_MISMATCH, 2, 2)

    def test_it_dumps_by_tcp_and_not_by_udp(self, portmap):
        reply, results = self.ask(portmap, pmap.PMAPPROC_DUMP)
        assert decode(pmap.dump_result.unpack, results).mappings == self.served
        reply, _ = self.ask(portmap, pmap.PMAPPROC_DUMP, datagram=True)
        assert reply.accepted == rpc.accept_stat.PROC_UNAVAIL

    def test_programs_of_this_host_alone_may_set_and_unset_their_own(self, portmap):
        lockd = pmap.mapping(100021, 4, 6, 4045)
        for proc in (pmap.PMAPPROC_SET, pmap.PMAPPROC_UNSET):
            assert self.ask(portmap, proc, lockd)[1].uint32() == 0
        assert self.ask(portmap, pmap.PMAPPROC_SET, lockd, local=True)[1].uint32() == 1
        assert self.ask(portmap, pmap.PMAPPROC_SET, lockd, local=True)[1].uint32() == 0
        assert self.port(portmap, 100021, 4, 6) == 4045
        assert self.ask(portmap, pmap.PMAPPROC_UNSET, lockd, local=True)[1].uint32() == 1
        assert self.port(portmap, 100021, 4, 6) == 0

    def test_what_the_gateway_serves_cannot_be_changed(self, portmap):
        stolen = pmap.mapping(100003, 3, 6, 666)
        assert self.ask(portmap, pmap.PMAPPROC_SET, stolen, local=True)[1].uint32() == 0
        assert self.ask(portmap, pmap.PMAPPROC_UNSET, stolen, local=True)[1].uint32() == 0
        assert self.port(portmap, 100003, 3, 6) == 2049

    def test_what_can_be_set_is_bounded(self, portmap):
        done = [
            self.ask(portmap, pmap.PMAPPROC_SET, pmap.mapping(number, 1, 6, 1), local=True)[1].uint32()
            for number in range(300)
        ]
        assert sum(done) == 256

    @pytest.mark.parametrize("proc", [5, 6])
    def test_it_calls_nobody_on_anyones_behalf(self, portmap, proc):
        assert self.ask(portmap, proc, local=True)[0].accepted == rpc.accept_stat.PROC_UNAVAIL
