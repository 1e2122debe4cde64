"""Tags and ACLs: what they change, what they leave alone, and what of them goes where objects go."""

from __future__ import annotations

import pytest
from access_acts import chmod, denied, get, owned_hall, put
from hall import ROOT, run
from object_hall import PART

from foundation.crash import crash_point
from foundation.errors import InvalidArgument, NotSupported, ReadOnly
from metastore.records import FileType
from namespace import authority
from namespace.api import ANONYMOUS, CANNED_ACL_NAMES, Caller, Grantee, ListRequest, Permission, SetAttr


@pytest.fixture
def hall():
    return owned_hall()


def test_the_names_of_canned_acls_are_those_with_modes():
    assert tuple(authority.CANNED_ACLS) == CANNED_ACL_NAMES


@pytest.mark.parametrize("acl", CANNED_ACL_NAMES)
@pytest.mark.parametrize("kind", [FileType.REGULAR, FileType.DIRECTORY])
def test_an_acl_is_found_by_what_it_grants(acl, kind):
    grants = authority.grants_of(kind, authority.CANNED_ACLS[acl][kind == FileType.DIRECTORY], acl)
    same = {"aws-exec-read": "private"}
    if kind == FileType.DIRECTORY and acl.startswith("bucket-owner"):
        same = {acl: acl}
    assert authority.acl_named(grants, kind) == same.get(acl, acl)


def test_grants_that_no_canned_acl_gives_are_refused(hall):
    hall.store(b"f", b"x")
    odd = frozenset({(Grantee.EVERYBODY, Permission.WRITE)})
    with pytest.raises(NotSupported):
        run(hall.ns.set_acl(ROOT, "bucket", b"f", odd))
    with pytest.raises(NotSupported):
        run(hall.ns.set_bucket_acl(ROOT, "bucket", odd))


@pytest.mark.parametrize("acl", CANNED_ACL_NAMES)
def test_a_file_is_made_with_its_acl_and_its_directories_are_not(hall, acl):
    hall.store(b"d/f", b"x", acl=acl)
    directory = run(hall.ns.lookup(ROOT, hall.root, b"d")).file
    assert directory.mode == 0o755
    assert run(hall.ns.lookup(ROOT, directory.file, b"f")).file.mode == authority.CANNED_ACLS[acl][0]
    hall.store(b"e/", b"", acl=acl)
    assert run(hall.ns.lookup(ROOT, hall.root, b"e")).file.mode == authority.CANNED_ACLS[acl][1]
    run(hall.ns.create_bucket(ROOT, "other", acl))
    assert run(hall.ns.getattr(ROOT, run(hall.ns.root(2)))).mode == authority.CANNED_ACLS[acl][1]


def test_a_put_over_an_object_keeps_its_mode_but_not_its_word_for_everybody(hall):
    hall.store(b"f", b"x", acl="public-read")
    assert denied(get(hall, ANONYMOUS, b"f")) is False
    hall.store(b"f", b"y")
    assert run(hall.ns.getattr(ROOT, hall.file(b"f"))).mode == 0o644
    assert denied(get(hall, ANONYMOUS, b"f")) is True
    hall.store(b"f", b"z", acl="private")
    assert run(hall.ns.getattr(ROOT, hall.file(b"f"))).mode == 0o600


def test_an_edit_on_the_mount_leaves_acl_and_tags(hall):
    hall.store(b"f", b"x", acl="public-read", tags={"a": "b"})
    hall.write(b"f", 0, b"other")
    assert denied(get(hall, ANONYMOUS, b"f")) is False
    assert hall.head(b"f").tags == {"a": "b"}


def test_one_of_two_links_that_is_put_gets_the_mode_alone(hall):
    hall.store(b"f", b"x")
    run(hall.ns.link(ROOT, hall.file(b"f"), hall.root, b"g"))
    hall.store(b"f", b"y", acl="private")
    assert run(hall.ns.getattr(ROOT, hall.file(b"f"))).mode == 0o600
    assert run(hall.ns.getattr(ROOT, hall.file(b"g"))).mode == 0o644


def test_a_directory_keeps_what_its_entries_inherit(hall):
    run(hall.ns.mkdir(ROOT, hall.root, b"d", SetAttr(mode=0o3755)))
    run(hall.ns.set_acl(ROOT, "bucket", b"d/", "private"))
    assert run(hall.ns.lookup(ROOT, hall.root, b"d")).file.mode == 0o3700
    hall.store(b"f", b"x")
    chmod(hall, hall.file(b"f"), 0o6755)
    run(hall.ns.set_acl(ROOT, "bucket", b"f", "public-read"))
    assert run(hall.ns.getattr(ROOT, hall.file(b"f"))).mode == 0o644


def test_a_copy_has_the_tags_of_its_source_and_no_acl(hall):
    hall.store(b"f", b"x", acl="public-read", tags={"a": "b"})
    assert hall.copy(b"f", b"g").tags == {"a": "b"}
    assert denied(get(hall, ANONYMOUS, b"g")) is True
    assert hall.copy(b"f", b"h", tags={"c": "d"}, acl="public-read").tags == {"c": "d"}
    assert denied(get(hall, ANONYMOUS, b"h")) is False
    run(hall.ns.create_bucket(ROOT, "other"))
    assert hall.copy(b"f", b"g", bucket="other").tags == {"a": "b"}
    assert hall.copy(b"f", b"f", replace=True, acl="private").tags == {"a": "b"}
    assert run(hall.ns.getattr(ROOT, hall.file(b"f"))).mode == 0o600


