"""rclone: it compares by size, `x-amz-meta-mtime` and MD5, so an edit by NFS must change what it compares."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from client_mount import digests_of
from client_programs import key_environment, program
from local_files import fill, found
from odd_keys import PLAIN, TAME, odd_files, path_of

if TYPE_CHECKING:
    from pathlib import Path

    from client_mount import Folder
    from house import House

MIB = 1 << 20


@dataclass(frozen=True)
class Rclone:
    """The program, its remote `gf:` configured by the environment alone."""

    program: str
    house: House
    folder: Path

    def __call__(self, *words: str) -> str:
        access_key, secret_key = self.house.keys
        env = key_environment(self.house, self.folder) | {
            "RCLONE_CONFIG": str(self.folder / "none.conf"),
            "RCLONE_CONFIG_GF_TYPE": "s3",
            "RCLONE_CONFIG_GF_PROVIDER": "Other",
            "RCLONE_CONFIG_GF_ENDPOINT": self.house.endpoint,
            "RCLONE_CONFIG_GF_REGION": "us-east-1",
            "RCLONE_CONFIG_GF_ACCESS_KEY_ID": access_key,
            "RCLONE_CONFIG_GF_SECRET_ACCESS_KEY": secret_key,
            "RCLONE_RETRIES": "1",
            "RCLONE_LOW_LEVEL_RETRIES": "1",
        }
        done = subprocess.run(
            [self.program, *words], env=env, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{words}: {done.returncode} {done.stderr}{self.house.log_tail()}"
        return done.stdout

    def sync(self, source: str, target: str) -> int:
        """Run `rclone sync` and return how many files it moved."""
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        self("sync", source, target, "--use-json-log", "--log-file", str(log), "--log-level", "INFO", "--stats", "0")
        lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
        return sum(line["msg"].startswith("Copied") for line in lines)


@pytest.fixture
def rclone(house: House, tmp_path: Path) -> Rclone:
    return Rclone(program("rclone"), house, tmp_path)


def test_a_tree_is_synced_and_checked_and_moves_once(rclone: Rclone, folder: Folder):
    tree = {f"d{number % 3}/file {number}": os.urandom(number * 997) for number in range(15)}
    fill(rclone.folder / "tree", tree)
    remote = f"gf:{folder.bucket}/{folder.name}"
    assert rclone.sync("tree", remote) == len(tree)
    assert rclone.sync("tree", remote) == 0, "a second sync finds nothing to do"
    rclone("check", "tree", remote)
    rclone("check", "--download", "tree", remote)
    assert folder.digests() == digests_of(tree)
    assert json.loads(rclone("size", "--json", remote))["bytes"] == sum(map(len, tree.values()))
    assert rclone.sync(remote, "back") == len(tree)
    assert rclone.sync(remote, "back") == 0
    assert found(rclone.folder / "back") == tree


def test_an_edit_by_nfs_of_the_same_length_is_not_skipped(rclone: Rclone, folder: Folder):
    fill(rclone.folder / "tree", {"edited": b"before!\n", "kept": b"kept"})
    remote = f"gf:{folder.bucket}/{folder.name}"
    rclone.sync("tree", remote)
    rclone.sync(remote, "back")
    folder.mount.run(f"cd {folder.name}; echo after!! >edited")
    assert rclone.sync(remote, "back") == 1
    assert found(rclone.folder / "back") == {"edited": b"after!!\n", "kept": b"kept"}
    assert rclone.sync(remote, "back") == 0, "the edit's time is the file's own, so it is fetched once"
    assert rclone.sync("tree", remote) == 1, "and sent back over by a sync the other way"
    assert folder.read("edited") == b"before!\n"


def test_a_write_in_the_middle_by_nfs_is_not_skipped(rclone: Rclone, folder: Folder):
    data = os.urandom(300_000)
    fill(rclone.folder / "tree", {"file": data})
    remote = f"gf:{folder.bucket}/{folder.name}"
    rclone.sync("tree", remote)
    rclone.sync(remote, "back")
    folder.mount.run(f"printf patch | dd of={folder.key('file')} bs=1 seek=150000 conv=notrunc status=none")
    assert rclone.sync(remote, "back") == 1
    assert found(rclone.folder / "back") == {"file": data[:150_000] + b"patch" + data[150_005:]}


def test_single_files_are_copied_and_moved_and_times_kept(rclone: Rclone, folder: Folder):
    fill(rclone.folder, {"file": b"x" * 100})
    os.utime(rclone.folder / "file", ns=(1_234_567_890_123_456_789, 1_234_567_890_123_456_789))
    remote = f"gf:{folder.bucket}/{folder.name}"
    rclone("copyto", "file", f"{remote}/a b")
    rclone("copyto", f"{remote}/a b", f"{remote}/copy")
    rclone("moveto", f"{remote}/copy", f"{remote}/moved")
    assert folder.digests() == digests_of({"a b": b"x" * 100, "moved": b"x" * 100})
    rclone("copyto", f"{remote}/moved", "back")
    assert (rclone.folder / "back").stat().st_mtime_ns == 1_234_567_890_123_456_789
    rclone("touch", "--timestamp", "2010-01-02T03:04:05.678901234", f"{remote}/moved")
    assert "2010-01-02 03:04:05.678901234" in rclone("lsl", f"{remote}/moved")
    rclone("delete", remote)
    assert folder.digests() == {}


def test_large_files_go_in_parts_and_streams_too(rclone: Rclone, folder: Folder):
    data = os.urandom(MIB) * 17
    fill(rclone.folder / "tree", {"big": data})
    remote = f"gf:{folder.bucket}/{folder.name}"
    parts = ("--s3-upload-cutoff", "5Mi", "--s3-chunk-size", "5Mi", "--s3-copy-cutoff", "6Mi")
    rclone("copy", "tree", remote, *parts)
    rclone("copyto", f"{remote}/big", f"{remote}/copy", *parts)
    rclone("check", "--one-way", "tree", remote)
    assert folder.digests() == digests_of({"big": data, "copy": data})
    rclone("copy", f"{remote}/big", "back", "--multi-thread-cutoff", "1Mi")
    assert (rclone.folder / "back/big").read_bytes() == data


def test_files_of_the_mount_are_checked_against_their_copies(rclone: Rclone, folder: Folder):
    folder.mount.run(f"mkdir -p {folder.name}/sub; cd {folder.name}; echo 1 >a; echo 2 >sub/b; : >empty; ln -s a link")
    remote = f"gf:{folder.bucket}/{folder.name}"
    rclone("copy", remote, "back")
    assert found(rclone.folder / "back") == {"a": b"1\n", "sub/b": b"2\n", "empty": b""}
    rclone("check", remote, "back")


def test_odd_names_reach_the_mount_and_come_back(rclone: Rclone, folder: Folder):
    tree = odd_files([*PLAIN, *(key for key in TAME if key != "beside")])
    fill(rclone.folder / "tree", tree)
    remote = f"gf:{folder.bucket}/{folder.name}"
    rclone("copy", "tree", remote)
    assert folder.digests() == digests_of({path_of(key): data for key, data in tree.items()})
    rclone("copy", remote, "back")
    assert found(rclone.folder / "back") == tree
