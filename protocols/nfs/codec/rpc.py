"""ONC-RPC messages, version 2 (RFC 5531), and the AUTH_SYS credential (its appendix A)."""

from enum import IntEnum
from struct import Struct as Layout
from typing import Annotated, TypeVar

from msgspec import Struct

from protocols.nfs.codec.xdr import UINT32, Array, Buffer, Opaque, Unpacker, XdrError, XdrStruct, decode, uint32

E = TypeVar("E", bound=IntEnum)

RPC_VERSION = 2
#: The longest body of a credential or verifier, in bytes (RFC 5531, section 8.2).
MAX_AUTH_BYTES = 400


class msg_type(IntEnum):
    """RFC 5531, section 9."""

    CALL = 0
    REPLY = 1


class reply_stat(IntEnum):
    """RFC 5531, section 9."""

    MSG_ACCEPTED = 0
    MSG_DENIED = 1


class accept_stat(IntEnum):
    """RFC 5531, section 9."""

    SUCCESS = 0
    PROG_UNAVAIL = 1
    PROG_MISMATCH = 2
    PROC_UNAVAIL = 3
    GARBAGE_ARGS = 4
    SYSTEM_ERR = 5


class reject_stat(IntEnum):
    """RFC 5531, section 9."""

    RPC_MISMATCH = 0
    AUTH_ERROR = 1


class auth_stat(IntEnum):
    """RFC 5531, section 9."""

    AUTH_OK = 0
    AUTH_BADCRED = 1
    AUTH_REJECTEDCRED = 2
    AUTH_BADVERF = 3
    AUTH_REJECTEDVERF = 4
    AUTH_TOOWEAK = 5
    AUTH_INVALIDRESP = 6
    AUTH_FAILED = 7


class auth_flavor(IntEnum):
    """RFC 5531, section 8.2, and RFC 2203."""

    AUTH_NONE = 0
    AUTH_SYS = 1
    AUTH_SHORT = 2
    AUTH_DH = 3
    RPCSEC_GSS = 6


class void(XdrStruct, frozen=True, gc=False):
    """Nothing: the arguments or results of many procedures."""


class opaque_auth(XdrStruct, frozen=True, gc=False):
    """A credential or verifier (RFC 5531, section 8.2); an unknown flavour is no error of the encoding."""

    flavor: uint32 = auth_flavor.AUTH_NONE
    body: Annotated[bytes, Opaque(MAX_AUTH_BYTES)] = b""


class authsys_parms(XdrStruct, frozen=True, gc=False):
    """An AUTH_SYS credential (RFC 5531, appendix A)."""

    stamp: uint32
    machinename: Annotated[bytes, Opaque(255)]
    uid: uint32
    gid: uint32
    gids: Annotated[tuple[int, ...], Array(UINT32, 16)]


class rpc_call(Struct, frozen=True, gc=False):
    """The head of a call (RFC 5531, section 9: rpc_msg with call_body)."""

    xid: int
    rpcvers: int
    prog: int
    vers: int
    proc: int
    cred: opaque_auth
    verf: opaque_auth


class rpc_reply(Struct, frozen=True, gc=False):
    """The head of a reply (RFC 5531, section 9: rpc_msg with reply_body), all arms in one."""

    xid: int
    stat: reply_stat
    #: What became of an accepted call, else None.
    accepted: accept_stat | None = None
    #: Why a call was denied, else None.
    rejected: reject_stat | None = None
    auth: auth_stat | None = None  # with AUTH_ERROR
    low: int = 0  # with PROG_MISMATCH and RPC_MISMATCH
    high: int = 0
    verf: opaque_auth = opaque_auth()


_WORDS_2 = Layout(">2I")
_WORDS_3 = Layout(">3I")
_CALL = Layout(">6I")
#: xid, REPLY, MSG_ACCEPTED, AUTH_NONE verifier of no bytes, SUCCESS.
ACCEPTED_LAYOUT = Layout(">6I")
NO_AUTH = opaque_auth()


class BadAuth(Exception):
    """A call's credential or verifier is longer than RFC 5531 allows; its head came so far."""

    def __init__(self, xid: int, why: auth_stat) -> None:
        """Remember what the denial needs."""
        super().__init__(why.name)
        self.xid = xid
        self.why = why


