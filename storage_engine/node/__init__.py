"""The storage node: one process, one disk. `python -m storage_engine.node --config FILE` runs it."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, Any

from storage_engine.node.config import BadConfig as BadConfig
from storage_engine.node.config import NodeConfig as NodeConfig
from storage_engine.node.config import load_config as load_config
from storage_engine.node.config import parse_config as parse_config
from storage_engine.node.identity import Identity as Identity
from storage_engine.node.identity import WrongDisk as WrongDisk
from storage_engine.node.identity import format_disk as format_disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

#: What `sys.exit` gets when the node cannot or must not run; a supervisor should not start it again at once.
EXIT_REFUSED = 2


def main(
    config: NodeConfig,
    log_to: TextIO | None = None,
    observer: Any = None,
    started: Callable[[], object] | None = None,
) -> int:
    """Run the node of *config* in this process until SIGTERM or SIGINT; return the exit code.

    0 after a signal, 1 when the disk failed (start it again: it will read the disk), EXIT_REFUSED when the disk or
    the configuration is not right. The log goes to *observer* (an ILogObserver), or as text to *log_to* (standard
    error). *started* is called once the node serves.
    """
    # Twisted installs the reactor at import: nothing of it may be imported with this package.
    from twisted.internet import epollreactor, error  # noqa: PLC0415

    epollreactor.install()  # type: ignore[no-untyped-call]  # Twisted has no types here
    from twisted.internet import reactor  # noqa: PLC0415
    from twisted.logger import globalLogBeginner, textFileLogObserver  # noqa: PLC0415

    from storage_engine.node.records import UnknownFormat  # noqa: PLC0415
    from storage_engine.node.service import run_node  # noqa: PLC0415

    out = log_to or sys.stderr
    destination: Any = observer or textFileLogObserver(out)
    globalLogBeginner.beginLoggingTo([destination], redirectStandardIO=False)
    _raise_descriptor_limit()
    try:
        return run_node(reactor, config, started=started)
    except (WrongDisk, UnknownFormat, BadConfig, error.CannotListenError) as refusal:
        out.write(f"node {config.id} refuses to start: {refusal}\n")
        return EXIT_REFUSED


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as the administrator does: one per open segment and connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
