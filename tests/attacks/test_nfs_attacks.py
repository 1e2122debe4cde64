"""Attacks on files through the NFS door, one test each, on the real namespace (the letters: test_nfs_wire_attacks)."""
# ruff: noqa: N802 - attacks have capital letters

from __future__ import annotations

import itertools

import pytest
from error_cases import with_handle
from hall import run
from nfs_client import NfsStatus, auth_sys
from nfs_hall import NETWORK, NfsHall
from scene import CONTENT, OWNER, STRANGER, Scene

from foundation.errors import AccessDenied, FsError, NotPermitted, ReadOnly
from namespace.api import Caller, Conditions, ListRequest, PutRequest
from protocols.nfs.attributes import ns_of
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_types import SERVER_TIME, diropargs3, nfsstat3, sattr3, stable_how
from protocols.nfs.exports import Export

OK = nfsstat3.NFS3_OK
SYNC = stable_how.FILE_SYNC


@pytest.fixture
def scene():
    hall = NfsHall()
    nfs = hall.client()
    return Scene(nfs, hall.client(), nfs.mount("/bucket"), hall)


def status(client, name, args):
    return client.call(name, args)[0].name.removeprefix("NFS3ERR_")


def test_S05_counts_of_4_GiB_are_clamped_and_dircount_0_or_a_cookie_of_all_ones_is_no_harm(scene):
    nfs, most = scene.nfs, 2**32 - 1
    for number in range(3):
        nfs.write(scene.file, number << 20, bytes(1 << 20))
    read = nfs.ok("READ", args3.READ3args(scene.file, 0, most))
    assert (read.count, read.eof) == (1 << 20, False)
    assert nfs.ok("READ", args3.READ3args(scene.file, 2**64 - 1, most)).eof
    for cookie in (0, 2**64 - 1):
        page = nfs.ok("READDIR", args3.READDIR3args(scene.root, cookie, bytes(8), most))
        plus = nfs.ok("READDIRPLUS", args3.READDIRPLUS3args(scene.root, cookie, bytes(8), most, most))
        assert [each.name for each in page.entries] == [each.name for each in plus.entries]
        assert (bool(page.entries), page.eof, plus.eof) == (cookie == 0, True, True)
    assert status(nfs, "READDIRPLUS", args3.READDIRPLUS3args(scene.root, 0, bytes(8), 0, most)) == "TOOSMALL"
    assert status(nfs, "COMMIT", args3.COMMIT3args(scene.file, 2**64 - 1, most)) == "NFS3_OK"


@pytest.mark.parametrize(
    ("args", "answer"),
    [
        (lambda file: args3.WRITE3args(file, 0, 5, SYNC, b"four"), "INVAL"),
        (lambda file: args3.WRITE3args(file, 0, 3, SYNC, b"four"), "INVAL"),
        (lambda file: args3.WRITE3args(file, 0, 0, SYNC, b"four"), "INVAL"),
        (lambda file: args3.WRITE3args(file, 2**63 - 4, 4, SYNC, b"four"), "FBIG"),
        (lambda file: args3.WRITE3args(file, 2**63, 0, SYNC, b""), "FBIG"),
        (lambda file: args3.WRITE3args(file, 2**64 - 4, 4, SYNC, b"four"), "FBIG"),
        (lambda file: args3.SETATTR3args(file, sattr3(size=2**63)), "FBIG"),
        (lambda file: args3.SETATTR3args(file, sattr3(size=2**64 - 1)), "FBIG"),
    ],
)
def test_S06_a_length_that_lies_or_passes_the_largest_file_stores_nothing(scene, args, answer):
    before = scene.hall.tree()
    made = args(scene.file)
    assert status(scene.nfs, type(made).__name__.removesuffix("3args"), made) == answer
    assert scene.hall.tree() == before


def test_N07_auth_sys_is_believed_from_listed_hosts_alone_and_squash_fixes_who_it_is(scene):
    assert scene.hall.client(OWNER).access(scene.file, 0x3F) == 0x01 | 0x04 | 0x08
    scene.hall.export(squash="all")
    nfs = scene.hall.client(OWNER)
    made = nfs.getattr(nfs.create(nfs.mkdir(*_writable(scene)), b"f"))
    assert (made.uid, made.gid) == (65534, 65534)
    with pytest.raises(NfsStatus, match="ACCES"):
        scene.hall.client(OWNER, host="198.51.100.1").getattr(scene.file)


