"""RPC calls and what is wrong with them (RFC 5531, section 9; reliability: S04, N08, N14)."""

import pytest
from door import Door
from hypothesis import given
from hypothesis import strategies as st
from nfs_client import auth_sys, call_bytes

from protocols.nfs.codec import mount as mount_wire
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec import rpc
from protocols.nfs.codec.xdr import Unpacker, XdrError, encode
from protocols.nfs.dispatch import Peer

GSS = rpc.opaque_auth(rpc.auth_flavor.RPCSEC_GSS, b"\0\0\0\1")


@pytest.fixture
def door():
    return Door()


def reply_to(door, message):
    unpacker = Unpacker(door.message(message))
    reply = rpc.unpack_reply(unpacker)
    assert not unpacker.rest()
    return reply


def getattr_bytes(door, cred):
    return call_bytes(9, 100003, 3, 1, args3.GETATTR3args(door.root), cred)


@pytest.mark.parametrize(
    ("called", "answer"),
    [
        ((100003, 3, 0), (rpc.accept_stat.SUCCESS, 0, 0)),
        ((100003, 2, 0), (rpc.accept_stat.PROG_MISMATCH, 3, 3)),
        ((100003, 4, 0), (rpc.accept_stat.PROG_MISMATCH, 3, 3)),
        ((100005, 4, 0), (rpc.accept_stat.PROG_MISMATCH, 1, 3)),
        ((100227, 3, 0), (rpc.accept_stat.PROG_UNAVAIL, 0, 0)),
        ((100003, 3, 22), (rpc.accept_stat.PROC_UNAVAIL, 0, 0)),
        ((100005, 3, 6), (rpc.accept_stat.PROC_UNAVAIL, 0, 0)),
        ((100003, 3, 1), (rpc.accept_stat.GARBAGE_ARGS, 0, 0)),
    ],
)
def test_a_call_of_what_is_not_served_is_told_so(door, called, answer):
    reply = reply_to(door, call_bytes(9, *called, b"", door.cred))
    assert (reply.xid, reply.accepted, reply.low, reply.high) == (9, *answer)


def test_another_version_of_rpc_is_denied(door):
    message = bytearray(call_bytes(9, 100003, 3, 0))
    message[11] = 3
    reply = reply_to(door, bytes(message))
    assert (reply.rejected, reply.low, reply.high) == (rpc.reject_stat.RPC_MISMATCH, 2, 2)
    assert reply_to(door, bytes(message[:24])).rejected == rpc.reject_stat.RPC_MISMATCH


@pytest.mark.parametrize(
    "message", [b"", call_bytes(1, 2, 3, 4)[:39], call_bytes(1, 2, 3, 4)[:23], b"\0\0\0\1\0\0\0\1" + bytes(40)]
)
def test_what_is_no_call_gets_no_answer(door, message):
    with pytest.raises(XdrError):
        door.message(message)


@given(st.binary(max_size=100), st.booleans())
def test_random_bytes_are_answered_or_are_no_call(noise, with_head):
    message = call_bytes(1, 100003, 3, 1, noise, auth_sys()) if with_head else noise
    try:
        reply = Door().message(message)
    except XdrError:
        return
    assert rpc.unpack_reply(Unpacker(reply)).xid == int.from_bytes(message[:4], "big")


@pytest.mark.parametrize(
    ("cred", "why"),
    [
        (rpc.NO_AUTH, rpc.auth_stat.AUTH_TOOWEAK),
        (rpc.opaque_auth(rpc.auth_flavor.AUTH_SHORT, b"abcd"), rpc.auth_stat.AUTH_REJECTEDCRED),
        (rpc.opaque_auth(rpc.auth_flavor.AUTH_DH, b""), rpc.auth_stat.AUTH_TOOWEAK),
        (GSS, rpc.auth_stat.AUTH_TOOWEAK),
        (rpc.opaque_auth(390003, b""), rpc.auth_stat.AUTH_TOOWEAK),
        (rpc.opaque_auth(rpc.auth_flavor.AUTH_SYS, b""), rpc.auth_stat.AUTH_BADCRED),
        (rpc.opaque_auth(rpc.auth_flavor.AUTH_SYS, auth_sys().body + bytes(4)), rpc.auth_stat.AUTH_BADCRED),
    ],
)
def test_a_credential_that_is_not_accepted_is_denied(door, cred, why):
    reply = reply_to(door, getattr_bytes(door, cred))
    assert (reply.rejected, reply.auth) == (rpc.reject_stat.AUTH_ERROR, why)
    assert door.namespace.callers == []


