"""From a call message to a reply message: programs, versions, procedures (RFC 5531, section 9).

`Dispatcher.open` reads a call and either refuses it or returns it ready to run; `Dispatcher.run` runs it. Between
the two a transport may count what the call will cost. Nothing here knows how bytes travel.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct
from twisted.logger import Logger

from foundation.errors import NoReply
from protocols.nfs.codec import rpc
from protocols.nfs.codec.xdr import Buffer, Unpacker, XdrError, XdrStruct, decode
from protocols.nfs.credentials import ANONYMOUS, AuthRefused, Credential, Credentials
from protocols.nfs.replies import fingerprint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping

    from protocols.nfs.exports import Export
    from protocols.nfs.replies import ReplyCache

log = Logger()


class Peer(Struct, frozen=True):
    """Where a call came from."""

    host: str  # an address in text form
    port: int
    local: bool  # a loopback address
    datagram: bool  # by UDP, where the address may be forged


class Call:
    """One call, from its first byte to its reply.

    `request` names it for ever if it must not run twice, and is empty otherwise; `export` is set by the procedure once
    it has checked its handle.
    """

    __slots__ = ("args", "credential", "export", "number", "peer", "procedure", "program", "request", "xid")

    def __init__(self, xid: int, peer: Peer, program: Program, number: int, procedure: Procedure) -> None:
        """Name the call; the dispatcher adds what it reads."""
        self.xid = xid
        self.peer = peer
        self.program = program
        self.number = number
        self.procedure = procedure
        self.credential: Credential = ANONYMOUS
        self.args: Any = None
        self.request = b""
        self.export: Export | None = None


Function: TypeAlias = "Callable[[Any, Call, Any], Awaitable[XdrStruct]]"


class Procedure(Struct, frozen=True):
    """One procedure: how to read its arguments, what to run, and what a transport must know."""

    args: type[XdrStruct]
    function: Function  # called with the program, the call and its arguments
    resfail: type[XdrStruct] | None = None  # the body of a failure; None where there is none
    idempotent: bool = True  # running it twice does what running it once does: it needs no reply cache
    anonymous: bool = True  # AUTH_NONE is enough
    any_auth: bool = False  # NULL: whatever the credential says, it is not looked at
    stream_only: bool = False  # its answer may dwarf the question: not by UDP, where the asker may be forged
    reply_bytes: Callable[[Any], int] | None = None  # from the arguments, where the answer may be large


class Program(Protocol):
    """One version of one program."""

    number: int
    version: int
    procedures: Mapping[int, Procedure]

    async def answer(self, call: Call, out: list[Buffer]) -> None:
        """Run *call* and append its packed results, errors of the program's own kind included, to *out*.

        Raises NoReply. Anything else that it raises is answered SYSTEM_ERR.
        """


class Dispatcher:
    """The programs served at one address."""

    def __init__(self, programs: Iterable[Program], replies: ReplyCache | None = None) -> None:
        """Serve *programs*; without *replies*, none of them may have a procedure that is not idempotent."""
        self._programs: dict[int, dict[int, Program]] = {}
        for program in programs:
            self._programs.setdefault(program.number, {})[program.version] = program
        self._replies = replies
        self._credentials = Credentials()

    def open(self, record: bytes, peer: Peer) -> Call | bytes:
        """Read a call; return it ready to run, or the reply that refuses it. Raise XdrError when it is no call."""
        unpacker = Unpacker(record)
        try:
            head = rpc.unpack_call(unpacker)
        except struct.error as error:
            raise XdrError("the call ends too early") from error
        except rpc.BadAuth as error:
            return rpc.auth_error(error.xid, error.why)
        if head.rpcvers != rpc.RPC_VERSION:
            return rpc.rpc_mismatch(head.xid)
        versions = self._programs.get(head.prog)
        if versions is None:
            return rpc.failed(head.xid, rpc.accept_stat.PROG_UNAVAIL)
        program = versions.get(head.vers)
        if program is None:
            return rpc.prog_mismatch(head.xid, min(versions), max(versions))
        procedure = program.procedures.get(head.proc)
        if procedure is None or (procedure.stream_only and peer.datagram and not peer.local):
            return rpc.failed(head.xid, rpc.accept_stat.PROC_UNAVAIL)
        call = Call(head.xid, peer, program, head.proc, procedure)
        if not procedure.idempotent:
            call.request = fingerprint(peer.host, record)
        return self._read(call, head, unpacker)

    def _read(self, call: Call, head: rpc.rpc_call, unpacker: Unpacker) -> Call | bytes:
        """Check the credential and read the arguments."""
        procedure = call.procedure
        try:
            if not procedure.any_auth:
                call.credential = self._credentials.accept(head.cred, head.verf, anonymous=procedure.anonymous)
            call.args = decode(procedure.args.unpack, unpacker)
        except AuthRefused as error:
            return rpc.auth_error(head.xid, error.why)
        except XdrError as error:
            log.debug(
                "garbage arguments from {host}: program {prog}, procedure {proc}: {error}",
                host=call.peer.host,
                prog=head.prog,
                proc=head.proc,
                error=str(error),
            )
            return rpc.failed(head.xid, rpc.accept_stat.GARBAGE_ARGS)
        return call

    def run(self, call: Call) -> Coroutine[Any, Any, list[Buffer] | None]:
        """Run *call*; return its reply message in buffers, or None where nothing may be answered."""
        if call.request and self._replies is not None:
            return self._replies.once(call, self._run)
        return self._run(call)

    async def _run(self, call: Call) -> list[Buffer] | None:
        out: list[Buffer] = [rpc.success(call.xid)]
        try:
            await call.program.answer(call, out)
        except NoReply:
            return None
        except Exception:  # noqa: BLE001 - whatever went wrong, the client must hear of it
            log.failure("program {prog}, procedure {proc} failed", prog=call.program.number, proc=call.number)
            return [rpc.failed(call.xid, rpc.accept_stat.SYSTEM_ERR)]
        return out
