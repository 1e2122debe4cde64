"""Export rules: who may use what, and as whom (reliability: N02 to N06, N09)."""

import pytest

from foundation.errors import AccessDenied, InvalidArgument, StaleHandle
from namespace.api import Caller
from protocols.nfs.codec.rpc import authsys_parms
from protocols.nfs.credentials import ANONYMOUS, Credential
from protocols.nfs.exports import Export, Exports, UnknownVolume, check_port, squash

USER = Credential(authsys_parms(0, b"host", 1000, 100, (0, 5)))
ROOT = Credential(authsys_parms(0, b"host", 0, 0, (0, 5)))
ONE = Export("/one", ("10.0.0.0/8",), squash="none")
TWO = Export("/two", ("10.2.0.0/16", "2001:db8::/32"), read_only=True)
SUB = Export("/one/sub", ("172.16.0.1",), id=4)
ALL = Export("/", ("192.168.0.0/16",), squash="all", anon_uid=2**32 - 1, anon_gid=2**32 - 2)


def rules(*exports):
    """Return rules that know the names of three volumes."""
    made = Exports(exports)
    for vol, bucket in ((1, "one"), (2, "two"), (77, "seventy")):
        made.learn(vol, bucket)
    return made


def test_the_name_of_a_volume_has_to_be_learned_once():
    exports = Exports([ONE])
    with pytest.raises(UnknownVolume) as unknown:
        exports.enter("10.1.1.1", USER, 1, 0)
    exports.learn(unknown.value.vol, "one")
    assert exports.enter("10.1.1.1", USER, 1, 0)[1] == ONE
    exports.replace([TWO])
    with pytest.raises(StaleHandle):
        exports.enter("10.1.1.1", USER, 1, 0)


def test_n02_the_directory_of_buckets_is_entered_by_the_root_export_alone():
    exports = rules(ONE, ALL)
    assert exports.enter("192.168.1.1", USER, 0, 0)[1] == ALL
    with pytest.raises(AccessDenied):
        exports.enter("10.1.1.1", USER, 0, 0)
    with pytest.raises(StaleHandle):
        rules(ONE, SUB).enter("10.1.1.1", USER, 0, 0)


def test_n09_a_secure_export_takes_calls_from_privileged_ports_alone():
    secure = Export("/one", ("10.0.0.0/8",), secure=True)
    check_port(secure, 1023)
    check_port(ONE, 60000)
    for port in (1024, 60000):
        with pytest.raises(AccessDenied):
            check_port(secure, port)


def test_a_client_enters_by_the_export_of_the_volume():
    exports = rules(ONE, TWO)
    assert exports.enter("10.1.1.1", USER, 1, 0) == (Caller(1000, 100, frozenset({0, 5})), ONE)
    with pytest.raises(AccessDenied):
        exports.enter("10.1.1.1", USER, 2, 0)
    with pytest.raises(AccessDenied):
        exports.enter("11.1.1.1", USER, 1, 0)


def test_the_root_export_lets_into_every_volume_that_does_not_let_in_itself():
    exports = rules(ONE, ALL)
    assert exports.enter("192.168.1.1", USER, 1, 0)[1] == ALL
    assert exports.enter("10.1.1.1", USER, 1, 0)[1] == ONE
    assert exports.enter("192.168.1.1", USER, 77, 0)[1] == ALL


def test_n02_a_handle_of_a_sub_directory_export_is_judged_by_that_export_alone():
    exports = rules(ONE, SUB)
    assert exports.enter("172.16.0.1", USER, 1, 4)[1] == SUB
    with pytest.raises(AccessDenied):
        exports.enter("172.16.0.1", USER, 1, 0)
    with pytest.raises(AccessDenied):
        exports.enter("10.0.0.1", USER, 1, 4)


