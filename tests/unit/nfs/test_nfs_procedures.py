"""The NFS version 3 procedures, by their bytes (RFC 1813, section 3.3)."""

import pytest
from door import BUCKET, Door
from msgspec.structs import replace
from nfs_calls import NAMES, arguments
from nfs_client import PROC, call_bytes
from twisted.logger import globalLogPublisher

from foundation import errors
from namespace.api import NOW, Caller, FileId
from namespace.names import NAME_MAX
from namespace.tree import LINK_MAX
from namespace.view import MAX_SIZE
from protocols.nfs.attributes import MAX_FILE_BYTES, fattr3_of, nfstime3_of, ns_of
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_types import (
    SERVER_TIME,
    createhow3,
    createmode3,
    ftype3,
    mknoddata3,
    nfsstat3,
    sattr3,
    stable_how,
    wcc_attr,
)
from protocols.nfs.exports import Export

NO_ATTRS = sattr3()
SYNC = stable_how.FILE_SYNC


@pytest.fixture
def door():
    return Door()


@pytest.fixture
def logged():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def make(door, name=b"file", directory=None):
    return door.ok("CREATE", args3.CREATE3args(door.at(name, directory), createhow3(createmode3.UNCHECKED))).obj


def mkdir(door, name=b"dir", directory=None):
    return door.ok("MKDIR", args3.MKDIR3args(door.at(name, directory), NO_ATTRS)).obj


@pytest.mark.parametrize("name", NAMES)
def test_a_refusal_carries_the_attributes_that_the_namespace_saw(door, name):
    door.namespace.fail_with = errors.StaleHandle()
    status, body = door.nfs(name, arguments(door)[name])
    assert status == nfsstat3.NFS3ERR_STALE
    attr = fattr3_of(door.namespace.roots[1].attr, BUCKET)
    wcc = wcc_attr(attr.size, attr.mtime, attr.ctime)
    for field in body.__struct_fields__:
        value = getattr(body, field)
        assert value == attr or (value.before, value.after) == (wcc, attr)


@pytest.mark.parametrize("name", NAMES)
def test_a_bug_is_answered_serverfault_and_logged(door, name, logged):
    door.namespace.fail_with = ZeroDivisionError("bug")
    status, _ = door.nfs(name, arguments(door)[name])
    assert status == nfsstat3.NFS3ERR_SERVERFAULT
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [ZeroDivisionError]


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_outcome_gets_no_reply(door, name):
    door.namespace.fail_with = errors.NoReply()
    assert door.message(call_bytes(1, 100003, 3, PROC[name], arguments(door)[name], door.cred)) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_forged_handle_is_bad_and_one_of_a_volume_that_is_not_exported_stale(door, name):
    good = arguments(door)[name]
    for handle, status in (
        (bytes(32), nfsstat3.NFS3ERR_BADHANDLE),
        (b"", nfsstat3.NFS3ERR_BADHANDLE),
        (door.handle(FileId(2, 1, 7)), nfsstat3.NFS3ERR_STALE),
        (door.handle(FileId(1, 999, 7)), nfsstat3.NFS3ERR_STALE),
    ):
        assert door.nfs(name, _with_handle(good, handle))[0] == status


def _with_handle(args, handle):
    first = args.__struct_fields__[0]
    value = getattr(args, first)
    return replace(args, **{first: handle if isinstance(value, bytes) else replace(value, dir=handle)})


@pytest.mark.parametrize("name", NAMES)
def test_a_client_outside_the_export_is_refused_with_a_good_handle(door, name):
    door.host = "198.51.100.1"
    assert door.nfs(name, arguments(door)[name])[0] == nfsstat3.NFS3ERR_ACCES
    assert door.namespace.callers == []


def test_the_namespace_is_told_who_asks(door):
    door.ok("GETATTR", args3.GETATTR3args(door.root))
    door.exports.replace([Export("/bucket", ("192.0.2.0/24",), read_only=True, squash="all", anon_uid=5, anon_gid=6)])
    door.ok("GETATTR", args3.GETATTR3args(door.root))
    assert door.namespace.callers == [Caller(1000, 100, frozenset({7, 8})), Caller(5, 6, read_only=True)]


def test_a_change_through_a_read_only_export_is_refused(door):
    door.exports.replace([Export("/bucket", ("192.0.2.0/24",), read_only=True)])
    assert door.nfs("MKDIR", arguments(door)["MKDIR"])[0] == nfsstat3.NFS3ERR_ROFS


