"""NFSv3 calls encoded ahead, and a connection that keeps a fixed number of them in flight.

Nothing is shared with the server's codec: a fault that both had would not show.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIB = 1 << 20
NFS, MOUNT = 100003, 100005
MNT = 1
GETATTR, LOOKUP, READ, WRITE, CREATE, MKDIR, COMMIT = 1, 3, 6, 7, 8, 9, 21
#: AUTH_SYS: stamp, machine name, uid 0, gid 0, no further groups.
_AUTH_SYS = struct.pack(">II5s3xIII", 1, 5, b"bench", 0, 0, 0)
_CREDENTIAL = struct.pack(">II", 1, len(_AUTH_SYS)) + _AUTH_SYS + bytes(8)
#: xid, REPLY, MSG_ACCEPTED, a null verifier, SUCCESS: then the procedure's results.
_HEADER_BYTES = 24
_LAST_FRAGMENT = 0x80000000


class CallFailed(Exception):
    """A call was refused by RPC, or its status was not zero."""


def opaque(data: bytes) -> bytes:
    """Return variable-length opaque data."""
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def encode(xid: int, program: int, procedure: int, arguments: bytes, body: int = 0) -> bytes:
    """Return a call with its record mark; *body* more bytes of the same record follow."""
    message = struct.pack(">6I", xid, 0, 2, program, 3, procedure) + _CREDENTIAL + arguments
    return struct.pack(">I", _LAST_FRAGMENT | len(message) + body) + message


def sattr(mode: int) -> bytes:
    """Return a sattr3 that sets the mode alone."""
    return struct.pack(">II4x4x4x4x4x", 1, mode)


class Connection:
    """One TCP connection of a client that must not be the bottleneck."""

    def __init__(self, host: str, port: int) -> None:
        self._sock = socket.create_connection((host, port), 10)
        self._sock.settimeout(60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
        self._buffer = bytearray(8 * MIB)
        self._have = 0  # bytes of replies at the buffer's start
        self._reply_bytes = 0  # the least that a reply must have

    def close(self) -> None:
        self._sock.close()

    def call(self, program: int, procedure: int, arguments: bytes) -> bytes:
        """Send one call and return its results after the status; raise CallFailed."""
        self._reply_bytes = 0
        self._sock.sendall(encode(1, program, procedure, arguments))
        replies: list[bytes] = []
        while not replies:
            self._receive(lambda start, end: replies.append(bytes(self._buffer[start:end])))
        return replies[0][_HEADER_BYTES + 4 :]

    def replay(
        self,
        calls: Sequence[Sequence[bytes | memoryview]],
        window: int,
        until: Callable[[], bool],
        reply_bytes: int = 0,
    ) -> int:
        """Keep *window* of *calls* in flight until they end or *until* holds; return how many were answered.

        Calls are sent again when an eighth of the window is free: one system call for several. Raise CallFailed for a
        reply of fewer than *reply_bytes*.
        """
        sent, answered, self._reply_bytes = 0, 0, reply_bytes
        while True:
            room = 0 if until() else min(window - (sent - answered), len(calls) - sent)
            if room > 0 and (room >= window // 8 or sent == answered):
                self._send([buffer for call in calls[sent : sent + room] for buffer in call])
                sent += room
            if sent == answered:
                return answered
            answered += self._receive(None)

    def _send(self, buffers: list[bytes | memoryview]) -> None:
        """Send all of *buffers*."""
        if len(buffers) > 512 or all(len(buffer) < 4096 for buffer in buffers):
            self._sock.sendall(b"".join(buffers))
            return
        sent = self._sock.sendmsg(buffers)
        for buffer in buffers:
            if sent < len(buffer):
                self._sock.sendall(memoryview(buffer)[max(sent, 0) :])
            sent -= len(buffer)

    def _receive(self, take: Callable[[int, int], None] | None) -> int:
        """Wait for bytes and return how many whole replies they ended; *take* gets the place of each."""
        buffer = self._buffer
        got = self._sock.recv_into(memoryview(buffer)[self._have :])
        if not got:
            raise CallFailed("the server closed the connection")
        self._have += got
        start = count = 0
        while self._have - start >= 4 + _HEADER_BYTES + 4:
            mark, _xid, kind, refused, _flavor, verifier, accepted, status = struct.unpack_from(">8I", buffer, start)
            end = start + 4 + (mark & 0x7FFFFFFF)
            if end > self._have:
                break
            if not mark & _LAST_FRAGMENT or (kind, refused, verifier, accepted, status) != (1, 0, 0, 0, 0):
                raise CallFailed(f"reply {(kind, refused, verifier, accepted)}, status {status}")
            if end - start < self._reply_bytes:
                raise CallFailed(f"a reply of {end - start} bytes in place of {self._reply_bytes}")
            if take is not None:
                take(start + 4, end)
            count, start = count + 1, end
        if start:
            rest = self._have - start
            buffer[:rest] = buffer[start : self._have]
            self._have = rest
        return count


def mount(host: str, port: int, export: str) -> bytes:
    """Return the root handle of *export* (MOUNT, RFC 1813, section 5.2.1)."""
    connection = Connection(host, port)
    try:
        results = connection.call(MOUNT, MNT, opaque(export.encode()))
    finally:
        connection.close()
    return take_opaque(results)


def take_opaque(data: bytes) -> bytes:
    """Return the opaque at the start of *data*."""
    (length,) = struct.unpack_from(">I", data)
    return data[4 : 4 + length]


def make(connection: Connection, procedure: int, directory: bytes, name: str, mode: int) -> bytes:
    """CREATE (UNCHECKED) or MKDIR *name* and return its handle."""
    how = struct.pack(">I", 0) if procedure == CREATE else b""
    results = connection.call(NFS, procedure, opaque(directory) + opaque(name.encode()) + how + sattr(mode))
    if results[:4] != b"\0\0\0\x01":
        raise CallFailed("the reply names no handle")
    return take_opaque(results[4:])
