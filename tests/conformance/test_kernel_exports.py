"""The Linux kernel's client on the exports: all buckets in one mount, parts of a bucket, squash, an NFSv4 probe."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from house import House
    from lab import KernelLab, Outcome

#: For scripts in a guest. `at PATH FOLDER`: mount as the lab does. `no MESSAGE COMMAND`: it fails and says so (bash's
#: own `!` keeps `set -e` from ending a script). `listed NAME`: in a listing of the folder. `user COMMAND`: as uid 1000.
HEAD = r"""
set -eu -o pipefail
. /run/lab/settings
at() { mkdir -p "$2"; mount -t nfs -o "$OPTS" "$SERVER:$1" "$2"; }
no() {
    local why=$1; shift
    if "$@" 2>/tmp/said; then echo "went through: $*" >&2; exit 1; fi
    [ -z "$why" ] || grep -q -- "$why" /tmp/said || { echo "wanted '$why' of: $*" >&2; cat /tmp/said >&2; exit 1; }
}
listed() { ls | grep -x -- "$1" >/dev/null; }
user() { setpriv --reuid=1000 --regid=1000 --clear-groups "$@"; }
"""


@dataclass(frozen=True)
class Exported:
    """The shared house with further exports, and a bucket whose directories they show."""

    house: House
    lab: KernelLab
    bucket: str
    closed: str  # a bucket that only root may enter

    def run(self, script: str, path: str = "/") -> Outcome:
        """Mount *path*, and run *script* there."""
        ports = {"port": self.house.nfs_port, "mountport": self.house.mount_port}
        return self.lab.run(HEAD + script, export=path, **ports)


@pytest.fixture(scope="module")
def exported(house: House, lab: KernelLab) -> Iterator[Exported]:
    """Let the running gateway export more, by its configuration and without a restart, as long as these tests last."""
    bucket = "b-" + uuid.uuid4().hex[:12]
    config = house.home / "gatefold.toml"
    before = config.read_text()
    subs = {
        "none": 'squash = "none"',
        "root": 'squash = "root"\nanon_uid = 4321\nanon_gid = 4322',
        "all": 'squash = "all"\nanon_uid = 4294967294\nanon_gid = 1234',
        "frozen": 'squash = "none"\nread_only = true',
    }
    tables = "".join(
        f'\n[[exports]]\npath = "/{bucket}/deep/{name}"\nclients = ["127.0.0.0/8"]\nid = {number}\n{rules}\n'
        for number, (name, rules) in enumerate(subs.items(), 41)
    )
    config.write_text(before.replace("make_buckets = false", "make_buckets = true") + tables)
    assert len(house.json("export", "reload")) == len(subs) + 1
    try:
        house.s3().create_bucket(Bucket=bucket)
        made = Exported(house, lab, bucket, f"{bucket}-closed")
        directories = " ".join(f"{bucket}/deep/{name}" for name in subs)
        head = f"mkdir -m 700 {made.closed}; mkdir -p {directories}; chmod 777 {directories}; "
        made.run(f"{head}touch {bucket}/deep/frozen/ice").check()
        yield made
    finally:
        config.write_text(before)
        house.gatefold("export", "reload")


def test_all_buckets_are_below_one_mount_each_a_file_system_with_its_own_room(exported: Exported, s3: Any) -> None:
    data, bucket = exported.house.bucket, exported.bucket
    s3.put_object(Bucket=bucket, Key="hello", Body=b"from S3")
    said = exported.run(f"""
        listed {data}; listed {bucket}; ls -la {data} >/dev/null; test "$(cat {bucket}/hello)" = 'from S3'
        test "$(cd {bucket}/..; ls)" = "$(ls)"; test "$(stat -c %i {bucket}/..)" = "$(stat -c %i .)"
        stat -c %d . {data} {bucket} {bucket}/deep
        for place in . {data} {bucket}; do df -Pk $place | tail -1; df -Pi $place | tail -1; done
    """).check()
    lines = said.text.splitlines()
    top, *devices = lines[:4]
    assert len({top, *devices}) == 3
    assert devices[1] == devices[2]
    for path, blocks, inodes in zip(("/", f"/{data}", f"/{bucket}"), lines[4::2], lines[5::2], strict=True):
        source, total, used, free, _, _ = blocks.split()
        assert source.endswith(f":{path}")
        assert int(total) >= int(used) + int(free) > 0
        assert int(inodes.split()[3]) > 1_000_000


def test_mv_between_buckets_copies_and_links_do_not_cross(exported: Exported, s3: Any) -> None:
    data, bucket = exported.house.bucket, exported.bucket
    name = "moved-" + uuid.uuid4().hex[:8]
    exported.run(f"""
        mkdir -p {bucket}/{name}/below; seq 1000 >{bucket}/{name}/below/f; chmod 640 {bucket}/{name}/below/f
        no cross-device ln {bucket}/{name}/below/f {data}/{name}
        mv {bucket}/{name} {data}/; no '' test -e {bucket}/{name}
        test "$(stat -c %a {data}/{name}/below/f)" = 640; seq 1000 | cmp - {data}/{name}/below/f
    """).check()
    assert s3.head_object(Bucket=data, Key=f"{name}/below/f")["ContentLength"] == 3893
    assert s3.list_objects_v2(Bucket=bucket, Prefix=name)["KeyCount"] == 0


def test_mkdir_makes_a_bucket_and_rmdir_removes_it_and_nothing_else_lies_there(exported: Exported, s3: Any) -> None:
    kept, gone = (f"b-{uuid.uuid4().hex[:12]}" for _ in range(2))
    exported.run(f"""
        mkdir {kept} {gone}; listed {kept}; echo x >{kept}/f
        no 'Permission denied' mv {gone} renamed; rmdir {gone}; no '' test -e {gone}; no '' listed {gone}
        no 'Permission denied' touch file
        no 'Permission denied' ln -s target link
        no 'Invalid argument' mkdir Not_A_Bucket
        no 'not permitted' chmod 777 .
        no 'File exists' mkdir {kept}
        no 'Permission denied' user mkdir b-of-nobody
    """).check()
    s3.head_bucket(Bucket=kept)
    assert s3.list_objects_v2(Bucket=kept)["KeyCount"] == 1
    with pytest.raises(ClientError, match="404"):
        s3.head_bucket(Bucket=gone)


def test_a_bucket_that_a_user_may_not_enter_is_hidden_from_that_user(exported: Exported) -> None:
    # The user looks first: all users of a host share what its kernel has cached.
    exported.run(f"""
        user ls >/tmp/names; grep -x {exported.bucket} /tmp/names; no '' grep -x {exported.closed} /tmp/names
        no 'No such file' user ls {exported.closed}; user ls {exported.bucket}
        echo 3 >/proc/sys/vm/drop_caches; listed {exported.closed}; ls -A {exported.closed}
    """).check()


def test_exports_of_sub_directories_squash_as_they_say_and_lead_nowhere_else(exported: Exported) -> None:
    deep = f"/{exported.bucket}/deep"
    said = exported.run(f"""
        for name in none root all frozen; do at {deep}/$name /mnt/$name; done
        stat -c %d /mnt/none /mnt/root /mnt/all /mnt/frozen /mnt/nfs | sort -u | wc -l
        for name in none root all; do
            touch /mnt/$name/by-root; user touch /mnt/$name/by-user; stat -c '%n %u:%g' /mnt/$name/*
        done
        no 'not permitted' chown 7 /mnt/root/by-root
        no 'not permitted' mknod /mnt/root/null c 1 3
        no 'not permitted' chmod 4777 /mnt/root/by-user
        test -e /mnt/frozen/ice
        no 'Read-only file system' touch /mnt/frozen/new
        no 'Read-only file system' rm -f /mnt/frozen/ice
        mkdir /mnt/none/inner; at {deep}/none/inner /mnt/inner
        no 'access denied' at {deep}/none/../frozen /mnt/refused
        no 'No such file' at {deep}/nothing /mnt/refused
        no 'not a directory' at {deep}/none/by-user /mnt/refused
        no 'cross-device' ln /mnt/none/by-user /mnt/all/link
        mv /mnt/none/by-user /mnt/all/moved; test -e /mnt/nfs{deep}/all/moved
    """).check()
    devices, *owners = said.text.splitlines()
    assert devices == "5", "each is a file system of its own, and so is what shows them all"
    assert owners == [
        "/mnt/none/by-root 0:0",
        "/mnt/none/by-user 1000:1000",
        "/mnt/root/by-root 4321:4322",
        "/mnt/root/by-user 1000:1000",
        "/mnt/all/by-root 4294967294:1234",
        "/mnt/all/by-user 4294967294:1234",
    ]


def test_a_client_that_asks_for_nfs_4_first_is_led_to_version_3(exported: Exported) -> None:
    said = exported.run(f"""
        other=${{OPTS/vers=3,/}}; from=$SERVER:/{exported.bucket}; mkdir /mnt/other
        for vers in 4 4.2; do
            no 'rotocol not supported' timeout 10 mount -t nfs -o "vers=$vers,$other" $from /mnt/other
        done
        timeout 10 mount -t nfs -o "$other" $from /mnt/other; grep ' /mnt/other ' /proc/mounts
    """).check()
    assert "vers=3" in said.text
