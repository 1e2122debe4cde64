"""The NFS door as one object: `NfsServer` listens, serves and stops.

The NFS port serves NFS version 3 over TCP; the MOUNT port MOUNT versions 3 and 1 over TCP and UDP, and may be the
same port; the port mapper, if asked for, is at 111 over TCP and UDP and tells the ports really bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from foundation.aio import Promise, gather
from protocols.nfs.budget import Budget, Limits
from protocols.nfs.codec.mount import MOUNT_PROGRAM, MOUNT_V1, MOUNT_V3
from protocols.nfs.codec.nfs3_types import NFS_PROGRAM, NFS_V3
from protocols.nfs.codec.portmap import IPPROTO_TCP, IPPROTO_UDP, PMAP_PORT, PMAP_PROG, PMAP_VERS, mapping
from protocols.nfs.dispatch import Dispatcher, Program
from protocols.nfs.handles import HandleCodec
from protocols.nfs.listener import RpcDatagrams, RpcListener
from protocols.nfs.mount import Mount, MountTable
from protocols.nfs.nfs3 import Nfs3
from protocols.nfs.portmap import Portmap
from protocols.nfs.replies import ReplyCache
from protocols.nfs.tops import Tops

if TYPE_CHECKING:
    from foundation.clock import Clock
    from namespace.api import FileNamespace
    from protocols.nfs.exports import Exports

log = Logger()
#: How long `stop` waits for calls under way.
DRAIN_SECONDS = 10.0
_BACKLOG = 128


class NfsServer:
    """The NFS, MOUNT and port mapper services of one gateway."""

    def __init__(  # noqa: PLR0913 - the settings of the door, all by keyword
        self,
        *,
        reactor: Any,
        namespace: FileNamespace,
        exports: Exports,
        handle_key: bytes,
        clock: Clock,
        listen: str = "0.0.0.0",  # noqa: S104 - the door is for the network; export rules say who may enter
        nfs_port: int = 2049,
        mount_port: int = 2049,
        portmap: bool = False,
        portmap_port: int = PMAP_PORT,
        limits: Limits | None = None,
    ) -> None:
        """Serve *namespace* by *exports*; port 0 takes a free one. Raise InvalidArgument for a bad *handle_key*."""
        self._reactor = reactor
        self._clock = clock
        self._listen = listen
        self._limits = limits or Limits()
        self._budget = Budget(self._limits.bytes_in_all, clock)
        self._portmap = portmap
        self._ports: list[Any] = []
        self._listeners: list[RpcListener] = []
        self._one_port = mount_port == nfs_port and nfs_port != 0
        #: The ports that are bound, once `start` has returned.
        self.nfs_port = nfs_port
        self.mount_port = mount_port
        self.portmap_port = portmap_port
        handles, mounts, tops = HandleCodec(handle_key), MountTable(), Tops(namespace)
        self._nfs: Program = Nfs3(namespace, exports, tops, handles)
        self._mounts: list[Program] = [
            Mount(version, exports, tops, handles, mounts, clock) for version in (MOUNT_V1, MOUNT_V3)
        ]

    async def start(self) -> None:
        """Listen; raise twisted.internet.error.CannotListenError, and listen nowhere, if a port is taken."""
        try:
            self._listen_all()
        except BaseException:
            await self.stop()
            raise
        log.info(
            "NFS at {listen}:{nfs}, MOUNT at {mount}, port mapper {portmap}",
            listen=self._listen,
            nfs=self.nfs_port,
            mount=self.mount_port,
            portmap=f"at {self.portmap_port}" if self._portmap else "off",
        )

    async def stop(self) -> None:
        """Accept nothing more, finish the calls under way for at most `DRAIN_SECONDS`, and close."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)
        connections = [each for listener in self._listeners for each in listener.connections]
        for connection in connections:
            connection.drain()

        def abort() -> None:
            for connection in connections:
                connection.abort()

        late = self._clock.call_later(DRAIN_SECONDS, abort)
        await gather(_wait(connection.closed) for connection in connections)
        late.cancel()

    def _listen_all(self) -> None:
        mount, replies = Dispatcher(self._mounts), ReplyCache(self._clock)
        if self._one_port:
            self.nfs_port = self.mount_port = self._tcp(self.nfs_port, Dispatcher([self._nfs, *self._mounts], replies))
        else:
            self.nfs_port = self._tcp(self.nfs_port, Dispatcher([self._nfs], replies))
            self.mount_port = self._tcp(self.mount_port, mount)
        self._udp(self.mount_port, mount)
        if self._portmap:
            portmap = Dispatcher([Portmap(self._served())])
            self.portmap_port = self._tcp(self.portmap_port, portmap)
            self._udp(self.portmap_port, portmap)

    def _served(self) -> list[mapping]:
        """Return what the port mapper tells; its own port is by definition 111."""
        transports = (IPPROTO_TCP, IPPROTO_UDP)
        return [
            *(mapping(PMAP_PROG, PMAP_VERS, transport, PMAP_PORT) for transport in transports),
            mapping(NFS_PROGRAM, NFS_V3, IPPROTO_TCP, self.nfs_port),
            *(
                mapping(MOUNT_PROGRAM, version, transport, self.mount_port)
                for version in (MOUNT_V1, MOUNT_V3)
                for transport in transports
            ),
        ]

    def _tcp(self, number: int, dispatcher: Dispatcher) -> int:
        listener = RpcListener(dispatcher, self._limits, self._budget, self._clock)
        port = self._reactor.listenTCP(number, listener, backlog=_BACKLOG, interface=self._listen)
        self._listeners.append(listener)
        self._ports.append(port)
        bound: int = port.getHost().port
        return bound

    def _udp(self, number: int, dispatcher: Dispatcher) -> None:
        self._ports.append(
            self._reactor.listenUDP(number, RpcDatagrams(dispatcher, self._limits), interface=self._listen)
        )


async def _wait(promise: Promise[None]) -> None:
    await promise
