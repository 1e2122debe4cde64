"""What both crowds need: descriptors for each connection, and what a process holds."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """Let this process and those it starts have a descriptor for each connection."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