def test_n03_what_nothing_exports_any_more_is_stale():
    exports = rules(ONE, SUB)
    for vol, export in ((2, 0), (1, 5), (2, 4)):
        with pytest.raises(StaleHandle):
            exports.enter("10.0.0.1", USER, vol, export)


def test_n03_new_rules_hold_from_the_next_call_on():
    exports = rules(ONE)
    assert not exports.enter("10.1.1.1", USER, 1, 0)[0].read_only
    exports.replace([Export("/one", ("10.0.0.0/8",), read_only=True)])
    assert exports.enter("10.1.1.1", USER, 1, 0)[0].read_only
    exports.replace([Export("/one", ("10.2.0.0/16",))])
    with pytest.raises(AccessDenied):
        exports.enter("10.1.1.1", USER, 1, 0)
    exports.replace([])
    with pytest.raises(StaleHandle):
        exports.enter("10.1.1.1", USER, 1, 0)


def test_n09_an_ipv4_client_of_an_ipv6_socket_is_its_ipv4_address():
    exports = rules(ONE, TWO)
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
def test_n05_squash_makes_root_or_all_anonymous_in_uid_gid_and_groups(kind, credential, caller):
    assert squash(Export("/x", (), squash=kind, anon_uid=7, anon_gid=8), credential) == caller


def test_n06_anonymous_ids_are_taken_exactly():
    assert squash(ALL, USER) == Caller(2**32 - 1, 2**32 - 2)


def test_the_nearest_export_above_a_path_is_found():
    exports = rules(ONE, TWO, SUB, ALL)
    assert exports.find("10.2.0.1", "/two/") == (TWO, ())
    assert exports.find("10.2.0.1", "//one/./sub/x") == (ONE, ("sub", "x"))
    assert exports.find("172.16.0.1", "/one/sub/x") == (SUB, ("x",))
    assert exports.find("192.168.0.1", "/other") == (ALL, ("other",))
    assert exports.find("192.168.0.1", "/") == (ALL, ())


@pytest.mark.parametrize("path", ["/one/../two", "/..", "/three", "/", "", "/ONE", "/on", "/onetwo"])
def test_n04_a_path_that_is_not_exported_is_denied_without_telling_why(path):
    with pytest.raises(AccessDenied):
        rules(ONE, TWO).find("10.1.0.1", path)


def test_a_client_sees_the_exports_it_may_mount():
    exports = rules(TWO, ONE, SUB)
    assert exports.visible("10.2.0.1") == [ONE, TWO]
    assert exports.visible("10.1.0.1") == [ONE]
    assert exports.visible("8.8.8.8") == []


@pytest.mark.parametrize(
    "wrong",
    [
        [Export("/x", ("10.0.0.0/33",))],
        [Export("/x", ("host.example",))],
        [Export("/x", (), squash="some")],  # type: ignore[arg-type]
        [Export("x", ())],
        [Export("/x/..", ())],
        [Export("/x\0", ())],
        [Export("/x", (), id=4)],
        [Export("/", (), id=4)],
        [Export("/x/y", ())],
        [Export("/x/y", (), id=0x10000)],
        [Export("/x/y", (), id=-1)],
        [Export("/x", (), anon_uid=-1)],
        [Export("/x", (), anon_gid=2**32)],
        [Export("/x", (), make_buckets=True)],
        [SUB, Export("/y/z", (), id=4)],
        [ONE, Export("/one/", ())],
    ],
)
def test_wrong_records_are_refused_and_change_nothing(wrong):
    exports = rules(ONE)
    with pytest.raises(InvalidArgument):
        exports.replace(wrong)
    assert exports.enter("10.1.1.1", USER, 1, 0)[1] == ONE


def test_the_memory_of_answers_is_bounded(monkeypatch):
    monkeypatch.setattr("protocols.nfs.exports._REMEMBERED", 10)
    exports = rules(ONE)
    for number in range(50):
        exports.enter(f"10.0.0.{number}", USER, 1, 0)
        assert len(exports._callers) <= 10
