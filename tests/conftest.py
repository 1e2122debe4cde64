"""What all tests share: the kernel client lab, the shared house, and the options of the fault tests."""

from __future__ import annotations

import os
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from house import House
from lab import KernelLab, LabUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    house = House.set_up(tmp_path_factory.mktemp("house") / "home")
    try:
        yield house.start()
        house.check()
    finally:
        house.remove()


@pytest.fixture
def new_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Return a function that sets up an installation for one test alone; its arguments are further setup options."""
    made: list[House] = []

    def make(*options: str) -> House:
        made.append(House.set_up(tmp_path / f"home{len(made)}", *options))
        return made[-1]

    yield make
    for house in made:
        house.remove()


@pytest.fixture
def own_house(new_house: Callable[..., House]) -> House:
    """Return an installation for one test, serving, that may be hurt."""
    return new_house().start()


@pytest.fixture
def s3(house: House) -> Iterator[Any]:
    """Return a boto3 client that never retries: a retried fault would be hidden."""
    with closing(house.s3()) as client:
        yield client


@pytest.fixture
def new_bucket(s3: Any) -> str:
    """Return a bucket of this test alone."""
    name = "b-" + uuid.uuid4().hex[:12]
    s3.create_bucket(Bucket=name)
    return name


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let more kill cycles be run than `make test` does."""
    parser.addoption("--cycles", type=int, default=10, help="kill -9 cycles of the fault tests (default 10)")
