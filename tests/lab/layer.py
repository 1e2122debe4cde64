"""The Debian packages of the lab, fetched with apt and unpacked in a folder of their own; nothing is installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: mount.nfs needs /etc/protocols (netbase); kmod loads the NFS modules; slirp is the network without root.
PACKAGES = ("user-mode-linux", "busybox-static", "nfs-common", "kmod", "netbase", "slirp")
_UNPACK = (
    # Not `dpkg-deb -x`: it puts folders where the merged-/usr symbolic links are.
    'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink --exclude=./usr/share/doc '
    '--exclude=./usr/share/man --exclude=./usr/share/locale -C "$2"'
)


class LabUnavailableError(Exception):
    """The lab cannot run on this machine; the message says why in one line."""


@dataclass(frozen=True)
class Layer:
    """The unpacked packages."""

    path: Path

    @property
    def kernel(self) -> Path:
        return self.path / "usr/bin/linux.uml"

    @property
    def busybox(self) -> Path:
        return self.path / "usr/bin/busybox"

    @property
    def slirp(self) -> Path:
        return self.path / "usr/bin/slirp-fullbolt"

    @property
    def complete(self) -> bool:
        return self.kernel.exists() and self.busybox.exists() and (self.path / "usr/sbin/mount.nfs").exists()


def lab_folder() -> Path:
    """Return where the lab keeps its packages: GATEFOLD_LAB_DIR, or a folder in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GATEFOLD_LAB_DIR") or Path(cache) / "gatefold-lab")


def find_layer(folder: Path | None = None) -> Layer | None:
    """Return what `build_layer` made, or None."""
    layer = Layer((folder or lab_folder()) / "layer")
    return layer if layer.complete else None


def build_layer(folder: Path | None = None) -> Layer:
    """Fetch and unpack the packages (about 6 s, 120 MB); raise LabUnavailableError."""
    folder = folder or lab_folder()
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise LabUnavailableError("the lab's packages come from Debian, and there is no apt-get here")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs on one machine share the layer
        found = find_layer(folder)
        return found or _build(folder)


def _build(folder: Path) -> Layer:
    with tempfile.TemporaryDirectory(dir=folder) as work:
        debs, fresh = Path(work, "debs"), Path(work, "layer")
        (debs / "partial").mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (fresh / "usr" / name).mkdir(parents=True)
            (fresh / name).symlink_to(f"usr/{name}")
        _download(debs, Path(work))
        for deb in sorted(debs.glob("*.deb")):
            _run("sh", "-c", _UNPACK, "sh", str(deb), str(fresh))
        target = folder / "layer"
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    if not Layer(target).complete:
        raise LabUnavailableError(f"the packages {' '.join(PACKAGES)} do not hold the kernel and mount.nfs")
    return Layer(target)


def _download(debs: Path, work: Path) -> None:
    """Let apt fetch PACKAGES and those they need, with this machine's lists or, if these are stale, own ones."""
    options = [
        "-q",
        "-y",
        "-o",
        "Debug::NoLocking=1",
        "-o",
        f"Dir::Cache::archives={debs}",
        "-o",
        "APT::Sandbox::User=",
    ]
    fetch = ["--no-install-recommends", "--download-only", "--reinstall", "install", *PACKAGES]
    try:
        _run("apt-get", *options, *fetch)
    except LabUnavailableError:
        (work / "lists/partial").mkdir(parents=True)
        options += ["-o", f"Dir::State::lists={work}/lists", "-o", f"Dir::Cache={work}"]
        _run("apt-get", *options, "update")
        _run("apt-get", *options, *fetch)


def _run(*command: str) -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise LabUnavailableError(f"{command[0]} failed: {reason}")
