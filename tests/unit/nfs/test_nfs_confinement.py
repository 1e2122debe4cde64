"""Sub-directory exports and squash over the real namespace: nobody gets out, nobody gets up (N02, N04 to N06)."""

from __future__ import annotations

import pytest
from door import Door
from hall import MemoryHall, run
from nfs_calls import NAMES, NO_ATTRS, arguments
from nfs_client import auth_sys

from namespace.api import Caller, FileId, FileType, SetAttr
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.mount import mountstat3
from protocols.nfs.codec.nfs3_types import createhow3, createmode3, ftype3, mknoddata3, nfsstat3, sattr3
from protocols.nfs.exports import Export
from protocols.nfs.tops import Tops

NETWORK = ("192.0.2.0/24",)
ELSEWHERE = ("198.51.100.0/24",)
WHOLE = Export("/bucket", NETWORK, squash="none")
SUB = Export("/bucket/some/dir", NETWORK, squash="none", id=4)
ADMIN = Caller(0, 0)


class Confined(Door):
    """The door to a bucket with /some/dir/inner and /some/beside."""

    def __init__(self, *exports: Export) -> None:
        self.hall = MemoryHall()
        super().__init__(*exports, namespace=self.hall.ns)
        self.cred = auth_sys(0, 0, ())
        self.some = self.mkdir(self.hall.root, b"some")
        self.dir = self.mkdir(self.some, b"dir")
        self.inner = self.mkdir(self.dir, b"inner")
        self.mkdir(self.some, b"beside")

    def mkdir(self, parent: FileId, name: bytes, mode: int = 0o755) -> FileId:
        return run(self.hall.ns.mkdir(ADMIN, parent, name, SetAttr(mode=mode))).file.file

    def rename(self, name: bytes, new: bytes) -> None:
        run(self.hall.ns.rename(ADMIN, self.some, name, self.some, new))

    def status(self, name: str, args: object) -> nfsstat3:
        return self.nfs(name, args)[0]  # type: ignore[arg-type]  # any procedure's arguments

    def parent(self, handle: bytes) -> tuple[int, bytes | None]:
        """Return how LOOKUP of `..` ends, and the handle it finds."""
        status, body = self.nfs("LOOKUP", args3.LOOKUP3args(self.at(b"..", handle)))
        return status, None if status else body.object

    def parents_entry(self, handle: bytes) -> tuple[int, bytes | None]:
        """Return fileid and handle that READDIRPLUS tells of `..`."""
        page = self.ok("READDIRPLUS", args3.READDIRPLUS3args(handle, 0, bytes(8), 9000, 9000))
        [entry] = [entry for entry in page.entries if entry.name == b".."]
        return entry.fileid, entry.name_handle


@pytest.fixture
def sub() -> Confined:
    return Confined(SUB)


def test_a_sub_directory_is_a_file_system_of_its_own_and_its_top_has_no_parent(sub: Confined) -> None:
    top = sub.mount(b"/bucket/some/dir")
    assert top == sub.handle(sub.dir, SUB.id)
    assert sub.ok("GETATTR", args3.GETATTR3args(top)).obj_attributes.fsid == SUB.id << 32 | sub.hall.vol
    assert sub.parent(top) == (0, top)
    assert sub.parents_entry(top) == (sub.dir.ino, None)
    inner = sub.mount(b"/bucket/some/dir/inner")
    assert sub.parent(inner) == (0, top)
    assert sub.parents_entry(inner) == (sub.dir.ino, None)


def test_n02_a_handle_is_good_for_the_export_that_gave_it_alone() -> None:
    other = Export("/bucket/some/beside", ELSEWHERE, id=5)
    door = Confined(SUB, Export("/bucket", ELSEWHERE), other)
    handles = {"sub": door.mount(b"/bucket/some/dir")}
    door.host = "198.51.100.1"
    handles |= {"whole": door.mount(b"/bucket"), "other": door.mount(b"/bucket/some/beside")}
    for host, good in (("192.0.2.7", {"sub"}), ("198.51.100.1", {"whole", "other"})):
        door.host = host
        for name, handle in handles.items():
            status = door.status("GETATTR", args3.GETATTR3args(handle))
            assert status == (0 if name in good else nfsstat3.NFS3ERR_ACCES), (host, name)


def test_n02_names_do_not_cross_the_border_of_an_export() -> None:
    door = Confined(WHOLE, SUB)
    inside, outside = door.handle(door.dir, SUB.id), door.handle(door.some)
    file = door.ok(
        "CREATE", args3.CREATE3args(door.at(b"f", inside), createhow3(createmode3.UNCHECKED, sattr3(mode=0o644)))
    ).obj
    for source, target in ((inside, outside), (outside, inside)):
        rename = args3.RENAME3args(door.at(b"inner", source), door.at(b"moved", target))
        assert door.status("RENAME", rename) == nfsstat3.NFS3ERR_XDEV
    assert door.status("LINK", args3.LINK3args(file, door.at(b"link", outside))) == nfsstat3.NFS3ERR_XDEV
    door.ok("LINK", args3.LINK3args(file, door.at(b"link", inside)))


def test_a_directory_may_come_after_its_export(sub: Confined) -> None:
    sub.exports.replace([Export("/bucket/later/on", NETWORK, id=7)])
    assert sub.mount(b"/bucket/later/on") == mountstat3.MNT3ERR_NOENT
    made = sub.mkdir(sub.mkdir(sub.hall.root, b"later"), b"on")
    assert sub.mount(b"/bucket/later/on") == sub.handle(made, 7)


