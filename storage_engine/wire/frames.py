"""Frames: how messages are cut from the stream.

A frame is a head of 16 bytes, big-endian, and a payload:

    length of the payload (4), kind (1), status (1), zero (2), request id (8)

A request has a kind of `Kind` and status 0. Its answer has the same kind and request id, and a `Status`; answers come
in any order. Request ids are the client's business; it may have any number of requests under way.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

PROTOCOL_VERSION = 1
#: The longest payload: the longest blob with its heads.
MAX_PAYLOAD_BYTES = (4 << 20) + 4096
#: The longest payload from a peer that has not proven who it is.
MAX_GREETING_BYTES = 512

_HEAD = struct.Struct(">IBBHQ")
HEAD_BYTES = _HEAD.size


class Kind(IntEnum):
    """What a frame asks or answers."""

    HELLO = 1
    PROOF = 2
    STAT = 3
    PUT = 4
    READ = 5
    FETCH = 6
    DELETE = 7
    CLOSE_EPOCHS = 8
    INVENTORY = 9


class Status(IntEnum):
    """How a request ended."""

    OK = 0
    BAD_REQUEST = 1  # it makes no sense, or its checksums do not match its bytes
    NO_SPACE = 2
    NOT_HELD = 3
    DAMAGED = 4  # held, and not sound; noted
    USED = 5  # the blob id was used before: deleted, or held with other bytes
    EPOCH_CLOSED = 6
    FAILED = 7  # the node cannot do it now


_STATUS_NAMES = {status.value: status.name for status in Status}


class BrokenStream(Exception):
    """The peer sent what this protocol does not allow; the connection is of no use any more."""


class Refusal(Exception):
    """A node's answer that is not OK."""

    def __init__(self, status: int, detail: str = "") -> None:
        """Keep the *status* and the node's words."""
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        name = _STATUS_NAMES.get(self.status, str(self.status))
        return f"{name}: {self.detail}" if self.detail else name


class Frame(Struct, frozen=True, gc=False):
    """One message."""

    kind: int
    status: int
    request: int
    payload: memoryview


def encode_frame(
    kind: int, status: int, request: int, payload: Sequence[bytes | memoryview]
) -> list[bytes | memoryview]:
    """Return the buffers of one frame; small first pieces are joined with the head."""
    length = sum(map(len, payload))
    head = _HEAD.pack(length, kind, status, 0, request)
    if payload and type(payload[0]) is bytes:
        return [head + payload[0], *payload[1:]]
    return [head, *payload]


class FrameReader:
    """Cuts frames from a stream that arrives in any pieces, with no byte copied twice.

    A frame that lies whole in one piece is a view of it. For one that does not, a buffer of its length is made once;
    the owner may fill that buffer straight from the socket: `wanted` is its empty rest, `filled` says how much came.
    """

    __slots__ = ("_buffer", "_have", "_head", "_partial", "limit")

    def __init__(self, limit: int = MAX_GREETING_BYTES) -> None:
        """Refuse payloads longer than *limit*, which may be raised later."""
        self.limit = limit
        self._partial = b""  # the beginning of a head
        self._head: tuple[int, int, int, int] | None = None  # length, kind, status, request of the frame in _buffer
        self._buffer = memoryview(b"")
        self._have = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next piece of the stream; return the frames that it ends. Raise BrokenStream."""
        frames: list[Frame] = []
        view = memoryview(data)
        position = 0
        if self._head is not None:
            position = min(len(data), len(self._buffer) - self._have)
            self._buffer[self._have : self._have + position] = view[:position]
            frames.extend(self.filled(position))
            if self._head is not None:
                return frames
        if self._partial:
            view = memoryview(self._partial + data[position:])
            position, self._partial = 0, b""
        while len(view) - position >= HEAD_BYTES:
            head = self._check_head(view, position)
            position += HEAD_BYTES
            length = head[0]
            if len(view) - position < length:
                self._begin(head, view[position:])
                return frames
            frames.append(Frame(head[1], head[2], head[3], view[position : position + length]))
            position += length
        self._partial = bytes(view[position:])
        return frames

    def wanted(self) -> memoryview:
        """Return the empty rest of the frame that is being received; empty when there is none."""
        return self._buffer[self._have :] if self._head is not None else self._buffer[:0]

    def filled(self, count: int) -> list[Frame]:
        """Note that *count* bytes of `wanted` came; return the frame, if that ended it."""
        assert self._head is not None
        self._have += count
        if self._have < len(self._buffer):
            return []
        _, kind, status, request = self._head
        frame = Frame(kind, status, request, self._buffer)
        self._head, self._buffer = None, memoryview(b"")
        return [frame]

    def _check_head(self, view: memoryview, position: int) -> tuple[int, int, int, int]:
        length, kind, status, zero, request = _HEAD.unpack_from(view, position)
        if length > self.limit or zero:
            raise BrokenStream(f"a frame of kind {kind} and {length} bytes")
        return length, kind, status, request

    def _begin(self, head: tuple[int, int, int, int], start: memoryview) -> None:
        self._head = head
        self._buffer = memoryview(bytearray(head[0]))
        self._buffer[: len(start)] = start
        self._have = len(start)
