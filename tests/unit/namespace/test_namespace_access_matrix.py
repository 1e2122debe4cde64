"""Who may do what by S3: every caller, verb, ACL and mode, against rules that are written down here by hand."""

from __future__ import annotations

import itertools

import pytest
from access_acts import ANY, CALLERS, OTHER, chmod, delete_many, denied, get, owned_hall, put
from hall import ROOT, run

from foundation.errors import AccessDenied, FsError, NotFound, NotPermitted, PreconditionFailed
from namespace.api import (
    ANONYMOUS,
    Caller,
    Conditions,
    CopyDirectives,
    CopySource,
    ListRequest,
    PutRequest,
    SetAttr,
    UploadRequest,
)

READS, WRITES = {"public-read", "public-read-write"}, {"public-read-write"}


@pytest.fixture
def hall():
    return owned_hall()


class Case:
    """One caller before one file: what the rules give."""

    def __init__(self, who, modes, bucket_acl, acl):
        shift = CALLERS[who][1]
        self.root, self.file = (mode >> shift & 7 for mode in modes)
        self.known = who != "nobody"
        self.owner = who == "owner"
        self.reads = self.known or acl in READS
        self.lists = (self.known or bucket_acl in READS) and self.root & 5 == 5
        self.writes = self.known or bucket_acl in WRITES
        self.enters = self.writes and self.root & 3 == 3
        self.walks = bool(self.root & 1)


SOURCE = CopySource("bucket", b"f")
#: verb -> (act, whether the rules let it pass)
VERBS = {
    "get": (lambda h, c: get(h, c, b"f"), lambda r: r.walks and r.reads and r.file & 4),
    "head": (lambda h, c: h.ns.head_object(c, "bucket", b"f", ANY), lambda r: r.walks and r.reads and r.file & 4),
    "list": (lambda h, c: h.ns.list_objects(c, "bucket", ListRequest()), lambda r: r.lists),
    "head bucket": (lambda h, c: h.ns.enter_bucket(c, "bucket"), lambda r: r.lists),
    "put": (lambda h, c: put(h, c, b"new"), lambda r: r.enters),
    "put tagged": (lambda h, c: put(h, c, b"new", tags={"a": "b"}), lambda r: r.enters and r.known),
    "put over": (lambda h, c: put(h, c, b"f"), lambda r: r.walks and r.writes and r.file & 2),
    "put over with an ACL": (
        lambda h, c: put(h, c, b"f", acl="private"),
        lambda r: r.walks and r.owner and r.file & 2,
    ),
    "delete": (lambda h, c: h.ns.delete_object(c, "bucket", b"f"), lambda r: r.enters),
    "delete what is not there": (lambda h, c: h.ns.delete_object(c, "bucket", b"none"), lambda r: r.enters),
    "delete many": (lambda h, c: delete_many(h, c, b"f"), lambda r: r.enters),
    "copy": (
        lambda h, c: h.ns.copy_object(
            c, CopySource("bucket", b"f"), "bucket", PutRequest(b"new", {}, {}), CopyDirectives()
        ),
        lambda r: r.known and r.enters and r.file & 4,
    ),
    "compose": (
        lambda h, c: h.ns.compose(c, "bucket", PutRequest(b"new", {}, {}), [SOURCE]),
        lambda r: r.known and r.enters and r.file & 4,
    ),
    "upload": (
        lambda h, c: h.ns.create_upload(c, "bucket", UploadRequest(b"new", {}, {})),
        lambda r: r.known and r.enters,
    ),
    "get tags": (lambda h, c: h.ns.get_tags(c, "bucket", b"f"), lambda r: r.known and r.walks and r.file & 4),
    "set tags": (lambda h, c: h.ns.set_tags(c, "bucket", b"f", {}), lambda r: r.known and r.walks and r.file & 2),
    "get ACL": (lambda h, c: h.ns.get_acl(c, "bucket", b"f"), lambda r: r.owner and r.walks),
    "set ACL": (lambda h, c: h.ns.set_acl(c, "bucket", b"f", "private"), lambda r: r.owner and r.walks),
    "get bucket ACL": (lambda h, c: h.ns.get_bucket_acl(c, "bucket"), lambda _: False),
    "set bucket ACL": (lambda h, c: h.ns.set_bucket_acl(c, "bucket", "public-read-write"), lambda _: False),
    "get bucket tags": (lambda h, c: h.ns.get_bucket_tags(c, "bucket"), lambda _: False),
    "set bucket tags": (lambda h, c: h.ns.set_bucket_tags(c, "bucket", {}), lambda _: False),
    "own bucket": (lambda h, c: h.ns.head_bucket(c, "bucket"), lambda _: False),
    "versioning": (lambda h, c: h.ns.get_versioning(c, "bucket"), lambda _: False),
    "delete bucket": (lambda h, c: h.ns.delete_bucket(c, "bucket"), lambda _: False),
}
ROOT_MODES, FILE_MODES = (0o700, 0o711, 0o755, 0o777), (0o600, 0o640, 0o644, 0o666, 0o444)
ACLS = ("private", "public-read", "public-read-write")


