"""What can be made and taken away in the directory of all buckets: buckets, and nothing else."""

from __future__ import annotations

import pytest
from hall import run
from nfs_client import PROC, auth_sys, call_bytes
from root_door import ANNA, EVERYTHING, MAKER, NETWORK, NO_ATTRS, RootDoor

from foundation import errors
from namespace.api import Caller
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec import nfs3_results as res
from protocols.nfs.codec.nfs3_types import createhow3, createmode3, ftype3, mknoddata3, nfsstat3, sattr3, stable_how
from protocols.nfs.exports import Export


@pytest.fixture
def door() -> RootDoor:
    return RootDoor(EVERYTHING)


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

    @pytest.mark.parametrize("proc", ["MKDIR", "RMDIR"])
    def test_a_change_that_cannot_be_told_of_is_not_refused(self, proc: str, monkeypatch: pytest.MonkeyPatch) -> None:
        door = RootDoor(MAKER)
        if proc == "RMDIR":
            self.mkdir(door, b"name")

        async def fail(**_what: object) -> None:
            raise errors.Unavailable("the database is away")

        monkeypatch.setattr(door.hall.ns.top, "_wcc", fail)
        args = args3.MKDIR3args(door.at(b"name"), NO_ATTRS) if proc == "MKDIR" else args3.RMDIR3args(door.at(b"name"))
        assert door.message(call_bytes(1, 100003, 3, PROC[proc], args, door.cred)) is None
        assert len(run(door.hall.metastore.volumes())) == (2 if proc == "MKDIR" else 1)

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