def test_the_limits_of_auth_sys_are_those_of_the_rfc(door):
    def body(name, groups):
        head = b"\0\0\0\0" + len(name).to_bytes(4, "big") + name + bytes(-len(name) % 4)
        return head + bytes(8) + groups.to_bytes(4, "big") + bytes(4 * groups)

    for name, groups, good in ((b"n" * 255, 16, True), (b"n" * 256, 1, False), (b"n", 17, False)):
        reply = reply_to(door, call_bytes(9, 100005, 3, 4, b"", rpc.opaque_auth(1, body(name, groups))))
        assert (reply.accepted == rpc.accept_stat.SUCCESS) is good
        assert (reply.auth == rpc.auth_stat.AUTH_BADCRED) is not good


@pytest.mark.parametrize("length", [401, 2**32 - 1, 2**32 - 3])
def test_a_credential_longer_than_400_bytes_is_denied_before_it_is_read(door, length):
    head = call_bytes(9, 100003, 3, 0)[:24] + b"\0\0\0\1" + length.to_bytes(4, "big")
    assert reply_to(door, head + bytes(404)).auth == rpc.auth_stat.AUTH_BADCRED


def test_a_verifier_must_be_auth_none(door):
    head = call_bytes(9, 100003, 3, 1, b"", door.cred)[:-8]
    args = encode(args3.GETATTR3args(door.root))
    assert reply_to(door, head + b"\0\0\0\1\0\0\0\0" + args).auth == rpc.auth_stat.AUTH_BADVERF
    assert reply_to(door, head + b"\0\0\0\0" + (401).to_bytes(4, "big")).auth == rpc.auth_stat.AUTH_BADVERF


@pytest.mark.parametrize(("prog", "vers"), [(100003, 3), (100005, 1), (100005, 3)])
@pytest.mark.parametrize("cred", [rpc.NO_AUTH, GSS, auth_sys()])
def test_null_answers_whatever_the_credential_is(door, prog, vers, cred):
    assert reply_to(door, call_bytes(9, prog, vers, 0, b"", cred)).accepted == rpc.accept_stat.SUCCESS


def test_a_changing_stamp_is_the_same_credential(door):
    for stamp in range(3):
        body = stamp.to_bytes(4, "big") + door.cred.body[4:]
        door.message(getattr_bytes(door, rpc.opaque_auth(1, body)))
    assert len(door.dispatcher._credentials._known) == 1
    assert len(door.namespace.callers) == 3


def test_the_memory_of_credentials_is_bounded(door, monkeypatch):
    monkeypatch.setattr("protocols.nfs.credentials._REMEMBERED", 10)
    for uid in range(50):
        door.message(getattr_bytes(door, auth_sys(uid)))
        assert len(door.dispatcher._credentials._known) <= 10
    assert [caller.uid for caller in door.namespace.callers] == list(range(50))


def test_a_bug_where_no_status_can_tell_of_it_is_a_system_error(door, monkeypatch):
    monkeypatch.setattr(door.exports, "visible", lambda _host: 1 / 0)
    reply = reply_to(door, call_bytes(9, 100005, 3, mount_wire.MOUNTPROC_EXPORT, b"", door.cred))
    assert reply.accepted == rpc.accept_stat.SYSTEM_ERR


def test_a_call_knows_what_a_reply_cache_needs(door):
    call = door.dispatcher.open(getattr_bytes(door, door.cred), Peer("192.0.2.7", 700, False, datagram=False))
    assert (call.xid, call.peer.host, call.peer.port, call.number) == (9, "192.0.2.7", 700, 1)
    assert call.credential.parms.uid == 1000
    assert call.procedure.idempotent
