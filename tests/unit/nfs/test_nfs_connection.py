"""The TCP transport: order, limits and patience (reliability: S02, S03)."""
# ruff: noqa: N802 - the transport's methods have the names of Twisted's interfaces

import pytest
from door import HOST, Door
from nfs_client import PROC, call_bytes
from twisted.internet.address import IPv4Address

from foundation import errors
from foundation.aio import Promise
from foundation.clock import ManualClock
from protocols.nfs.budget import Budget, Limits
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec import rpc
from protocols.nfs.codec.nfs3_types import createhow3, createmode3
from protocols.nfs.codec.record import RecordReader, record_mark
from protocols.nfs.codec.xdr import Unpacker
from protocols.nfs.listener import RpcDatagrams, RpcListener


class Transport:
    """A TCP transport as the connection sees it; `takes` is False while the peer reads nothing."""

    def __init__(self, host):
        self.peer = IPv4Address("TCP", host, 700)
        self.written = []
        self.writes = 0
        self.reading = True
        self.state = "open"
        self.takes = True
        self.producer = None
        # What makes `DirectWriter` see a plain TCP transport with nothing queued.
        self.connected, self.disconnecting = True, False
        self.dataBuffer, self._tempDataBuffer = b"", []

    def getPeer(self):
        return self.peer

    def getHandle(self):
        return self

    def setsockopt(self, *_args):
        pass

    def setTcpNoDelay(self, on):
        assert on

    def sendmsg(self, buffers):
        if not self.takes:
            raise BlockingIOError
        self.writes += 1
        self.written += buffers
        return sum(map(len, buffers))

    def registerProducer(self, producer, streaming):
        assert streaming
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def writeSequence(self, buffers):
        assert all(isinstance(each, bytes) for each in buffers)
        self.written += buffers
        if buffers and self.producer:
            self.producer.pauseProducing()

    def pauseProducing(self):
        assert self.reading
        self.reading = False

    def resumeProducing(self):
        assert not self.reading
        self.reading = True

    def loseConnection(self):
        self.state = "closed"

    def abortConnection(self):
        self.state = "aborted"


class House:
    """A listener over the door of the other tests, with connections made by hand."""

    def __init__(self, **limits):
        self.door = Door()
        self.clock = ManualClock()
        self.limits = Limits(**limits)
        self.budget = Budget(self.limits.bytes_in_all, self.clock)
        self.listener = RpcListener(self.door.dispatcher, self.limits, self.budget, self.clock)

    def connect(self, host=HOST):
        connection = self.listener.buildProtocol(None)
        connection.makeConnection(Transport(host))
        return connection

    def getattr(self, xid):
        return self.call(xid, 1, args3.GETATTR3args(self.door.root))

    def call(self, xid, proc, args):
        message = call_bytes(xid, 100003, 3, proc, args, self.door.cred)
        return record_mark(len(message)) + message

    def turn(self):
        self.clock.advance(0.0)


def replies(connection):
    """Return the xids of the replies so far; each must be whole and NFS3_OK."""
    reader = RecordReader(4 << 20)
    reader.feed(b"".join(connection.transport.written))
    xids = []
    for record in iter(reader.next_record, None):
        unpacker = Unpacker(record)
        reply = rpc.unpack_reply(unpacker)
        assert reply.accepted == rpc.accept_stat.SUCCESS
        assert unpacker.uint32() == 0
        xids.append(reply.xid)
    assert not reader.mid_record()
    return xids


@pytest.fixture
def house():
    return House()


def test_calls_served_from_memory_are_answered_at_once_in_one_write(house):
    connection = house.connect()
    connection.dataReceived(b"".join(map(house.getattr, range(20))))
    assert replies(connection) == list(range(20))
    assert connection.transport.writes == 1


def test_replies_leave_in_the_order_in_which_they_are_done(house):
    connection = house.connect()
    house.door.namespace.hold = slow = Promise()
    connection.dataReceived(house.getattr(1))
    house.door.namespace.hold = None
    connection.dataReceived(house.getattr(2))
    assert replies(connection) == [2]
    slow.resolve(None)
    assert replies(connection) == [2, 1]


def test_the_last_call_in_flight_is_answered_at_once_and_others_leave_together(house):
    connection = house.connect()
    holds = []
    for xid in range(3):
        house.door.namespace.hold = Promise()
        holds.append(house.door.namespace.hold)
        connection.dataReceived(house.getattr(xid))
    house.door.namespace.hold = None
    holds[0].resolve(None)
    holds[1].resolve(None)
    assert replies(connection) == []
    house.turn()
    assert replies(connection) == [0, 1]
    assert connection.transport.writes == 1
    holds[2].resolve(None)
    assert replies(connection) == [0, 1, 2]


