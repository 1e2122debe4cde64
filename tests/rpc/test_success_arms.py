"""What a success tells of attributes: before is what was seen last, after what GETATTR says (RFC 1813, 2.6)."""

from __future__ import annotations

from typing import Any

import pytest
from nfs_client import PROC, NfsClient
from nfs_hall import NfsHall
from scene import CONTENT, Scene, subjects

from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_types import (
    createhow3,
    createmode3,
    fattr3,
    nfsstat3,
    sattr3,
    stable_how,
    wcc_attr,
    wcc_data,
)

UNSTABLE = stable_how.UNSTABLE
#: Beside the call in order of every procedure: those whose effect on attributes is another one.
VARIANTS = {
    "WRITE UNSTABLE": lambda scene: args3.WRITE3args(scene.file, 3, 9, UNSTABLE, b"much more"),
    "WRITE of nothing": lambda scene: args3.WRITE3args(scene.file, 3, 0, stable_how.FILE_SYNC, b""),
    "COMMIT of something": lambda scene: (
        scene.nfs.write(scene.file, 100, b"x", UNSTABLE),
        args3.COMMIT3args(scene.file, 0, 0),
    )[1],
    "SETATTR of nothing": lambda scene: args3.SETATTR3args(scene.file, sattr3()),
    "CREATE of what exists": lambda scene: args3.CREATE3args(
        scene.at(b"file"), createhow3(createmode3.UNCHECKED, sattr3(size=0))
    ),
    "CREATE EXCLUSIVE": lambda scene: args3.CREATE3args(
        scene.at(b"new"), createhow3(createmode3.EXCLUSIVE, verf=b"verifier")
    ),
    "RENAME within": lambda scene: args3.RENAME3args(scene.at(b"file"), scene.at(b"moved")),
    "RENAME over": lambda scene: args3.RENAME3args(scene.at(b"file"), scene.at(b"inner", scene.directory)),
    "RENAME of a directory": lambda scene: args3.RENAME3args(scene.at(b"empty"), scene.at(b"e", scene.directory)),
    "RENAME to itself": lambda scene: args3.RENAME3args(scene.at(b"file"), scene.at(b"file")),
    "LOOKUP of a directory": lambda scene: args3.LOOKUP3args(scene.at(b"directory")),
    "LOOKUP of the parent": lambda scene: args3.LOOKUP3args(scene.at(b"..", scene.directory)),
    "READ at the end": lambda scene: args3.READ3args(scene.file, len(CONTENT), 10),
}
CALLS = {**{name: (lambda scene, name=name: scene.good(name)) for name in PROC}, **VARIANTS}


def told(result: Any, args: Any) -> list[tuple[bytes, Any]]:
    """Return (handle, what is told of it) for every attribute in *result*; what is made goes before its directory."""
    fields = [
        value for field in result.__struct_fields__ if isinstance(value := getattr(result, field), fattr3 | wcc_data)
    ]
    made = getattr(result, "obj", None) or getattr(result, "object", None)
    handles = ([made] if made is not None else []) + subjects(args)
    assert len(fields) == len(handles), (fields, handles)
    return list(zip(handles, fields, strict=True))


def check(scene: Scene, args: Any, name: str) -> None:
    before = {handle: scene.attributes(handle) for handle in subjects(args)}
    status, result = scene.caller.call(name, args)
    assert status == nfsstat3.NFS3_OK
    for handle, field in told(result, args):
        now = scene.attributes(handle)
        if isinstance(field, fattr3):
            assert field == now
        else:
            was = before[handle]
            assert field == wcc_data(wcc_attr(was.size, was.mtime, was.ctime), now)


@pytest.fixture
def scene():
    hall = NfsHall()
    nfs = hall.client()
    return Scene(nfs, hall.client(), nfs.mount("/bucket"), hall)


@pytest.mark.parametrize("name", CALLS)
def test_a_success_tells_what_was_before_and_what_is_after(scene, name):
    check(scene, CALLS[name](scene), name.split()[0])


def _marks(scene: Scene, args: Any) -> list[Any]:
    """Return what a client tells a change by."""
    attrs = [scene.attributes(handle) for handle in subjects(args)]
    return [attr and (attr.size, attr.mtime, attr.ctime) for attr in attrs]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_procedure_that_changes_something_shows_it(scene, name):
    args = CALLS[name](scene)
    seen = _marks(scene, args)
    scene.caller.call(name.split()[0], args)
    moved = _marks(scene, args) != seen
    untouched = {
        "WRITE of nothing",
        "COMMIT of something",
        "RENAME to itself",
        "CREATE of what exists",
        "READ at the end",
    }
    assert moved == (name not in untouched and not name.startswith("LOOKUP"))


def test_a_whole_house_tells_the_same(house):
    with NfsClient("127.0.0.1", house.nfs_port, house.mount_port, timeout_seconds=30) as nfs:
        folder = nfs.mkdir(nfs.mount(house.export), b"success arms")
        for name, call in CALLS.items():
            scene = Scene(nfs, nfs, nfs.mkdir(folder, name.encode()))
            check(scene, call(scene), name.split()[0])
