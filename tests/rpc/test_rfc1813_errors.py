"""Every procedure of RFC 1813, section 3.3, with every error that it lists: brought about, or why it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from error_cases import BLIND, INSIDE, NEVER, WIRE, blind
from nfs_client import PROC, NfsClient
from nfs_hall import NfsHall
from rfc1813 import ADDED, ERRORS
from scene import Scene, subjects

from protocols.nfs.codec.nfs3_types import nfsstat3, wcc_attr, wcc_data
from protocols.nfs.errors import LEGAL

LISTED = {(name, status.name.removeprefix("NFS3ERR_")) for name, codes in ERRORS.items() for status in codes}


def test_the_table_has_every_error_that_the_rfc_lists_and_no_other():
    pairs = [pair for table in (WIRE, INSIDE, NEVER) for pair in table]
    assert sorted(pairs) == sorted(LISTED)


def test_the_door_may_answer_what_the_rfc_lists_and_what_is_added_for_a_reason():
    assert sorted(ERRORS) == sorted(PROC)
    for name, listed in ERRORS.items():
        legal = LEGAL[PROC[name]]
        assert listed <= legal, name
        assert legal - listed <= set(ADDED), (name, legal - listed - set(ADDED))


@pytest.fixture
def scene(monkeypatch):
    hall = NfsHall()
    nfs = hall.client()
    scene = Scene(nfs, hall.client(), nfs.mount("/bucket"), hall)
    scene.patch = monkeypatch.setattr
    return scene


def check(scene: Scene, name: str, code: str, args: Any) -> None:
    """Make the call; the error, its attributes and that nothing has changed must be right."""
    status, failure = scene.caller.call(name, args)
    assert status == nfsstat3[f"NFS3ERR_{code}"]
    handles = subjects(args)
    fields = [getattr(failure, field) for field in failure.__struct_fields__]
    assert name == "GETATTR" or len(fields) == len(handles)
    for field, handle in zip(fields, handles, strict=False):
        attr = scene.attributes(handle)
        if attr is None or (blind(name, code) and field in {None, wcc_data()}):
            assert field in {None, wcc_data()}
        elif isinstance(field, wcc_data):
            assert field == wcc_data(wcc_attr(attr.size, attr.mtime, attr.ctime), attr)
        else:
            assert field == attr


@pytest.mark.parametrize(("name", "code"), [*WIRE, *INSIDE], ids=str)
def test_an_error_is_answered_truly_and_changes_nothing(scene, name, code):
    args = {**WIRE, **INSIDE}[name, code](scene)
    before = scene.hall.tree()
    check(scene, name, code, args)
    assert scene.hall.tree() == before


@pytest.fixture(scope="module")
def wired(house):
    """Return two clients of the shared house, and a folder there."""
    with (
        NfsClient("127.0.0.1", house.nfs_port, house.mount_port, timeout_seconds=30) as nfs,
        NfsClient("127.0.0.1", house.nfs_port, house.mount_port, timeout_seconds=30) as caller,
    ):
        yield nfs, caller, nfs.mkdir(nfs.mount(house.export), b"rfc1813 errors")


@pytest.mark.parametrize(("name", "code"), WIRE, ids=str)
def test_the_same_error_is_answered_by_a_whole_house(wired, name, code):
    nfs, caller, folder = wired
    caller.cred = nfs.cred
    scene = Scene(nfs, caller, nfs.mkdir(folder, f"{name} {code}".encode()))
    check(scene, name, code, WIRE[name, code](scene))


def test_every_blind_failure_has_its_reason():
    assert set(BLIND) <= {code for _, code in (*WIRE, *INSIDE)}
