"""A mount in the kernel client lab, and a fresh folder in it for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from place import Place

if TYPE_CHECKING:
    from house import House
    from lab import KernelLab


@pytest.fixture
def place(house: House, lab: KernelLab) -> Place:
    """Return a folder of the shared house that no other test uses."""
    return Place(house, lab)
