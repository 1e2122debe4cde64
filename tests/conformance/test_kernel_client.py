"""The Linux kernel's NFSv3 client on a mount: what people do with files, and what POSIX promises them."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from place import Place

#: Prints one line per object below `.`: type, mode, mtime in ns, link target, size and digest.
TREE = r"""
import hashlib, os, stat
for folder, names, files in os.walk("."):
    names.sort()
    for name in sorted(names + files):
        path = os.path.join(folder, name)
        found = os.lstat(path)
        kind = stat.S_IFMT(found.st_mode)
        what = ""
        if kind == stat.S_IFLNK:
            what = os.readlink(path)
        elif kind == stat.S_IFREG:
            with open(path, "rb") as file:
                what = f"{found.st_size} {hashlib.sha256(file.read()).hexdigest()}"
        time = found.st_mtime_ns if kind != stat.S_IFLNK else "-"
        print(os.fsencode(path), oct(found.st_mode), time, what)
"""


def test_the_plain_mount_of_the_readme_works_and_df_shows_room(place: Place):
    lines = place.run("grep ' /mnt/nfs ' /proc/mounts; df -Pk . | tail -1; ls -la").check().text.splitlines()
    assert "vers=3" in lines[0]
    assert "rsize=1048576,wsize=1048576" in lines[0]
    blocks, used, available = map(int, lines[1].split()[1:4])
    assert blocks > used >= 0
    assert 0 < available <= blocks


def test_cp_cat_mkdir_mv_and_rm_do_what_they_say(place: Place):
    place.run("""
        echo first >a; cp a b; mkdir -p d/e; cp a d/e/c
        test "$(cat d/e/c)" = first; ls -l a | grep -q '^-rw-r--r-- 1 root root 6 '
        mv b d/moved; test ! -e b; test "$(cat d/moved)" = first
        mv d renamed; test "$(cat renamed/e/c)" = first; test ! -e d
        echo second >other; mv other a; test "$(cat a)" = second
        rm -r renamed; test ! -e renamed; test "$(ls)" = a
    """).check()


def test_a_copied_source_tree_is_the_same_seen_by_another_client(place: Place, tmp_path: Path):
    source = tmp_path / "source"
    (source / "deep/er/empty").mkdir(parents=True)
    for number in range(120):
        folder = source / f"package{number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"module {number}.py").write_bytes(os.urandom(number * 97))
    (source / "näme ü").write_text("x")
    (source / "deep/run.sh").write_text("#!/bin/sh\n")
    (source / "deep/run.sh").chmod(0o755)
    (source / "secret").write_text("s")
    (source / "secret").chmod(0o600)
    (source / "deep/link").symlink_to("../secret")
    os.utime(source / "secret", ns=(1_234_567_890_123_456_789, 987_654_321_987_654_321))
    (source / "deep").chmod(0o2750)
    place.run(f"cp -a {source} tree", timeout=180).check()
    digest = f"python3 - >/tmp/theirs <<'EOF'\n{TREE}\nEOF\n"
    compare = (
        f"cd tree\n{digest}cd {source}\n{digest.replace('theirs', 'ours')}cat /tmp/ours\ndiff /tmp/ours /tmp/theirs"
    )
    seen = place.run(compare, timeout=180).check()
    assert len(seen.text.splitlines()) > 130, "the comparison saw the whole tree"


def test_append_and_truncate_keep_the_bytes_between(place: Place):
    place.run("""
        printf 0123456789 >f; printf abc >>f; test "$(cat f)" = 0123456789abc
        truncate -s 4 f; test "$(cat f)" = 0123
        truncate -s 8 f; test "$(od -An -c f | tr -d ' \\n')" = '0123\\0\\0\\0\\0'
        printf X | dd of=f bs=1 seek=6 conv=notrunc status=none
        test "$(od -An -c f | tr -d ' \\n')" = '0123\\0\\0X\\0'; test "$(stat -c %s f)" = 8
        : >f; test ! -s f
    """).check()
    place.run("test ! -s f").check()


def test_random_writes_through_a_reopened_file_read_back(place: Place):
    place.run("""python3 - <<'EOF'
import os, random
random.seed(7)
model = bytearray()
for turn in range(8):
    with open("f", "r+b" if turn else "w+b", buffering=0) as file:
        for _ in range(12):
            offset, data = random.randrange(300_000), random.randbytes(random.randrange(1, 70_000))
            os.pwrite(file.fileno(), data, offset)
            model.extend(bytes(max(0, offset + len(data) - len(model))))
            model[offset:offset + len(data)] = data
        if turn % 3 == 2:
            size = random.randrange(400_000)
            os.ftruncate(file.fileno(), size)
            model = model[:size] + bytes(size - len(model[:size]))
    open("/proc/sys/vm/drop_caches", "w").write("3")
    with open("f", "rb") as file:
        assert file.read() == model, turn