def _writable(scene):
    """Return a place where anybody may make something."""
    scene.hall.export()
    open_to_all = scene.nfs.mkdir(scene.root, b"open", 0o777)
    scene.nfs.setattr(open_to_all, sattr3(mode=0o777))
    scene.hall.export(squash="all")
    return open_to_all, b"inside"


def test_N10_what_access_denies_is_denied_when_it_is_tried(scene):
    nfs, other = scene.nfs, scene.hall.client(STRANGER)
    for mode in range(0o10):
        nfs.setattr(scene.file, sattr3(mode=mode))
        bits = other.access(scene.file)
        assert bits == (1 if mode & 4 else 0) | (12 if mode & 2 else 0) | (32 if mode & 1 else 0)
        read = status(other, "READ", args3.READ3args(scene.file, 0, 1))
        assert (read == "NFS3_OK") is bool(bits & 0x21)  # what may be executed may be read for it
        write = status(other, "WRITE", args3.WRITE3args(scene.file, 0, 1, SYNC, CONTENT[:1]))
        assert (write == "NFS3_OK") is bool(bits & 4)
    owner = scene.hall.client(OWNER)
    nfs.setattr(scene.file, sattr3(mode=0o400))
    assert status(owner, "WRITE", args3.WRITE3args(scene.file, 0, 1, SYNC, b"C")) == "NFS3_OK"
    nfs.setattr(scene.file, sattr3(mode=0))
    assert status(owner, "READ", args3.READ3args(scene.file, 0, 1)) == "NFS3_OK"
    assert owner.access(scene.file) == 0
    for name in ("READ", "WRITE", "SETATTR"):
        assert status(other, name, scene.good(name)) in {"ACCES", "PERM"}


def test_N11_guards_and_times_that_cannot_be_change_nothing(scene):
    nfs, before = scene.nfs, scene.hall.tree()
    ctime = nfs.getattr(scene.file).ctime
    for attributes, guard, answer in (
        (sattr3(size=0), ctime + 1, "NOT_SYNC"),
        (sattr3(size=0), ctime - (1 << 32), "NOT_SYNC"),
        (sattr3(size=0), ctime | 0xFFFFFFFF, "INVAL"),
        (sattr3(mtime=10**9), None, "INVAL"),
        (sattr3(atime=2**32 - 1), None, "INVAL"),
        (sattr3(size=0, mtime=5 << 32 | 10**9), None, "INVAL"),
    ):
        assert status(nfs, "SETATTR", args3.SETATTR3args(scene.file, attributes, guard)) == answer
    scene.hall.export(read_only=True)
    for attributes in (sattr3(size=0), sattr3(mode=0), sattr3(mtime=SERVER_TIME), sattr3()):
        assert status(nfs, "SETATTR", args3.SETATTR3args(scene.file, attributes)) == "ROFS"
    assert scene.hall.tree() == before
    scene.hall.export()
    for seconds, nseconds in ((0, 0), (0, 999_999_999), (2**31, 0), (2**32 - 1, 999_999_999)):
        time = seconds << 32 | nseconds
        nfs.setattr(scene.file, sattr3(atime=time, mtime=time))
        attr = nfs.getattr(scene.file)
        assert (attr.atime, attr.mtime, ns_of(attr.mtime)) == (time, time, seconds * 10**9 + nseconds)


#: uid, gid, groups, and which bits of a mode count for a file of uid 1000 and gid 1000.
WHO = {
    "owner": (1000, 5, (), 6),
    "group": (7, 1000, (), 3),
    "further group": (7, 5, (9, 1000), 3),
    "other": (7, 5, (9,), 0),
    "nobody": (65534, 65534, (), 0),
    "root": (0, 0, (), None),
}
ACTIONS = ("read", "write", "list", "make", "remove")


