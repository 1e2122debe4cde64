"""Serve the fake namespace over real sockets until SIGTERM: for tests with sockets and for benchmarks.

Prints one JSON line with the bound ports once it listens; with --profile, the process' cProfile at the end.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
from pathlib import Path
from typing import Any

from twisted.internet import epollreactor

epollreactor.install()
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from nfs_fake_namespace import FakeNamespace  # noqa: E402 - the reactor is installed first
from twisted.internet import reactor  # noqa: E402 - the same
from twisted.logger import globalLogBeginner, textFileLogObserver  # noqa: E402 - the same

from foundation.aio import spawn, start  # noqa: E402 - the same
from foundation.clock import SystemClock  # noqa: E402 - the same
from protocols.nfs.exports import Export, Exports  # noqa: E402 - the same
from protocols.nfs.server import NfsServer  # noqa: E402 - the same

LOOP: Any = reactor


class Nowhere(list[Any]):
    """Forgets what the fake namespace notes for tests."""

    def append(self, _item: Any) -> None:
        pass


async def serve(options: argparse.Namespace) -> None:
    namespace = FakeNamespace()
    namespace.callers = namespace.limits = Nowhere()
    server = NfsServer(
        reactor=LOOP,
        namespace=namespace,
        exports=Exports([Export("/bucket", ("127.0.0.0/8",), squash="none")]),
        handle_key=bytes(32),
        clock=SystemClock(LOOP),
        listen="127.0.0.1",
        nfs_port=options.port,
        mount_port=options.mount_port,
        portmap=options.portmap_port is not None,
        portmap_port=options.portmap_port or 0,
    )
    LOOP.addSystemEventTrigger("before", "shutdown", lambda: start(server.stop()))
    await server.start()
    ports = {"nfs": server.nfs_port, "mount": server.mount_port, "portmap": server.portmap_port}
    print(json.dumps(ports), flush=True)


def failed(error: BaseException) -> None:
    print(repr(error), file=sys.stderr)
    LOOP.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mount-port", type=int, default=0)
    parser.add_argument("--portmap-port", type=int)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    recorder = cProfile.Profile()
    if options.profile:
        recorder.enable()
    spawn("start", serve(options), failed)
    LOOP.run()
    if options.profile:
        recorder.disable()
        pstats.Stats(recorder).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
