"""An answer that takes long is begun with spaces and never says success, or an end, before it is known."""

from __future__ import annotations

import pytest
from loop import House, parse_answer
from signing import sign, signed, wire
from twisted.logger import capturedLogs

from foundation.aio import Promise
from foundation.errors import BucketNotFound, NoReply
from namespace.api import ObjectInfo
from protocols.s3.codec.xmlread import read_xml

COPIED = ObjectInfo(b"key", 5, b"e" * 32, 1_600_000_000_000_000_000, {}, {}, {})


def copy():
    """Return a copy, signed now."""
    return signed("V4_HEADER", "PUT", "/bkt/key", {"x-amz-copy-source": "bkt/old"})


@pytest.fixture
def house():
    house = House()
    house.namespace.outcome = Promise()

    async def copy_object(*_request, **_options):
        return await house.namespace.outcome

    house.namespace.copy_object = copy_object
    return house


def asked(house, request=None):
    connection = house.connect()
    connection.protocol.dataReceived(request or copy())
    return connection


def chunks(body):
    """Return the chunks of a body, the empty last one too if it is there."""
    found = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        found.append(rest[:length])
        assert rest[length : length + 2] == b"\r\n"
        body = rest[length + 2 :]
    return found


def test_a_quick_copy_is_answered_as_everything_else(house):
    connection = asked(house)
    house.clock.advance(9)
    assert connection.taken() == b""
    house.namespace.outcome.resolve(COPIED)
    status, headers, body = parse_answer(connection.taken())
    assert (status, int(headers["content-length"])) == (200, len(body))
    house.clock.advance(60)
    assert connection.taken() == b""


def test_a_copy_that_takes_long_says_spaces_and_then_how_it_ended(house):
    connection = asked(house)
    house.clock.advance(10)
    status, headers, body = parse_answer(connection.taken())
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    assert "content-length" not in headers
    assert chunks(body) == [b'<?xml version="1.0" encoding="UTF-8"?>\n']
    house.clock.advance(25)
    waited = connection.taken()
    assert chunks(waited) == [b" ", b" "]
    house.namespace.outcome.resolve(COPIED)
    rest = connection.taken()
    whole = b"".join(chunks(body + waited + rest))
    assert chunks(rest)[-1] == b""
    assert read_xml(whole, "CopyObjectResult").value("ETag") == '"' + "e" * 32 + '"'
    connection.protocol.dataReceived(signed("V4_HEADER", "GET", "/"))
    assert parse_answer(connection.taken())[0] == 200  # the connection goes on


def test_an_error_that_comes_late_is_the_document(house):
    connection = asked(house)
    house.clock.advance(10)
    house.namespace.outcome.fail(BucketNotFound())
    whole = b"".join(chunks(parse_answer(connection.taken())[2]))
    assert read_xml(whole, "Error").value("Code") == "NoSuchBucket"


def test_an_error_that_comes_soon_is_the_status(house):
    connection = asked(house)
    house.namespace.outcome.fail(BucketNotFound())
    assert parse_answer(connection.taken())[0] == 404


def test_an_unknown_outcome_breaks_the_answer_off(house):
    connection = asked(house)
    house.clock.advance(10)
    connection.taken()
    house.namespace.outcome.fail(NoReply())
    assert connection.taken() == b""
    assert connection.aborted


def test_a_client_that_went_away_ends_the_waiting_and_not_the_copy(house):
    connection = asked(house)
    house.clock.advance(10)
    connection.taken()
    connection.lose()
    house.clock.advance(30)
    house.namespace.outcome.resolve(COPIED)
    assert connection.taken() == b""


def test_a_bug_is_logged_even_if_its_client_has_gone(house):
    connection = asked(house)
    house.clock.advance(10)
    connection.lose()
    house.clock.advance(10)
    with capturedLogs() as logged:
        house.namespace.outcome.fail(RuntimeError("bug"))
    assert "its client had gone" in logged[0]["log_format"]


def test_http_1_0_waits_for_the_answer_that_it_can_tell_the_end_of(house):
    target, headers = sign("V4_HEADER", "PUT", "http://localhost/bkt/key", {"x-amz-copy-source": "bkt/old"})
    connection = asked(house, wire("PUT", target, headers).replace(b"HTTP/1.1", b"HTTP/1.0"))
    house.clock.advance(60)
    assert connection.taken() == b""
    house.namespace.outcome.resolve(COPIED)
    assert parse_answer(connection.taken())[0] == 200


def test_a_body_that_comes_slowly_is_answered_when_it_is_whole(house):
    """What is wrong with it must be its status."""
    request = signed("V4_HEADER", "POST", "/bkt/key?uploadId=x", body=b"<no/>")
    connection = asked(house, request[:-1])
    house.clock.advance(25)
    assert connection.taken() == b""
    connection.protocol.dataReceived(request[-1:])
    assert parse_answer(connection.taken())[0] == 400
