"""curl with its own Signature Version 4: no checksum header, and a `/` in the query that it signs unencoded."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from client_mount import digests_of
from client_programs import program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from client_mount import Folder
    from house import House


@pytest.fixture
def curl(house: House, tmp_path: Path) -> Callable[..., bytes]:
    """Return a function that runs curl; the key goes by standard input, where no `ps` sees it."""
    curl, secrets = program("curl", debian=True), 'user = "{}:{}"\n'.format(*house.keys)

    def run(path: str, *words: str) -> bytes:
        command = [curl, "-q", "-sS", "--fail-with-body", "-K", "-", "--aws-sigv4", "aws:amz:us-east-1:s3", *words]
        done = subprocess.run(
            [*command, f"{house.endpoint}{path}"], input=secrets.encode(), capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{done.stdout.decode()} {done.stderr.decode()}{house.log_tail()}"
        return done.stdout

    return run


def test_files_are_put_got_headed_and_deleted(curl: Callable[..., bytes], folder: Folder, tmp_path: Path):
    data = os.urandom(3_000_000)
    (tmp_path / "up").write_bytes(data)
    path = f"/{folder.bucket}/{folder.name}"
    # curl before 8 leaves out the header that S3 asks of whatever has a body.
    payload = "x-amz-content-sha256: UNSIGNED-PAYLOAD"
    curl(f"{path}/up", "-T", str(tmp_path / "up"), "-H", payload)
    payload = f"x-amz-content-sha256: {hashlib.sha256(b'by curl').hexdigest()}"
    curl(f"{path}/small", "--data-binary", "by curl", "-X", "PUT", "-H", payload)
    assert folder.digests() == digests_of({"up": data, "small": b"by curl"})
    assert curl(f"{path}/up") == data
    assert curl(f"{path}/up", "-r", "5-9") == data[5:10]
    assert b"200" in curl(f"{path}/up", "-I").splitlines()[0]
    curl(f"{path}/up", "-X", "DELETE")
    assert list(folder.digests()) == ["small"]


def test_files_of_the_mount_are_listed_and_got(curl: Callable[..., bytes], folder: Folder):
    files = {"a": b"1", "with space": b"2", "sub/ü": b"3"}
    for name, data in files.items():
        folder.write(name, data)
    said = curl(f"/{folder.bucket}?list-type=2&prefix={folder.name}/sub/").decode()
    assert folder.key("sub/ü") in re.findall("<Key>([^<]+)</Key>", said)
    for name, data in files.items():
        assert curl(f"/{folder.bucket}/{quote(folder.key(name))}") == data
