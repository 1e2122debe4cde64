"""The root export over the real namespace in memory: buckets as directories, and what cannot be done beside them."""

from __future__ import annotations

import pytest
from door import HOST, Door
from hall import MemoryHall, run
from nfs_client import auth_sys, call_bytes

from foundation import errors
from foundation.aio import deliver
from metastore.records import ROOT_INO, Account
from namespace.api import Caller, FileId, SetAttr
from protocols.nfs.codec import mount as mount_wire
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec import nfs3_results as res
from protocols.nfs.codec import rpc
from protocols.nfs.codec.mount import mountstat3
from protocols.nfs.codec.nfs3_types import createhow3, createmode3, ftype3, mknoddata3, nfsstat3, sattr3, stable_how
from protocols.nfs.codec.xdr import Unpacker, decode
from protocols.nfs.dispatch import Call, Peer
from protocols.nfs.exports import Export
from protocols.nfs.mount import PATIENCE_SECONDS

NETWORK = ("192.0.2.0/24",)
EVERYTHING = Export("/", NETWORK, squash="none")
MAKER = Export("/", NETWORK, squash="none", make_buckets=True)
ANNA = Account("a" * 64, "anna", 1000, 100, ())
NO_ATTRS = sattr3()
TOP = FileId(0, ROOT_INO, 0)


class RootDoor(Door):
    """The door to one gateway's memory hall, which has one bucket, `bucket`, of uid 0; the caller is Anna."""

    def __init__(self, *exports: Export, hall: MemoryHall | None = None) -> None:
        self.hall = hall or MemoryHall()
        super().__init__(*exports, namespace=self.hall.ns)
        self.hall.database.accounts[ANNA.id] = ANNA
        self.root = self.handle(TOP)

    def bucket(self, name: str, uid: int = 0, mode: int = 0o755) -> FileId:
        """Make a bucket as S3 does, and return its root."""
        made = run(self.hall.ns.create_bucket(Caller(uid, uid, account=f"account {uid}"), name))
        root = run(self.hall.ns.root(made.vol))
        run(self.hall.ns.setattr(Caller(0, 0), root, SetAttr(mode=mode), None))
        return root

    def names(self) -> dict[bytes, res.entryplus3]:
        """Return the entries of the root export's directory."""
        page = self.ok("READDIRPLUS", args3.READDIRPLUS3args(self.root, 0, bytes(8), 9000, 9000))
        assert page.eof
        return {entry.name: entry for entry in page.entries}

    def lookup(self, name: bytes) -> tuple[int, res.LOOKUP3resok]:
        return self.nfs("LOOKUP", args3.LOOKUP3args(self.at(name)))

    def begin_mount(self, path: bytes) -> list[list[bytes]]:
        """Send MNT; return where the buffers of its reply come when there is one."""
        message = call_bytes(7, mount_wire.MOUNT_PROGRAM, 3, 1, mount_wire.path_args(path), self.cred)
        call = self.dispatcher.open(message, Peer(HOST, self.port, local=False, datagram=False))
        assert isinstance(call, Call)
        replies: list[list[bytes]] = []
        deliver(self.dispatcher.run(call), replies.append)
        return replies

    def changed(self) -> int:
        """Return the directory's mtime."""
        attributes = self.ok("GETATTR", args3.GETATTR3args(self.root)).obj_attributes
        assert attributes.mtime == attributes.ctime
        return attributes.mtime


@pytest.fixture
def door() -> RootDoor:
    return RootDoor(EVERYTHING)


def test_buckets_are_directories_each_with_its_own_file_system(door: RootDoor) -> None:
    other = door.bucket("other", uid=5)
    entries = door.names()
    assert list(entries) == [b".", b"..", b"bucket", b"other"]
    top = entries[b"."].name_attributes
    assert (top.type, top.mode, top.uid, top.nlink) == (ftype3.NF3DIR, 0o755, 0, 4)
    found = entries[b"other"]
    assert found.name_handle == door.handle(other)
    assert (found.name_attributes.uid, found.name_attributes.fsid) == (5, other.vol)
    assert len({entry.name_attributes.fsid for entry in entries.values()}) == 3
    assert len({entry.fileid for entry in entries.values()}) == 3, "no bucket's number is the directory's own"
    assert {entry.fileid for name, entry in entries.items() if name.startswith(b".")} == {top.fileid}


