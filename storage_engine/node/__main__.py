"""`python -m storage_engine.node --config FILE`: run one storage node."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from storage_engine.node import EXIT_REFUSED, BadConfig, load_config, main


def _run() -> int:
    parser = argparse.ArgumentParser(prog="python -m storage_engine.node", description="Run one storage node.")
    parser.add_argument("--config", type=Path, required=True, help="the node's TOML file")
    try:
        return main(load_config(parser.parse_args().config))
    except BadConfig as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_REFUSED


sys.exit(_run())
