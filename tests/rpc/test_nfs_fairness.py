"""One connection does not starve another, and what all of them hold is bounded: told by counts, by no clock's time."""

from __future__ import annotations

import pytest
from nfs_client import PROC, call_bytes
from nfs_hall import NfsHall
from nfs_wire import NfsWire, answers, framed, xids

from foundation.aio import Promise
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_types import NFS_PROGRAM, stable_how
from protocols.nfs.codec.record import record_mark

RECORD = 1 << 20


@pytest.fixture
def hall():
    return NfsHall()


def getattr_call(xid, handle, cred):
    return framed(call_bytes(xid, NFS_PROGRAM, 3, PROC["GETATTR"], args3.GETATTR3args(handle), cred))


def test_who_pipelines_10000_calls_keeps_nobody_waiting_and_gets_them_all(hall):
    nfs = hall.client()
    root, wire = nfs.mount("/bucket"), NfsWire(nfs.dispatcher)
    greedy, modest = wire.connect("192.0.2.7"), wire.connect("192.0.2.8")
    stream = b"".join(getattr_call(xid, root, nfs.cred) for xid in range(10_000))
    got, asked = [], 0
    while len(got) < 10_000:
        if greedy.transport.reading and stream:
            greedy.dataReceived(stream[: 1 << 16])
            stream = stream[1 << 16 :]
            got += taken(greedy)
        modest.dataReceived(getattr_call(asked, root, nfs.cred))
        assert taken(modest) == [asked]
        assert taken(greedy) == []
        asked += 1
        wire.turn()
        now = taken(greedy)
        assert len(now) <= wire.limits.calls_per_turn
        got += now
    assert got == list(range(10_000))
    assert 10_000 // wire.limits.calls_per_turn // 2 < asked < 2 * 10_000 // wire.limits.calls_per_turn


def taken(connection):
    """Return the xids of the replies since the last time."""
    numbers = xids(connection)
    connection.transport.written.clear()
    return numbers


def test_calls_in_flight_of_one_connection_are_bounded_however_many_it_sends(hall):
    nfs = hall.client()
    file, wire = nfs.create(nfs.mount("/bucket"), b"file"), NfsWire(nfs.dispatcher)
    hall.bodies.hold_puts()
    greedy = wire.connect()
    write = [
        call_bytes(xid, NFS_PROGRAM, 3, 7, args3.WRITE3args(file, xid, 1, stable_how.FILE_SYNC, b"x"), nfs.cred)
        for xid in range(1000)
    ]
    greedy.dataReceived(framed(*write))
    for _ in range(50):
        wire.turn()
    assert (greedy._calls, greedy.transport.reading) == (wire.limits.calls_per_connection, False)
    hall.bodies.release_puts()
    for _ in range(50):
        wire.turn()
    assert sorted(xids(greedy)) == list(range(1000))
    assert (greedy.transport.reading, wire.budget.used) == (True, 0)


def test_a_fast_call_overtakes_a_slow_one_that_was_sent_before(hall):
    nfs = hall.client()
    root = nfs.mount("/bucket")
    file, wire = nfs.create(root, b"file"), NfsWire(nfs.dispatcher)
    connection = wire.connect()
    hall.bodies.hold_puts()
    slow = args3.WRITE3args(file, 0, 4, stable_how.FILE_SYNC, b"slow")
    connection.dataReceived(framed(call_bytes(1, NFS_PROGRAM, 3, 7, slow, nfs.cred)) + getattr_call(2, root, nfs.cred))
    wire.turn()
    assert xids(connection) == [2]
    connection.dataReceived(getattr_call(3, root, nfs.cred))
    wire.turn()
    assert xids(connection) == [2, 3]
    hall.bodies.release_puts()
    wire.turn()
    assert xids(connection) == [2, 3, 1]


class SlowWriters:
    """Connections that begin a long WRITE and do not end it, under a budget for eight, of which half may do so."""

    def __init__(self, hall):
        nfs = hall.client()
        self.file = nfs.create(nfs.mount("/bucket"), b"file")
        self.wire = NfsWire(nfs.dispatcher, bytes_in_all=8 << 20)
        self.limit = self.wire.limits.bytes_in_all // 2 + self.wire.limits.record_bytes
        args = args3.WRITE3args(self.file, 0, RECORD, stable_how.FILE_SYNC, bytes(RECORD))
        self.call = framed(call_bytes(5, NFS_PROGRAM, 3, 7, args, nfs.cred))
        self.connections = [self.wire.connect(f"192.0.2.{number + 10}") for number in range(40)]

    def send(self, connection, start, stop):
        """Send some of the call, as far as the connection reads."""
        for at in range(start, stop, 1 << 16):
            if not connection.transport.reading:
                return at
            connection.dataReceived(self.call[at : min(at + (1 << 16), stop)])
        return stop

    def held(self):
        """Return the bytes of unfinished records, and of what was received and not looked at."""
        readers = [each._reader for each in self.connections if each.transport.state == "open"]
        return sum(reader._size + len(reader._data) - reader._at for reader in readers)


def test_records_that_slow_writers_do_not_finish_are_bounded_over_all_connections(hall):
    slow = SlowWriters(hall)
    for connection in slow.connections:
        slow.send(connection, 0, RECORD)
        assert slow.wire.budget.used <= slow.limit
    assert slow.held() <= slow.limit + len(slow.connections) * (1 << 16)
    waiting = [each for each in slow.connections if not each.transport.reading]
    assert len(waiting) == 36
    other = slow.wire.connect("192.0.2.1")
    other.dataReceived(getattr_call(9, slow.file, hall.client().cred))
    assert xids(other) == [9]


