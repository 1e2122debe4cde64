"""Real storage nodes for tests: processes of their own on loopback, which a test may kill, stop and start again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import uuid
from pathlib import Path

from twisted.internet import reactor

from foundation.aio import start
from foundation.clock import SystemClock
from storage_engine.cluster import ClusterBodyStore, NodeAddress
from storage_engine.node import Identity, format_disk
from storage_engine.ring import RingNode, build_ring

ROOT = Path(__file__).resolve().parent.parent
CLOCK = SystemClock(reactor)
SECRET = b"a secret for tests, 32 bytes long"
#: Starts a node as `python -m storage_engine.node` does and says on descriptor 1 that it listens.
_STARTER = """
import sys
from pathlib import Path
from storage_engine.node import load_config, main
{prelude}
sys.exit(main(load_config(Path(sys.argv[1])), started=lambda: print("listening", flush=True)))
"""


def drive(work, seconds=30.0):
    """Run the coroutine *work* with the real reactor, turn by turn, and return its result."""
    outcome = []
    start(work).addBoth(outcome.append)
    deadline = CLOCK.boottime_seconds() + seconds
    while not outcome:
        reactor.iterate(0.02)
        if CLOCK.boottime_seconds() > deadline:
            raise TimeoutError("the coroutine did not end")
    if hasattr(outcome[0], "raiseException"):
        outcome[0].raiseException()
    return outcome[0]


class NodeProcess:
    """One node's disk and configuration, and its process while it runs."""

    def __init__(self, folder: Path, number: int, port: int, cluster: uuid.UUID, **options: int) -> None:
        self.folder = folder / f"disk{number}"
        self.address = NodeAddress(number, uuid.uuid4(), "127.0.0.1", port)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / f"node{number}.log"
        secret = folder / "secret"
        secret.write_bytes(SECRET)
        secret.chmod(0o600)
        fields = {"segment_bytes": 8 << 20, "headroom_bytes": 0, **options}
        self.config = folder / f"node{number}.toml"
        self.config.write_text(
            f'id = {number}\nuuid = "{self.address.uuid}"\ncluster = "{cluster}"\nfolder = "{self.folder}"\n'
            f'port = {port}\nsecret_file = "{secret}"\n' + "".join(f"{k} = {v}\n" for k, v in fields.items())
        )
        format_disk(self.folder, Identity(number, self.address.uuid, cluster))

    def start(self, *, crash: str = "", prelude: str = "") -> None:
        """Start the process, with a crash point armed or code run before; return when it listens."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GATEFOLD_CRASH": crash}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _STARTER.format(prelude=prelude), str(self.config)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 20)
        line = self.process.stdout.readline() if ready else b""
        assert line == b"listening\n", self.log.read_text()

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as a supervisor does."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(number)
            self.wait()

    def wait(self) -> int:
        """Return the exit status of the process, which is ending."""
        assert self.process is not None
        status = self.process.wait(20)
        self.process.stdout.close()
        self.process = None
        return status

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)


class Nodes:
    """A few nodes and a body store over them."""

    def __init__(self, folder: Path, first_port: int, count: int = 3, **options: int) -> None:
        cluster = uuid.uuid4()
        self.nodes = [NodeProcess(folder, n, first_port + n, cluster, **options) for n in range(1, count + 1)]
        self.placements = {}

    def start(self) -> None:
        for node in self.nodes:
            node.start()

    def stop(self) -> None:
        for node in self.nodes:
            if node.process is not None:
                node.signal(signal.SIGCONT)
            node.kill()

    def body_store(self, copies: int = 2, quorum: int = 2) -> ClusterBodyStore:
        """Return a body store, not open yet, over the nodes."""
        ring = build_ring([RingNode(node.address.id) for node in self.nodes], copies)
        addresses = [node.address for node in self.nodes]

        async def placement_of(blob):
            return self.placements.get(blob)

        return ClusterBodyStore(reactor, CLOCK, SECRET, addresses, ring, quorum, placement_of)
