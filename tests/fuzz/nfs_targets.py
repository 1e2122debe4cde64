"""Fuzz targets of the NFS door: every decoder that reads a peer's bytes, and the door as a whole."""

from __future__ import annotations

import itertools
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

from fuzz_registry import Target, add
from nfs_client import auth_sys, call_bytes
from nfs_hall import NfsHall
from nfs_wire import NfsWire, answers, framed
from scene import Scene
from twisted.logger import globalLogPublisher

from protocols.nfs.codec import mount, portmap, rpc
from protocols.nfs.codec.nfs3_results import SIGNATURES
from protocols.nfs.codec.nfs3_types import NFS_PROGRAM, createhow3, createmode3, mknoddata3, nfsstat3, sattr3
from protocols.nfs.codec.record import RecordError, RecordReader
from protocols.nfs.codec.xdr import Unpacker, XdrError, XdrStruct, decode, encode
from protocols.nfs.errors import LEGAL, Nfs3Refusal
from protocols.nfs.handles import HANDLE_BYTES, HandleCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LONGEST = 2048
#: Where an input has one of these, a call has that handle of a `Scene`: a handle's MAC would stop every mutation.
PLACES = {
    place: b"handle: " + place.encode().ljust(24, b".") for place in ("root", "file", "directory", "empty", "link")
}
assert {len(place) for place in PLACES.values()} == {HANDLE_BYTES}


class Blank(Scene):
    """Arguments in order about places, of which there need be nothing."""

    def __init__(self) -> None:
        vars(self).update(PLACES)


def _nfs_target(name: str, run: Callable[[bytes], None], seeds: Callable[[], Iterable[bytes]]) -> None:
    add(Target(f"nfs-{name}", run, seeds))


# ---------------------------------------------------------------------- record marking


