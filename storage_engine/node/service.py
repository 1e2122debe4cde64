"""A node, put together and run."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from foundation.aio import spawn
from foundation.clock import SystemClock
from storage_engine.node.config import NodeConfig, read_secret
from storage_engine.node.identity import QUARANTINE, SEGMENTS, Identity, claim_disk
from storage_engine.node.log import Log
from storage_engine.node.quarantine import Quarantine
from storage_engine.node.reclaim import Reclaim
from storage_engine.node.recovery import Recovery
from storage_engine.node.room import Room
from storage_engine.node.segments import Disk, SegmentFolder
from storage_engine.node.server import NodeServer
from storage_engine.node.store import Store
from storage_engine.node.threads import ThreadRunner
from storage_engine.node.turn import Turn
from storage_engine.wire.handshake import Named

if TYPE_CHECKING:
    from collections.abc import Callable

    from foundation.clock import Timer

_log = Logger()
_READ_THREADS = 4
_RECLAIM_SECONDS = 2.0
_MACHINE = Path("/etc/machine-id")


class NodeService:
    """One node in one process."""

    def __init__(self, reactor: Any, config: NodeConfig, disk: Disk) -> None:
        """Describe the node; `start` opens its disk and port."""
        self.exit_code = 0
        self.port = 0
        self._reactor = reactor
        self._config = config
        self._disk = disk
        self._clock = SystemClock(reactor)
        self._turn = Turn()
        self._write = ThreadRunner(reactor, 1, "write")
        self._keep = ThreadRunner(reactor, 1, "segments")
        self._read = ThreadRunner(reactor, _READ_THREADS, "read")
        self._timer: Timer | None = None
        self._stopping = False
        self._lock = -1
        self._listening: Any = None

    def start(self) -> None:
        """Claim the disk, rebuild the index and listen. Raise WrongDisk, UnknownFormat, BadConfig or OSError."""
        config = self._config
        secret = read_secret(config.secret_file)
        self._lock = claim_disk(config.folder, Identity(config.id, config.uuid, config.cluster))
        folder = SegmentFolder(config.folder / SEGMENTS, config.uuid.bytes, config.segment_bytes, self._disk)
        quarantine = Quarantine(config.folder / QUARANTINE)
        self._room = Room(folder, self._keep, self._clock, config.headroom_bytes, config.capacity_bytes)
        index = Recovery(folder, self._room, quarantine, self._clock).run(config.uuid.bytes)
        self._log = Log(folder, self._room, self._write, self._turn)
        self._log.failed = self._disk_failed
        self._store = Store(
            folder=folder,
            index=index,
            room=self._room,
            log=self._log,
            quarantine=quarantine,
            read=self._read,
            clock=self._clock,
            filesystem=_filesystem(config.folder),
        )
        self._reclaim = Reclaim(self._store, folder, self._keep, self._clock)
        self._server = NodeServer(self._store, Named(config.id, config.uuid), secret, self._clock, self._turn)
        self._listening = self._reactor.listenTCP(config.port, self._server, interface=config.host)
        self.port = self._listening.getHost().port
        self._timer = self._clock.call_later(_RECLAIM_SECONDS, self._reclaim_now)
        self._room.prepare()
        _log.info("node {id} listens on {host}:{port}", id=config.id, host=config.host, port=self.port)

    def _reclaim_now(self) -> None:
        spawn("reclaim", self._reclaim_all(), self._reclaim_failed)

    async def _reclaim_all(self) -> None:
        while not self._stopping and await self._reclaim.step():
            pass
        self._reclaim_later()

    def _reclaim_failed(self, error: BaseException) -> None:
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
        for runner in (self._write, self._keep, self._read):
            runner.stop()
        self._reactor.callLater(0, self._reactor.stop)


def _filesystem(folder: Path) -> str:
    """Return a name that is equal for nodes whose folders share a file system."""
    machine = _MACHINE.read_text(encoding="ascii").strip() if _MACHINE.exists() else socket.gethostname()
    return f"{machine}:{folder.stat().st_dev}"


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