def test_one_megabyte_is_sent_from_where_it_lies(house):
    connection = house.connect()
    door = house.door
    made = door.ok("CREATE", args3.CREATE3args(door.at(b"f"), createhow3(createmode3.UNCHECKED)))
    node = door.namespace._nodes[door.handles.decode(made.obj).file]
    node.data = body = bytes(range(256)) * 4096
    connection.dataReceived(house.call(5, PROC["READ"], args3.READ3args(made.obj, 0, 1 << 20)))
    long = [buffer for buffer in connection.transport.written if len(buffer) > 1000]
    assert [buffer.obj is body for buffer in long] == [True]
    assert replies(connection) == [5]


def test_one_connection_does_not_keep_others_from_their_turn():
    house = House(calls_per_turn=4)
    connection = house.connect()
    connection.dataReceived(b"".join(map(house.getattr, range(10))))
    assert replies(connection) == [0, 1, 2, 3]
    assert not connection.transport.reading
    other = house.connect()
    other.dataReceived(house.getattr(20))
    assert replies(other) == [20]
    house.turn()
    assert replies(connection) == list(range(10))
    assert connection.transport.writes == 3
    assert connection.transport.reading


def test_a_turn_ends_sooner_when_calls_move_many_bytes(house):
    connection = house.connect()
    reads = [house.call(xid, 6, args3.READ3args(house.door.root, 0, 1 << 20)) for xid in range(8)]
    connection.dataReceived(b"".join(reads))
    assert len(house.door.namespace.callers) == 4
    house.turn()
    assert len(house.door.namespace.callers) == 8


def test_a_closing_connection_whose_peer_reads_nothing_is_closed_in_the_end(house):
    connection = house.connect()
    house.door.namespace.fail_with = errors.NoReply()
    connection.dataReceived(house.getattr(1))
    house.turn()
    assert connection.transport.state == "closed"
    house.clock.advance(370)
    assert connection.transport.state == "aborted"


def test_calls_in_flight_are_bounded_and_reading_stops_meanwhile():
    house = House(calls_per_connection=3)
    connection = house.connect()
    house.door.namespace.hold = hold = Promise()
    connection.dataReceived(b"".join(map(house.getattr, range(8))))
    assert len(house.door.namespace.callers) == 3
    assert not connection.transport.reading
    house.door.namespace.hold = None
    hold.resolve(None)
    house.turn()
    house.turn()
    assert sorted(replies(connection)) == list(range(8))
    assert connection.transport.reading
    assert house.budget.used == 0


def test_bytes_in_flight_count_the_reply_that_is_asked_for():
    house = House(bytes_per_connection=3 << 20)
    connection = house.connect()
    house.door.namespace.hold = hold = Promise()
    reads = [house.call(xid, 6, args3.READ3args(house.door.root, 0, 2**32 - 1)) for xid in range(8)]
    connection.dataReceived(b"".join(reads))
    assert len(house.door.namespace.callers) == 3
    assert 3 << 20 <= house.budget.used < 4 << 20
    del hold


def test_a_peer_that_reads_nothing_costs_bounded_memory_and_goes_on_later():
    house = House(calls_per_turn=5)
    connection = house.connect()
    connection.transport.takes = False
    connection.dataReceived(b"".join(map(house.getattr, range(30))))
    house.turn()
    assert replies(connection) == [0, 1, 2, 3, 4]
    assert not connection.transport.reading
    assert house.budget.used > 0
    connection.transport.takes = True
    connection.resumeProducing()
    for _ in range(6):
        house.turn()
    assert replies(connection) == list(range(30))
    assert connection.transport.reading
    assert house.budget.used == 0


def test_the_budget_of_all_connections_stops_each_and_starts_each():
    house = House(bytes_in_all=400)
    first, second = house.connect(), house.connect()
    house.door.namespace.hold = hold = Promise()
    first.dataReceived(b"".join(map(house.getattr, range(6))))
    begun = len(house.door.namespace.callers)
    assert begun < 6
    second.dataReceived(house.getattr(50))
    assert len(house.door.namespace.callers) == begun
    assert not second.transport.reading
    house.door.namespace.hold = None
    hold.resolve(None)
    for _ in range(5):
        house.turn()
    assert replies(first) == list(range(6))
    assert replies(second) == [50]
    assert second.transport.reading
    assert house.budget.used == 0


def test_an_unknown_outcome_closes_the_connection_after_what_was_done(house):
    connection = house.connect()
    house.door.namespace.fail_with = errors.NoReply()
    connection.dataReceived(house.getattr(1) + house.getattr(2))
    house.turn()
    assert connection.transport.state == "closed"
    assert replies(connection) == []
    connection = house.connect()
    connection.dataReceived(house.getattr(1))
    house.door.namespace.fail_with = errors.NoReply()
    connection.dataReceived(house.getattr(2))
    house.turn()
    assert replies(connection) == [1]
    assert connection.transport.state == "closed"


@pytest.mark.parametrize("wire", [b"\xff\xff\xff\xff", bytes(4) * 1025, record_mark(4) + b"call", record_mark(0)])
def test_what_is_no_call_ends_the_connection(house, wire):
    connection = house.connect()
    connection.dataReceived(house.getattr(1) + wire)
    assert connection.transport.state == "aborted"


