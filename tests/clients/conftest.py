"""What the tests of real S3 clients share: a mount that stays, and a folder for each test."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from client_mount import ClientMount, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from house import House
    from lab import KernelLab


@pytest.fixture(scope="session")
def mount(lab: KernelLab, house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientMount]:
    """Return the shared bucket as a Linux kernel sees it."""
    with ClientMount.mounted(lab, house, tmp_path_factory.mktemp("mount")) as mount:
        yield mount


@pytest.fixture
def folder(house: House, mount: ClientMount) -> Folder:
    """Return a folder that no other test uses."""
    return Folder(house.bucket, "c-" + uuid.uuid4().hex[:10], mount)
