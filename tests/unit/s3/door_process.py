"""The S3 door over a fake namespace as a process of its own: prints its port, then serves until SIGTERM.

`python tests/unit/s3/door_process.py [port] [--forget]`: with --forget bodies are counted and not kept, so that the
process's memory is the door's own.
"""

# ruff: noqa: E402 - it runs as a script, from anywhere
from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2])]

from s3_fake_namespace import FakeNamespace
from signing import REGION, credentials
from twisted.internet import reactor
from twisted.logger import globalLogBeginner, textFileLogObserver

from foundation.aio import start
from foundation.clock import SystemClock
from protocols.s3.server import S3Server


def main():
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    namespace = FakeNamespace()
    namespace.sink = "--forget" in sys.argv
    port = next((int(each) for each in sys.argv[1:] if each.isdigit()), 0)
    server = S3Server(reactor, namespace, credentials, SystemClock(reactor), "127.0.0.1", port, REGION, "s3.test")
    start(server.start())
    reactor.addSystemEventTrigger("before", "shutdown", lambda: start(server.stop()))
    print(server.port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
