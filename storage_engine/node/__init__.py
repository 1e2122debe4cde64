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

    from twisted.logger import ILogObserver

#: What `sys.exit` gets when the node cannot or must not run; a supervisor should not start it again at once.
EXIT_REFUSED = 2


def main(config: NodeConfig, observer: ILogObserver | None = None, started: Callable[[], object] = lambda: None) -> int:
    """Run the node of *config* in this process until SIGTERM or SIGINT; return the exit code.

    0 after a signal, 1 when the disk failed (start it again: it will read the disk), EXIT_REFUSED when the disk or
    the configuration is not right. *observer* gets the log (default: text on standard error); *started* is called
    when the node listens.
    """
    # Twisted installs the reactor at import: nothing of it may be imported with this package.
    from twisted.internet import epollreactor, error  # noqa: PLC0415

    if "twisted.internet.reactor" not in sys.modules:
        epollreactor.install()  # type: ignore[no-untyped-call]  # Twisted has no types here
    from twisted.internet import reactor  # noqa: PLC0415
    from twisted.logger import globalLogBeginner, textFileLogObserver  # noqa: PLC0415

    from storage_engine.node.records import UnknownFormat  # noqa: PLC0415
    from storage_engine.node.service import run_node  # noqa: PLC0415

    chosen: Any = observer or textFileLogObserver(sys.stderr)
    globalLogBeginner.beginLoggingTo([chosen], redirectStandardIO=False)
    _raise_descriptor_limit()
    try:
        return run_node(reactor, config, started)
    except (WrongDisk, UnknownFormat, BadConfig, error.CannotListenError) as refusal:
        sys.stderr.write(f"node {config.id} refuses to start: {refusal}\n")
        return EXIT_REFUSED


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as the administrator does: one per open segment and connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