def test_getattr_shows_the_attributes(door):
    attr = door.ok("GETATTR", args3.GETATTR3args(door.root)).obj_attributes
    assert (attr.type, attr.mode, attr.fsid, attr.fileid) == (ftype3.NF3DIR, 0o755, 1, 1)
    assert attr.mtime == 1_700_000_000 << 32 | 123_456_789


def test_setattr_sets_what_is_given_and_nothing_else(door):
    file = make(door)
    time = 12 << 32 | 34
    wcc = door.ok(
        "SETATTR", args3.SETATTR3args(file, sattr3(mode=0o600, size=5, atime=time, mtime=SERVER_TIME))
    ).obj_wcc
    assert (wcc.after.mode, wcc.after.size, wcc.after.atime, wcc.after.uid) == (0o600, 5, time, 1000)
    assert wcc.after.mtime > wcc.before.mtime


def test_setattr_with_another_ctime_than_the_files_is_not_sync(door):
    file = make(door)
    ctime = door.ok("GETATTR", args3.GETATTR3args(file)).obj_attributes.ctime
    assert door.nfs("SETATTR", args3.SETATTR3args(file, NO_ATTRS, ctime + 1))[0] == nfsstat3.NFS3ERR_NOT_SYNC
    assert door.nfs("SETATTR", args3.SETATTR3args(file, NO_ATTRS, ctime))[0] == nfsstat3.NFS3_OK


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        (sattr3(mtime=1_000_000_000), nfsstat3.NFS3ERR_INVAL),
        (sattr3(atime=2**32 - 1), nfsstat3.NFS3ERR_INVAL),
        (sattr3(size=2**63), nfsstat3.NFS3ERR_FBIG),
        (sattr3(size=2**64 - 1), nfsstat3.NFS3ERR_FBIG),
        (sattr3(uid=2**32 - 1), nfsstat3.NFS3_OK),
    ],
)
def test_setattr_refuses_what_cannot_be(door, attributes, status):
    assert door.nfs("SETATTR", args3.SETATTR3args(make(door), attributes))[0] == status


def test_lookup_finds_names_dot_and_dot_dot(door):
    inner = mkdir(door)
    found = door.ok("LOOKUP", args3.LOOKUP3args(door.at(b"dir")))
    assert (found.object, found.obj_attributes.type) == (inner, ftype3.NF3DIR)
    assert door.ok("LOOKUP", args3.LOOKUP3args(door.at(b"..", inner))).object == door.root
    assert door.ok("LOOKUP", args3.LOOKUP3args(door.at(b".", inner))).object == inner
    status, failure = door.nfs("LOOKUP", args3.LOOKUP3args(door.at(b"none")))
    assert status == nfsstat3.NFS3ERR_NOENT
    assert failure.dir_attributes.fileid == 1


def test_access_asks_for_known_bits_alone(door):
    assert door.ok("ACCESS", args3.ACCESS3args(door.root, 2**32 - 1)).access == 0x1F


def test_readlink_returns_the_text_as_it_was_given(door):
    made = door.ok("SYMLINK", args3.SYMLINK3args(door.at(b"l"), args3.symlinkdata3(NO_ATTRS, b"../\xff")))
    assert door.ok("READLINK", args3.READLINK3args(made.obj)).data == b"../\xff"
    assert door.nfs("READLINK", args3.READLINK3args(door.root))[0] == nfsstat3.NFS3ERR_INVAL


def test_what_is_written_is_read(door):
    file = make(door)
    written = door.ok("WRITE", args3.WRITE3args(file, 3, 5, stable_how.UNSTABLE, b"hello"))
    assert (written.count, written.committed, written.verf) == (5, stable_how.UNSTABLE, b"verifier")
    assert (written.file_wcc.before.size, written.file_wcc.after.size) == (0, 8)
    read = door.ok("READ", args3.READ3args(file, 0, 100))
    assert (read.count, read.eof, b"".join(read.data)) == (8, True, b"\0\0\0hello")
    read = door.ok("READ", args3.READ3args(file, 3, 2))
    assert (read.count, read.eof, b"".join(read.data)) == (2, False, b"he")
    assert door.ok("COMMIT", args3.COMMIT3args(file, 0, 0)).verf == b"verifier"