def unpack_call(unpacker: Unpacker) -> rpc_call:
    """Read the head of a call, up to the arguments; raise XdrError, struct.error or BadAuth.

    The layout of what follows `rpcvers` is only known for version 2, so nothing after it is read for another.
    """
    xid, kind, rpcvers, prog, vers, proc = unpacker.layout(_CALL)
    if kind != msg_type.CALL:
        raise XdrError("not a call")
    if rpcvers != RPC_VERSION:
        return rpc_call(xid, rpcvers, prog, vers, proc, NO_AUTH, NO_AUTH)
    cred = _unpack_auth(unpacker, xid, auth_stat.AUTH_BADCRED)
    verf = _unpack_auth(unpacker, xid, auth_stat.AUTH_BADVERF)
    return rpc_call(xid, rpcvers, prog, vers, proc, cred, verf)


def _unpack_auth(unpacker: Unpacker, xid: int, why: auth_stat) -> opaque_auth:
    flavor, length = unpacker.layout(_WORDS_2)
    if not length and not flavor:  # nearly every verifier
        return NO_AUTH
    if length > MAX_AUTH_BYTES:
        raise BadAuth(xid, why)
    return opaque_auth(flavor, unpacker.opaque(length))


def pack_call(call: rpc_call, out: list[Buffer]) -> None:
    """Append the head of a call; the arguments follow."""
    out.append(_CALL.pack(call.xid, msg_type.CALL, call.rpcvers, call.prog, call.vers, call.proc))
    call.cred.pack(out)
    call.verf.pack(out)


def success(xid: int) -> bytes:
    """Return the head of a reply whose results follow."""
    return ACCEPTED_LAYOUT.pack(xid, 1, 0, 0, 0, 0)


def failed(xid: int, why: accept_stat) -> bytes:
    """Return a whole reply of an accepted call that did not run: not for SUCCESS and PROG_MISMATCH."""
    return ACCEPTED_LAYOUT.pack(xid, 1, 0, 0, 0, why)


def prog_mismatch(xid: int, low: int, high: int) -> bytes:
    """Return the reply that tells which versions of the program are served."""
    return failed(xid, accept_stat.PROG_MISMATCH) + _WORDS_2.pack(low, high)


def rpc_mismatch(xid: int) -> bytes:
    """Return the reply to a call of another RPC version."""
    head = _WORDS_3.pack(xid, msg_type.REPLY, reply_stat.MSG_DENIED)
    return head + _WORDS_3.pack(reject_stat.RPC_MISMATCH, RPC_VERSION, RPC_VERSION)


def auth_error(xid: int, why: auth_stat) -> bytes:
    """Return the reply that refuses a credential or verifier."""
    head = _WORDS_3.pack(xid, msg_type.REPLY, reply_stat.MSG_DENIED)
    return head + _WORDS_2.pack(reject_stat.AUTH_ERROR, why)


def unpack_reply(unpacker: Unpacker) -> rpc_reply:
    """Read the head of a reply, up to the results; raise XdrError or struct.error."""
    xid, kind, stat = unpacker.layout(_WORDS_3)
    if kind != msg_type.REPLY:
        raise XdrError("not a reply")
    if stat == reply_stat.MSG_DENIED:
        return _unpack_denied(unpacker, xid)
    if stat != reply_stat.MSG_ACCEPTED:
        raise XdrError(f"{stat} is no reply_stat")
    verf = opaque_auth.unpack(unpacker)
    accepted = _member(accept_stat, unpacker.uint32())
    low, high = unpacker.layout(_WORDS_2) if accepted == accept_stat.PROG_MISMATCH else (0, 0)
    return rpc_reply(xid, reply_stat.MSG_ACCEPTED, accepted, low=low, high=high, verf=verf)


def _unpack_denied(unpacker: Unpacker, xid: int) -> rpc_reply:
    why = _member(reject_stat, unpacker.uint32())
    if why == reject_stat.RPC_MISMATCH:
        low, high = unpacker.layout(_WORDS_2)
        return rpc_reply(xid, reply_stat.MSG_DENIED, rejected=why, low=low, high=high)
    auth = _member(auth_stat, unpacker.uint32())
    return rpc_reply(xid, reply_stat.MSG_DENIED, rejected=why, auth=auth)


def _member(kind: type[E], value: int) -> E:
    try:
        return kind(value)
    except ValueError as error:
        raise XdrError(f"{value} is no {kind.__name__}") from error


def unpack_authsys(body: bytes) -> authsys_parms:
    """Read the body of an AUTH_SYS credential; raise XdrError."""
    return decode(authsys_parms.unpack, Unpacker(body))