def allowed(who, action, mode, door):
    """Return what docs/SEMANTICS.md says."""
    shift = WHO[who][3]
    if shift is None:
        return True
    bits = mode >> shift & 7
    if action in {"make", "remove"}:
        return bits & 3 == 3
    if action == "list":
        return bool(bits & 4) if door == "nfs" else bits & 5 == 5
    if door == "nfs" and who == "owner":
        return True
    if action == "read":
        return bool(bits & (5 if door == "nfs" else 4))
    return bool(bits & 2)


def attempt(scene, door, caller, client, action):
    """Try *action* by *door* and tell whether it was let do."""
    hall = scene.hall
    nfs = {
        "read": lambda: client.read(scene.file, 0, 1),
        "write": lambda: client.write(scene.file, 0, b"x"),
        "list": lambda: list(client.readdir(scene.directory)),
        "make": lambda: client.create(scene.directory, b"made"),
        "remove": lambda: client.remove(scene.directory, b"inner"),
    }
    s3 = {
        "read": lambda: hall.get(b"file", caller),
        "write": lambda: hall.put(b"file", b"x", caller),
        "list": lambda: run(hall.ns.list_objects(caller, "bucket", ListRequest(prefix=b"directory/"))).contents,
        "make": lambda: hall.put(b"directory/made", b"", caller),
        "remove": lambda: run(hall.ns.delete_object(caller, "bucket", b"directory/inner", Conditions())),
    }
    try:
        done = (nfs if door == "nfs" else s3)[action]()
    except NfsStatus as error:
        if error.status not in {nfsstat3.NFS3ERR_ACCES, nfsstat3.NFS3ERR_PERM}:
            raise
        return False
    except (AccessDenied, NotPermitted):
        return False
    return bool(done) if (door, action) == ("s3", "list") else True


def restore(scene):
    for name, there in ((b"inner", True), (b"made", False)):
        now = name in scene.nfs.names(scene.directory)
        if there and not now:
            scene.nfs.create(scene.directory, name)
        elif now and not there:
            scene.nfs.remove(scene.directory, name)


@pytest.mark.parametrize("who", WHO)
def test_N12_both_doors_give_the_verdict_of_one_table_on_every_mode(scene, who):
    uid, gid, groups, shift = WHO[who]
    caller = Caller(uid, gid, frozenset(groups))
    client = scene.hall.client(auth_sys(uid, gid, groups))
    rows = 0
    for bits, rest in itertools.product(range(8), (0, 0o777)):
        mode = rest & ~(7 << (shift or 0)) | bits << (shift or 0)
        for action, door in itertools.product(ACTIONS, ("nfs", "s3")):
            restore(scene)
            scene.nfs.setattr(scene.file, sattr3(mode=mode, uid=1000, gid=1000))
            scene.nfs.setattr(scene.directory, sattr3(mode=mode))
            verdict = attempt(scene, door, caller, client, action)
            assert verdict == allowed(who, action, mode, door), (who, action, door, oct(mode))
            rows += 1
    assert rows == 160  # of each of six


def test_N12_a_read_only_export_and_a_read_only_key_change_nothing(scene):
    scene.hall.export(read_only=True)
    before = scene.hall.tree()
    for name in ("WRITE", "CREATE", "REMOVE"):
        assert status(scene.nfs, name, scene.good(name)) == "ROFS"
    key = Caller(0, 0, read_only=True)
    for act in (
        lambda: scene.hall.put(b"file", b"x", key),
        lambda: run(scene.hall.ns.delete_object(key, "bucket", b"file", Conditions())),
        lambda: run(scene.hall.ns.begin_put(key, "bucket", PutRequest(b"new", {}, {}, Conditions()))),
    ):
        with pytest.raises(ReadOnly):
            act()
    assert scene.hall.tree() == before


NAMES = {
    b"": {"INVAL"},
    b".": {"EXIST", "INVAL", "ACCES", "ISDIR", "NOTEMPTY"},
    b"..": {"EXIST", "INVAL", "ACCES", "ISDIR", "NOTEMPTY"},
    b"a/b": {"INVAL"},
    b"/": {"INVAL"},
    b"../file": {"INVAL"},
    b"nul\0": {"INVAL"},
    b"n" * 256: {"NAMETOOLONG"},
    b"n" * 65_536: {"NAMETOOLONG"},
}