def record_marking(data: bytes) -> None:
    """Read *data* at once, and cut by its own first bytes: the records must be the same, and memory bounded."""
    cuts, stream = list(data[1 : 1 + data[0] % 32]) if data else [], data[33:]
    whole, parts = RecordReader(LONGEST), RecordReader(LONGEST)
    records, error = _records(whole, [stream])
    edges = sorted({0, len(stream), *(cut * len(stream) // 255 for cut in cuts)})
    pieces = [stream[start:stop] for start, stop in itertools.pairwise(edges)]
    assert _records(parts, pieces) == (records, error)
    assert error or parts.mid_record() == whole.mid_record()
    assert all(len(record) <= LONGEST for record in records)


def _records(reader: RecordReader, pieces: list[bytes]) -> tuple[list[bytes], bool]:
    """Return what was read, and whether the stream broke the limits."""
    records: list[bytes] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            records += iter(reader.next_record, None)
            assert reader._size <= LONGEST
    except RecordError:
        return records, True
    return records, False


def _marked_seeds() -> Iterable[bytes]:
    one = framed(b"a record", b"", b"x" * 200)
    cut = b"\0\0\0\3abc" + framed(b"rest")
    for cuts in (b"\0", b"\5\1\2\3\4\5", b"\37" + bytes(range(0, 248, 8))):
        yield cuts.ljust(33, b"\0") + one + cut


_nfs_target("record", record_marking, _marked_seeds)

# ---------------------------------------------------------------------- RPC


def rpc_call(data: bytes) -> None:
    """Read the head of a call; what is read back from its own wire form is the same."""
    unpacker = Unpacker(data)
    try:
        call = rpc.unpack_call(unpacker)
    except (XdrError, struct.error, rpc.BadAuth):
        return
    assert unpacker.rest() >= 0
    if call.rpcvers == rpc.RPC_VERSION:
        out: list[Any] = []
        rpc.pack_call(call, out)
        assert b"".join(out) == data[: unpacker.at]


def authsys(data: bytes) -> None:
    """Read the body of an AUTH_SYS credential."""
    try:
        parms = rpc.unpack_authsys(data)
    except XdrError:
        return
    assert len(parms.machinename) <= 255
    assert len(parms.gids) <= 16
    assert encode(parms) == data


def structure(kind: type[XdrStruct], data: bytes) -> None:
    """Read a structure that fills *data*: it has that very wire form."""
    try:
        value = decode(kind.unpack, Unpacker(data))
    except XdrError:
        return
    assert encode(value) == data


def handle(data: bytes) -> None:
    """Read a file handle: nothing but what the key made is one."""
    codec = HandleCodec(bytes(32))
    try:
        file, export = codec.decode(data)
    except Nfs3Refusal:
        return
    assert codec.encode(file, export) == data


def _call_seeds() -> Iterable[bytes]:
    for cred in (rpc.NO_AUTH, auth_sys(), auth_sys(5, 6, tuple(range(16)))):
        yield call_bytes(7, NFS_PROGRAM, 3, 1, bytes(8), cred)


def _arguments(name: str) -> list[bytes]:
    blank = Blank()
    values: list[Any] = [blank.good(name)]
    if name == "CREATE":
        exclusive = createhow3(createmode3.EXCLUSIVE, verf=b"verifier")
        values.append(type(values[0])(blank.at(b"x"), exclusive))
    elif name == "MKNOD":
        values += [type(values[0])(blank.at(b"x"), mknoddata3(kind, sattr3(mode=1, size=2), 3)) for kind in (1, 4, 6)]
    elif name == "SETATTR":
        values.append(type(values[0])(blank.file, sattr3(1, 2, 3, 4, -1, 6), 7))
    return [encode(value) for value in values]


_nfs_target("rpc-call", rpc_call, _call_seeds)
_nfs_target("auth-sys", authsys, lambda: [auth_sys().body, auth_sys(1, 2, tuple(range(16)), b"n" * 255).body])
_nfs_target("handle", handle, lambda: [bytes(32), bytes(64), b"\1" + bytes(31)])
_nfs_target("void", partial(structure, rpc.void), lambda: [b"", bytes(4)])
for _signature in SIGNATURES.values():
    _nfs_target(
        f"args-{_signature.name.lower()}", partial(structure, _signature.args), partial(_arguments, _signature.name)
    )
_nfs_target("mount-path", partial(structure, mount.path_args), lambda: [encode(mount.path_args(b"/bucket/directory"))])
_nfs_target("portmap-mapping", partial(structure, portmap.mapping), lambda: [encode(portmap.mapping(100003, 3, 6, 1))])

# ---------------------------------------------------------------------- the door as a whole


class _Door:
    """A door over the real namespace; it is made anew before it has grown."""

    RUNS = 300

    def __init__(self) -> None:
        self._left = 0
        self.bugs: list[Any] = []
        globalLogPublisher.addObserver(self._observe)

    def _observe(self, event: Any) -> None:
        if "log_failure" in event:
            self.bugs.append(event["log_failure"])

    def connect(self) -> Any:
        """Return a new connection."""
        if not self._left:
            self._left = self.RUNS
            hall = NfsHall()
            nfs = hall.client()
            scene = Scene(nfs, nfs, nfs.mount("/bucket"))
            self._handles = {text: getattr(scene, place) for place, text in PLACES.items()}
            self.wire = NfsWire(hall.client().dispatcher)
        self._left -= 1
        return self.wire.connect()

    def placed(self, data: bytes) -> bytes:
        """Return *data* with handles where places are named."""
        for text, handle in self._handles.items():
            data = data.replace(text, handle)
        return data

    def finish(self, connection: Any) -> list[bytes]:
        """Let the reactor turn until all is answered; return the replies, and raise what the door has logged."""
        for _ in range(4):
            self.wire.turn()
        if self.bugs:
            self._left = 0
            self.bugs.pop().raiseException()
        replies = answers(connection)
        assert connection.transport.state in {"open", "closed"}
        connection.connectionLost()
        assert self.wire.budget.used == 0
        return replies


_door: list[_Door] = []
_xids = itertools.count()


def _the_door() -> _Door:
    if not _door:
        _door.append(_Door())
    return _door[0]


def door_stream(data: bytes) -> None:
    """Send *data* as it is: the connection lives or closes, and each answer is a reply."""
    door = _the_door()
    connection = door.connect()
    stream = door.placed(data)
    half = len(stream) // 2
    for piece in (stream[:half], stream[half:]):
        if connection.transport.state == "open" and connection.transport.reading:
            connection.dataReceived(piece)
    for reply in door.finish(connection):
        rpc.unpack_reply(Unpacker(reply))


def door_call(data: bytes) -> None:
    """Call the procedure that the first byte says with the rest as arguments: a code that it may answer comes back."""
    if not data:
        return
    number = data[0] % 22
    door = _the_door()
    connection = door.connect()
    args = door.placed(data[1:])
    xid = next(_xids)  # the same call again would be answered by the same reply, and not run
    connection.dataReceived(framed(call_bytes(xid, NFS_PROGRAM, 3, number, args, auth_sys())))
    [reply] = door.finish(connection)
    unpacker = Unpacker(reply)
    head = rpc.unpack_reply(unpacker)
    assert head.accepted in {rpc.accept_stat.SUCCESS, rpc.accept_stat.GARBAGE_ARGS}
    if head.accepted == rpc.accept_stat.SUCCESS and number:
        status = nfsstat3(unpacker.uint32())
        assert status == nfsstat3.NFS3_OK or status in LEGAL[number]
        assert status != nfsstat3.NFS3ERR_SERVERFAULT


def _numbered_arguments() -> Iterable[bytes]:
    for number, signature in SIGNATURES.items():
        for arguments in _arguments(signature.name):
            yield bytes([number]) + arguments


def _stream_seeds() -> Iterable[bytes]:
    calls = [call_bytes(5, NFS_PROGRAM, 3, seed[0], seed[1:], auth_sys()) for seed in _numbered_arguments()]
    yield from (framed(call) for call in calls)
    yield framed(*calls[:5])
    yield framed(call_bytes(1, mount.MOUNT_PROGRAM, 3, 1, encode(mount.path_args(b"/bucket")), auth_sys()))
    yield framed(*(call_bytes(1, mount.MOUNT_PROGRAM, 1, proc, b"", rpc.NO_AUTH) for proc in range(6)))


_nfs_target("door-stream", door_stream, _stream_seeds)
_nfs_target("door-call", door_call, _numbered_arguments)
