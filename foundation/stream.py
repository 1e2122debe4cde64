"""Sending buffers over a Twisted TCP transport with no copy where the socket can take them at once.

`transport.write` joins, copies and sends 128 KiB per reactor turn. Trying `socket.sendmsg` first, when nothing is
queued, moves 1 MiB replies as fast as a bare socket loop (DESIGN 9); what does not fit is queued as ever.
"""

from __future__ import annotations

import socket
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The kernel refuses longer vectors (UIO_MAXIOV is 1,024).
_MAX_VECTOR = 512
#: Large enough that a 1 MiB reply, with others before it, fits without waiting for the reactor.
SEND_BUFFER_BYTES = 4 << 20


def tune_socket(transport: Any) -> None:
    """Make *transport* send small messages at once and large ones in one go."""
    transport.setTcpNoDelay(True)
    sock: socket.socket | None = transport.getHandle()
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


class DirectWriter:
    """The sending half of one TCP connection."""

    __slots__ = ("_socket", "_transport")

    def __init__(self, transport: Any) -> None:
        """Send over *transport*; one that is no plain TCP connection (TLS, a test's) is only written to."""
        self._transport = transport
        plain = hasattr(transport, "dataBuffer") and hasattr(transport, "_tempDataBuffer")
        self._socket: socket.socket | None = transport.getHandle() if plain else None

    def send(self, buffers: Sequence[bytes | memoryview]) -> None:
        """Send *buffers* in order; they must stay unchanged until the connection has taken them."""
        rest: Iterable[bytes | memoryview] = buffers
        if self._socket is not None and self._idle():
            rest = self._send_now(buffers)
        # Twisted takes no memoryview; only what the socket did not take is copied.
        self._transport.writeSequence([bytes(each) for each in rest])

    def _idle(self) -> bool:
        transport = self._transport
        queued = transport.dataBuffer or transport._tempDataBuffer  # noqa: SLF001 - Twisted has no public word for it
        return transport.connected and not transport.disconnecting and not queued

    def _send_now(self, buffers: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
        """Return what the socket did not take."""
        assert self._socket is not None
        try:
            sent = self._socket.sendmsg(list(islice(buffers, _MAX_VECTOR)))
        except OSError:
            # Full, or broken: the transport finds out which when the reactor writes.
            return list(buffers)
        return _after(buffers, sent)


def _after(buffers: Sequence[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    """Return what follows the first *sent* bytes of *buffers*."""
    for index, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]]
        sent -= len(buffer)
    return []
