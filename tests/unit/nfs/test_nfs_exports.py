"""Export rules: who may use what, and as whom (reliability: N02 to N06, N09)."""

import pytest

from foundation.errors import AccessDenied, InvalidArgument, StaleHandle
from namespace.api import Caller, FileId
from protocols.nfs.codec.rpc import authsys_parms
from protocols.nfs.credentials import ANONYMOUS, Credential
from protocols.nfs.exports import Export, Exports, squash

USER = Credential(authsys_parms(0, b"host", 1000, 100, (0, 5)))
ROOT = Credential(authsys_parms(0, b"host", 0, 0, (0, 5)))
ONE = Export("/one", 1, ("10.0.0.0/8",), squash="none")
TWO = Export("/two", 2, ("10.2.0.0/16", "2001:db8::/32"), read_only=True)
SUB = Export("/one/sub", 1, ("172.16.0.1",), top=FileId(1, 50, 9), id=4)
ALL = Export("/", 0, ("192.168.0.0/16",), squash="all", anon_uid=2**32 - 1, anon_gid=2**32 - 2)


def test_a_client_enters_by_the_export_of_the_volume():
    exports = Exports([ONE, TWO])
    assert exports.enter("10.1.1.1", USER, 1, 0) == (Caller(1000, 100, frozenset({0, 5})), ONE)
    with pytest.raises(AccessDenied):
        exports.enter("10.1.1.1", USER, 2, 0)
    with pytest.raises(AccessDenied):
        exports.enter("11.1.1.1", USER, 1, 0)


def test_the_root_export_lets_into_every_volume_that_does_not_let_in_itself():
    exports = Exports([ONE, ALL])
    assert exports.enter("192.168.1.1", USER, 1, 0)[1] == ALL
    assert exports.enter("10.1.1.1", USER, 1, 0)[1] == ONE
    assert exports.enter("192.168.1.1", USER, 77, 0)[1] == ALL


def test_a_handle_of_a_sub_directory_export_is_judged_by_that_export_alone():
    exports = Exports([ONE, SUB])
    assert exports.enter("172.16.0.1", USER, 1, 4)[1] == SUB
    with pytest.raises(AccessDenied):
        exports.enter("172.16.0.1", USER, 1, 0)
    with pytest.raises(AccessDenied):
        exports.enter("10.0.0.1", USER, 1, 4)


def test_what_nothing_exports_any_more_is_stale():
    exports = Exports([ONE, SUB])
    for vol, export in ((2, 0), (1, 5), (2, 4)):
        with pytest.raises(StaleHandle):
            exports.enter("10.0.0.1", USER, vol, export)


def test_new_rules_hold_from_the_next_call_on():
    exports = Exports([ONE])
    assert not exports.enter("10.1.1.1", USER, 1, 0)[0].read_only
    exports.replace([Export("/one", 1, ("10.0.0.0/8",), read_only=True)])
    assert exports.enter("10.1.1.1", USER, 1, 0)[0].read_only
    exports.replace([Export("/one", 1, ("10.2.0.0/16",))])
    with pytest.raises(AccessDenied):
        exports.enter("10.1.1.1", USER, 1, 0)
    exports.replace([])
    with pytest.raises(StaleHandle):
        exports.enter("10.1.1.1", USER, 1, 0)


def test_an_ipv4_client_of_an_ipv6_socket_is_its_ipv4_address():
    exports = Exports([ONE, TWO])
    assert exports.enter("::ffff:10.1.1.1", USER, 1, 0)[1] == ONE
    assert exports.enter("2001:db8::1%eth0", USER, 2, 0)[1] == TWO
    with pytest.raises(AccessDenied):
        exports.enter("2001:db9::1", USER, 2, 0)


@pytest.mark.parametrize(
    ("kind", "credential", "caller"),
    [
        ("none", ROOT, Caller(0, 0, frozenset({0, 5}))),
        ("none", USER, Caller(1000, 100, frozenset({0, 5}))),
        ("root", ROOT, Caller(7, 8)),
        ("root", USER, Caller(1000, 100, frozenset({8, 5}))),
        ("root", Credential(authsys_parms(0, b"", 1000, 0, ())), Caller(1000, 8)),
        ("all", USER, Caller(7, 8)),
        ("all", ROOT, Caller(7, 8)),
        ("none", ANONYMOUS, Caller(7, 8)),
    ],
)
def test_squash_makes_root_or_all_anonymous_in_uid_gid_and_groups(kind, credential, caller):
    assert squash(Export("/x", 1, (), squash=kind, anon_uid=7, anon_gid=8), credential) == caller


def test_anonymous_ids_are_taken_exactly():
    assert squash(ALL, USER) == Caller(2**32 - 1, 2**32 - 2)


def test_the_nearest_export_above_a_path_is_found():
    exports = Exports([ONE, TWO, SUB, ALL])
    assert exports.find("10.2.0.1", "/two/") == (TWO, ())
    assert exports.find("10.2.0.1", "//one/./sub/x") == (ONE, ("sub", "x"))
    assert exports.find("172.16.0.1", "/one/sub/x") == (SUB, ("x",))
    assert exports.find("192.168.0.1", "/other") == (ALL, ("other",))
    assert exports.find("192.168.0.1", "/") == (ALL, ())


@pytest.mark.parametrize("path", ["/one/../two", "/..", "/three", "/", "", "/ONE", "/on", "/onetwo"])
def test_a_path_that_is_not_exported_is_denied_without_telling_why(path):
    with pytest.raises(AccessDenied):
        Exports([ONE, TWO]).find("10.1.0.1", path)


def test_a_client_sees_the_exports_it_may_mount():
    exports = Exports([TWO, ONE, SUB])
    assert exports.visible("10.2.0.1") == [ONE, TWO]
    assert exports.visible("10.1.0.1") == [ONE]
    assert exports.visible("8.8.8.8") == []


@pytest.mark.parametrize(
    "wrong",
    [
        [Export("/x", 1, ("10.0.0.0/33",))],
        [Export("/x", 1, ("host.example",))],
        [Export("/x", 1, (), squash="some")],  # type: ignore[arg-type]
        [Export("x", 1, ())],
        [Export("/x", 1, (), id=4)],
        [Export("/x", 1, (), top=FileId(1, 2, 3))],
        [Export("/x", 1, (), top=FileId(1, 2, 3), id=0x10000)],
        [SUB, Export("/y", 1, (), top=FileId(1, 2, 3), id=4)],
        [ONE, Export("/one/", 2, ())],
    ],
)
def test_wrong_records_are_refused_and_change_nothing(wrong):
    exports = Exports([ONE])
    with pytest.raises(InvalidArgument):
        exports.replace(wrong)
    assert exports.enter("10.1.1.1", USER, 1, 0)[1] == ONE


def test_the_memory_of_answers_is_bounded(monkeypatch):
    monkeypatch.setattr("protocols.nfs.exports._REMEMBERED", 10)
    exports = Exports([ONE])
    for number in range(50):
        exports.enter(f"10.0.0.{number}", USER, 1, 0)
        assert len(exports._callers) <= 10
