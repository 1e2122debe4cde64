"""What the tests of real S3 clients share: a mount that stays, a folder for each test, and the keys in an environment."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from client_mount import ClientMount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from house import House
    from lab import KernelLab


@pytest.fixture(scope="session")
def mount(lab: KernelLab, house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientMount]:
    """Return the shared bucket as a Linux kernel sees it."""
    with ClientMount.mounted(lab, house, tmp_path_factory.mktemp("mount")) as mount:
        yield mount


@dataclass(frozen=True)
class Folder:
    """One test's folder in the shared bucket, by both doors."""

    bucket: str
    name: str
    mount: ClientMount

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.name}"

    def key(self, path: str) -> str:
        """Return the S3 key of *path*; it is the path on the mount too, but for aliases."""
        return f"{self.name}/{path}"

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of all files in it, read by `cat` on the mount."""
        return self.mount.digests(self.name)

    def read(self, path: str) -> bytes:
        """Return a file's bytes, by `cat` on the mount."""
        return self.mount.read(self.key(path))

    def write(self, path: str, data: bytes) -> None:
        """Make or replace a file on the mount."""
        self.mount.write(self.key(path), data)


@pytest.fixture
def folder(house: House, mount: ClientMount) -> Folder:
    """Return a folder that no other test uses."""
    return Folder(house.bucket, "c-" + uuid.uuid4().hex[:10], mount)


def program(name: str, *, debian: bool = False) -> str:
    """Return the path of a client: of the tests' environment, or Debian's; where it is not, skip, but fail in CI."""
    folder = "/usr/bin" if debian else str(Path(sys.executable).parent)
    found = shutil.which(name, path=folder)
    if found is None:
        message = f"no {name} in {folder}: `make test` installs it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def key_environment(house: House, home: Path) -> dict[str, str]:
    """Return an environment that has the house's keys and nothing of this user's configuration."""
    access_key, secret_key = house.keys
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def plain_http(
    method: str, url: str, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, bytes]:
    """Send what a browser or a script would, no header added, and return status and body."""
    parts = urlsplit(url)
    with closing(HTTPConnection(str(parts.hostname), parts.port, timeout=10)) as connection:
        connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
