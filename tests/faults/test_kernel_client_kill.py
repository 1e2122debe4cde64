"""The kernel's client rides out a killed gateway: it waits, and writes again what was not committed."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from house import House
    from lab import KernelLab

_FILES, _KILL_AT, _KILLS = 60, (10, 30), ("gateway", "gateway")
#: Each file is written in pieces without sync, then fsynced: the kill hits UNSTABLE data that was answered.
_LOAD = """python3 - <<'EOF'
import hashlib, json, os
os.makedirs("load", exist_ok=True)

with open("{share}/manifest", "a") as manifest:
    for number in range({files}):
        name, data = f"load/file-{{number:03d}}", os.urandom(2_500_000 if number % 3 else 5000)
        with open(name + ".part", "wb", buffering=0) as file:
            for start in range(0, len(data), 300_000):
                file.write(data[start:start + 300_000])
            os.fsync(file.fileno())
        os.rename(name + ".part", name)
        if number % 5 == 4:
            os.unlink(f"load/file-{{number - 2:03d}}")
            manifest.write(json.dumps([f"load/file-{{number - 2:03d}}", None]) + "\\n")
        manifest.write(json.dumps([name, hashlib.sha256(data).hexdigest()]) + "\\n")
        manifest.flush()
        os.fsync(manifest.fileno())
EOF"""


def test_what_the_kernel_client_fsynced_survives_killed_gateways(own_house: House, lab: KernelLab, tmp_path: Path):
    share = tmp_path / "share"
    share.mkdir()
    manifest = share / "manifest"
    manifest.touch()
    script = _LOAD.format(share=share, files=_FILES)
    ports = {"port": own_house.nfs_port, "mountport": own_house.mount_port}
    with lab.start(script, export=own_house.export, shares=(share,), **ports) as guest:
        for reached, victim in zip(_KILL_AT, _KILLS, strict=True):
            deadline = time.monotonic() + 120
            while len(manifest.read_text().splitlines()) < reached:
                assert guest.running, guest.wait(1).check()
                assert time.monotonic() < deadline, f"no progress before the kill{own_house.log_tail()}"
                time.sleep(0.02)
            own_house.wait_replaced(victim, own_house.kill(victim))
        guest.wait(240).check()
    states = dict(json.loads(line) for line in manifest.read_text().splitlines())
    assert len(states) == _FILES
    s3 = own_house.s3()
    listed = [each["Key"] for each in s3.list_objects_v2(Bucket=own_house.bucket, Prefix="load/file")["Contents"]]
    assert listed == sorted(name for name, digest in states.items() if digest)
    for name in listed:
        with closing(s3.get_object(Bucket=own_house.bucket, Key=name)["Body"]) as body:
            assert hashlib.sha256(body.read()).hexdigest() == states[name], name
    s3.close()
    own_house.check()