def test_a_bucket_has_one_handle_however_it_is_reached(door: RootDoor) -> None:
    door.exports.replace([EVERYTHING, Export("/bucket", NETWORK, read_only=True)])
    status, found = door.lookup(b"bucket")
    assert status == 0
    assert found.object == door.mount(b"/bucket") == door.names()[b"bucket"].name_handle == door.handle(door.hall.root)
    mkdir = args3.MKDIR3args(door.at(b"x", found.object), NO_ATTRS)
    assert door.nfs("MKDIR", mkdir)[0] == nfsstat3.NFS3ERR_ROFS, "the bucket's own export says what may be done"


@pytest.mark.parametrize("name", [b".", b".."])
def test_the_directory_is_its_own_parent_and_so_is_a_buckets_root(door: RootDoor, name: bytes) -> None:
    assert door.lookup(name)[1].object == door.root
    bucket = door.handle(door.hall.root)
    assert door.ok("LOOKUP", args3.LOOKUP3args(door.at(name, bucket))).object == bucket


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (b"none", nfsstat3.NFS3ERR_NOENT),
        (b"caf\xc3\xa9", nfsstat3.NFS3ERR_NOENT),
        (b"x" * 256, nfsstat3.NFS3ERR_NAMETOOLONG),
        (b"a\0b", nfsstat3.NFS3ERR_INVAL),
        (b"a/b", nfsstat3.NFS3ERR_INVAL),
        (b"", nfsstat3.NFS3ERR_INVAL),
    ],
)
def test_what_is_no_bucket_is_not_found(door: RootDoor, name: bytes, status: nfsstat3) -> None:
    found, body = door.lookup(name)
    assert found == status
    assert body.dir_attributes is not None


def test_a_bucket_that_the_caller_may_not_enter_is_hidden(door: RootDoor) -> None:
    door.bucket("closed", uid=5, mode=0o700)
    door.bucket("gone", uid=5, mode=0o766)
    door.bucket("own", uid=1000, mode=0o700)
    assert list(door.names()) == [b".", b"..", b"bucket", b"own"]
    for hidden in (b"closed", b"gone"):
        assert door.lookup(hidden)[0] == nfsstat3.NFS3ERR_NOENT
        assert door.mount(b"/" + hidden) == mountstat3.MNT3ERR_NOENT
    door.cred = auth_sys(0, 0, ())
    assert len(door.names()) == 6


def test_small_pages_show_every_bucket_once_and_end_with_the_last(door: RootDoor) -> None:
    for number in range(40):
        door.bucket(f"bucket-{number}", uid=5, mode=0o700 if number % 3 else 0o755)
    seen, cookie, eof = [], 0, False
    while not eof:
        page = door.ok("READDIR", args3.READDIR3args(door.root, cookie, bytes(8), 260))
        assert page.entries
        seen += [entry.name for entry in page.entries]
        cookie, eof = page.entries[-1].cookie, page.eof
        if len(seen) == 4:
            run(door.hall.ns.delete_bucket(Caller(5, 5, account="account 5"), "bucket-0"))
    assert len(seen) == len(set(seen)) == 3 + 14
    assert cookie > 3


def test_its_times_move_when_buckets_come_and_go_and_at_no_other_time(door: RootDoor) -> None:
    first = door.changed()
    door.hall.clock.advance(1)
    assert door.changed() == first
    door.bucket("new")
    second = door.changed()
    assert second > first
    run(door.hall.ns.delete_bucket(Caller(0, 0, account="account 0"), "new"))
    assert door.changed() > second, "though the clock stood still"


def test_a_bucket_that_another_gateway_holds_is_listed_and_not_entered_now(door: RootDoor) -> None:
    other = RootDoor(EVERYTHING, hall=door.hall.second())
    entry = other.names()[b"bucket"]
    assert (entry.name_attributes, entry.name_handle) == (None, None)
    assert other.lookup(b"bucket")[0] == nfsstat3.NFS3ERR_JUKEBOX


def results(buffers: list[bytes]) -> Unpacker:
    unpacker = Unpacker(b"".join(buffers))
    rpc.unpack_reply(unpacker)
    return unpacker


