"""What all tests share: the kernel client lab, the shared house, and the options of the fault tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from house import House
from lab import KernelLab, LabUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def lab() -> KernelLab:
    """Return the kernel client lab; where it cannot run, skip, but fail in CI."""
    try:
        return KernelLab.open()
    except LabUnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the kernel client lab must run in CI: {error}")
        pytest.skip(f"no kernel client lab: {error}")


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return an installation that runs as long as the tests do; tests keep to names of their own in it."""
    with House.set_up(tmp_path_factory.mktemp("house") / "home") as house:
        yield house
        house.check()


@pytest.fixture
def own_house(tmp_path: Path) -> Iterator[House]:
    """Return an installation for one test, serving, that may be hurt."""
    with House.set_up(tmp_path / "home") as house:
        yield house


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let more kill cycles be run than `make test` does."""
    parser.addoption("--cycles", type=int, default=10, help="kill -9 cycles of the fault tests (default 10)")
