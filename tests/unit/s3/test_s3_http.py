from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop import House, parse_answer, send, statuses
from signing import get, put, signed

from foundation.aio import Promise, start
from protocols.s3.http.body import HIGH_WATER_BYTES
from protocols.s3.http.connection import MAX_PIPELINED
from protocols.s3.http.site import Limits


@pytest.fixture
def house():
    house = House()
    house.namespace.buckets["bkt"] = {}
    house.ask(put())
    return house


def head(method, *lines, body=b""):
    return "\r\n".join([f"{method} /bkt/key HTTP/1.1", "Host: h", *lines, "", ""]).encode("latin-1") + body


def test_a_request_is_answered_however_it_is_cut(house):
    for size in (1, 7, 100):
        request = put()
        wire = send(house, *(request[at : at + size] for at in range(0, len(request), size)))
        assert statuses(wire.taken()) == [200]


def test_head_and_body_of_an_answer_leave_in_one_send(house):
    wire = house.connect()
    sends = []
    wire.writeSequence = lambda buffers: sends.append(b"".join(buffers))
    wire.protocol.dataReceived(get())
    assert len(sends) == 1
    assert sends[0].endswith(b"\r\n\r\nhello")


def test_pipelined_requests_are_answered_in_order_one_at_a_time(house):
    wire = send(house, get() + put() + signed("V4_HEADER", "GET", "/bkt/none") + get())
    assert statuses(wire.taken()) == [200, 200, 404, 200]
    assert wire.connected


def test_too_many_pipelined_requests_are_refused(house):
    hold, gate = [], house.namespace
    original = gate.open_object

    async def waiting(*request):
        promise = Promise()
        hold.append(promise)
        await promise
        return await original(*request)

    gate.open_object = waiting
    wire = send(house, get() * (MAX_PIPELINED + 9))
    assert not wire.reading
    while hold:
        hold.pop().resolve(None)
    assert statuses(wire.taken()) == [200] * MAX_PIPELINED + [400]


