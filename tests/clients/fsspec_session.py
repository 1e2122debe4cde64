"""What test_fsspec.py runs in an environment of its own: steps of s3fs, one after another, on what it reads as JSON."""

from __future__ import annotations

import json
import sys

import s3fs

MIB = 1 << 20


def main() -> None:
    """Run the steps that standard input names and print what each returned, as JSON."""
    order = json.load(sys.stdin)
    fs = s3fs.S3FileSystem(endpoint_url=order["endpoint"], use_listings_cache=False, max_concurrency=4)
    print(json.dumps([STEPS[step](fs, order["root"], *rest) for step, *rest in order["steps"]]))


def pipe(fs: s3fs.S3FileSystem, root: str, files: dict[str, str]) -> None:
    """Write all *files* at once."""
    fs.pipe({f"{root}/{name}": text.encode() for name, text in files.items()})


def cat(fs: s3fs.S3FileSystem, root: str, names: list[str]) -> dict[str, str]:
    """Return the text of each file."""
    return {name: fs.cat_file(f"{root}/{name}").decode() for name in names}


def stream(fs: s3fs.S3FileSystem, root: str, name: str, pieces: int) -> list[str]:
    """Write a file of *pieces* MiB in parts of 5 MiB, and return bytes from around the first seam."""
    with fs.open(f"{root}/{name}", "wb", block_size=5 * MIB) as file:
        for number in range(pieces):
            file.write(bytes([number]) * MIB)
    with fs.open(f"{root}/{name}", "rb", block_size=MIB) as file:
        file.seek(5 * MIB - 2)
        return list(file.read(4).hex(" ").split())


def append(fs: s3fs.S3FileSystem, root: str, name: str, text: str) -> None:
    """Append to a file: a copy of what there is, and a part."""
    with fs.open(f"{root}/{name}", "ab") as file:
        file.write(text.encode())


def find(fs: s3fs.S3FileSystem, root: str) -> dict[str, int]:
    """Return all files with their sizes."""
    found = fs.find(root, detail=True)
    return {path.removeprefix(root + "/"): info["size"] for path, info in found.items() if path != root + "/"}


def tree(fs: s3fs.S3FileSystem, root: str, local: str) -> int:
    """Send a local tree, fetch it beside, and return how many files came back."""
    fs.put(local + "/", f"{root}/tree/", recursive=True)
    fs.get(f"{root}/tree/", local + ".back/", recursive=True)
    return len(fs.find(f"{root}/tree"))


def rearrange(fs: s3fs.S3FileSystem, root: str, names: list[str]) -> list[bool]:
    """Copy the first of *names* to the second, move that to the third, remove the first; say which exist."""
    first, second, third = (f"{root}/{name}" for name in names)
    fs.copy(first, second)
    fs.mv(second, third)
    fs.rm(first)
    return [fs.exists(path) for path in (first, second, third)]


def remove(fs: s3fs.S3FileSystem, root: str) -> bool:
    """Remove the folder with all that is in it; say whether it is gone."""
    fs.rm(root, recursive=True)
    return not fs.exists(root)


STEPS = {each.__name__: each for each in (pipe, cat, stream, append, find, tree, rearrange, remove)}

if __name__ == "__main__":
    main()