def test_a_renamed_directory_stays_with_its_clients_and_the_path_names_what_is_there(sub: Confined) -> None:
    old = sub.mount(b"/bucket/some/dir")
    sub.rename(b"dir", b"moved")
    assert sub.parent(old) == (0, old)
    assert sub.mount(b"/bucket/some/dir") == mountstat3.MNT3ERR_NOENT
    new = sub.mount(b"/bucket/some/dir") if sub.mkdir(sub.some, b"dir") else b""
    assert new not in {old, mountstat3.MNT3ERR_NOENT}
    sub.ok("LOOKUP", args3.LOOKUP3args(sub.at(b"inner", old)))
    assert sub.parent(new) == (0, new)
    assert sub.parent(old) == (nfsstat3.NFS3ERR_ACCES, None)
    assert sub.parents_entry(old)[1] is None


def test_after_a_restart_a_directory_that_was_renamed_has_no_parent(sub: Confined) -> None:
    old = sub.mount(b"/bucket/some/dir")
    sub.rename(b"dir", b"moved")
    sub.program.tops = Tops(sub.hall.ns)
    assert sub.parent(old) == (nfsstat3.NFS3ERR_ACCES, None)
    assert sub.parents_entry(old) == (sub.dir.ino, None)


def test_n04_an_exports_own_path_is_walked_as_the_administrator_and_what_is_below_as_the_caller() -> None:
    door = Confined(Export("/bucket/some/dir", NETWORK, id=4))
    run(door.hall.ns.setattr(ADMIN, door.some, SetAttr(mode=0), None))
    assert door.mount(b"/bucket/some/dir/inner") == door.handle(door.inner, 4)
    run(door.hall.ns.setattr(ADMIN, door.dir, SetAttr(mode=0o700), None))
    assert door.mount(b"/bucket/some/dir") == door.handle(door.dir, 4)
    assert door.mount(b"/bucket/some/dir/inner") == mountstat3.MNT3ERR_ACCES


def test_n04_no_symbolic_link_leads_to_an_exports_top(sub: Confined) -> None:
    sub.rename(b"dir", b"moved")
    run(sub.hall.ns.symlink(ADMIN, sub.some, b"dir", b"moved", SetAttr()))
    assert sub.mount(b"/bucket/some/dir") == mountstat3.MNT3ERR_ACCES


# ---------------------------------------------------------------------- squash


@pytest.mark.parametrize("name", NAMES)
def test_n05_no_procedure_takes_a_squashed_root_for_root(name: str) -> None:
    door = Door(Export("/bucket", NETWORK, squash="root", anon_uid=7, anon_gid=8))
    door.cred = auth_sys(0, 0, (0, 5))
    door.nfs(name, arguments(door)[name])
    assert set(door.namespace.callers) == {Caller(7, 8)}


@pytest.mark.parametrize("name", NAMES)
def test_n05_a_group_of_0_is_squashed_wherever_it_stands(name: str) -> None:
    door = Door(Export("/bucket", NETWORK, squash="root", anon_gid=8))
    door.cred = auth_sys(1000, 0, (0, 5))
    door.nfs(name, arguments(door)[name])
    assert set(door.namespace.callers) == {Caller(1000, 8, frozenset({8, 5}))}


def test_n05_a_squashed_root_gives_nothing_away_and_makes_nothing_privileged() -> None:
    door = Confined(Export("/bucket", NETWORK, squash="root", anon_uid=7, anon_gid=8))
    open_to_all = door.handle(door.mkdir(door.hall.root, b"open", 0o1777))
    how = createhow3(createmode3.UNCHECKED, sattr3(mode=0o4755, uid=0, gid=0))
    made = door.ok("CREATE", args3.CREATE3args(door.at(b"f", open_to_all), how))
    # Set-user-id on a file of one's own is POSIX; it is the anonymous user's here, and never root's.
    assert (made.obj_attributes.uid, made.obj_attributes.gid) == (7, 8)
    for change in (sattr3(uid=0), sattr3(gid=0)):
        assert door.status("SETATTR", args3.SETATTR3args(made.obj, change)) == nfsstat3.NFS3ERR_PERM
    theirs = door.handle(door.some)
    assert door.status("SETATTR", args3.SETATTR3args(theirs, sattr3(mode=0o4777))) == nfsstat3.NFS3ERR_PERM
    device = args3.MKNOD3args(door.at(b"null", open_to_all), mknoddata3(ftype3.NF3CHR, spec=1 << 32 | 3))
    assert door.status("MKNOD", device) == nfsstat3.NFS3ERR_PERM
    for name, args in (
        ("MKDIR", args3.MKDIR3args(door.at(b"x", theirs), NO_ATTRS)),
        ("RMDIR", args3.RMDIR3args(door.at(b"beside", theirs))),
        ("RENAME", args3.RENAME3args(door.at(b"dir", theirs), door.at(b"x", open_to_all))),
    ):
        assert door.status(name, args) == nfsstat3.NFS3ERR_ACCES, name


@pytest.mark.parametrize(("uid", "gid"), [(0, 0), (65534, 65534), (2**32 - 2, 2**32 - 1), (2**32 - 1, 2**32 - 2)])
def test_n06_whoever_is_squashed_is_exactly_the_anonymous_user(uid: int, gid: int) -> None:
    door = Confined(Export("/bucket", NETWORK, squash="all", anon_uid=uid, anon_gid=gid))
    door.cred = auth_sys(1000, 100, (5,))
    run(door.hall.ns.setattr(ADMIN, door.some, SetAttr(mode=0o777), None))
    some = door.handle(door.some)
    made = door.ok("MKDIR", args3.MKDIR3args(door.at(b"made", some), NO_ATTRS)).obj_attributes
    assert (made.type, made.uid, made.gid) == (FileType.DIRECTORY, uid, gid)
