"""A mount in the kernel client lab, a fresh folder in it for each test, and S3 clients of the shared house."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from house import House
    from lab import KernelLab


@pytest.fixture
def place(house: House, lab: KernelLab) -> Place:
    """Return a folder of the shared house that no other test uses."""
    return Place(house, lab)


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
