"""One test's folder in a house's bucket, by both doors: the kernel's client mounts it, S3 names it by keys."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from house import House
    from lab import Guest, KernelLab, Outcome


@dataclass(frozen=True)
class Place:
    """A folder that no other test uses; made by the first script that runs there."""

    house: House
    lab: KernelLab
    name: str = field(default_factory=lambda: "t-" + uuid.uuid4().hex[:10])

    def run(self, script: str, *, opts: str = "", timeout: float = 120) -> Outcome:
        """Mount, enter the folder and run *script* there (bash, ended by its first failing command)."""
        with self.start(script, opts=opts) as guest:
            return guest.wait(timeout)

    def start(self, script: str, *, opts: str = "", shares: tuple[Path, ...] = ()) -> Guest:
        """Let *script* begin in the folder; the caller ends the `Guest`."""
        head = f"set -eu -o pipefail\nmkdir -p {self.name}\ncd {self.name}\n"
        return self.lab.start(
            head + script,
            export=self.house.export,
            port=self.house.nfs_port,
            mountport=self.house.mount_port,
            opts=opts,
            shares=shares,
        )

    def key(self, path: str) -> str:
        """Return the S3 key of *path* in this folder."""
        return f"{self.name}/{path}"
