"""libnfs, a second decoder of all that the NFS door sends: Debian's nfs-ls, nfs-cat and nfs-cp, and the library."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import uuid
from ctypes import c_int, c_uint64
from ctypes.util import find_library

import pytest
from libnfs import LibNfs, Refused
from nfs_client import NfsClient


def missing(what):
    if os.environ.get("CI"):
        pytest.fail(f"{what} must be there in CI: packaging/install-test-packages")
    pytest.skip(f"no {what}: apt-get install libnfs-utils")


class Folder:
    """One test's folder, by our client and as a URL."""

    def __init__(self, house, nfs, name):
        self.nfs, self.root = nfs, nfs.mount(house.export)
        self.handle = nfs.mkdir(self.root, name.encode(), 0o777)
        self.export, self.name = house.export, name
        self._ports = f"nfsport={house.nfs_port}&mountport={house.mount_port}"

    def url(self, name=""):
        return f"nfs://127.0.0.1{self.export}/{self.name}/{name}?{self._ports}"

    def tool(self, program, *words, ok=True):
        if shutil.which(program) is None:
            missing(program)
        done = subprocess.run([program, *words], capture_output=True, timeout=120, check=False)
        assert (done.returncode == 0) == ok, done.stderr
        return done.stdout


@pytest.fixture
def folder(house):
    with NfsClient("127.0.0.1", house.nfs_port, house.mount_port, timeout_seconds=60) as nfs:
        yield Folder(house, nfs, "libnfs-" + uuid.uuid4().hex[:10])


@pytest.fixture
def lib(folder):
    library = find_library("nfs")
    if library is None:
        missing("libnfs")
    mounted = LibNfs(library, folder.url())
    yield mounted
    mounted.close()


BODIES = {"empty": b"", "short": b"short", "long": os.urandom((3 << 20) + 12_345)}


def test_the_tools_copy_both_ways_and_list_what_there_is(folder, tmp_path):
    for name, body in BODIES.items():
        (tmp_path / name).write_bytes(body)
        folder.tool("nfs-cp", str(tmp_path / name), folder.url(name))
        file = folder.nfs.lookup(folder.handle, name.encode())
        assert folder.nfs.read_all(file) == body
        assert folder.tool("nfs-cat", folder.url(name)) == body
        folder.tool("nfs-cp", folder.url(name), str(tmp_path / f"{name} back"))
        assert (tmp_path / f"{name} back").read_bytes() == body
    below = folder.nfs.mkdir(folder.handle, b"below")
    folder.nfs.create(below, "näme with spaces".encode())
    listed = folder.tool("nfs-ls", "-R", folder.url()).decode().splitlines()
    assert {line.split(maxsplit=5)[-1] for line in listed} == {*BODIES, "below", "below/näme with spaces"}
    assert {line.split()[4] for line in listed if line.endswith("long")} == {str(len(BODIES["long"]))}


def test_the_tools_fail_where_there_is_nothing(folder):
    folder.tool("nfs-cat", folder.url("none"), ok=False)
    folder.tool("nfs-ls", folder.url().replace(folder.export, "/no-such-export"), ok=False)


def test_the_library_writes_and_reads_what_our_client_does(folder, lib):
    for name, body in BODIES.items():
        lib.write(f"/{name}", body)
        assert folder.nfs.read_all(folder.nfs.lookup(folder.handle, name.encode())) == body
        assert lib.read(f"/{name}") == body
    ours = folder.nfs.create(folder.handle, b"ours")
    for at in range(0, len(BODIES["long"]), 1 << 20):
        folder.nfs.write(ours, at, BODIES["long"][at : at + (1 << 20)])
    assert lib.read("/ours") == BODIES["long"]


def test_the_library_reads_every_attribute_as_our_client_does(folder, lib):
    lib.write("/file", b"0123456789")
    lib.call("mkdir", b"/dir")
    lib.call("symlink", b"some/where", b"/link")
    lib.call("mknod", b"/fifo", c_int(stat.S_IFIFO | 0o600), c_int(0))
    for name in ("file", "dir", "link", "fifo"):
        seen, attr = lib.lstat(f"/{name}"), folder.nfs.getattr(folder.nfs.lookup(folder.handle, name.encode()))
        assert (seen.ino, seen.size, seen.nlink, seen.used) == (attr.fileid, attr.size, attr.nlink, attr.used)
        assert (seen.uid, seen.gid, seen.dev) == (attr.uid, attr.gid, attr.fsid)
        assert (seen.mtime << 32 | seen.mtime_nsec, seen.ctime << 32 | seen.ctime_nsec) == (attr.mtime, attr.ctime)
        assert stat.S_IMODE(seen.mode) == attr.mode
    assert [stat.S_IFMT(lib.lstat(f"/{name}").mode) for name in ("file", "dir", "link", "fifo")] == [
        stat.S_IFREG,
        stat.S_IFDIR,
        stat.S_IFLNK,
        stat.S_IFIFO,
    ]
    assert lib.readlink("/link") == b"some/where"


def test_the_library_changes_names_and_attributes(folder, lib):
    lib.write("/a", b"0123456789")
    lib.call("link", b"/a", b"/b")
    lib.call("rename", b"/a", b"/c")
    assert lib.lstat("/b").nlink == 2
    lib.call("truncate", b"/c", c_uint64(4))
    lib.call("chmod", b"/c", c_int(0o600))
    assert (lib.lstat("/b").size, stat.S_IMODE(lib.lstat("/b").mode)) == (4, 0o600)
    lib.call("unlink", b"/b")
    lib.call("access", b"/c", c_int(os.R_OK | os.W_OK))
    lib.call("mkdir", b"/d")
    for call, code in (
        (("rmdir", b"/none"), errno.ENOENT),
        (("mkdir", b"/d"), errno.EEXIST),
        (("rename", b"/d", b"/d/e"), errno.EINVAL),
        (("rmdir", b"/c"), errno.ENOTDIR),
        (("unlink", b"/" + b"n" * 256), errno.ENAMETOOLONG),
    ):
        with pytest.raises(Refused) as refused:
            lib.call(*call)
        assert refused.value.errno == code
    lib.call("rmdir", b"/d")
    assert set(lib.names("/")) == {".", "..", "c"}


def test_the_library_pages_a_directory(folder, lib):
    wanted = {f"entry {number:04}" for number in range(400)}
    for name in wanted:
        folder.nfs.mknod(folder.handle, name.encode(), 7)
    found = lib.names("/")
    assert found.keys() == wanted | {".", ".."}
    assert found["."] == folder.nfs.getattr(folder.handle).fileid
    assert len(set(found.values())) == len(found)


def test_the_library_sees_the_room_that_there_is(folder, lib):
    ours, room = folder.nfs.fsstat(folder.handle), lib.statvfs("/")
    assert ours.tbytes // room[0] == room[2]
    assert 0 < ours.fbytes <= ours.tbytes
