"""The wire between the guest and this machine: a TAP device with a /30 of its own, or slirp where there is no root."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import tempfile
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .layer import LabUnavailableError

if TYPE_CHECKING:
    from .layer import Layer

_TUN = Path("/dev/net/tun")
_TUNSETIFF, _TUNSETPERSIST, _IFF_TAP_NO_PI = 0x400454CA, 0x400454CB, 0x1002
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFFLAGS, _IFF_UP = 0x8916, 0x891C, 0x8914, 0x1
_NETWORKS = 250


@dataclass
class Network:
    """One guest's network; `close` gives it back."""

    device: str  # the guest's name of it
    kernel_argument: str
    server: str  # this machine, as the guest calls it
    guest_ip: str
    relays: bool  # the guest reaches an address of this machine that is not loopback
    _cleanup: ExitStack = field(default_factory=ExitStack)

    def expose(self, port: int) -> None:
        """Make *port* of this machine reachable, though its server may listen on loopback alone."""
        if self.relays and not _can_connect(self.server, port):
            self._cleanup.enter_context(_Relay(self.server, port))

    def close(self) -> None:
        self._cleanup.close()


def open_network(layer: Layer) -> Network:
    """Return a TAP network where this process may make one, else slirp; raise LabUnavailableError."""
    if os.geteuid() == 0 and os.access(_TUN, os.R_OK | os.W_OK):
        return _open_tap()
    if not layer.slirp.exists():
        raise LabUnavailableError("neither a TAP device (root and /dev/net/tun) nor slirp can be had")
    # slirp's 10.0.2.2 is this machine's loopback.
    return Network("eth0", f"eth0=slirp,,{layer.slirp}", "10.0.2.2", "10.0.2.15", relays=False)


def _open_tap() -> Network:
    with ExitStack() as stack:
        for number in range(_NETWORKS):
            lock = stack.enter_context(Path(tempfile.gettempdir(), f".gatefold-lab-{number}.lock").open("w"))
            device = f"gflab{number}"
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _persist(device, on=False)
                _persist(device, on=True)
            except OSError:  # another run's, or still held by a guest whose test was killed
                continue
            stack.callback(_persist, device, on=False)
            server, guest = f"10.204.{number}.1", f"10.204.{number}.2"
            _configure(device, server)
            argument = f"vec0:transport=tap,ifname={device},depth=128,gro=1"
            return Network("vec0", argument, server, guest, relays=True, _cleanup=stack.pop_all())
    raise LabUnavailableError("no free TAP network number")


def _persist(device: str, *, on: bool) -> None:
    """Make the TAP device, or let it go."""
    with _TUN.open("r+b", buffering=0) as tun:
        fcntl.ioctl(tun, _TUNSETIFF, device.encode().ljust(16, b"\0") + struct.pack("H22x", _IFF_TAP_NO_PI))
        fcntl.ioctl(tun, _TUNSETPERSIST, int(on))


def _configure(device: str, address: str) -> None:
    name = device.encode().ljust(16, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.252")):
            fcntl.ioctl(sock, request, name + struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(value)))
        fcntl.ioctl(sock, _SIOCSIFFLAGS, name + struct.pack("H14x", _IFF_UP))


def _can_connect(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 2).close()
    except OSError:
        return False
    return True


class _Relay:
    """Carries connections from an address of this machine to the same port of its loopback."""

    def __init__(self, address: str, port: int) -> None:
        self._port = port
        self._listener = socket.create_server((address, port))
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        for sock in (self._listener, *tuple(self._open)):
            _shut(sock)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                far = socket.create_connection(("127.0.0.1", self._port), 5)
            except OSError:
                near.close()  # the server is down: the client sees the connection end, and tries again
                continue
            far.settimeout(None)
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {near, far}
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        """Pump both ways and close both ends when both are done."""
        back = threading.Thread(target=_pump, args=(far, near), daemon=True)
        back.start()
        _pump(near, far)
        back.join()
        self._open -= {near, far}
        near.close()
        far.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 18):
            target.sendall(data)
    except OSError:
        pass  # either end broke: both are shut, which is all a relay can say
    _shut(source)
    _shut(target)


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):  # it was not connected any more
        sock.shutdown(socket.SHUT_RDWR)
