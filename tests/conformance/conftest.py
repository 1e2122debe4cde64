"""A mount in the kernel client lab, a fresh folder in it for each test, and S3 clients of the shared house."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from house import House
    from lab import KernelLab, Outcome


@dataclass(frozen=True)
class Place:
    """One test's folder in the shared bucket, by both doors."""

    house: House
    lab: KernelLab
    name: str

    def run(self, script: str, *, opts: str = "", timeout: float = 120) -> Outcome:
        """Mount, enter the folder and run *script* there (bash, ended by its first failing command)."""
        head = f"set -eu -o pipefail\nmkdir -p {self.name}\ncd {self.name}\n"
        return self.lab.run(
            head + script,
            export=self.house.export,
            port=self.house.nfs_port,
            mountport=self.house.mount_port,
            opts=opts,
            timeout=timeout,
        )

    def key(self, path: str) -> str:
        """Return the S3 key of *path* in this folder."""
        return f"{self.name}/{path}"


@pytest.fixture
def place(house: House, lab: KernelLab) -> Place:
    """Return a folder name that no other test uses."""
    return Place(house, lab, "t-" + uuid.uuid4().hex[:10])
