"""Attacks on rights at the S3 door, and around it by the other one; ids are those of the security checklist."""

from __future__ import annotations

import loop
import pytest
from hall import ROOT, run
from loop import House
from object_door import ObjectDoor
from signing import CREDENTIAL, signed, wire

from foundation.errors import AccessDenied
from namespace.api import SetAttr


def test_a24_a_key_that_is_gone_is_refused_at_its_next_request_on_the_same_connection(monkeypatch):
    known = {CREDENTIAL.access_key: CREDENTIAL}
    monkeypatch.setattr(loop, "credentials", known.get)
    house = House()
    house.namespace.buckets["bkt"] = {}
    request = signed("V4_HEADER", "PUT", "/bkt/key", {}, b"hello")
    connection = house.connect()
    connection.protocol.dataReceived(request)
    assert connection.taken().startswith(b"HTTP/1.1 200")
    known.clear()
    connection.protocol.dataReceived(request)
    answer = connection.taken()
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"InvalidAccessKeyId" in answer


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"If-Modified-Since": "Sun, 06 Nov 2094 08:49:37 GMT"},
        {"If-None-Match": "*"},
        {"If-Match": '"0"'},
        {"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"},
        {"Range": "bytes=99-"},
    ],
)
def test_h08_who_may_not_read_learns_nothing_from_conditions(method, condition):
    door = ObjectDoor()
    door.put("private", b"secret")
    door.hall.put(b"secret", b"theirs")
    run(door.hall.ns.setattr(ROOT, door.hall.file(b"secret"), SetAttr(mode=0o600), None))
    stranger = door.house.ask(wire(method, "/bkt/private", {"Host": "localhost", **condition}))
    other = door.ask(method, "/bucket/secret", condition)
    assert (stranger[0], other.status) == (403, 403)
    for answer in (stranger, other):
        assert not {"etag", "last-modified", "content-range"} & set(answer[1])


def test_n13_a_private_object_is_as_private_through_the_other_door():
    door = ObjectDoor()
    door.hall.put(b"secret", b"theirs")
    file = door.hall.file(b"secret")
    run(door.hall.ns.setattr(ROOT, file, SetAttr(mode=0o600), None))
    assert door.ask("GET", "/bucket/secret").status == 403
    with pytest.raises(AccessDenied):
        run(door.hall.ns.read(CREDENTIAL.caller, file, 0, 10))
    door.put("mine", b"mine")
    assert door.ask("GET", "/bkt/mine").body == b"mine"
