"""s3fs-fuse, mounted on this machine: a POSIX file system over S3, seen beside an NFS mount of the same."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from client_mount import digests_of
from client_programs import absent, key_environment, program
from local_files import fill, found

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from client_mount import Folder
    from house import House

MIB = 1 << 20
_MOUNT_SECONDS = 20


@contextmanager
def mounted(house: House, folder: Folder, work: Path) -> Iterator[Path]:
    """Mount *folder* below *work* and return where; it is unmounted whatever happens."""
    point = work / "s3fs"
    point.mkdir()
    options = f"url={house.endpoint},use_path_request_style,endpoint=us-east-1,multipart_size=5,singlepart_copy_limit=6"
    freshness = "stat_cache_expire=0,max_stat_cache_size=0,retries=1"
    command = [program("s3fs", debian=True), f"{folder.bucket}:/{folder.name}", str(point), "-f"]
    with (work / "s3fs.log").open("wb") as log:
        s3fs = subprocess.Popen(
            [*command, "-o", options, "-o", freshness],
            env=key_environment(house, work),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _await_mount(s3fs, point, work / "s3fs.log")
            yield point
        finally:
            subprocess.run(["umount", "--lazy", str(point)], check=False, capture_output=True)
            try:
                s3fs.wait(_MOUNT_SECONDS)
            except subprocess.TimeoutExpired:
                s3fs.kill()
                s3fs.wait()
    assert not os.path.ismount(point)
    assert s3fs.returncode == 0, (work / "s3fs.log").read_text(errors="replace")


def _await_mount(s3fs: subprocess.Popen[bytes], point: Path, log: Path) -> None:
    """Wait until *point* is mounted: the kernel tells nobody when."""
    deadline = time.monotonic() + _MOUNT_SECONDS
    while not os.path.ismount(point):
        alive = s3fs.poll() is None and time.monotonic() < deadline
        assert alive, f"s3fs did not mount: {log.read_text(errors='replace')}"
        time.sleep(0.01)


@pytest.fixture
def fuse(house: House, folder: Folder, tmp_path: Path) -> Iterator[Path]:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        absent("no /dev/fuse for s3fs-fuse")
    folder.mount.run(f"mkdir {folder.name}")
    with mounted(house, folder, tmp_path) as point:
        yield point


def shell(script: str, where: Path) -> str:
    """Run *script* in *where* and return what it printed."""
    command = ["bash", "-euc", script]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.returncode} of {script}: {done.stderr}"
    return done.stdout


def files(folder: Folder) -> dict[str, str]:
    """Return the digests of the folder's files, without the objects that hold attributes of s3fs's directories."""
    return {path: digest for path, digest in folder.digests().items() if not path.endswith("/~gf.d-body")}


def test_a_tree_copied_with_its_attributes_is_the_same_by_both_doors(fuse: Path, folder: Folder, tmp_path: Path):
    tree = {f"d{number % 3}/file {number}": os.urandom(number * 1000) for number in range(9)}
    fill(tmp_path / "tree", tree)
    (tmp_path / "tree/d1/file 4").chmod(0o640)
    os.utime(tmp_path / "tree/d1/file 4", (1_000_000_000, 1_000_000_000))
    shell(f"cp -a {shlex.quote(str(tmp_path / 'tree'))} .", fuse)
    assert found(fuse / "tree") == tree
    assert files(folder) == digests_of({f"tree/{name}": data for name, data in tree.items()})
    said = shell("stat -c '%a %Y' 'tree/d1/file 4'; ls -l tree | grep -c ^d", fuse)
    assert said.split() == ["640", "1000000000", "3"]
    shell("rm -r tree", fuse)
    assert folder.mount.run(f"ls -A {folder.name}") == b""


def test_files_are_appended_rewritten_truncated_renamed_and_removed(fuse: Path, folder: Folder):
    shell("echo one >a; echo two >>a; mv a b; mkdir d; mv b d/c; cp d/c d/gone; rm d/gone", fuse)
    assert files(folder) == digests_of({"d/c": b"one\ntwo\n"})
    shell("printf X | dd of=d/c bs=1 seek=4 conv=notrunc status=none; mv d e; truncate -s 7 e/c", fuse)
    assert files(folder) == digests_of({"e/c": b"one\nXwo"})
    assert folder.mount.run(f"ls -A {folder.name}") == b"e\n"


def test_large_files_are_written_and_renamed_in_parts(fuse: Path, folder: Folder):
    data = os.urandom(MIB) * 16
    (fuse / "big").write_bytes(data)
    shell("mv big moved; echo end >>moved", fuse)
    assert folder.digests() == digests_of({"moved": data + b"end\n"})


def test_what_nfs_makes_and_edits_is_seen(fuse: Path, folder: Folder):
    folder.mount.run(f"cd {folder.name}; mkdir -p sub/deep; echo 1 >sub/file; echo 2 >'ü x'; : >empty; ln -s empty l")
    assert shell("find . -type f | sort", fuse).splitlines() == ["./empty", "./sub/file", "./ü x"]
    assert shell("cat sub/file 'ü x'; [[ -d sub/deep ]]", fuse) == "1\n2\n"
    (fuse / "both").write_bytes(b"by s3fs\n")
    folder.mount.run(f"echo and nfs >>{folder.key('both')}")
    assert (fuse / "both").read_bytes() == b"by s3fs\nand nfs\n"
    folder.mount.run(f"rm -r {folder.key('sub')}")
    assert not (fuse / "sub").exists()