@pytest.mark.parametrize(
    ("offset", "count", "data", "status"),
    [
        (0, 4, b"abc", nfsstat3.NFS3ERR_INVAL),
        (0, 2, b"abc", nfsstat3.NFS3ERR_INVAL),
        (MAX_FILE_BYTES - 2, 3, b"abc", nfsstat3.NFS3ERR_FBIG),
        (2**64 - 1, 3, b"abc", nfsstat3.NFS3ERR_FBIG),
        (0, 0, b"", nfsstat3.NFS3_OK),
    ],
)
def test_a_write_that_cannot_be_is_refused_whole(door, offset, count, data, status):
    file = make(door)
    assert door.nfs("WRITE", args3.WRITE3args(file, offset, count, SYNC, data))[0] == status
    assert door.ok("GETATTR", args3.GETATTR3args(file)).obj_attributes.size == 0


def test_a_read_is_bounded_by_rtmax_and_one_past_the_end_is_empty(door):
    file = make(door)
    door.namespace._nodes[door.handles.decode(file).file].data = bytes(3 << 20)
    read = door.ok("READ", args3.READ3args(file, 0, 2**32 - 1))
    assert (read.count, read.eof) == (1 << 20, False)
    read = door.ok("READ", args3.READ3args(file, 2**64 - 1, 2**32 - 1))
    assert (read.count, read.eof) == (0, True)


def test_commit_past_the_largest_offset_is_one_at_it(door):
    assert door.nfs("COMMIT", args3.COMMIT3args(make(door), 2**64 - 1, 2**32 - 1))[0] == nfsstat3.NFS3_OK


def test_create_knows_its_three_modes(door):
    create = lambda how: door.nfs("CREATE", args3.CREATE3args(door.at(b"f"), how))  # noqa: E731
    status, made = create(createhow3(createmode3.EXCLUSIVE, verf=b"12345678"))
    assert status == nfsstat3.NFS3_OK
    assert made.dir_wcc.after.mtime > made.dir_wcc.before.mtime
    assert create(createhow3(createmode3.EXCLUSIVE, verf=b"12345678"))[1].obj == made.obj
    assert create(createhow3(createmode3.EXCLUSIVE, verf=b"87654321"))[0] == nfsstat3.NFS3ERR_EXIST
    assert create(createhow3(createmode3.GUARDED))[0] == nfsstat3.NFS3ERR_EXIST
    assert create(createhow3(createmode3.UNCHECKED, sattr3(size=0)))[1].obj == made.obj


def test_mknod_makes_devices_sockets_and_fifos_alone(door):
    device = mknoddata3(ftype3.NF3CHR, NO_ATTRS, 4 << 32 | 64)
    made = door.ok("MKNOD", args3.MKNOD3args(door.at(b"tty"), device))
    assert (made.obj_attributes.type, made.obj_attributes.rdev) == (ftype3.NF3CHR, 4 << 32 | 64)
    for kind in (ftype3.NF3REG, ftype3.NF3DIR, ftype3.NF3LNK, 0, 99):
        status, _ = door.nfs("MKNOD", args3.MKNOD3args(door.at(b"x"), mknoddata3(kind)))
        assert status == nfsstat3.NFS3ERR_BADTYPE


def test_names_are_removed_moved_and_added(door):
    file, inner = make(door), mkdir(door)
    moved = door.ok("RENAME", args3.RENAME3args(door.at(b"file"), door.at(b"new", inner)))
    assert (moved.fromdir_wcc.after.fileid, moved.todir_wcc.after.fileid) == (1, door.handles.decode(inner).file.ino)
    linked = door.ok("LINK", args3.LINK3args(file, door.at(b"again")))
    assert (linked.file_attributes.nlink, linked.linkdir_wcc.after.fileid) == (2, 1)
    assert door.nfs("RMDIR", args3.RMDIR3args(door.at(b"dir")))[0] == nfsstat3.NFS3ERR_NOTEMPTY
    assert door.nfs("REMOVE", args3.REMOVE3args(door.at(b"dir")))[0] == nfsstat3.NFS3ERR_ISDIR
    door.ok("REMOVE", args3.REMOVE3args(door.at(b"new", inner)))
    door.ok("RMDIR", args3.RMDIR3args(door.at(b"dir")))
    assert door.nfs("GETATTR", args3.GETATTR3args(inner))[0] == nfsstat3.NFS3ERR_STALE


