"""The figures as a table for people and as JSON for comparisons."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Figure

_HEAD = ("measurement", "median", "unit", "limit", "its median", "ratio", "gateway us", "client CPU")


def table(figures: list[Figure]) -> str:
    """Return the table; `gateway us` is the gateway's CPU time per operation or MiB."""
    rows = [_HEAD] + [
        (
            figure.name,
            f"{figure.value:,.0f}",
            figure.unit,
            figure.limit_name,
            f"{figure.limit:,.0f}",
            f"{figure.value / figure.limit:.3f}",
            f"{figure.gateway_us:,.0f}",
            f"{figure.client_share:.0%}",
        )
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    left = (0, 2, 3)
    lines = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def write_json(path: Path, figures: list[Figure]) -> None:
    """Write the figures with all their runs and the machine they were taken on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(path.parent),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "figures": [
            {
                "name": figure.name,
                "unit": figure.unit,
                "median": figure.value,
                "runs": [run.done / run.seconds for run in figure.runs],
                "limit": {"name": figure.limit_name, "median": figure.limit, "runs": figure.limits},
                "ratio": figure.value / figure.limit,
                "gateway_cpu_us": figure.gateway_us,
                "client_cpu_share": figure.client_share,
            }
            for figure in figures
        ],
    }
    path.write_text(json.dumps(found, indent=1) + "\n")


def _commit(folder: Path) -> str:
    """Return the commit that was measured, or an empty string outside a checkout."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
