from __future__ import annotations

import re

import pytest
from loop import House
from signing import SECRET, get, signed
from twisted.logger import globalLogPublisher

from foundation import errors
from protocols.s3.codec.errors import WIRE_ERRORS
from protocols.s3.errors import FS_ERRORS, describe


def leaves(kind):
    below = kind.__subclasses__()
    return [kind] if not below else [leaf for each in below for leaf in leaves(each)]


@pytest.fixture
def logged():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def test_every_leaf_of_fs_error_has_its_line_and_no_line_is_dead():
    own = [leaf for leaf in leaves(errors.FsError) if leaf.__module__ == errors.__name__]
    assert set(own) == set(FS_ERRORS)


def test_one_code_has_one_status_everywhere():
    for code, status, _ in FS_ERRORS.values():
        if code in WIRE_ERRORS:
            assert WIRE_ERRORS[code][0] == status


@pytest.mark.parametrize("kind", FS_ERRORS)
def test_what_the_namespace_refuses_is_answered_from_the_table(kind):
    house = House()
    house.namespace.error = kind()
    status, headers, body = house.ask(get())
    code, wanted, _ = FS_ERRORS[kind]
    assert status == wanted
    if status == 304:
        assert body == b""
        assert "content-length" not in headers
    else:
        assert f"<Code>{code}</Code>".encode() in body
        for name in (b"Message", b"Resource", b"RequestId", b"HostId"):
            assert re.search(b"<%s>[^<]+</%s>" % (name, name), body)
        assert headers["x-amz-request-id"].encode() in body


def test_a_not_modified_answer_names_the_etag_that_the_client_has():
    house = House()
    house.namespace.error = errors.NotModified()
    assert house.ask(signed("V4_HEADER", "GET", "/bkt/key", {"If-None-Match": '"abc"'}))[1]["etag"] == '"abc"'


def test_an_unknown_outcome_closes_the_connection_without_an_answer():
    house = House()
    house.namespace.error = errors.NoReply()
    wire = house.connect()
    wire.protocol.dataReceived(get())
    assert wire.taken() == b""
    assert not wire.connected


def test_an_unknown_outcome_at_the_end_of_a_put_is_silence_too():
    house = House()
    house.namespace.buckets["bkt"] = {}
    request = signed("V4_HEADER", "PUT", "/bkt/key", body=b"hello")
    wire = house.connect()
    wire.protocol.dataReceived(request[:-1])
    house.namespace.error = errors.NoReply()
    wire.protocol.dataReceived(request[-1:])
    assert wire.taken() == b""
    assert not wire.connected


def test_h13_a_bug_is_logged_with_its_traceback_and_answered_without_it(logged):
    house = House()
    house.namespace.error = ZeroDivisionError("/etc/secret SELECT")
    status, headers, body = house.ask(get())
    assert status == 500
    assert b"InternalError" in body
    assert b"secret" not in body
    failures = [event for event in logged if "log_failure" in event]
    assert isinstance(failures[0]["log_failure"].value, ZeroDivisionError)
    assert failures[0]["request_id"] == headers["x-amz-request-id"]
    assert describe(ZeroDivisionError())[1] == 500


def test_a_read_that_fails_in_the_middle_breaks_the_connection_and_is_logged(logged):
    house = House()
    house.namespace.buckets["bkt"] = {}
    house.ask(signed("V4_HEADER", "PUT", "/bkt/key", body=b"y" * (4 << 20)))
    wire = house.connect()
    wire.writeSequence = lambda _buffers: wire.producer.pauseProducing()
    wire.protocol.dataReceived(get())
    house.namespace.error = errors.Corrupt()
    for _ in range(4):
        if wire.producer is not None:
            wire.producer.resumeProducing()
    assert wire.aborted
    assert house.namespace.opened == house.namespace.closed
    assert any("log_failure" in event for event in logged)


def test_a_body_that_cannot_be_read_at_all_is_an_error_and_no_200():
    house = House()
    house.namespace.buckets["bkt"] = {}
    house.ask(signed("V4_HEADER", "PUT", "/bkt/key", body=b"y"))
    original = house.namespace.open_object

    async def opened(*request):
        found = await original(*request)
        house.namespace.error = errors.Unavailable()
        return found

    house.namespace.open_object = opened
    assert house.ask(get())[0] == 503
    assert house.namespace.opened == house.namespace.closed


def test_the_access_log_has_a_line_per_request_and_no_secret_or_query(logged):
    house = House()
    house.namespace.buckets["bkt"] = {}
    house.ask(signed("V4_QUERY", "PUT", "/bkt/key%20a"))
    _, headers, _ = house.ask(signed("V2_QUERY", "GET", "/bkt/key%20a"))
    house.ask(b"nonsense\r\n\r\n")
    lines = [event for event in logged if event.get("log_namespace") == "protocols.s3.access"]
    assert [line["status"] for line in lines] == [200, 200, 400]
    assert lines[1]["path"] == "/bkt/key%20a"
    assert lines[1]["operation"] == "GetObject"
    assert lines[1]["request_id"] == headers["x-amz-request-id"]
    shown = repr([{name: line[name] for name in line if name != "log_logger"} for line in lines])
    assert "Signature" not in shown
    assert SECRET not in shown
