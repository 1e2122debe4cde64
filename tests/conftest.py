"""What all tests share: the kernel client lab, the shared house, and the options of the fault tests."""

from __future__ import annotations

import os

import pytest
from lab import KernelLab, LabUnavailableError


@pytest.fixture(scope="session")
def lab() -> KernelLab:
    """Return the kernel client lab; where it cannot run, skip, but fail in CI."""
    try:
        return KernelLab.open()
    except LabUnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the kernel client lab must run in CI: {error}")
        pytest.skip(f"no kernel client lab: {error}")
