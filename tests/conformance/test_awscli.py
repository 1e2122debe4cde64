"""The AWS command line: version 1 of PyPI, and version 2 where this machine has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from house import House


def candidates() -> list[str]:
    """Return the `aws` of the tests' environment and the machine's own, where they are."""
    found = [
        shutil.which("aws", path=str(Path(sys.executable).parent)),
        shutil.which("aws", path="/usr/local/bin:/usr/bin"),
    ]
    return sorted({path for path in found if path})


@dataclass(frozen=True)
class Aws:
    """One `aws` program with the house's keys."""

    program: str
    house: House
    folder: Path

    def __call__(self, *words: str, ok: bool = True) -> str:
        access_key, secret_key = self.house.keys
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
        }
        command = [self.program, "--endpoint-url", self.house.endpoint, *words]
        done = subprocess.run(
            command, env=env, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode == 0) == ok, f"{words}: {done.returncode} {done.stderr}{self.house.log_tail()}"
        return done.stdout


@pytest.fixture(params=candidates() or [None])
def aws(request: pytest.FixtureRequest, house: House, tmp_path: Path) -> Aws:
    if request.param is None:
        pytest.skip("no aws command line: pip install awscli")
    return Aws(request.param, house, tmp_path)


def test_mb_cp_ls_rm_and_rb(aws: Aws):
    bucket = "b-" + uuid.uuid4().hex[:12]
    data = os.urandom(300_000)
    (aws.folder / "here.bin").write_bytes(data)
    assert "make_bucket" in aws("s3", "mb", f"s3://{bucket}")
    assert bucket in aws("s3", "ls")
    aws("s3", "cp", "here.bin", f"s3://{bucket}/there/file.bin")
    assert "PRE there/" in aws("s3", "ls", f"s3://{bucket}")
    line = aws("s3", "ls", f"s3://{bucket}/there/").split()
    assert line[2:] == ["300000", "file.bin"]
    aws("s3", "cp", f"s3://{bucket}/there/file.bin", "back.bin")
    assert (aws.folder / "back.bin").read_bytes() == data
    aws("s3", "rb", f"s3://{bucket}", ok=False)
    aws("s3", "rm", f"s3://{bucket}/there/file.bin")
    assert aws("s3", "ls", f"s3://{bucket}", "--recursive") == ""
    aws("s3", "rb", f"s3://{bucket}")


def test_a_tree_goes_there_and_back_by_sync(aws: Aws):
    bucket = "b-" + uuid.uuid4().hex[:12]
    for number in range(40):
        path = aws.folder / f"tree/d{number % 5}/file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 31))
    aws("s3", "mb", f"s3://{bucket}")
    aws("s3", "sync", "tree", f"s3://{bucket}/tree", "--only-show-errors")
    assert aws("s3", "sync", "tree", f"s3://{bucket}/tree") == "", "a second sync finds nothing to do"
    aws("s3", "sync", f"s3://{bucket}/tree", "back", "--only-show-errors")
    ours = {path.relative_to(aws.folder / "tree"): path for path in (aws.folder / "tree").rglob("*") if path.is_file()}
    for name, path in ours.items():
        assert (aws.folder / "back" / name).read_bytes() == path.read_bytes()
    assert len(aws("s3", "ls", f"s3://{bucket}", "--recursive").splitlines()) == len(ours) == 40
    aws("s3", "rm", f"s3://{bucket}", "--recursive", "--only-show-errors")
    assert aws("s3", "ls", f"s3://{bucket}", "--recursive") == ""


def test_a_missing_key_and_a_missing_bucket_are_errors(aws: Aws):
    aws("s3", "cp", f"s3://{aws.house.bucket}/no/such/key", "x", ok=False)
    aws("s3", "ls", "s3://no-such-bucket-here", ok=False)
