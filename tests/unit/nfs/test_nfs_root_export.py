"""The root export over the real namespace in memory: buckets as directories."""

from __future__ import annotations

import pytest
from door import HOST
from hall import run
from nfs_client import auth_sys
from root_door import EVERYTHING, NETWORK, NO_ATTRS, TOP, RootDoor

from foundation import errors
from metastore.records import ROOT_INO
from namespace.api import Caller, FileId
from protocols.nfs.codec import mount as mount_wire
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec import rpc
from protocols.nfs.codec.mount import mountstat3
from protocols.nfs.codec.nfs3_types import ftype3, nfsstat3
from protocols.nfs.codec.xdr import Unpacker, decode
from protocols.nfs.exports import Export
from protocols.nfs.mount import PATIENCE_SECONDS


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
