"""Make a tree with all that a file system holds: `make_tree.py FOLDER FILES`; must run as root (device nodes)."""

from __future__ import annotations

import os
import random
import socket
import stat
import sys
from pathlib import Path

MODES = (0o644, 0o600, 0o755, 0o4755, 0o2711, 0o400, 0o000, 0o1666)


def make_tree(folder: Path, files: int) -> None:
    """Make regular files of all sizes and modes in directories, links, special files, and odd names and times."""
    dice = random.Random(files)
    plain: list[Path] = []
    for number in range(files):
        place = folder / f"d{number % 7}" / f"e{number % 5}"
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"file {number}"
        path.write_bytes(dice.randbytes(dice.choice((0, 1, 100, 4095, 4096, 5000, 20_000, 70_000))))
        plain.append(path)
    (folder / "empty").mkdir()
    for number, path in enumerate(plain[:: max(1, files // 20)]):
        os.link(path, folder / f"hard {number}")
        os.symlink(os.path.relpath(path, folder), folder / f"soft {number}")
    os.symlink("nowhere/at all", folder / "broken")
    os.symlink("x" * 1000, folder / "long link")
    names = ["ü" * 127, "n" * 255, " ", "-rf", "new\nline", "tab\t", "quote'\"", "* ?", "\\", "~", "#x#", ".hidden"]
    for name in names:
        (folder / name).write_text(name)
    (Path(os.fsdecode(os.fsencode(folder) + b"/latin-\xe9"))).write_text("not UTF-8")
    os.mkfifo(folder / "fifo", 0o640)
    os.mknod(folder / "char", 0o620 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(folder / "block", 0o660 | stat.S_IFBLK, os.makedev(259, 1_000_000))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.path.relpath(folder / "socket"))
    for number, path in enumerate(plain):
        os.chown(path, number % 3 * 1000, number % 2 * 100)
        path.chmod(MODES[number % len(MODES)])
    (folder / "d1").chmod(0o2775)
    (folder / "empty").chmod(0o1777)
    # The seconds 0 and 2**32 - 1 are the client's limits: it cuts them to whole seconds.
    for number, path in enumerate((*plain, *(folder / name for name in ("fifo", "char", "block", "d1", "empty")))):
        when = dice.choice((1, 978_307_200, 1_700_000_000, 4_294_967_294)) * 10**9 + dice.randrange(10**9)
        os.utime(path, ns=(when + number, when))
    # All others too: rsync takes a time of the same second for the same, and leaves it.
    links = {each for each in folder.iterdir() if each.is_symlink()}
    folders = {each for path in plain for each in path.parents if each.is_relative_to(folder)}
    for number, path in enumerate(sorted(links | folders - {folder, folder / "d1"})):
        os.utime(path, ns=(5, 1_234_567_890_123_456_789 + number), follow_symlinks=False)


if __name__ == "__main__":
    make_tree(Path(sys.argv[1]), int(sys.argv[2]))
