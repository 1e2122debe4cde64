"""Attacks by number at the S3 door; the letters and numbers are those of the project's security checklist."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from types import SimpleNamespace

import pytest
from hall import run
from loop import House
from object_door import ObjectDoor
from signing import CREDENTIAL, sign, signed, wire

from namespace.api import UploadRequest

#: Requests of strangers that one core must be able to refuse in a second.
REFUSED_EACH_SECOND = 1000


@pytest.fixture(scope="module")
def door():
    """Return a door whose bucket has 1,200 keys that roll into one prefix, and 1,010 unfinished uploads."""
    door = ObjectDoor()
    for number in range(1200):
        door.hall.store(b"roll/%04d" % number, b"", "bkt", CREDENTIAL.caller)
    for number in range(1010):
        request = UploadRequest(b"up/%04d" % number, {}, {})
        run(door.hall.ns.create_upload(CREDENTIAL.caller, "bkt", request))
    return door


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("delimiter=%2F", (1, "false")),
        ("max-keys=1000000000", (1000, "true")),
        ("max-keys=2147483647&delimiter=%2A", (1000, "true")),
        ("prefix=" + "r" * 1024, (0, "false")),
        ("prefix=" + "r" * 1024 + "&delimiter=" + "r" * 1024, (0, "false")),
        ("start-after=" + "z" * 1024, (0, "false")),
    ],
)
def test_s07_a_listing_works_for_a_page_and_no_more(door, query, wanted):
    started = time.process_time()
    page = door.ask("GET", f"/bkt?list-type=2&{query}").xml("ListBucketResult")
    assert time.process_time() - started < 1
    assert (int(page.value("KeyCount")), page.value("IsTruncated")) == wanted


def test_s07_many_listings_at_once_keep_nobody_waiting_for_all_of_them(door):
    wires = [door.house.connect() for _ in range(20)]
    request = signed("V4_HEADER", "GET", "/bkt?list-type=2&delimiter=%2F")
    for each in wires:
        each.protocol.dataReceived(request)
        assert each.taken().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("most", ["1000000000", "1000", "1001"])
def test_s08_unfinished_uploads_and_their_parts_come_in_pages(door, most):
    page = door.ask("GET", f"/bkt?uploads&max-uploads={most}").xml("ListMultipartUploadsResult")
    assert page.value("IsTruncated") == "true"
    assert len([each for each in page.children if each.name == "Upload"]) == 1000
    upload = door.begin("parts")
    for number in range(1, 4):
        assert door.part("parts", upload, number * 3333, b"part").status == 200
    first = door.ask("GET", f"/bkt/parts?uploadId={upload}&max-parts=2").xml("ListPartsResult")
    assert (first.value("IsTruncated"), first.value("NextPartNumberMarker")) == ("true", "6666")
    every = door.ask("GET", f"/bkt/parts?uploadId={upload}&max-parts={most}").xml("ListPartsResult")
    assert len([each for each in every.children if each.name == "Part"]) == 3
    assert int(every.value("MaxParts")) <= 1000
    assert door.ask("DELETE", f"/bkt/parts?uploadId={upload}").status == 204


def strangers():
    """Return the costliest requests that are refused: much to sign over, for a key and a bucket that are not there."""
    long = {f"x-amz-meta-{number:03}": "v  v" * 25 for number in range(90)}
    for auth in ("V4_HEADER", "V4_QUERY"):
        target, sent = sign(auth, "GET", "http://localhost/none/key", long if auth == "V4_HEADER" else {})
        yield wire("GET", target, sent).replace(b"AKIDEXAMPLE", b"AKIDUNKNOWN")
        yield wire("GET", target, sent).replace(b"/none/", b"/nine/")
    yield b"GET /none/key HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 " + b"x" * 8000 + b"\r\n\r\n"


def refused_each_second(house, request):
    connection = house.connect()
    started = time.process_time()
    for _ in range(100):
        connection.protocol.dataReceived(request)
    took = time.process_time() - started
    assert connection.taken().count(b"HTTP/1.1 40") == 100
    return 100 / took


def test_s10_strangers_are_refused_fast_and_never_reach_the_namespace():
    house = House()
    house.namespace.error = AssertionError("the namespace was asked")
    for request in strangers():
        best = max(refused_each_second(house, request) for _ in range(3))
        print(f"{best:.0f} refused in a second")
        assert best > REFUSED_EACH_SECOND, request[:200]
    assert house.namespace.error is not None


def test_s10_a_thousand_different_strangers_leave_nothing_behind(monkeypatch):
    monkeypatch.setattr(
        "protocols.s3.door._access", SimpleNamespace(info=lambda *_args, **_how: None)
    )  # nobody has begun to take Twisted's log, so it is kept
    house = House()
    connection = house.connect()
    template = signed("V4_QUERY", "GET", "/none/key")

    def flood(start):
        for number in range(start, start + 500):
            connection.protocol.dataReceived(template.replace(b"AKIDEXAMPLE", b"AKID%07d" % number))
            connection.sent.clear()

    flood(0)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    flood(500)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 50 << 10


def test_s14_names_of_strangers_are_hashed_with_a_seed_that_nobody_knows():
    assert sys.flags.hash_randomization == 1


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_s01_a_body_that_drips_is_cut_off_although_it_never_stalls(framing):
    house = House()
    house.namespace.buckets["bkt"] = {}
    request = signed("V4_HEADER", "PUT", "/bkt/key", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, b"x")[:-1]
    drop = b"x"
    if framing == "chunks":
        request, drop = request.replace(b"Content-Length: 1", b"Transfer-Encoding: chunked"), b"1\r\nx\r\n"
    else:
        request = request.replace(b"Content-Length: 1", b"Content-Length: 1000000")
    connection = house.connect()
    connection.protocol.dataReceived(request)
    for _ in range(58):
        house.clock.advance(1)
        connection.protocol.dataReceived(drop)
        assert connection.taken() == b""
    house.clock.advance(4)
    assert b"RequestTimeout" in connection.taken()
    assert (house.namespace.aborted, house.namespace.buckets) == (1, {"bkt": {}})
