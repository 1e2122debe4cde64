"""`python -m lab build` and `python -m lab run --port N --export PATH -- COMMAND` (with PYTHONPATH=tests)."""

from __future__ import annotations

import argparse
import shlex
import sys

from . import KernelLab, LabUnavailableError, build_layer, find_layer


def main() -> int:
    """Build the lab, or run one command on a mount; return the exit status."""
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="fetch the packages (no root needed)")
    run = verbs.add_parser("run", help="run a command where the export is mounted")
    run.add_argument("--export", default=None)
    run.add_argument("--port", type=int, default=2049)
    run.add_argument("--mountport", type=int, default=None)
    run.add_argument("--opts", default="")
    run.add_argument("--timeout", type=float, default=600)
    run.add_argument("command", nargs="+")
    wanted = parser.parse_args()
    try:
        layer = find_layer() or build_layer()
    except LabUnavailableError as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1
    if wanted.verb == "build":
        sys.stdout.write(f"{layer.path}\n")
        return 0
    outcome = KernelLab(layer).run(
        shlex.join(wanted.command),
        export=wanted.export,
        port=wanted.port,
        mountport=wanted.mountport,
        opts=wanted.opts,
        timeout=wanted.timeout,
    )
    sys.stdout.buffer.write(outcome.stdout)
    sys.stderr.buffer.write(outcome.stderr)
    return outcome.rc


if __name__ == "__main__":
    raise SystemExit(main())