def test_an_upload_becomes_what_it_was_begun_as(hall):
    target = hall.upload(b"f", acl="public-read", tags={"a": "b"})
    info = hall.complete(target, [hall.part(target, 1, b"x" * PART), hall.part(target, 2, b"y")])
    assert info.tags == {"a": "b"}
    assert run(hall.ns.getattr(ROOT, hall.file(b"f"))).mode == 0o644
    assert denied(get(hall, ANONYMOUS, b"f")) is False


def test_a_version_keeps_its_tags_and_acl(hall):
    run(hall.ns.set_versioning(ROOT, "bucket", "enabled"))
    first = hall.store(b"f", b"x", acl="public-read", tags={"a": "b"})
    hall.store(b"f", b"y", acl="private")
    assert denied(get(hall, ANONYMOUS, b"f")) is True
    assert run(hall.ns.head_version(ANONYMOUS, "bucket", b"f", first.version_id)).tags == {"a": "b"}


# ---------------------------------------------------------------------- tags and settings


def test_tags_touch_nothing_but_the_time_of_change(hall):
    hall.store(b"f", b"x", user={"u": "v"})
    before, seen = run(hall.ns.getattr(ROOT, hall.file(b"f"))), hall.head(b"f")
    hall.clock.advance(10)
    run(hall.ns.set_tags(ROOT, "bucket", b"f", {"a": "b"}))
    after, now = run(hall.ns.getattr(ROOT, hall.file(b"f"))), hall.head(b"f")
    assert (after.mtime, after.size, after.ctime > before.ctime) == (before.mtime, before.size, True)
    assert (now.etag, now.last_modified, now.user, now.checksums) == (
        seen.etag,
        seen.last_modified,
        seen.user,
        seen.checksums,
    )
    run(hall.ns.set_tags(ROOT, "bucket", b"f", {}))
    assert hall.head(b"f").tags == {}


def test_a_directory_has_tags_only_with_a_body_to_hang_them_on(hall):
    hall.store(b"plain/", b"")
    assert run(hall.ns.get_tags(ROOT, "bucket", b"plain/")) == {}
    run(hall.ns.set_tags(ROOT, "bucket", b"plain/", {}))
    with pytest.raises(NotSupported):
        run(hall.ns.set_tags(ROOT, "bucket", b"plain/", {"a": "b"}))
    hall.store(b"tagged/", b"", tags={"a": "b"})
    assert run(hall.ns.get_tags(ROOT, "bucket", b"tagged/")) == {"a": "b"}


def test_a_read_only_key_changes_no_tags_and_no_acl(hall):
    hall.store(b"f", b"x")
    reader = Caller(0, 0, account="owner", read_only=True)
    for act in (
        lambda: hall.ns.set_tags(reader, "bucket", b"f", {"a": "b"}),
        lambda: hall.ns.set_acl(reader, "bucket", b"f", "private"),
        lambda: hall.ns.set_bucket_tags(reader, "bucket", {"a": "b"}),
        lambda: hall.ns.set_bucket_acl(reader, "bucket", "private"),
    ):
        with pytest.raises(ReadOnly):
            run(act())


def test_everything_survives_a_restart(hall):
    hall.store(b"f", b"x", acl="public-read", tags={"a": "b"})
    run(hall.ns.set_bucket_tags(ROOT, "bucket", {"c": "'; --"}))
    run(hall.ns.set_bucket_acl(ROOT, "bucket", "public-read"))
    assert run(hall.ns.configure_bucket("bucket", {"file_mode": "640"}))["file_mode"] == "640"
    again = hall.reopen()
    assert run(again.ns.get_bucket_tags(ROOT, "bucket")) == {"c": "'; --"}
    assert run(again.ns.list_objects(ANONYMOUS, "bucket", ListRequest())).contents[0].uid == 0
    assert denied(get(again, ANONYMOUS, b"f")) is False
    again.store(b"g", b"x")
    assert run(again.ns.getattr(ROOT, again.file(b"g"))).mode == 0o640
    run(again.ns.set_bucket_tags(ROOT, "bucket", {}))
    assert run(again.ns.get_bucket_tags(ROOT, "bucket")) == {}
    assert again.findings() == []


@pytest.mark.parametrize("changes", [{"file_mode": "999"}, {"file_mode": "4755"}, {"strict": "1"}, {"acl": "private"}])
def test_the_operator_sets_what_can_be_set(hall, changes):
    with pytest.raises(InvalidArgument):
        run(hall.ns.configure_bucket("bucket", changes))


@pytest.mark.parametrize("acl", ["private", "public-read-write"])
@pytest.mark.parametrize("before", ["private", "public-read-write"])
def test_a_death_between_a_buckets_acl_and_its_mode_opens_nothing(hall, before, acl):
    class DeadError(Exception):
        """The process has died."""

    def die():
        raise DeadError

    run(hall.ns.set_bucket_acl(ROOT, "bucket", before))
    crash_point("bucket_acl.after_setting").arm(die)
    with pytest.raises(DeadError):
        run(hall.ns.set_bucket_acl(ROOT, "bucket", acl))
    again = hall.reopen()
    both = {before, acl} == {"public-read-write"}
    assert denied(put(again, ANONYMOUS, b"f")) is not both
    run(again.ns.set_bucket_acl(ROOT, "bucket", acl))
    assert denied(put(again, ANONYMOUS, b"f")) is (acl == "private")