EOF""").check()


def test_a_hard_link_is_the_same_file_and_a_symbolic_link_a_path(place: Place):
    place.run("""
        echo x >a; ln a b; test "$(stat -c '%h %i' a)" = "2 $(stat -c %i b)"
        echo y >>b; test "$(cat a)" = "$(printf 'x\\ny')"; rm a; test "$(stat -c %h b)" = 1; test "$(head -1 b)" = x
        ln -s b s; test "$(readlink s)" = b; test "$(tail -1 s)" = y
        ln -s nowhere broken; test -L broken; test ! -e broken
    """).check()


def test_a_file_of_20_mib_reads_back_and_has_its_digest_through_s3_at_once(place: Place, s3: Any):
    said = place.run("head -c 20971520 /dev/urandom >/tmp/big; cp /tmp/big big; sha256sum </tmp/big; cmp big /tmp/big")
    with closing(s3.get_object(Bucket=place.house.bucket, Key=place.key("big"))["Body"]) as body:
        found = hashlib.sha256(body.read())
    assert found.hexdigest() == said.check().text.split()[0]


def test_an_open_file_that_is_removed_can_still_be_read(place: Place):
    place.run("""
        echo kept >f; exec 3<f; rm f; test ! -e f; test "$(cat <&3)" = kept; exec 3<&-
        test -z "$(ls -A)"
    """).check()


def test_a_thousand_names_are_each_listed_once_and_removed(place: Place):
    place.run(
        """
        mkdir many; for i in $(seq 1000); do : >many/file-with-a-longer-name-$i; done
        echo 3 >/proc/sys/vm/drop_caches
        test "$(ls many | sort | uniq -d | wc -l)" = 0; test "$(ls many | wc -l)" = 1000
        find many -name '*7' -delete; test "$(ls many | wc -l)" = 900; rm -r many; test ! -e many
        """,
        timeout=240,
    ).check()


def test_the_errors_are_those_of_posix(place: Place):
    place.run("""python3 - <<'EOF'
import errno, os

def refused(code, call, *args):
    try:
        call(*args)
    except OSError as error:
        assert error.errno == code, (call, args, error)
    else:
        raise AssertionError((call, args, "went through"))

os.makedirs("d/e")
open("f", "w").close()
refused(errno.EEXIST, os.open, "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
refused(errno.EEXIST, os.mkdir, "d")
refused(errno.ENOTEMPTY, os.rmdir, "d")
refused(errno.ENOTDIR, os.rmdir, "f")
refused(errno.EISDIR, os.unlink, "d")
refused(errno.ENOENT, os.unlink, "none")
refused(errno.ENOTDIR, os.stat, "f/x")
refused(errno.EINVAL, os.rename, "d", "d/e/d")
refused(errno.ENOTDIR, os.rename, "d", "f")
refused(errno.EISDIR, os.rename, "f", "d/e")
refused(errno.ENAMETOOLONG, os.mkdir, "n" * 256)
os.mkdir("n" * 255)
os.mkdir("g")
refused(errno.ENOTEMPTY, os.rename, "g", "d")
os.rename("g", "d/e")
assert os.listdir("d/e") == []
EOF""").check()


def test_modes_bind_an_ordinary_user(place: Place):
    place.run("""
        as() { setpriv --reuid=1000 --regid=1000 --clear-groups "$@"; }
        mkdir -m 755 closed; mkdir -m 777 open; echo s >secret; chmod 600 secret; chmod 755 .
        ! as touch closed/f; as touch open/f; test "$(stat -c %u:%g open/f)" = 1000:1000
        ! as cat secret; ! as rm -f secret; ! as chmod 777 closed; as chmod 640 open/f
    """).check()


def test_git_works_on_the_mount(place: Place):
    place.run(
        """
        export HOME=/tmp GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.email GIT_CONFIG_VALUE_0=t@example.org
        export GIT_CONFIG_KEY_1=user.name GIT_CONFIG_VALUE_1=t
        git init -q -b main r; cd r; for i in 1 2 3; do seq $((i * 999)) >f$i; git add .; git commit -qm c$i; done
        git gc -q; git fsck --strict; cd ..; git clone -q r c; diff r/f3 c/f3
        test "$(git -C c log --oneline | wc -l)" = 3
        """,
        timeout=180,
    ).check()
