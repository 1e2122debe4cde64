"""What tests call: run a script where a kernel NFS client has mounted an export."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .guest import Guest, Outcome, make_run_folder, write_init
from .layer import LabUnavailableError, Layer, build_layer, find_layer
from .network import open_network

if TYPE_CHECKING:
    from pathlib import Path

#: Where the export is mounted in the guest; the script starts there.
MOUNT_POINT = "/mnt/nfs"
#: The plain mount of the README; `nolock` because no NLM is asked for.
_BASE_OPTIONS = ("vers=3", "proto=tcp", "mountproto=tcp", "nolock")


@dataclass(frozen=True)
class KernelLab:
    """A machine that can run guests."""

    layer: Layer

    @classmethod
    def open(cls) -> KernelLab:
        """Return a lab that has booted once, fetching its packages if they are not there; raise LabUnavailableError."""
        lab = cls(find_layer() or build_layer())
        outcome = lab.run("true", export=None, timeout=60)
        if outcome.rc:
            last = (outcome.stderr.decode(errors="replace") + outcome.console).strip().splitlines()[-1:]
            raise LabUnavailableError(f"the guest kernel does not run here ({outcome.rc}): {''.join(last)}")
        return lab

    def run(self, script: str, *, timeout: float = 120, **how: object) -> Outcome:
        """Boot, mount, run *script* (bash) in the mounted folder, end; *how* is that of `start`."""
        with self.start(script, **how) as guest:  # type: ignore[arg-type]  # start() names and types them
            return guest.wait(timeout)

    def start(
        self,
        script: str,
        *,
        export: str | None,
        port: int = 2049,
        mountport: int | None = None,
        opts: str = "",
        shares: tuple[Path, ...] = (),
        stdin: bytes = b"",
        user: tuple[int, int] | None = None,
    ) -> Guest:
        """Boot and let *script* begin; the caller ends the `Guest`.

        *export* None mounts nothing. *mountport* defaults to *port*. *opts* are further mount options, comma
        separated. *shares* are folders of this machine that the guest may write, at the same path. *user* is the uid
        and gid the script runs as. The server is this machine, on any of its addresses.
        """
        network = open_network(self.layer)
        folder = make_run_folder()
        try:
            ports = {"port": port, "mountport": mountport or port}
            options = ",".join(
                [*_BASE_OPTIONS, *(f"{name}={number}" for name, number in ports.items()), *opts.split(",")]
            )
            if export is not None:
                for number in set(ports.values()):
                    network.expose(number)
            settings = {
                "DEVICE": network.device,
                "SERVER": network.server,
                "GUEST_IP": network.guest_ip,
                "GUEST_NAME": "nfsguest" + network.guest_ip.split(".")[2],
                "EXPORT": export or "",
                "OPTS": options.rstrip(","),
                "MNT": MOUNT_POINT,
                "MOUNT_SECONDS": "30",
                "AS_USER": ""
                if user is None
                else f"/usr/bin/setpriv --reuid={user[0]} --regid={user[1]} --clear-groups",
            }
            lines = [f"{name}={shlex.quote(value)}\n" for name, value in settings.items()]
            (folder / "settings").write_text("".join(lines))
            (folder / "shares").write_text(
                "".join(f"share {shlex.quote(str(path))} {shlex.quote(str(path))}\n" for path in shares)
            )
            (folder / "script").write_text(script)
            (folder / "stdin").write_bytes(stdin)
            write_init(folder, self.layer.path, self.layer.busybox)
            return Guest(folder, network, self.layer.kernel)
        except BaseException:
            network.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
