"""What people and their programs do beside reading and writing: names, modes, times, locks, savings of editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from place import Place


def test_long_and_strange_names_are_kept_and_too_long_ones_refused(place: Place):
    place.run(r"""python3 - <<'EOF'
import errno, os
names = [b"n" * 255, "ü".encode() * 127, "名".encode() * 85, b"\xff\xfe", b" ", b"a\nb", b"-rf", b"~", b".\xc3"]
for name in names:
    with open(name, "xb") as file:
        file.write(name)
open("/proc/sys/vm/drop_caches", "w").write("3")
assert sorted(os.listdir(b".")) == sorted(names)
for name in names:
    with open(name, "rb") as file:
        assert file.read() == name
    os.rename(name, b"moved")
    os.rename(b"moved", name)
for name in (b"n" * 256, "ü".encode() * 128):
    try:
        open(name, "x")
    except OSError as error:
        assert error.errno == errno.ENAMETOOLONG
    else:
        raise AssertionError(name)
deep = b"/".join([b"d" * 200] * 15)
os.makedirs(deep)
with open(deep + b"/f", "x") as file:
    file.write("deep")
os.rename(b"d" * 200, b"e")
assert open(deep.replace(b"d" * 200, b"e", 1) + b"/f").read() == "deep"
EOF""").check()


def test_directories_move_over_each_other_as_posix_says(place: Place):
    place.run("""
        mkdir -p a/x b c/y; echo 1 >a/x/f; echo 2 >c/y/g
        mv -T a b; test ! -e a; test "$(cat b/x/f)" = 1
        ! mv -T b c; test "$(cat c/y/g)" = 2
        mv b c; test "$(cat c/b/x/f)" = 1
        ! mv c c/b/x; ! mv -T c/y c/b/x/f; mv c/y c/b/x/; test "$(cat c/b/x/y/g)" = 2
        test "$(stat -c %h c c/b c/b/x | tr '\\n' ' ')" = '3 3 3 '
        mkdir many; for n in $(seq 30); do mkdir many/$n; done
        for n in $(seq 29 -1 1); do mv many/$((n + 1)) many/$n; done
        test "$(find many -type d | wc -l)" = 31; test "$(find many -maxdepth 1 | wc -l)" = 2
        mv c/b/x/../../b .; test -e b/x/f; test "$(stat -c %h c)" = 2
    """).check()


def test_chmod_chown_and_touch_hold_for_whole_trees(place: Place):
    place.run("""
        mkdir -p t/u/v; for n in $(seq 40); do echo $n >t/u/$n; done; ln -s 1 t/u/link
        chmod -R u=rwX,go= t; test "$(find t ! -type l -perm /077 | wc -l)" = 0
        test "$(find t -type d -perm 700 | wc -l)" = 3; test "$(find t -type f -perm 600 | wc -l)" = 40
        chown -R 1234:5678 t; test "$(find t -uid 1234 -gid 5678 | wc -l)" = 44
        chown -h 0:0 t/u/link; test "$(stat -c %u t/u/link t/u/1 | tr '\\n' ' ')" = '0 1234 '
        find t -type f -exec touch -d '1999-12-31 23:59:59.123456789 UTC' {} +
        test "$(find t -type f -newermt 2000-01-01 | wc -l)" = 0
        test "$(stat -c %y t/u/7)" = '1999-12-31 23:59:59.123456789 +0000'
        touch -a -d '2001-01-01 UTC' t/u/7; test "$(stat -c '%Y %X' t/u/7)" = '946684799 978307200'
        touch t/u/7; test "$(find t -type f -newermt 2000-01-01 | wc -l)" = 1
        before=$(stat -c %Z t/u/8); sleep 1; chmod 640 t/u/8; test "$(stat -c %Z t/u/8)" -gt "$before"
        test "$(stat -c %Y t/u/8)" = 946684799
    """).check()


def test_times_move_with_what_is_done_and_never_back(place: Place):
    place.run("""python3 - <<'EOF'
import os, time
def times(path):
    found = os.stat(path)
    return found.st_mtime_ns, found.st_ctime_ns
def moved(act, path, expected):
    before = times(path)
    act()
    after = times(path)
    assert tuple(new > old for new, old in zip(after, before)) == expected, (act, before, after)
    assert all(new >= old for new, old in zip(after, before))
now = time.time_ns()
open("f", "w").close()
assert abs(os.stat("f").st_mtime_ns - now) < 60 * 10**9
fd = os.open("f", os.O_RDWR)
def write(): os.write(fd, b"x" * 5000); os.fsync(fd)
moved(write, "f", (True, True))
moved(lambda: os.truncate("f", 10), "f", (True, True))
moved(lambda: os.chmod("f", 0o600), "f", (False, True))
moved(lambda: os.link("f", "g"), "f", (False, True))
moved(lambda: os.unlink("g"), "f", (False, True))
os.mkdir("d")
for act in (lambda: open("d/a", "w").close(), lambda: os.rename("d/a", "d/b"), lambda: os.link("d/b", "d/c"),
            lambda: os.unlink("d/c"), lambda: os.mkdir("d/e"), lambda: os.rmdir("d/e"), lambda: os.symlink("x", "d/s")):
    moved(act, "d", (True, True))
os.utime("f", ns=(1, 2_000_000_003))
with open("f", "rb") as file:
    file.read()
assert os.stat("f").st_mtime_ns == 2_000_000_003
os.lseek(fd, 0, 0)
write()
assert os.stat("f").st_mtime_ns > 10**18
EOF""").check()


def test_the_ways_of_saving_a_file_leave_the_new_text_under_the_name(place: Place):
    place.run("""python3 - <<'EOF'
import os
for turn in range(30):
    text = f"text {turn}\\n" * (turn * 100 + 1)
    with open("doc.tmp", "w") as file:  # vim, gedit: beside it, then over it
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if turn:
        try:
            os.unlink("doc~")
        except FileNotFoundError:
            pass
        os.link("doc", "doc~")
    os.rename("doc.tmp", "doc")
    folder = os.open(".", os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    assert open("doc").read() == text
    with open("in-place", "w") as file:  # nano: cut and written again
        file.write(text)
    if turn % 10 == 9:
        open("/proc/sys/vm/drop_caches", "w").write("3")
    assert open("in-place").read() == text
assert open("doc~").read() == "text 28\\n" * 2801
assert sorted(os.listdir(".")) == ["doc", "doc~", "in-place"]
EOF
        sed -i s/29/thirty/ doc; test "$(head -n 1 doc)" = 'text thirty'
        for n in 1 2 3; do echo $n | dd of=log oflag=append conv=notrunc status=none; done
        test "$(tr -d '\\n' <log)" = 123; test "$(ls)" = "$(printf 'doc\\ndoc~\\nin-place\\nlog')"
    """).check()


def test_locks_hold_within_a_client_that_mounts_with_nolock(place: Place):
    place.run("""python3 - <<'EOF'
import errno, fcntl, os
for take in (fcntl.flock, fcntl.lockf):
    first, second = os.open("f", os.O_RDWR | os.O_CREAT), os.open("f", os.O_RDWR)
    take(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    child = os.fork()
    if not child:
        try:
            take(os.open("f", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EAGAIN, take
    take(first, fcntl.LOCK_UN)
    take(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(first)
    os.close(second)
EOF
        exec 3>lock; flock -n 3; ! flock -n lock true; exec 3>&-; flock -n lock true
    """).check()
