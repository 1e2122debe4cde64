"""Print one line for each thing below a folder, with all that a copy must keep: `show_tree.py FOLDER`."""

from __future__ import annotations

import hashlib
import os
import stat
import sys


def show_tree(root: bytes) -> None:
    """Print names, types, modes, owners, times, devices, link targets, sizes, digests and which names are one file."""
    first: dict[int, bytes] = {}
    for folder, names, files in os.walk(root):
        names.sort()
        for name in sorted(names + files):
            path = os.path.join(folder, name)
            found = os.lstat(path)
            shown = os.path.relpath(path, root)
            what = ""
            if stat.S_ISLNK(found.st_mode):
                what = repr(os.readlink(path))
            elif stat.S_ISREG(found.st_mode):
                with open(path, "rb") as file:
                    what = f"{found.st_size} {hashlib.file_digest(file, 'sha256').hexdigest()}"
                what += f" {first.setdefault(found.st_ino, shown)!r} {found.st_nlink}"
            elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
                what = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
            print(shown, oct(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns, what)


if __name__ == "__main__":
    show_tree(os.fsencode(sys.argv[1]))
