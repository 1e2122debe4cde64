"""One boot of the guest kernel: started, waited for, and ended with no process left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from .network import Network

TIMED_OUT, NO_BOOT, MOUNT_FAILED = 124, 125, 126
_HERE = Path(__file__).parent
_MEMORY = "512M"
_MEMORY_BYTES = 512 << 20


@dataclass(frozen=True)
class Outcome:
    """What a script left: `rc` is its own, or TIMED_OUT, NO_BOOT, MOUNT_FAILED."""

    rc: int
    stdout: bytes
    stderr: bytes
    console: str
    mountstats: str
    seconds: float

    def check(self) -> Self:
        """Return self; raise AssertionError, with what is needed to see why, unless `rc` is 0."""
        if self.rc:
            console = (
                "\n".join(self.console.splitlines()[-15:]) if self.rc in (TIMED_OUT, NO_BOOT, MOUNT_FAILED) else ""
            )
            said = self.stderr.decode(errors="replace")[-4000:] + self.stdout.decode(errors="replace")[-2000:]
            raise AssertionError(f"the guest ended with {self.rc} after {self.seconds:.1f} s\n{said}\n{console}")
        return self

    @property
    def text(self) -> str:
        return self.stdout.decode()


class Guest:
    """A running guest. As a context manager it is killed at the end, if it still runs."""

    def __init__(self, run_folder: Path, network: Network, kernel: Path) -> None:
        """Boot; *run_folder* holds all scripts and belongs to the guest from now on."""
        self._folder, self._network = run_folder, network
        self._started = time.monotonic()
        self._streams: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray(), "console": bytearray()}
        # A console on a plain file loses all after early boot (epoll): all three are pipes.
        pipes = {name: os.pipe() for name in self._streams}
        command = [
            *("setpriv", "--pdeathsig", "KILL", "--", str(kernel), f"mem={_MEMORY}"),
            *("root=none", "rootfstype=hostfs", "rootflags=/", "ro", f"init={run_folder}/enter"),
            *(f"uml_dir={run_folder}/uml", "umid=guest"),
            "initcall_blacklist=raid6_select_algo",  # it measures for 0.9 s what nobody uses
            *("con=null", "con0=null,fd:1", f"ssl0=null,fd:{pipes['stdout'][1]}", f"ssl1=null,fd:{pipes['stderr'][1]}"),
            *("panic=1", "noreboot", network.kernel_argument),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=pipes["console"][1],
            stderr=subprocess.STDOUT,
            env=_environment(run_folder),
            pass_fds=(pipes["stdout"][1], pipes["stderr"][1]),
            start_new_session=True,
        )
        self._readers = []
        for name, (read_end, write_end) in pipes.items():
            os.close(write_end)
            reader = threading.Thread(target=_drain, args=(read_end, self._streams[name]), daemon=True)
            reader.start()
            self._readers.append(reader)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end()
        self._network.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def mounted(self) -> bool:
        """Whether the mount is done and the script has begun."""
        return (self._folder / "ready").exists()

    def wait(self, timeout_seconds: float) -> Outcome:
        """Return what the script left, or a TIMED_OUT outcome whose console shows the tasks that hang."""
        rc: int | None = None
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._order("sysrq w")
            rc = TIMED_OUT
        self._end()
        status = self._left("status").strip()
        return Outcome(
            rc=rc if rc is not None else int(status or NO_BOOT),
            stdout=bytes(self._streams["stdout"]),
            stderr=bytes(self._streams["stderr"]),
            console=self._streams["console"].decode(errors="replace"),
            mountstats=self._left("mountstats"),
            seconds=time.monotonic() - self._started,
        )

    def _left(self, name: str) -> str:
        path = self._folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def _order(self, text: str) -> None:
        """Give one order to the guest kernel's management console and wait for its answer."""
        path = self._folder / "console-client"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(str(path))
                sock.settimeout(3)
                data = text.encode()
                message = struct.pack("<III", 0xCAFEBABE, 2, len(data)) + data.ljust(512, b"\0")
                sock.sendto(message, f"{self._folder}/uml/guest/mconsole")
                sock.recv(4096)
            except OSError:
                pass  # a guest that cannot answer has nothing to show; the timeout is reported all the same

    def _end(self) -> None:
        """Kill what is left of the guest: its helper processes outlive it."""
        with suppress(ProcessLookupError):  # all are gone
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            reader.join(2)


def make_run_folder() -> Path:
    """Return a new folder with the two init scripts; the caller adds `settings`, `shares`, `script`, `stdin`."""
    folder = Path(tempfile.mkdtemp(prefix="gatefold-lab-"))
    shutil.copy(_HERE / "session.sh", folder / "session.sh")
    return folder


def write_init(folder: Path, layer: Path, busybox: Path) -> None:
    """Write the program that the guest kernel starts."""
    head = f"#!{busybox} sh\nBUSYBOX={busybox} LAYER={layer} RUN={folder}\n"
    init = folder / "enter"
    init.write_text(head + (_HERE / "enter.sh").read_text())
    init.chmod(0o755)


def _environment(run_folder: Path) -> dict[str, str]:
    """Say where the guest's memory file goes: /dev/shm, unless it is small or noexec, as in containers."""
    env = {name: value for name, value in os.environ.items() if name not in ("TMPDIR", "TMP", "TEMP")}
    try:
        shm = os.statvfs("/dev/shm")
    except OSError:
        return env | {"TMPDIR": str(run_folder)}
    if shm.f_bavail * shm.f_frsize < 1.1 * _MEMORY_BYTES or shm.f_flag & os.ST_NOEXEC:
        env["TMPDIR"] = str(run_folder)
    return env


def _drain(descriptor: int, into: bytearray) -> None:
    with open(descriptor, "rb", buffering=0) as pipe:
        while data := pipe.read(1 << 16):
            into += data
