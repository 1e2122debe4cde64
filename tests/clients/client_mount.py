"""A kernel NFS mount that stays for many tests: a boot takes three seconds, a script in a guest that runs a few ms.

The guest looks for scripts in a folder shared with it and leaves what they said there.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from house import House
    from lab import Guest, KernelLab

#: No event crosses hostfs, so the guest polls; `read` from a pipe that nobody writes waits without starting a program.
_LOOP = """
cd /; mkfifo /run/never; exec 9<>/run/never; exec 2>&1
for ((n = 1; ; n++)); do
    until [[ -e $SHARE/go-$n ]]; do
        [[ -e $SHARE/end ]] && exit 0
        read -r -t 0.02 -u 9
    done
    (cd "$MOUNT"; set -eu -o pipefail; . "$SHARE/job-$n") >"$SHARE/out-$n" 2>"$SHARE/err-$n" </dev/null
    echo $? >"$SHARE/rc-$n"
done
"""
_POLL_SECONDS = 0.005
_BOOT_SECONDS = 60


class ClientMount:
    """The house's first export, mounted by a Linux kernel. Made by `mounted`; a context manager that unmounts."""

    def __init__(self, guest: Guest, share: Path) -> None:
        self._guest, self._share, self._jobs = guest, share, 0

    @classmethod
    def mounted(cls, lab: KernelLab, house: House, share: Path) -> Self:
        """Boot a guest that sees each change at once (actimeo=0); *share* is an empty folder of its own."""
        head = f"SHARE={shlex.quote(str(share))} MOUNT=$PWD\n"
        ports = {"port": house.nfs_port, "mountport": house.mount_port}
        guest = lab.start(head + _LOOP, export=house.export, opts="actimeo=0", shares=(share,), **ports)
        return cls(guest, share)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_exc: object) -> None:
        with self._guest:
            (self._share / "end").touch()
            outcome = self._guest.wait(_BOOT_SECONDS)
        if kind is None:
            outcome.check()

    def run(self, script: str, *, timeout_seconds: float = 60) -> bytes:
        """Run *script* (bash, ended by its first failing command) in the mount's root and return what it printed."""
        self._jobs += 1
        job, left = self._share / f"job-{self._jobs}", self._share / f"rc-{self._jobs}"
        job.write_bytes(script.encode(errors="surrogateescape"))
        (self._share / f"go-{self._jobs}").touch()
        deadline = time.monotonic() + timeout_seconds + (_BOOT_SECONDS if self._jobs == 1 else 0)
        while not (left.exists() and left.read_bytes().endswith(b"\n")):
            assert time.monotonic() < deadline, f"the guest took too long over:\n{script}"
            assert self._guest.running, f"the guest ended: {self._guest.wait(1)}"
            time.sleep(_POLL_SECONDS)
        said = {name: (self._share / f"{name}-{self._jobs}").read_bytes() for name in ("out", "err")}
        status = int(left.read_text())
        assert status == 0, f"{status} of:\n{script}\n{said['err'].decode(errors='replace')}"
        return said["out"]

    def read(self, path: str) -> bytes:
        """Return a file's bytes, by `cat`."""
        return self.run(f"cat -- {shlex.quote(path)}")

    def write(self, path: str, data: bytes) -> None:
        """Make or replace a file, and its folders, by `cat`."""
        source = self._share / f"data-{self._jobs}"  # a guest may remember what a name once held
        source.write_bytes(data)
        name = shlex.quote(path)
        self.run(f'mkdir -p -- "$(dirname -- {name})"; cat {shlex.quote(str(source))} >{name}')
        source.unlink()

    def digests(self, folder: str) -> dict[str, str]:
        """Return the SHA-256 of all files below *folder*, read by `cat`, by their paths in it; no folder has none."""
        script = f"""[[ -d {shlex.quote(folder)} ]] || exit 0
            cd -- {shlex.quote(folder)}
            find . -type f -print0 | while IFS= read -r -d '' f; do
                printf '%s\\0%s\\0' "${{f#./}}" "$(cat -- "$f" | sha256sum)"
            done"""
        words = self.run(script).decode(errors="surrogateescape").split("\0")
        return {path: said.split()[0] for path, said in zip(words[::2], words[1::2], strict=False)}


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


def digests_of(files: dict[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each of *files*."""
    return {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
