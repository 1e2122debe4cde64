"""The tables of the NFS door are complete and say what RFC 1813 allows."""

import inspect

import pytest

from foundation import errors
from protocols.nfs.attributes import failure_of
from protocols.nfs.codec.nfs3_results import SIGNATURES
from protocols.nfs.codec.nfs3_types import nfsstat3
from protocols.nfs.codec.xdr import Unpacker
from protocols.nfs.errors import LEGAL, STATUS, Nfs3Refusal, status_of, status_of_class
from protocols.nfs.mount import PROCEDURES as MOUNT_PROCEDURES
from protocols.nfs.nfs3 import PROCEDURES
from protocols.nfs.portmap import PROCEDURES as PORTMAP_PROCEDURES

LEAVES = [
    each
    for each in vars(errors).values()
    if inspect.isclass(each) and issubclass(each, errors.FsError) and not each.__subclasses__()
]


def test_there_are_leaves_to_test():
    assert len(LEAVES) > 25


def test_the_error_table_has_every_leaf_and_nothing_else():
    assert set(STATUS) == set(LEAVES)


@pytest.mark.parametrize("proc", LEGAL)
def test_every_error_has_a_code_that_its_procedure_may_answer(proc):
    for leaf in LEAVES:
        assert status_of(proc, leaf()) in LEGAL[proc]
    for status in nfsstat3:
        assert status_of(proc, Nfs3Refusal(status)) in LEGAL[proc]


def test_the_legal_codes_are_known_for_every_procedure_but_null():
    assert sorted(LEGAL) == list(range(1, 22))
    assert not any(nfsstat3.NFS3_OK in codes for codes in LEGAL.values())


@pytest.mark.parametrize(
    ("proc", "error", "status"),
    [
        (3, errors.NotFound(), nfsstat3.NFS3ERR_NOENT),
        (1, errors.NotFound(), nfsstat3.NFS3ERR_STALE),
        (6, errors.IsDirectory(), nfsstat3.NFS3ERR_INVAL),
        (6, errors.NotPermitted(), nfsstat3.NFS3ERR_ACCES),
        (7, errors.TooLarge(), nfsstat3.NFS3ERR_FBIG),
        (9, errors.TooLarge(), nfsstat3.NFS3ERR_INVAL),
        (1, errors.Unavailable(), nfsstat3.NFS3ERR_JUKEBOX),
        (16, errors.BadDigest(), nfsstat3.NFS3ERR_IO),
        (2, errors.FsError(), nfsstat3.NFS3ERR_IO),
    ],
)
def test_an_error_is_answered_by_the_nearest_code_that_the_procedure_has(proc, error, status):
    assert status_of(proc, error) == status


def test_a_new_kind_of_an_error_is_answered_like_the_error_it_is_a_kind_of():
    class LinkFull(errors.NoSpace):
        """Some later leaf."""

    assert status_of_class(LinkFull) == nfsstat3.NFS3ERR_NOSPC


def test_every_procedure_of_rfc_1813_is_served_with_its_own_types():
    assert sorted(PROCEDURES) == list(range(22))
    for number, signature in SIGNATURES.items():
        procedure = PROCEDURES[number]
        assert (procedure.args, procedure.resfail) == (signature.args, signature.resfail)
        assert procedure.function.__name__ == f"nfsproc3_{signature.name.lower()}"


def test_what_changes_names_or_attributes_must_not_run_twice():
    twice = {SIGNATURES[number].name for number, each in PROCEDURES.items() if not each.idempotent}
    assert twice == {
        "SETATTR",
        "CREATE",
        "MKDIR",
        "SYMLINK",
        "MKNOD",
        "REMOVE",
        "RMDIR",
        "RENAME",
        "LINK",
    }


def test_auth_none_is_enough_for_null_alone_at_the_nfs_program():
    assert [number for number, each in PROCEDURES.items() if each.anonymous] == [0]
    assert [number for number, each in PROCEDURES.items() if each.any_auth] == [0]


def test_mount_and_port_mapper_serve_what_they_should():
    assert sorted(MOUNT_PROCEDURES) == [0, 1, 2, 3, 4, 5]
    assert sorted(PORTMAP_PROCEDURES) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=lambda signature: signature.name)
def test_a_failure_body_can_be_made_when_nothing_was_seen(signature):
    body = failure_of(signature.resfail, None, None)
    assert body == signature.resfail.unpack(Unpacker(bytes(64)))