@pytest.mark.parametrize("verb", VERBS)
def test_every_caller_by_every_acl_and_mode(hall, verb):
    act, passes = VERBS[verb]
    hall.store(b"f", b"x")
    for bucket_acl, acl, *modes in itertools.product(ACLS, ACLS, ROOT_MODES, FILE_MODES):
        run(hall.ns.set_bucket_acl(ROOT, "bucket", bucket_acl))
        run(hall.ns.set_acl(ROOT, "bucket", b"f", acl))
        file = hall.file(b"f")
        chmod(hall, hall.root, modes[0])
        run(hall.ns.setattr(ROOT, file, SetAttr(uid=100, gid=100), None))
        chmod(hall, file, modes[1])
        for who, (caller, _) in CALLERS.items():
            case = Case(who, modes, bucket_acl, acl)
            assert denied(act(hall, caller)) == (not passes(case)), (who, bucket_acl, acl, *map(oct, modes))
            if passes(case) and verb in {"put over", "put over with an ACL", "delete", "delete many", "set ACL"}:
                hall.store(b"f", b"x", acl=acl)
                run(hall.ns.setattr(ROOT, hall.file(b"f"), SetAttr(uid=100, gid=100), None))
                chmod(hall, hall.file(b"f"), modes[1])
            run(hall.ns.delete_object(ROOT, "bucket", b"new"))


@pytest.mark.parametrize("bucket_acl", ACLS)
@pytest.mark.parametrize("mode", ROOT_MODES)
def test_that_a_key_is_not_there_is_told_to_those_who_may_list(hall, bucket_acl, mode):
    run(hall.ns.set_bucket_acl(ROOT, "bucket", bucket_acl))
    chmod(hall, hall.root, mode)
    verbs = {
        "get": lambda caller: get(hall, caller, b"none"),
        "head": lambda caller: hall.ns.head_object(caller, "bucket", b"a/none", ANY),
        "version": lambda caller: hall.ns.head_version(caller, "bucket", b"none", b"1"),
        "copy": lambda caller: hall.ns.copy_object(
            caller, CopySource("bucket", b"none"), "bucket", PutRequest(b"new", {}, {}), CopyDirectives()
        ),
        "get tags": lambda caller: hall.ns.get_tags(caller, "bucket", b"none"),
        "get ACL": lambda caller: hall.ns.get_acl(caller, "bucket", b"none"),
    }
    for (who, (caller, _)), verb in itertools.product(CALLERS.items(), verbs):
        may = Case(who, (mode, 0), bucket_acl, "private").lists and not (verb == "copy" and who == "nobody")
        outcome = denied_or_missing(verbs[verb](caller))
        assert outcome == ("missing" if may else "denied"), (who, verb)


def denied_or_missing(work):
    try:
        run(work)
    except (AccessDenied, NotPermitted):
        return "denied"
    except FsError:
        return "missing"
    return "there"


def test_a_closed_directory_tells_nothing_of_its_keys(hall):
    hall.store(b"d/there", b"x")
    chmod(hall, run(hall.ns.lookup(ROOT, hall.root, b"d")).file.file, 0o711)
    assert denied(get(hall, OTHER, b"d/there")) is False, "by its name it is found, as by NFS"
    assert denied(get(hall, OTHER, b"d/none")) is True
    assert denied(get(hall, OTHER, b"none")) is NotFound


def test_h08_a_right_comes_before_a_condition(hall):
    hall.store(b"f", b"x", acl="private")
    for conditions in (Conditions(if_none_match=(b"*",)), Conditions(if_match=(b"other",))):
        for caller in (ANONYMOUS, OTHER):
            with pytest.raises(AccessDenied):
                run(hall.ns.head_object(caller, "bucket", b"f", conditions))
            with pytest.raises(AccessDenied):
                run(hall.ns.begin_put(caller, "bucket", PutRequest(b"f", {}, {}, conditions)))
        with pytest.raises(PreconditionFailed):
            run(hall.ns.begin_put(ROOT, "bucket", PutRequest(b"f", {}, {}, conditions)))


def test_n13_a_private_object_is_closed_on_the_mount_and_a_public_one_by_its_mode_alone(hall):
    hall.store(b"f", b"x", acl="private")
    nfs = Caller(102, 102)
    with pytest.raises(AccessDenied):
        run(hall.ns.read(nfs, hall.file(b"f"), 0, 1))
    run(hall.ns.set_acl(ROOT, "bucket", b"f", "public-read"))
    assert run(hall.ns.read(nfs, hall.file(b"f"), 0, 1)).count == 1
    chmod(hall, hall.file(b"f"), 0o600)
    with pytest.raises(AccessDenied):
        run(hall.ns.read(nfs, hall.file(b"f"), 0, 1))


def test_nobody_owns_nothing_though_files_have_its_number(hall):
    run(hall.ns.set_bucket_acl(ROOT, "bucket", "public-read-write"))
    run(put(hall, ANONYMOUS, b"f"))
    assert run(hall.ns.getattr(ROOT, hall.file(b"f"))).uid == ANONYMOUS.uid
    for act in (
        lambda: hall.ns.set_acl(ANONYMOUS, "bucket", b"f", "public-read"),
        lambda: hall.ns.get_acl(ANONYMOUS, "bucket", b"f"),
        lambda: get(hall, ANONYMOUS, b"f"),
        lambda: put(hall, ANONYMOUS, b"f", acl="public-read"),
        lambda: hall.ns.create_bucket(ANONYMOUS, "new"),
        lambda: hall.ns.list_buckets(ANONYMOUS),
    ):
        assert denied(act()) is True
