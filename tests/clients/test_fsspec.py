"""fsspec's s3fs, in an environment of its own: its aiobotocore pins a botocore that awscli does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from client_mount import digests_of
from client_programs import absent, key_environment
from local_files import fill, found
from odd_keys import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_mount import Folder
    from house import House

PYTHON = Path(sys.prefix, "clients/bin/python")
MIB = 1 << 20


@pytest.fixture
def fsspec(house: House, folder: Folder, tmp_path: Path) -> Callable[..., list[Any]]:
    """Return a function that runs steps of fsspec_session.py in one process and returns what each returned."""
    if not PYTHON.exists():
        absent(f"no {PYTHON}: `make test` makes it")

    def run(*steps: tuple[Any, ...]) -> list[Any]:
        order = {"endpoint": house.endpoint, "root": f"{folder.bucket}/{folder.name}", "steps": steps}
        done = subprocess.run(
            [PYTHON, Path(__file__).with_name("fsspec_session.py")],
            env=key_environment(house, tmp_path),
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr + house.log_tail()
        answers: list[Any] = json.loads(done.stdout)
        return answers

    return run


def test_files_are_written_streamed_appended_copied_and_moved(fsspec: Callable[..., list[Any]], folder: Folder):
    folder.write("by nfs", b"made")
    answers = fsspec(
        ("pipe", {"a": "one", "sub/b": "two"}),
        ("stream", "big", 11),
        ("append", "a", " and more"),
        ("rearrange", ["sub/b", "copy", "moved"]),
        ("cat", ["a", "by nfs", "moved"]),
        ("find",),
    )
    assert answers[1] == ["04", "04", "05", "05"]
    assert answers[3] == [False, False, True]
    assert answers[4] == {"a": "one and more", "by nfs": "made", "moved": "two"}
    assert answers[5] == {"a": 12, "by nfs": 4, "moved": 3, "big": 11 * MIB}
    big = b"".join(bytes([number]) * MIB for number in range(11))
    on_mount = {"a": b"one and more", "by nfs": b"made", "moved": b"two", "big": big}
    assert folder.digests() == digests_of(on_mount)


def test_an_append_to_a_large_file_copies_it_as_a_part(fsspec: Callable[..., list[Any]], folder: Folder):
    folder.mount.run(f"mkdir {folder.name}; head -c 6000000 /dev/zero >{folder.key('large')}")
    fsspec(("append", "large", "the end"))
    assert folder.digests() == digests_of({"large": bytes(6_000_000) + b"the end"})


def test_a_tree_goes_there_and_back_and_is_removed(fsspec: Callable[..., list[Any]], folder: Folder, tmp_path: Path):
    tree = {f"d{number % 3}/file {number}": os.urandom(number * 99) for number in range(12)}
    fill(tmp_path / "tree", tree)
    assert fsspec(("tree", str(tmp_path / "tree")))[0] == len(tree)
    assert found(tmp_path / "tree.back") == tree
    assert folder.digests() == digests_of({f"tree/{name}": data for name, data in tree.items()})
    assert fsspec(("remove",)) == [True]
    assert folder.digests() == {}


def test_odd_names_reach_the_mount_and_come_back(fsspec: Callable[..., list[Any]], folder: Folder):
    texts = {key: key * 3 for key in PLAIN}
    assert fsspec(("pipe", texts), ("cat", PLAIN))[1] == texts
    assert folder.digests() == digests_of({key: text.encode() for key, text in texts.items()})
