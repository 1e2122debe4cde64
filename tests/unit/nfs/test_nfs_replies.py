"""The reply cache of the NFS door: what runs once, who may see which reply, and how much is kept."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from door import HOST, Door
from nfs_client import PROC, auth_sys, call_bytes
from test_nfs_connection import Transport

from foundation import errors
from foundation.aio import Promise
from foundation.clock import ManualClock
from namespace.api import Linked, Made, Wcc
from protocols.nfs.budget import Budget, Limits
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec import rpc
from protocols.nfs.codec.nfs3_results import unpack_result
from protocols.nfs.codec.nfs3_types import createhow3, createmode3, mknoddata3, nfsstat3, sattr3
from protocols.nfs.codec.record import RecordReader, record_mark
from protocols.nfs.codec.xdr import Unpacker
from protocols.nfs.dispatch import Dispatcher
from protocols.nfs.listener import RpcListener
from protocols.nfs.replies import ENTRY_BYTES, ReplyCache, ReplyLimits, fingerprint

OK, EXIST, NOENT = nfsstat3.NFS3_OK, nfsstat3.NFS3ERR_EXIST, nfsstat3.NFS3ERR_NOENT


class Service:
    """A door with a reply cache, and connections to it."""

    def __init__(self, **limits: Any) -> None:
        self.clock = ManualClock()
        self.door = Door()
        self.cache = ReplyCache(self.clock, ReplyLimits(**limits))
        self.dispatcher = Dispatcher([self.door.program], self.cache)
        budget = Budget(1 << 30, self.clock)
        self.listener = RpcListener(self.dispatcher, Limits(), budget, self.clock)

    @property
    def ran(self) -> int:
        """Return how many verbs were called."""
        return len(self.door.namespace.callers)

    def connect(self, host: str = HOST) -> Any:
        connection = self.listener.buildProtocol(None)
        connection.makeConnection(Transport(host))
        return connection

    def record(self, name: str, args: Any, xid: int = 5, cred: Any = None) -> bytes:
        return call_bytes(xid, 100003, 3, PROC[name], args, cred or self.door.cred)

    def mkdir(self, name: bytes = b"d", xid: int = 5, cred: Any = None) -> bytes:
        return self.record("MKDIR", args3.MKDIR3args(self.door.at(name), sattr3()), xid, cred)


def send(connection: Any, *records: bytes) -> None:
    connection.dataReceived(b"".join(record_mark(len(record)) + record for record in records))


def replies(connection: Any) -> list[bytes]:
    reader = RecordReader(4 << 20)
    reader.feed(b"".join(connection.transport.written))
    return list(iter(reader.next_record, None))


def statuses(connection: Any) -> list[tuple[int, int]]:
    """Return the xid and the status of each reply."""
    found = []
    for reply in replies(connection):
        unpacker = Unpacker(reply)
        head = rpc.unpack_reply(unpacker)
        assert head.accepted == rpc.accept_stat.SUCCESS
        found.append((head.xid, unpacker.uint32()))
    return found


@pytest.fixture
def service() -> Service:
    return Service()


def nine(service: Service) -> dict[str, Any]:
    """Make what they are about, and return arguments of the nine procedures that must not run twice."""
    door = service.door
    made = door.ok("CREATE", args3.CREATE3args(door.at(b"file"), createhow3(createmode3.GUARDED)))
    door.ok("CREATE", args3.CREATE3args(door.at(b"remove"), createhow3(createmode3.GUARDED)))
    door.ok("CREATE", args3.CREATE3args(door.at(b"rename"), createhow3(createmode3.GUARDED)))
    door.ok("MKDIR", args3.MKDIR3args(door.at(b"rmdir"), sattr3()))
    return {
        "SETATTR": args3.SETATTR3args(made.obj, sattr3(mode=0o600), made.obj_attributes.ctime),
        "CREATE": args3.CREATE3args(door.at(b"create"), createhow3(createmode3.GUARDED)),
        "MKDIR": args3.MKDIR3args(door.at(b"mkdir"), sattr3()),
        "SYMLINK": args3.SYMLINK3args(door.at(b"symlink"), args3.symlinkdata3(sattr3(), b"to")),
        "MKNOD": args3.MKNOD3args(door.at(b"mknod"), mknoddata3(7, sattr3())),
        "REMOVE": args3.REMOVE3args(door.at(b"remove")),
        "RMDIR": args3.RMDIR3args(door.at(b"rmdir")),
        "RENAME": args3.RENAME3args(door.at(b"rename"), door.at(b"renamed")),
        "LINK": args3.LINK3args(made.obj, door.at(b"link")),
    }


def test_each_of_the_nine_runs_once_whatever_connection_it_comes_by(service):
    arguments = nine(service)
    assert set(arguments) == {
        name for name, number in PROC.items() if not service.door.program.procedures[number].idempotent
    }
    for name, args in arguments.items():
        record = service.record(name, args)
        first, second = service.connect(), service.connect()
        before = service.ran
        send(first, record)
        send(first, record)
        send(second, record)
        assert service.ran == before + 1
        assert statuses(first) == [(5, OK), (5, OK)], name
        assert replies(second) == replies(first)[:1], name
        unpacker = Unpacker(replies(second)[0])
        rpc.unpack_reply(unpacker)
        unpack_result(PROC[name], unpacker)


@pytest.mark.parametrize(
    "verb", ["SETATTR", "CREATE", "MKDIR", "SYMLINK", "MKNOD", "REMOVE", "RMDIR", "RENAME", "LINK"]
)
def test_each_of_the_nine_tells_its_verb_which_request_it_is(service, monkeypatch, verb):
    record = service.record(verb, nine(service)[verb])
    told = []
    run = getattr(service.door.namespace, verb.lower())

    async def listen(*arguments):
        told.append(arguments[-1])
        return await run(*arguments)

    monkeypatch.setattr(service.door.namespace, verb.lower(), listen)
    send(service.connect(), record)
    assert told == [fingerprint(HOST, record)]


def test_an_answer_from_a_record_has_no_attributes_of_before_and_may_have_no_object(service, monkeypatch):
    door = service.door
    attr = door.namespace.roots[1].attr

    async def made(*_):
        return Made(None, Wcc(None, attr))

    async def linked(*_):
        return Linked(None, Wcc(None, None))

    monkeypatch.setattr(door.namespace, "mkdir", made)
    monkeypatch.setattr(door.namespace, "link", linked)
    arguments = nine(service)
    answer = door.ok("MKDIR", arguments["MKDIR"])
    assert (answer.obj, answer.obj_attributes, answer.dir_wcc.before) == (None, None, None)
    assert answer.dir_wcc.after.fileid == attr.file.ino
    answer = door.ok("LINK", arguments["LINK"])
    assert (answer.file_attributes, answer.linkdir_wcc.before, answer.linkdir_wcc.after) == (None, None, None)


def test_what_may_run_twice_runs_twice_and_is_kept_nowhere(service):
    connection = service.connect()
    record = service.record("GETATTR", args3.GETATTR3args(service.door.root))
    send(connection, record, record)
    assert service.ran == 2
    assert service.cache._hosts == {}
    call = service.dispatcher.open(record, connection.peer)
    assert call.request == b""


def test_a_failure_is_kept_too(service):
    connection = service.connect()
    record = service.record("REMOVE", args3.REMOVE3args(service.door.at(b"none")))
    send(connection, record)
    service.door.ok("CREATE", args3.CREATE3args(service.door.at(b"none"), createhow3(createmode3.GUARDED)))
    send(connection, record)
    assert statuses(connection) == [(5, NOENT), (5, NOENT)]


@pytest.mark.parametrize("later", ["same connection", "new connection"])
def test_a_duplicate_of_what_runs_joins_its_wait(service, later):
    service.door.namespace.hold = hold = Promise()
    first = service.connect()
    send(first, service.mkdir())
    other = first if later == "same connection" else service.connect()
    send(other, service.mkdir(), service.mkdir())
    assert service.ran == 1
    assert replies(first) == replies(other) == []
    hold.resolve(None)
    service.clock.advance(0)
    assert statuses(other) == [(5, OK)] * (3 if other is first else 2)
    assert len({*replies(first), *replies(other)}) == 1
    assert service.ran == 1


def test_a_duplicate_gets_the_reply_when_the_first_connection_is_gone(service):
    service.door.namespace.hold = hold = Promise()
    first = service.connect()
    send(first, service.mkdir())
    first.connectionLost()
    second, third = service.connect(), service.connect()
    send(second, service.mkdir())
    hold.resolve(None)
    service.clock.advance(0)
    send(third, service.mkdir())
    assert statuses(second) == statuses(third) == [(5, OK)]
    assert replies(first) == []
    assert service.ran == 1


def test_an_unknown_outcome_is_kept_from_nobody_and_asked_for_again(service):
    namespace = service.door.namespace
    namespace.hold, namespace.fail_with = Promise(), errors.NoReply()
    first, second = service.connect(), service.connect()
    send(first, service.mkdir())
    send(second, service.mkdir())
    hold, namespace.hold = namespace.hold, None
    hold.resolve(None)
    service.clock.advance(0)
    assert first.transport.state == second.transport.state == "closed"
    assert replies(first) == replies(second) == []
    third = service.connect()
    send(third, service.mkdir())
    assert statuses(third) == [(5, OK)]
    assert service.ran == 2


@pytest.mark.parametrize("other", ["address", "uid", "xid", "arguments"])
def test_another_clients_user_s_or_request_s_reply_is_never_met(service, other):
    """Reliability R01: a reply is found by address, credential, xid and arguments, all of them."""
    connection = service.connect()
    send(connection, service.mkdir())
    host = "192.0.2.99" if other == "address" else HOST
    cred = auth_sys(1001, 100) if other == "uid" else None
    record = service.mkdir(b"e" if other == "arguments" else b"d", 6 if other == "xid" else 5, cred)
    stranger = service.connect(host)
    send(stranger, record)
    assert service.ran == 2
    assert [status for _, status in statuses(stranger)] == [OK if other == "arguments" else EXIST]


def test_an_address_that_ends_like_a_record_begins_is_no_other_client():
    assert fingerprint("192.0.2.1", b"1x") != fingerprint("192.0.2.11", b"x")
    assert len(fingerprint("192.0.2.1", b"")) == 16


def test_a_client_that_the_export_does_not_let_in_any_more_gets_what_it_got(service):
    connection = service.connect()
    send(connection, service.mkdir())
    service.door.exports.replace([])
    send(connection, service.mkdir(), service.mkdir(b"e", 6))
    assert statuses(connection) == [(5, OK), (5, OK), (6, nfsstat3.NFS3ERR_STALE)]


def test_replies_are_kept_for_two_minutes(service):
    connection = service.connect()
    send(connection, service.mkdir())
    service.clock.advance(119)
    connection = service.connect()
    send(connection, service.mkdir())
    assert service.ran == 1
    service.clock.advance(1)
    send(connection, service.mkdir())
    assert statuses(connection) == [(5, OK), (5, EXIST)]


def test_old_replies_of_hosts_that_are_silent_go_while_others_ask(service):
    quiet = service.connect("192.0.2.1")
    send(quiet, *(service.mkdir(b"q%d" % xid, xid) for xid in range(10)))
    service.clock.advance(121)
    busy = service.connect("192.0.2.2")
    send(busy, *(service.mkdir(b"b%d" % xid, xid) for xid in range(5)))
    assert set(service.cache._hosts) == {"192.0.2.2"}
    assert weight(service) == service.cache._size


def weight(service: Service) -> int:
    """Return what the cache holds, counted anew."""
    total = 0
    for host in service.cache._hosts.values():
        size = sum(len(given.reply) + ENTRY_BYTES for given in host.given.values())
        assert size == host.size > 0
        total += size
    return total


def test_s11_a_flood_of_one_host_is_bounded_and_costs_others_nothing():
    """Reliability S11: bounded per client, and nothing that runs is forgotten."""
    service = Service(bytes_per_host=20_000, bytes_in_all=30_000)
    service.door.namespace.hold = hold = Promise()
    running = service.connect("192.0.2.1")
    send(running, service.mkdir(b"running"))
    service.door.namespace.hold = None
    quiet, flood = service.connect("192.0.2.2"), service.connect("192.0.2.3")
    send(quiet, service.mkdir(b"quiet"))
    for xid in range(500):
        send(flood, service.mkdir(b"f%d" % xid, xid))
        assert weight(service) == service.cache._size <= 30_000
    assert service.cache._hosts["192.0.2.3"].size <= 20_000
    before = service.ran
    send(service.connect("192.0.2.1"), service.mkdir(b"running"))
    send(quiet, service.mkdir(b"quiet"))
    send(flood, service.mkdir(b"f499", 499))
    assert service.ran == before
    hold.resolve(None)
    send(flood, service.mkdir(b"f0", 0))
    assert service.ran == before + 1


def test_many_hosts_share_the_room_and_the_busiest_makes_it():
    service = Service(bytes_per_host=20_000, bytes_in_all=20_000)
    quiet = service.connect("192.0.2.1")
    send(quiet, service.mkdir(b"quiet"))
    for xid in range(300):
        send(service.connect(f"192.0.2.{2 + xid % 2}"), service.mkdir(b"f%d" % xid, xid))
    assert weight(service) == service.cache._size <= 20_000
    before = service.ran
    send(quiet, service.mkdir(b"quiet"))
    assert service.ran == before
    for host in range(4, 100):
        send(service.connect(f"192.0.2.{host}"), service.mkdir(b"h%d" % host, host))
    assert weight(service) == service.cache._size <= 20_000


def test_a_reply_that_is_larger_than_all_room_is_given_and_not_kept():
    """Reliability R02: a reply is kept whole or not at all."""
    service = Service(bytes_per_host=450)
    connection = service.connect()
    send(connection, service.mkdir())
    send(connection, service.mkdir())
    assert statuses(connection) == [(5, OK), (5, EXIST)]
    assert len(replies(connection)[1]) + ENTRY_BYTES < 450
    assert weight(service) == service.cache._size == len(replies(connection)[1]) + ENTRY_BYTES


def test_what_a_kept_reply_weighs_is_counted():
    cache, reply = ReplyCache(ManualClock()), bytes(250)
    count = 20_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            cache._keep(HOST, b"%016d" % number, b"%s%d" % (reply, number % 10))
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used / count - 251 <= ENTRY_BYTES
    assert used > cache._size / 2