@pytest.mark.parametrize("name", ["CREATE", "MKDIR", "SYMLINK", "MKNOD", "LINK", "REMOVE", "RMDIR", "RENAME", "LOOKUP"])
def test_P04_names_that_cannot_be_are_refused_by_every_procedure_that_takes_one(scene, name):
    before = scene.hall.tree()
    for bad, answers in NAMES.items():
        if name == "LOOKUP" and bad in {b".", b".."}:
            continue
        assert status(scene.nfs, name, scene.good(name, scene.at(bad))) in answers, bad[:10]
        if name == "RENAME":
            args = args3.RENAME3args(scene.at(b"file"), scene.at(bad))
            assert status(scene.nfs, name, args) in answers, bad[:10]
    assert scene.hall.tree() == before


def test_P05_nothing_is_above_the_root_of_an_export(scene):
    nfs, hall = scene.nfs, scene.hall
    assert nfs.lookup(scene.root, b"..") == scene.root
    parent = next(each for each in nfs.readdirplus(scene.root) if each.name == b"..")
    assert (parent.fileid, parent.name_handle) == (nfs.getattr(scene.root).fileid, scene.root)
    top = hall.handles.decode(scene.directory).file
    hall.exports.replace([Export("/bucket/directory", NETWORK, squash="none", id=4)])
    root = nfs.mount("/bucket/directory")
    assert nfs.lookup(root, b"..") == root
    parent = next(each for each in nfs.readdirplus(root) if each.name == b"..")
    assert (parent.fileid, parent.name_handle, parent.name_attributes) == (top.ino, None, None)
    for outside in (scene.root, scene.file, scene.directory):
        assert status(nfs, "GETATTR", args3.GETATTR3args(outside)) == "STALE"


def test_P06_a_symbolic_link_is_never_followed_here(scene):
    nfs = scene.nfs
    for number, target in enumerate((b"/etc/passwd", b"../../..", b"loop", b"directory", b"\xff", b"x" * 4096)):
        name = b"link %d" % number
        link = nfs.symlink(scene.root, name, target)
        assert nfs.readlink(link) == target
        assert nfs.getattr(link).type == 5
        assert status(nfs, "LOOKUP", args3.LOOKUP3args(diropargs3(link, b"inner"))) == "NOTDIR"
        for other in ("READ", "WRITE"):
            assert status(nfs, other, with_handle(scene.good(other), link)) == "INVAL"
        assert status(nfs, "READDIR", with_handle(scene.good("READDIR"), link)) == "NOTDIR"
        with pytest.raises(NfsStatus, match="MNT3ERR_ACCES"):
            nfs.mount(f"/bucket/link {number}")
        with pytest.raises(FsError):
            scene.hall.get(name)
    for target, answer in (
        (b"", "INVAL"),
        (b"a\0b", "INVAL"),
        (b"x" * 4097, "NAMETOOLONG"),
        (b"x" * 65_536, "NAMETOOLONG"),
    ):
        args = args3.SYMLINK3args(scene.at(b"new"), args3.symlinkdata3(sattr3(), target))
        assert status(nfs, "SYMLINK", args) == answer


def test_P08_no_name_crosses_from_one_export_to_another(scene):
    there = scene.nfs.mount("/other")
    scene.nfs.create(there, b"theirs")
    before = scene.hall.tree()
    for args in (
        args3.LINK3args(scene.file, diropargs3(there, b"new")),
        args3.RENAME3args(scene.at(b"file"), diropargs3(there, b"new")),
        args3.RENAME3args(scene.at(b"file"), diropargs3(there, b"theirs")),
        args3.RENAME3args(diropargs3(there, b"theirs"), scene.at(b"new")),
        args3.RENAME3args(scene.at(b"directory"), diropargs3(there, b"new")),
    ):
        assert status(scene.nfs, type(args).__name__.removesuffix("3args"), args) == "XDEV"
    assert scene.hall.tree() == before