def test_mounting_it_waits_for_a_take_over_and_then_says_that_the_server_cannot(door: RootDoor) -> None:
    other = RootDoor(EVERYTHING, hall=door.hall.second())
    refused = other.begin_mount(b"/bucket")
    other.clock.advance(PATIENCE_SECONDS - 1)
    assert not refused
    other.clock.advance(2)
    assert results(refused[0]).uint32() == mountstat3.MNT3ERR_SERVERFAULT

    mounted = other.begin_mount(b"/bucket")
    run(door.hall.ns.close())
    assert not mounted
    other.clock.advance(1)
    found = results(mounted[0])
    assert found.uint32() == mountstat3.MNT3_OK
    assert decode(mount_wire.mountres3_ok.unpack, found).fhandle == door.handle(door.hall.root)


def test_room_and_limits_are_told_of_it_as_of_any_bucket(door: RootDoor) -> None:
    bucket = door.handle(door.hall.root)
    for name, args in (
        ("FSSTAT", args3.FSSTAT3args),
        ("FSINFO", args3.FSINFO3args),
        ("PATHCONF", args3.PATHCONF3args),
    ):
        here, there = (
            [getattr(answer, field) for field in answer.__struct_fields__[1:]]
            for answer in (door.ok(name, args(handle)) for handle in (door.root, bucket))
        )
        assert here == there


class TestMakingBuckets:
    """MKDIR and RMDIR in the root export."""

    def mkdir(self, door: RootDoor, name: bytes, mode: int = 0o750) -> tuple[int, res.CREATE3resok]:
        return door.nfs("MKDIR", args3.MKDIR3args(door.at(name), sattr3(mode=mode)))

    def rmdir(self, door: RootDoor, name: bytes) -> tuple[int, res.dir_wcc_res]:
        return door.nfs("RMDIR", args3.RMDIR3args(door.at(name)))

    def test_mkdir_makes_a_bucket_of_the_account_with_the_callers_uid(self) -> None:
        door = RootDoor(MAKER)
        before = door.changed()
        status, made = self.mkdir(door, b"new")
        assert status == 0
        attributes = made.obj_attributes
        assert (attributes.uid, attributes.gid, attributes.mode) == (1000, 100, 0o750)
        assert made.obj == door.lookup(b"new")[1].object
        assert (made.dir_wcc.before.mtime, made.dir_wcc.after.mtime) == (before, door.changed())
        bucket = run(door.hall.ns.head_bucket(Caller(1000, 100, account=ANNA.id), "new"))
        assert (bucket.owner, bucket.vol) == (ANNA.id, attributes.fsid)
        assert self.mkdir(door, b"new")[0] == nfsstat3.NFS3ERR_EXIST

    def test_rmdir_removes_an_empty_bucket_of_the_callers_account(self) -> None:
        door = RootDoor(MAKER)
        made = self.mkdir(door, b"new")[1]
        door.ok("MKDIR", args3.MKDIR3args(door.at(b"d", made.obj), NO_ATTRS))
        assert self.rmdir(door, b"new")[0] == nfsstat3.NFS3ERR_NOTEMPTY
        door.ok("RMDIR", args3.RMDIR3args(door.at(b"d", made.obj)))
        before = door.changed()
        status, gone = self.rmdir(door, b"new")
        assert (status, gone.dir_wcc.before.mtime, gone.dir_wcc.after.mtime) == (0, before, door.changed())
        assert door.nfs("GETATTR", args3.GETATTR3args(made.obj))[0] == nfsstat3.NFS3ERR_STALE
        assert self.rmdir(door, b"new")[0] == nfsstat3.NFS3ERR_NOENT

    def test_others_changes_come_before_ones_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        door = RootDoor(MAKER)
        known = door.changed()
        make = door.hall.ns.top._volumes.make

        async def make_after_another(row: object, root: object) -> object:
            monkeypatch.undo()
            await door.hall.ns.create_bucket(Caller(0, 0, account="x"), "theirs")
            return await make(row, root)

        monkeypatch.setattr(door.hall.ns.top._volumes, "make", make_after_another)
        wcc = self.mkdir(door, b"mine")[1].dir_wcc
        assert known < wcc.before.mtime < wcc.after.mtime

    @pytest.mark.parametrize(
        ("export", "uid", "name", "status"),
        [
            (EVERYTHING, 1000, b"new", nfsstat3.NFS3ERR_ACCES),
            (MAKER, 1001, b"new", nfsstat3.NFS3ERR_ACCES),
            (MAKER, 0, b"new", nfsstat3.NFS3ERR_ACCES),
            (Export("/", NETWORK, read_only=True, make_buckets=True), 1000, b"new", nfsstat3.NFS3ERR_ROFS),
            (Export("/", NETWORK, squash="all", make_buckets=True), 1000, b"new", nfsstat3.NFS3ERR_ACCES),
            (MAKER, 1000, b"New", nfsstat3.NFS3ERR_INVAL),
            (MAKER, 1000, b"n", nfsstat3.NFS3ERR_INVAL),
            (MAKER, 1000, b"caf\xc3\xa9", nfsstat3.NFS3ERR_INVAL),
            (MAKER, 1000, b"192.168.0.1", nfsstat3.NFS3ERR_INVAL),
            (MAKER, 1000, b".", nfsstat3.NFS3ERR_EXIST),
            (MAKER, 1000, b"x" * 256, nfsstat3.NFS3ERR_NAMETOOLONG),
            (MAKER, 1000, b"bucket", nfsstat3.NFS3ERR_EXIST),
        ],
    )
    def test_mkdir_is_refused(self, export: Export, uid: int, name: bytes, status: nfsstat3) -> None:
        door = RootDoor(export)
        door.cred = auth_sys(uid, 100, ())
        refused, body = self.mkdir(door, name)
        assert refused == status
        assert body.dir_wcc.before is not None
        assert len(run(door.hall.metastore.volumes())) == 1

    @pytest.mark.parametrize(
        ("export", "name", "status"),
        [
            (MAKER, b"bucket", nfsstat3.NFS3ERR_ACCES),
            (EVERYTHING, b"bucket", nfsstat3.NFS3ERR_ACCES),
            (Export("/", NETWORK, read_only=True, make_buckets=True), b"bucket", nfsstat3.NFS3ERR_ROFS),
            (MAKER, b"none", nfsstat3.NFS3ERR_NOENT),
        ],
    )
    def test_rmdir_is_refused(self, export: Export, name: bytes, status: nfsstat3) -> None:
        door = RootDoor(export)
        assert self.rmdir(door, name)[0] == status
        assert len(run(door.hall.metastore.volumes())) == 1

    @pytest.mark.parametrize(
        ("export", "uid", "granted"), [(MAKER, 1000, 0x1F), (MAKER, 0, 0x03), (EVERYTHING, 1000, 0x03)]
    )
    def test_access_tells_who_may(self, export: Export, uid: int, granted: int) -> None:
        door = RootDoor(export)
        door.cred = auth_sys(uid, 100, ())
        assert door.ok("ACCESS", args3.ACCESS3args(door.root, 0x3F)).access == granted