SMUGGLING = {
    "CL.CL": ["Content-Length: 5", "Content-Length: 5"],
    "CL.TE": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "TE.CL": ["Transfer-Encoding: chunked", "Content-Length: 5"],
    "TE.TE": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "xchunked": ["Transfer-Encoding: xchunked"],
    "gzip, chunked": ["Transfer-Encoding: gzip, chunked"],
    "space before colon": ["Content-Length : 5"],
    "plus": ["Content-Length: +5"],
    "list": ["Content-Length: 5,5"],
    "huge": ["Content-Length: 99999999999999999999999"],
    "obs-fold": ["X: a", " b"],
    "two hosts": ["Host: i"],
    "two authorizations": ["Authorization: a", "Authorization: b"],
    "nul": ["X: a\0b"],
    "upgrade": ["Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5"],
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_h03_a_request_framed_two_ways_is_refused_and_nothing_behind_it_is_read(house, name):
    wire = send(house, head("PUT", *SMUGGLING[name], body=b"0\r\n\r\n" + get() + get()))
    answers = statuses(wire.taken())
    assert answers in ([400], [501]), name
    assert wire.half_closed or not wire.connected
    wire.protocol.dataReceived(get())
    assert wire.taken() == b""


@pytest.mark.parametrize(
    "chunk", [b"-1\r\n", b"0x1\r\na\r\n", b"1\na\r\n", b"+1\r\na\r\n", b"f" * 17 + b"\r\n", b"1\r\nab\r\n", b"g\r\n"]
)
def test_h03_a_bad_chunk_size_is_refused_and_the_connection_closed(house, chunk):
    request = signed(
        "V4_HEADER", "PUT", "/bkt/key", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", "Transfer-Encoding": "chunked"}
    )
    wire = send(house, request, chunk + get())
    assert statuses(wire.taken()) == [400]
    assert wire.half_closed
    assert house.namespace.aborted == 1


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60,
        b"\x80\x00\x00\x28" + b"\0" * 40,
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_h06_what_is_no_http_1_1_is_refused_cleanly(house, data):
    wire = send(house, data)
    assert statuses(wire.taken())[0] >= 400
    assert wire.half_closed or not wire.connected


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_random_bytes_never_break_the_door(pieces):
    house = House()
    wire = house.connect()
    for piece in (b"GET /", *pieces):
        wire.protocol.dataReceived(piece)
    assert all(status >= 400 for status in statuses(wire.taken()))


def test_h02_heads_are_bounded_in_size_count_and_target(house):
    assert statuses(send(house, head("GET", *[f"X-{n}: a" for n in range(200)])).taken()) == [431]
    assert statuses(send(house, head("GET", "X: " + "a" * 40_000)).taken()) == [431]
    assert statuses(send(house, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n").taken()) == [414]
    endless = send(house, head("GET")[:-2], *[b"X: " + b"a" * 30_000] * 9)
    assert statuses(endless.taken()) == [431]


def test_h01_a_stored_header_cannot_split_an_answer(house):
    info, _ = house.namespace.buckets["bkt"][b"key"]
    info.user["a"] = "b\r\nX-Injected: 1"
    answer = send(house, get()).taken()
    assert b"X-Injected" not in answer
    assert statuses(answer) == [500]


def test_h05_a_refused_request_gets_no_100_and_its_connection_closes(house):
    request = put().replace(b"\r\n\r\nhello", b"\r\nExpect: 100-continue\r\n\r\n")
    bad = request.replace(b"Signature=", b"Signature=0")
    wire = send(house, bad)
    answer = wire.taken()
    assert b"100 Continue" not in answer
    assert statuses(answer)[0] >= 400
    assert b"connection: close" in answer
    assert wire.half_closed
    missing = send(house, signed("V4_HEADER", "PUT", "/none/key", {"Expect": "100-continue"}, b"x" * 9)[:-9])
    assert statuses(missing.taken()) == [404]


def test_a_client_that_waits_is_told_to_go_on_once_it_is_known(house):
    wire = send(house, put().replace(b"\r\n\r\nhello", b"\r\nExpect: 100-continue\r\n\r\n"))
    assert wire.taken() == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.protocol.dataReceived(b"hello")
    assert statuses(wire.taken()) == [200]
    wire.protocol.dataReceived(get())
    assert statuses(wire.taken()) == [200]


def test_a_short_unread_body_is_dropped_and_the_connection_kept(house):
    refused = signed("V4_HEADER", "PUT", "/none/key", body=b"x" * 1000)
    wire = send(house, refused[:-500])
    assert statuses(wire.taken()) == [404]
    wire.protocol.dataReceived(refused[-500:] + get())
    assert statuses(wire.taken()) == [200]


def test_a_long_unread_body_closes_the_connection_after_the_answer_is_out(house):
    request = signed("V4_HEADER", "PUT", "/none/key", body=b"x" * 1_000_000)
    wire = send(house, request[:5000])
    assert b"connection: close" in wire.taken()
    assert wire.half_closed
    wire.protocol.dataReceived(request[5000:] + get())
    assert wire.taken() == b""
    house.clock.advance(10)
    assert wire.aborted


def test_reading_pauses_while_the_body_cannot_be_stored(house):

    gate = Promise()
    session = house.namespace.begin_put

    async def slow(*request):
        await gate
        return await session(*request)

    house.namespace.begin_put = slow
    body = b"x" * (HIGH_WATER_BYTES * 2)
    request = signed("V4_HEADER", "PUT", "/bkt/big", body=body)
    wire = house.connect()
    fed = 0
    while wire.reading and fed < len(request):
        wire.protocol.dataReceived(request[fed : fed + 65536])
        fed += 65536
    assert fed < HIGH_WATER_BYTES + 3 * 65536
    gate.resolve(None)
    assert wire.reading
    while fed < len(request):
        assert wire.reading
        wire.protocol.dataReceived(request[fed : fed + 65536])
        fed += 65536
    assert statuses(wire.taken()) == [200]
    assert house.namespace.buckets["bkt"][b"big"][1] == body


def test_a_long_answer_waits_for_the_client_to_take_it(house):
    size = 5 << 20
    house.ask(signed("V4_HEADER", "PUT", "/bkt/big", body=b"y" * size))
    wire = house.connect()
    wire.writeSequence = lambda buffers: (wire.sent.extend(map(bytes, buffers)), wire.producer.pauseProducing())
    wire.protocol.dataReceived(signed("V4_HEADER", "GET", "/bkt/big") + get())
    first = wire.taken()
    assert len(first) < (1 << 20) + 2000
    got = first
    while wire.producer is not None and len(got) < size + 6000:
        wire.producer.resumeProducing()
        more = wire.taken()
        if not more:
            break
        got += more
    assert statuses(got) == [200, 200]
    assert house.namespace.opened == house.namespace.closed == 2


def test_a_client_that_leaves_in_the_middle_leaves_nothing_open(house):
    house.ask(signed("V4_HEADER", "PUT", "/bkt/big", body=b"y" * (3 << 20)))
    reader = house.connect()
    reader.writeSequence = lambda _buffers: reader.producer.pauseProducing()
    reader.protocol.dataReceived(signed("V4_HEADER", "GET", "/bkt/big"))
    reader.lose()
    assert house.namespace.opened == house.namespace.closed == 1
    writer = send(house, put()[:-2])
    writer.lose()
    assert house.namespace.aborted == 1


def test_s01_a_head_that_does_not_end_is_cut_off_in_twenty_seconds_in_all(house):
    request = get()
    wire = send(house, request[:20])
    for at in range(20, 38):
        house.clock.advance(1)
        wire.protocol.dataReceived(request[at : at + 1])
        assert wire.connected
    house.clock.advance(4)
    assert wire.aborted


def test_s01_a_silent_connection_is_closed(house):
    fresh = house.connect()
    used = send(house, get())
    house.clock.advance(60)
    assert fresh.aborted
    assert used.connected
    house.clock.advance(35)
    assert used.aborted


def test_s01_a_body_that_stalls_is_answered_and_cut_off(house):
    wire = send(house, put()[:-2])
    house.clock.advance(62)
    assert b"RequestTimeout" in wire.taken()
    assert wire.half_closed
    assert house.namespace.aborted == 1


def test_s01_a_client_that_reads_nothing_is_cut_off(house):
    house.ask(signed("V4_HEADER", "PUT", "/bkt/big", body=b"y" * (3 << 20)))
    wire = house.connect()
    wire.writeSequence = lambda _buffers: wire.producer.pauseProducing()
    wire.protocol.dataReceived(signed("V4_HEADER", "GET", "/bkt/big"))
    house.clock.advance(62)
    assert wire.aborted
    assert house.namespace.opened == house.namespace.closed


def test_s01_connections_over_the_limit_are_turned_away():
    house = House(limits=Limits(connections=2))
    first, _second, third = (house.connect() for _ in range(3))
    assert statuses(third.taken()) == [503]
    assert not third.connected
    first.lose()
    assert house.connect().connected


def test_draining_closes_idle_connections_and_lets_a_request_end(house):

    idle = send(house, get())
    busy = send(house, put()[:-2])
    done = []
    start(house.site.drain()).addCallback(done.append)
    assert not idle.connected
    assert busy.connected
    assert not done
    busy.protocol.dataReceived(put()[-2:])
    answer = busy.taken()
    assert statuses(answer) == [200]
    assert b"connection: close" in answer
    assert not busy.connected
    assert done == [None]


def test_draining_ends_at_its_deadline(house):

    busy = send(house, put()[:-2])
    done = []
    start(house.site.drain()).addCallback(done.append)
    house.clock.advance(31)
    assert busy.aborted
    assert done == [None]


def test_keep_alive_follows_the_version_and_the_clients_wish(house):
    assert not send(house, get().replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1)).connected
    assert not send(house, get().replace(b"HTTP/1.1", b"HTTP/1.0", 1)).connected
    kept = send(house, get().replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n", 1))
    assert kept.connected
    assert parse_answer(kept.taken())[1]["connection"] == "keep-alive"


def test_head_is_answered_like_get_without_the_body(house):
    status, headers, body = house.ask(signed("V4_HEADER", "HEAD", "/bkt/key"))
    assert (status, headers["content-length"], body) == (200, "5", b"")
    status, _, body = house.ask(signed("V4_HEADER", "HEAD", "/bkt/none"))
    assert (status, body) == (404, b"")
