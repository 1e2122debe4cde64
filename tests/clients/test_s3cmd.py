"""s3cmd: it keeps POSIX attributes and an MD5 in metadata of its own, and compares by them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from client_mount import digests_of
from client_programs import key_environment, program
from local_files import fill, found
from odd_keys import MADE_BY_NFS, PLAIN, odd_files

if TYPE_CHECKING:
    from pathlib import Path

    from client_mount import Folder
    from house import House

MIB = 1 << 20


@dataclass(frozen=True)
class S3cmd:
    """The program with a configuration that holds no secret."""

    program: str
    house: House
    folder: Path

    def __call__(self, *words: str) -> str:
        options = ("--config", str(self.folder / "s3cfg"), "--no-progress")
        done = subprocess.run(
            [self.program, *options, *words],
            env=key_environment(self.house, self.folder),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.returncode} {done.stderr}{self.house.log_tail()}"
        return done.stdout


@pytest.fixture
def s3cmd(house: House, tmp_path: Path) -> S3cmd:
    host = house.endpoint.removeprefix("http://")
    (tmp_path / "s3cfg").write_text(f"[default]\nhost_base = {host}\nhost_bucket = {host}\nuse_https = False\n")
    return S3cmd(program("s3cmd"), house, tmp_path)


def test_files_are_put_listed_copied_moved_and_deleted(s3cmd: S3cmd, folder: Folder):
    fill(s3cmd.folder, {"here": b"some bytes"})
    s3cmd("put", "here", f"{folder.url}/a")
    assert s3cmd("ls", f"{folder.url}/").split()[2:] == ["10", f"{folder.url}/a"]
    s3cmd("cp", f"{folder.url}/a", f"{folder.url}/b/copy")
    s3cmd("mv", f"{folder.url}/a", f"{folder.url}/moved")
    assert folder.digests() == digests_of({"b/copy": b"some bytes", "moved": b"some bytes"})
    assert "File size: 10" in s3cmd("info", f"{folder.url}/moved")
    s3cmd("get", f"{folder.url}/moved", "back")
    assert (s3cmd.folder / "back").read_bytes() == b"some bytes"
    s3cmd("del", "--recursive", "--force", f"{folder.url}/")
    assert s3cmd("ls", "--recursive", f"{folder.url}/") == ""


def test_attributes_are_kept_through_copies_and_come_back(s3cmd: S3cmd, folder: Folder):
    fill(s3cmd.folder, {"file": b"x"})
    (s3cmd.folder / "file").chmod(0o640)
    os.utime(s3cmd.folder / "file", (1_000_000_000, 1_000_000_000))
    s3cmd("put", "--preserve", "file", f"{folder.url}/file")
    s3cmd("mv", f"{folder.url}/file", f"{folder.url}/moved")
    s3cmd("sync", f"{folder.url}/", "back/")  # `get` restores no attributes, whatever --preserve says
    status = (s3cmd.folder / "back/moved").stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o640, 1_000_000_000)


def test_a_large_file_goes_in_parts(s3cmd: S3cmd, folder: Folder):
    data = os.urandom(MIB) * 16
    fill(s3cmd.folder, {"big": data})
    s3cmd("put", "--multipart-chunk-size-mb=5", "big", f"{folder.url}/big")
    assert folder.digests() == digests_of({"big": data})
    s3cmd("get", f"{folder.url}/big", "back")
    assert (s3cmd.folder / "back").read_bytes() == data


def test_a_tree_is_synced_both_ways_and_an_edit_by_nfs_is_fetched(s3cmd: S3cmd, folder: Folder):
    tree = {f"d{number % 3}/file {number}": os.urandom(number * 7) for number in range(12)}
    fill(s3cmd.folder / "tree", tree)
    s3cmd("sync", "tree/", f"{folder.url}/")
    assert folder.digests() == digests_of(tree)
    assert "upload" not in s3cmd("sync", "tree/", f"{folder.url}/")
    s3cmd("sync", f"{folder.url}/", "back/")
    assert found(s3cmd.folder / "back") == tree
    folder.mount.run(f"cd {folder.name}; echo edited by nfs >'d1/file 4'; echo new >new; rm 'd2/file 5'")
    said = s3cmd("sync", "--delete-removed", f"{folder.url}/", "back/")
    assert said.count("download:") == 2, said
    edited = {**tree, "d1/file 4": b"edited by nfs\n", "new": b"new\n"}
    del edited["d2/file 5"]
    assert found(s3cmd.folder / "back") == edited


def test_odd_names_go_there_and_back(s3cmd: S3cmd, folder: Folder):
    tree = odd_files(PLAIN)
    fill(s3cmd.folder / "tree", tree)
    s3cmd("sync", "tree/", f"{folder.url}/")
    assert folder.digests() == digests_of(tree)
    for path in MADE_BY_NFS:
        if b"%0A" not in path and b"~gf.e-/" not in path:  # s3cmd leaves line feeds and leading slashes to others
            folder.write(os.fsdecode(path), b"made by nfs")
    s3cmd("sync", f"{folder.url}/", "back/")
    made = {"~gf.e-caf%E9": b"made by nfs", "plain name": b"made by nfs"}
    assert found(s3cmd.folder / "back") == tree | made