def test_refused_calls_are_answered_too(house):
    connection = house.connect()
    message = call_bytes(8, 1, 1, 1)
    connection.dataReceived(record_mark(len(message)) + message)
    unpacker = Unpacker(b"".join(connection.transport.written)[4:])
    assert rpc.unpack_reply(unpacker).accepted == rpc.accept_stat.PROG_UNAVAIL


@pytest.mark.parametrize(
    ("data", "seconds"),
    [(b"", 30), (b"half a fragment head"[:2], 10), (record_mark(500) + b"x", 10), ("a call", 360)],
)
def test_a_silent_peer_is_closed_when_its_time_is_over(house, data, seconds):
    connection = house.connect()
    connection.dataReceived(house.getattr(1) if data == "a call" else data) if data else None
    house.clock.advance(seconds)
    assert connection.transport.state == "open"
    house.clock.advance(5)
    assert connection.transport.state == "aborted"


def test_a_record_that_drips_is_closed_all_the_same(house):
    connection = house.connect()
    connection.dataReceived(record_mark(500))
    for _ in range(14):
        connection.dataReceived(b"x")
        house.clock.advance(1)
    assert connection.transport.state == "aborted"


def test_a_call_that_takes_long_is_not_the_peers_fault(house):
    connection = house.connect()
    house.door.namespace.hold = Promise()
    connection.dataReceived(house.getattr(1))
    house.clock.advance(4000)
    assert connection.transport.state == "open"


@pytest.mark.parametrize(("limits", "seconds"), [({}, 300), ({"bytes_in_all": 1}, 10)])
def test_a_peer_that_never_reads_is_closed_and_sooner_when_others_wait_for_room(limits, seconds):
    house = House(**limits)
    connection = house.connect()
    connection.transport.takes = False
    connection.dataReceived(house.getattr(1))
    house.clock.advance(seconds)
    assert connection.transport.state == "open"
    house.clock.advance(5)
    assert connection.transport.state == "aborted"
    connection.connectionLost()
    assert house.budget.used == 0


def test_connections_are_bounded_in_all_and_per_host():
    house = House(connections=3, connections_per_host=2)
    made = [house.connect(host) for host in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3")]
    assert [each.transport.state for each in made] == ["open", "open", "aborted", "open", "aborted"]
    made[0].connectionLost()
    assert house.connect("192.0.2.1").transport.state == "open"


def test_draining_finishes_what_is_under_way_and_begins_nothing(house):
    connection = house.connect()
    house.door.namespace.hold = hold = Promise()
    connection.dataReceived(house.getattr(1))
    connection.drain()
    house.turn()
    connection.dataReceived(house.getattr(2))
    assert connection.transport.state == "open"
    hold.resolve(None)
    house.turn()
    assert replies(connection) == [1]
    assert connection.transport.state == "closed"


def test_a_call_that_outlives_its_connection_gives_back_its_room(house):
    connection = house.connect()
    house.door.namespace.hold = hold = Promise()
    connection.dataReceived(house.getattr(1))
    connection.connectionLost()
    assert house.budget.used > 0
    hold.resolve(None)
    house.turn()
    assert house.budget.used == 0
    assert connection.transport.written == []
    assert house.listener.connections == set()


class TestDatagrams:
    """The UDP transport."""

    class Socket:
        def __init__(self):
            self.sent = []

        def write(self, datagram, addr):
            self.sent.append((datagram, addr))

    @pytest.fixture
    def datagrams(self, house):
        protocol = RpcDatagrams(house.door.dispatcher, Limits(datagrams=2))
        protocol.transport = self.Socket()
        return protocol

    def test_a_call_is_answered_to_where_it_came_from(self, datagrams):
        datagrams.datagramReceived(call_bytes(4, 100005, 3, 0), (HOST, 600))
        datagrams.datagramReceived(call_bytes(5, 1, 1, 0), (HOST, 601))
        assert [(rpc.unpack_reply(Unpacker(data)).xid, addr) for data, addr in datagrams.transport.sent] == [
            (4, (HOST, 600)),
            (5, (HOST, 601)),
        ]

    def test_noise_and_unknown_outcomes_are_met_with_silence(self, house, datagrams):
        datagrams.datagramReceived(b"noise", (HOST, 600))
        house.door.namespace.fail_with = errors.NoReply()
        datagrams.datagramReceived(house.getattr(1)[4:], (HOST, 600))
        assert datagrams.transport.sent == []

    def test_calls_in_flight_are_bounded(self, house, datagrams):
        house.door.namespace.hold = hold = Promise()
        for xid in range(5):
            datagrams.datagramReceived(house.getattr(xid)[4:], (HOST, 600))
        house.door.namespace.hold = None
        hold.resolve(None)
        assert len(datagrams.transport.sent) == 2
        datagrams.datagramReceived(house.getattr(9)[4:], (HOST, 600))
        assert len(datagrams.transport.sent) == 3