def _refusals(door: RootDoor) -> list[tuple[str, object, nfsstat3]]:
    """Return calls on the directory of buckets, as uid 0 unsquashed, and how they are refused."""
    at, bucket, inside = door.at(b"new"), door.at(b"bucket"), door.at(b"new", door.handle(door.hall.root))
    s = nfsstat3
    return [
        ("SETATTR", args3.SETATTR3args(door.root, sattr3(mode=0o777), None), s.NFS3ERR_PERM),
        ("READLINK", args3.READLINK3args(door.root), s.NFS3ERR_INVAL),
        ("READ", args3.READ3args(door.root, 0, 1), s.NFS3ERR_INVAL),
        ("WRITE", args3.WRITE3args(door.root, 0, 1, stable_how.FILE_SYNC, b"x"), s.NFS3ERR_INVAL),
        ("COMMIT", args3.COMMIT3args(door.root, 0, 0), s.NFS3ERR_INVAL),
        ("CREATE", args3.CREATE3args(at, createhow3(createmode3.UNCHECKED)), s.NFS3ERR_ACCES),
        ("SYMLINK", args3.SYMLINK3args(at, args3.symlinkdata3(NO_ATTRS, b"t")), s.NFS3ERR_ACCES),
        ("MKNOD", args3.MKNOD3args(at, mknoddata3(ftype3.NF3FIFO)), s.NFS3ERR_ACCES),
        ("REMOVE", args3.REMOVE3args(bucket), s.NFS3ERR_ISDIR),
        ("REMOVE", args3.REMOVE3args(at), s.NFS3ERR_NOENT),
        ("RENAME", args3.RENAME3args(bucket, at), s.NFS3ERR_ACCES),
        ("RENAME", args3.RENAME3args(at, bucket), s.NFS3ERR_NOENT),
        ("RENAME", args3.RENAME3args(bucket, inside), s.NFS3ERR_XDEV),
        ("RENAME", args3.RENAME3args(inside, at), s.NFS3ERR_XDEV),
        ("LINK", args3.LINK3args(door.root, at), s.NFS3ERR_ISDIR),
        ("LINK", args3.LINK3args(door.handle(door.hall.root), at), s.NFS3ERR_XDEV),
    ]