def test_names_do_not_cross_volumes():
    door = Door(BUCKET, Export("/other", ("192.0.2.0/24",)))
    other = door.handle(FileId(2, 1, 7))
    make(door)
    rename = args3.RENAME3args(door.at(b"file"), door.at(b"file", other))
    assert door.nfs("RENAME", rename)[0] == nfsstat3.NFS3ERR_XDEV
    assert door.nfs("LINK", args3.LINK3args(door.root, door.at(b"x", other)))[0] == nfsstat3.NFS3ERR_XDEV


def test_the_file_system_is_described(door):
    stat = door.ok("FSSTAT", args3.FSSTAT3args(door.root))
    assert (stat.tbytes, stat.fbytes, stat.abytes, stat.tfiles, stat.ffiles, stat.afiles) == (
        1000,
        600,
        600,
        50,
        40,
        40,
    )
    info = door.ok("FSINFO", args3.FSINFO3args(door.root))
    assert (info.rtmax, info.wtmax, info.maxfilesize, info.time_delta) == (1 << 20, 1 << 20, 2**63 - 1, 1)
    conf = door.ok("PATHCONF", args3.PATHCONF3args(door.root))
    assert (info.maxfilesize, conf.linkmax, conf.name_max) == (MAX_SIZE, LINK_MAX, NAME_MAX), "as the namespace has it"
    assert (conf.name_max, conf.no_trunc, conf.case_preserving, conf.case_insensitive) == (255, True, True, False)


@pytest.mark.parametrize(
    ("time_ns", "seconds", "nseconds"),
    [
        (0, 0, 0),
        (-1, 0, 0),
        (1_500_000_000, 1, 500_000_000),
        (2**32 * 10**9, 2**32 - 1, 999_999_999),
        (-(10**18), 0, 0),
    ],
)
def test_times_outside_nfstime3_become_the_nearest(time_ns, seconds, nseconds):
    assert nfstime3_of(time_ns) == seconds << 32 | nseconds


def test_times_come_back_exactly():
    for time_ns in (0, 1, 10**9, 1_700_000_000_123_456_789, (2**32 - 1) * 10**9 + 999_999_999):
        assert ns_of(nfstime3_of(time_ns)) == time_ns
    assert NOW < 0


class TestSubDirectoryExport:
    """A client of a sub-directory export does not get out of it."""

    @pytest.fixture
    def sub(self, door):
        inner = mkdir(door, b"inner", mkdir(door, b"sub"))
        self.top = door.handles.decode(door.ok("LOOKUP", args3.LOOKUP3args(door.at(b"sub"))).object).file
        self.inner = door.handles.decode(inner).file
        door.exports.replace([Export("/bucket/sub", ("192.0.2.0/24",), id=3)])
        return door

    def test_its_handles_and_its_file_system_are_its_own(self, sub):
        found = sub.ok("LOOKUP", args3.LOOKUP3args(sub.at(b"inner", sub.handle(self.top, 3))))
        assert found.object == sub.handle(self.inner, 3)
        assert found.obj_attributes.fsid == found.dir_attributes.fsid == 3 << 32 | 1
        assert sub.nfs("GETATTR", args3.GETATTR3args(sub.root))[0] == nfsstat3.NFS3ERR_STALE

    def test_the_top_is_its_own_parent(self, sub):
        top = sub.handle(self.top, 3)
        assert sub.ok("LOOKUP", args3.LOOKUP3args(sub.at(b"..", top))).object == top
        page = sub.ok("READDIRPLUS", args3.READDIRPLUS3args(top, 0, bytes(8), 9000, 9000))
        assert [(entry.name, entry.fileid) for entry in page.entries[:2]] == [
            (b".", self.top.ino),
            (b"..", self.top.ino),
        ]

    def test_below_the_top_the_parent_is_found_and_readdirplus_tells_no_handle_of_it(self, sub):
        inner = sub.handle(self.inner, 3)
        assert sub.ok("LOOKUP", args3.LOOKUP3args(sub.at(b"..", inner))).object == sub.handle(self.top, 3)
        page = sub.ok("READDIRPLUS", args3.READDIRPLUS3args(inner, 0, bytes(8), 9000, 9000))
        assert [entry.name_handle for entry in page.entries] == [inner, None]

    def test_a_directory_moved_out_has_no_parent(self, sub):
        nodes = sub.namespace._nodes
        nodes[self.inner].parent = sub.namespace.roots[1]
        status, _ = sub.nfs("LOOKUP", args3.LOOKUP3args(sub.at(b"..", sub.handle(self.inner, 3))))
        assert status == nfsstat3.NFS3ERR_ACCES
