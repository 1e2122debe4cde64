"""A connection that carries frames: both ends' half of the I/O.

Large payloads are received straight into their own buffer: once the reactor has said that the socket is readable and
a frame's head is known, `recv_into` fills the buffer until the socket is empty, in place of 64 KiB pieces that would
have to be joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Protocol

from foundation.stream import DirectWriter, tune_socket
from storage_engine.wire.frames import BrokenStream, FrameReader, encode_frame

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from storage_engine.wire.frames import Frame

#: A shorter rest comes with the reactor's own next read.
_DIRECT_BYTES = 16 << 10


class FrameProtocol(Protocol):
    """One end of a connection; subclasses take frames in `frame_received`."""

    transport: Any

    def __init__(self) -> None:
        """Start with the limit of a peer that has not proven who it is."""
        self.frames = FrameReader()
        self.writer: DirectWriter | None = None
        self._socket: socket.socket | None = None
        self.paused = False  # no more is read for now

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Prepare the socket."""
        tune_socket(self.transport)
        self.writer = DirectWriter(self.transport)
        handle = self.transport.getHandle()
        if handle is not None and hasattr(handle, "recv_into"):
            self._socket = handle

    def send(self, kind: int, status: int, request: int, payload: Sequence[bytes | memoryview]) -> None:
        """Send one frame; its buffers must stay unchanged until the connection has taken them."""
        if self.writer is not None:
            self.writer.send(encode_frame(kind, status, request, payload))

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take a piece of the stream, and what else the socket holds of a large frame."""
        try:
            self.take(self.frames.feed(data))
            self._fill()
        except BrokenStream as error:
            self.broken(error)

    def _fill(self) -> None:
        if self._socket is None:
            return
        while len(wanted := self.frames.wanted()) >= _DIRECT_BYTES and not self.paused:
            try:
                count = self._socket.recv_into(wanted)
            except BlockingIOError:
                return
            except OSError:
                return  # the reactor's next read meets the same end and reports it
            if not count:
                return
            self.take(self.frames.filled(count))

    def take(self, frames: list[Frame]) -> None:
        """Hand on *frames*."""
        for frame in frames:
            self.frame_received(frame)

    def frame_received(self, frame: Frame) -> None:
        """Take one frame; raise BrokenStream for one that may not come now."""
        raise NotImplementedError

    def broken(self, error: BaseException) -> None:
        """End a connection whose peer does not keep to the protocol."""
        raise NotImplementedError