def test_who_waits_for_room_of_slow_writers_gets_it_when_they_end_or_are_ended(hall):
    slow = SlowWriters(hall)
    sent = {connection: slow.send(connection, 0, RECORD) for connection in slow.connections}
    served = 0
    for _ in range(40):
        slow.wire.clock.advance(2.0)
        for connection in slow.connections:
            if connection.transport.state == "closed" and not connection.closed.done:
                connection.connectionLost()
            elif connection.transport.reading and connection.transport.state == "open" and sent[connection] < RECORD:
                sent[connection] = slow.send(connection, sent[connection], len(slow.call))
        served = sum(len(answers(connection)) for connection in slow.connections)
    hanging = [connection for connection in slow.connections if connection.transport.state == "closed"]
    assert 4 <= len(hanging) <= 6  # those that had room and never sent their last bytes
    assert served == len(slow.connections) - len(hanging)
    assert slow.wire.budget.used == 0


def test_a_record_of_many_short_fragments_is_counted_as_well(hall):
    slow = SlowWriters(hall)
    piece = (1 << 14).to_bytes(4, "big") + bytes(1 << 14)
    for connection in slow.connections:
        for _ in range(40):
            if connection.transport.reading:
                connection.dataReceived(piece)
        assert slow.wire.budget.used <= slow.limit
    assert slow.held() <= slow.limit + len(slow.connections) * (1 << 17)


def test_room_is_given_back_by_a_record_that_is_refused_and_by_a_connection_that_ends(hall):
    slow = SlowWriters(hall)
    first, second = slow.connections[:2]
    slow.send(first, 0, RECORD // 2)
    second.dataReceived(record_mark(RECORD) + bytes(1 << 16))
    assert slow.wire.budget.used == 2 * slow.wire.limits.record_bytes
    first.connectionLost()
    while second.transport.state == "open":
        second.dataReceived(bytes(1 << 16))  # no call at all
    second.connectionLost()
    assert slow.wire.budget.used == 0


def test_who_waits_for_room_is_served_in_turn_a_few_calls_each(hall):
    nfs = hall.client()
    root, wire = nfs.mount("/bucket"), NfsWire(nfs.dispatcher, bytes_in_all=2000)
    gate: Promise[None] = Promise()
    verb = hall.ns.getattr

    async def held(caller, file):
        await gate
        return await verb(caller, file)

    hall.ns.getattr = held
    connections = [wire.connect(f"192.0.2.{number + 1}") for number in range(20)]
    for connection in connections:
        connection.dataReceived(b"".join(getattr_call(xid, root, nfs.cred) for xid in range(50)))
    assert 2000 <= wire.budget.used <= 2000 + 200
    assert [connection.transport.reading for connection in connections[1:]] == [False] * 19
    gate.resolve(None)
    counts = []
    while not counts or min(counts[-1]) < 50:
        wire.turn()
        counts.append([len(xids(connection)) for connection in connections])
        assert len(counts) < 1000
    assert wire.budget.used == 0


def test_peers_that_take_no_replies_leave_room_for_others_however_many_they_are(hall):
    nfs = hall.client()
    file, wire = nfs.create(nfs.mount("/bucket"), b"file"), NfsWire(nfs.dispatcher, bytes_in_all=64 << 20)
    verb, gate = hall.ns.read, Promise()

    async def late(*args):
        await gate
        return await verb(*args)

    hall.ns.read = late
    read = [call_bytes(xid, NFS_PROGRAM, 3, 6, args3.READ3args(file, 0, RECORD), nfs.cred) for xid in range(40)]
    stuck = [wire.connect(f"192.0.2.{number + 10}") for number in range(30)]
    for connection in stuck:
        connection.transport.takes = False
        connection.dataReceived(framed(*read))
    for _ in range(20):
        wire.turn()
    held = [connection._bytes for connection in stuck]
    assert not wire.budget.exhausted()
    assert min(held) >= RECORD
    gate.resolve(None)
    wire.turn()
    assert wire.budget.used > 32 << 20
    other = wire.connect("192.0.2.1")
    other.dataReceived(getattr_call(1, file, nfs.cred) + framed(read[2]))
    assert taken(other) == [1, 2]


def test_who_takes_no_replies_does_not_keep_what_others_need_for_their_records(hall):
    slow = SlowWriters(hall)
    nfs = hall.client()
    read = framed(call_bytes(1, NFS_PROGRAM, 3, 6, args3.READ3args(slow.file, 0, 10), nfs.cred))
    for connection in slow.connections[:4]:
        connection.transport.takes = False
        connection.dataReceived(slow.call[:8] + slow.call[8 : RECORD // 2])
        connection.pauseProducing()
    waiting = slow.connections[4]
    sent = slow.send(waiting, 0, RECORD)
    assert not waiting.transport.reading
    slow.connections[5].dataReceived(read)
    for _ in range(8):
        slow.wire.clock.advance(2.0)
    assert [each.transport.state for each in slow.connections[:4]] == ["closed"] * 4
    for each in slow.connections[:4]:
        each.connectionLost()
    slow.wire.turn()
    slow.send(waiting, sent, len(slow.call))
    assert xids(waiting) == [5]
