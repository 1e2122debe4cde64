"""A node as a process: its disk, its port, its background duty, and how it ends."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from foundation.aio import spawn
from foundation.clock import SystemClock
from storage_engine.node.assembly import Parts, Runners, open_disk
from storage_engine.node.config import NodeConfig, read_secret
from storage_engine.node.segments import Disk
from storage_engine.node.server import NodeServer
from storage_engine.node.threads import ThreadRunner
from storage_engine.node.turn import Turn
from storage_engine.wire.handshake import Named

if TYPE_CHECKING:
    from collections.abc import Callable

    from foundation.clock import Timer

_log = Logger()
_READ_THREADS = 4
_RECLAIM_SECONDS = 2.0


class NodeService:
    """One node in one process."""

    def __init__(self, reactor: Any, config: NodeConfig, disk: Disk) -> None:
        """Claim the disk and rebuild the index; `start` listens. Raise WrongDisk, UnknownFormat, BadConfig, OSError."""
        self.exit_code = 0
        self._reactor = reactor
        self._config = config
        self._clock = SystemClock(reactor)
        self._turn = Turn()
        self._threads = [
            ThreadRunner(reactor, 1, "write"),
            ThreadRunner(reactor, 1, "segments"),
            ThreadRunner(reactor, _READ_THREADS, "read"),
        ]
        self._secret = read_secret(config.secret_file)
        self._parts: Parts = open_disk(config, self._clock, Runners(*self._threads), self._turn, disk)
        self._parts.log.failed = self._disk_failed
        named = Named(config.id, config.uuid)
        self._server = NodeServer(self._parts.store, named, self._secret, self._clock, self._turn)
        self._timer: Timer | None = None
        self._stopping = False
        self._listening: Any = None

    def start(self) -> None:
        """Listen, and begin to reclaim; raise CannotListenError."""
        config = self._config
        self._listening = self._reactor.listenTCP(config.port, self._server, interface=config.host)
        self._timer = self._clock.call_later(_RECLAIM_SECONDS, self._reclaim_now)
        port = self._listening.getHost().port
        _log.info("node {id} listens on {host}:{port}", id=config.id, host=config.host, port=port)

    def _reclaim_now(self) -> None:
        spawn("reclaim", self._reclaim_all(), self._reclaim_failed)

    async def _reclaim_all(self) -> None:
        while not self._stopping and await self._parts.reclaim.step():
            pass
        self._reclaim_later()

    def _reclaim_failed(self, error: BaseException) -> None:
        if not self._stopping:
            _log.error("reclaim failed: {error}", error=error)
        self._reclaim_later()

    def _reclaim_later(self) -> None:
        if not self._stopping:
            self._timer = self._clock.call_later(_RECLAIM_SECONDS, self._reclaim_now)

    def _disk_failed(self, error: Exception) -> None:
        """End the process: after a failed write or sync only the disk itself knows what it holds."""
        _log.critical("the disk failed, the node stops and must read it again: {error}", error=error)
        self.exit_code = 1
        self._reactor.callLater(0, self.stop)

    def stop(self) -> None:
        """Stop listening, drop the clients and end the process; what was answered is durable already."""
        if self._stopping:
            return
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        if self._listening is not None:
            self._listening.stopListening()
            self._server.close()
        self._parts.log.close()
        for threads in self._threads:
            threads.stop()
        self._reactor.callLater(0, self._reactor.stop)


def run_node(
    reactor: Any, config: NodeConfig, started: Callable[[], object] = lambda: None, disk: Disk | None = None
) -> int:
    """Run the node of *config* until a signal or a failed disk ends it; return the exit code.

    *started* is called when it listens; *disk* is a test's.

    Raise WrongDisk, UnknownFormat, BadConfig or OSError when it cannot start.
    """
    service = NodeService(reactor, config, disk or Disk())
    service.start()
    reactor.callWhenRunning(started)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(service.stop))
    reactor.run(installSignalHandlers=False)
    return service.exit_code