def test_nothing_but_buckets_can_be_put_there_or_taken_away(door: RootDoor) -> None:
    door.cred = auth_sys(0, 0, ())
    for name, args, status in _refusals(door):
        assert door.nfs(name, args)[0] == status, name
    assert list(door.names()) == [b".", b"..", b"bucket"]


def test_on_a_read_only_root_export_a_change_is_refused_as_such() -> None:
    door = RootDoor(Export("/", NETWORK, read_only=True))
    for name, args, status in _refusals(door):
        if status in {nfsstat3.NFS3ERR_ACCES, nfsstat3.NFS3ERR_PERM}:
            assert door.nfs(name, args)[0] == nfsstat3.NFS3ERR_ROFS, name


def test_a_handle_of_another_generation_is_stale(door: RootDoor) -> None:
    other = args3.GETATTR3args(door.handle(FileId(0, ROOT_INO, 1)))
    assert door.nfs("GETATTR", other)[0] == nfsstat3.NFS3ERR_STALE


def test_n02_who_may_mount_a_bucket_alone_does_not_see_the_others(door: RootDoor) -> None:
    other = door.bucket("other")
    door.exports.replace([Export("/bucket", NETWORK), Export("/", ("10.0.0.0/8",))])
    door.ok("GETATTR", args3.GETATTR3args(door.mount(b"/bucket")))
    for file in (TOP, other):
        assert door.nfs("GETATTR", args3.GETATTR3args(door.handle(file)))[0] == nfsstat3.NFS3ERR_ACCES
    for path in (b"/", b"/other"):
        assert door.mount(path) == mountstat3.MNT3ERR_ACCES


def test_n03_a_bucket_that_is_deleted_is_stale_at_once(door: RootDoor) -> None:
    handle = door.mount(b"/bucket")
    run(door.hall.ns.delete_bucket(Caller(0, 0, account="owner"), "bucket"))
    assert door.nfs("GETATTR", args3.GETATTR3args(handle))[0] == nfsstat3.NFS3ERR_STALE
    assert door.mount(b"/bucket") == mountstat3.MNT3ERR_NOENT


def test_an_export_waits_for_its_bucket_and_takes_the_one_that_has_its_name(door: RootDoor) -> None:
    door.exports.replace([Export("/later", NETWORK, squash="none")])
    assert door.mount(b"/later") == mountstat3.MNT3ERR_NOENT
    first = door.bucket("later")
    assert door.mount(b"/later") == door.handle(first)
    run(door.hall.ns.delete_bucket(Caller(0, 0, account="account 0"), "later"))
    second = door.bucket("later")
    assert second.vol != first.vol
    assert door.mount(b"/later") == door.handle(second)
    door.ok("GETATTR", args3.GETATTR3args(door.handle(second)))


def test_a_volume_whose_name_cannot_be_learned_now_is_answered_by_the_reason(
    door: RootDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_vol: int) -> str:
        raise errors.Unavailable("the database is away")

    monkeypatch.setattr(door.hall.ns.top, "name_of", fail)
    get = args3.GETATTR3args(door.handle(door.hall.root))
    assert door.nfs("GETATTR", get)[0] == nfsstat3.NFS3ERR_JUKEBOX
    monkeypatch.undo()
    door.ok("GETATTR", get)


def test_the_host_that_asks_is_the_one_the_rules_are_for(door: RootDoor) -> None:
    door.names()
    door.host = "198.51.100.1"
    assert door.host != HOST
    assert door.nfs("GETATTR", args3.GETATTR3args(door.root))[0] == nfsstat3.NFS3ERR_ACCES
