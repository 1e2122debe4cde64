"""Who may do what: each verb by each caller on each mode, against a table that knows nothing of the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from hall import ROOT, MemoryHall, run

from foundation.errors import (
    AccessDenied,
    AlreadyExists,
    FsError,
    GuardFailed,
    InvalidArgument,
    IsDirectory,
    NotPermitted,
    ReadOnly,
    TooLarge,
)
from metastore.records import FileType
from namespace import authority
from namespace.api import NOW, Access, Caller, Conditions, CreateMode, PutRequest, SetAttr, Stability
from namespace.uploads_api import UploadRequest, UploadTarget
from namespace.view import MAX_SIZE

OWNER = Caller(100, 100, account="o")
GROUP = Caller(101, 101, frozenset({100}))
OTHER = Caller(102, 102)
READER = Caller(100, 100, read_only=True)  # the owner, through a read-only export
CALLERS = {"owner": OWNER, "group": GROUP, "other": OTHER, "root": ROOT, "reader": READER}
SHIFT = {"owner": 6, "group": 3, "other": 0, "reader": 6}
MODES = [0o000, 0o400, 0o200, 0o100, 0o444, 0o222, 0o111, 0o640, 0o750, 0o604, 0o755, 0o777]


@pytest.fixture
def hall():
    hall = MemoryHall()
    run(hall.ns.setattr(ROOT, hall.root, SetAttr(mode=0o777), None))
    return hall


def make(hall, name=b"f", caller=OWNER, mode=0o644):
    return run(hall.ns.create(caller, hall.root, name, CreateMode.GUARDED, SetAttr(mode=mode), b"")).file.file


def mkdir(hall, name=b"d", caller=OWNER, mode=0o755):
    return run(hall.ns.mkdir(caller, hall.root, name, SetAttr(mode=mode))).file.file


def chmod(hall, file, mode):
    run(hall.ns.setattr(ROOT, file, SetAttr(mode=mode), None))


def said(work):
    try:
        run(work)
    except FsError as error:
        return type(error)
    return None


def bits(who, mode):
    """What the mode gives, read off by hand."""
    return 7 if who == "root" else mode >> SHIFT[who] & 7


def put(hall, caller, key):
    async def act():
        session = await hall.ns.begin_put(caller, "bucket", PutRequest(key, {}, {}))
        await session.write(b"new")
        return await session.finish(b"etag", {})

    return act()


async def get(hall, caller, key):
    (await hall.ns.open_object(caller, "bucket", key, Conditions())).close()


FILE_VERBS = {
    # verb: (act, changes, what lets it pass)
    "read": (lambda h, c, f: h.ns.read(c, f, 0, 1), False, lambda w, b: w not in {"other", "group"} or b & 5),
    "write": (lambda h, c, f: h.ns.write(c, f, 0, b"x", Stability.UNSTABLE), True, lambda w, b: w == "owner" or b & 2),
    "commit": (lambda h, c, f: h.ns.commit(c, f, 0, 0), True, lambda w, b: w == "owner" or b & 2),
    "truncate": (lambda h, c, f: h.ns.setattr(c, f, SetAttr(size=0), None), True, lambda w, b: w == "owner" or b & 2),
    "get": (lambda h, c, f: get(h, c, b"f"), False, lambda w, b: b & 4),
    "head": (lambda h, c, f: h.ns.head_object(c, "bucket", b"f", Conditions()), False, lambda w, b: b & 4),
    "put": (lambda h, c, f: put(h, c, b"f"), True, lambda w, b: b & 2),
}


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("verb", FILE_VERBS)
def test_what_a_file_lets_callers_do(hall, verb, who):
    act, changes, passes = FILE_VERBS[verb]
    file = make(hall)
    for mode in MODES:
        chmod(hall, file, mode)
        wanted = None if passes(who, bits(who, mode)) else AccessDenied
        if who == "reader" and changes:
            wanted = ReadOnly
        assert said(act(hall, CALLERS[who], file)) == wanted, f"{mode:o}"


DIRECTORY_VERBS = {
    "lookup": (lambda h, c, d: h.ns.lookup(c, d, b"x"), False, 1),
    "readdir": (lambda h, c, d: h.ns.readdir(c, d, 0, 10), False, 4),
    "create": (lambda h, c, d: h.ns.create(c, d, b"n", CreateMode.GUARDED, SetAttr(), b""), True, 3),
    "mkdir": (lambda h, c, d: h.ns.mkdir(c, d, b"n", SetAttr()), True, 3),
    "symlink": (lambda h, c, d: h.ns.symlink(c, d, b"n", b"t", SetAttr()), True, 3),
    "mknod": (lambda h, c, d: h.ns.mknod(c, d, b"n", FileType.FIFO, 0, SetAttr()), True, 3),
    "remove": (lambda h, c, d: h.ns.remove(c, d, b"x"), True, 3),
    "rename": (lambda h, c, d: h.ns.rename(c, d, b"x", d, b"n"), True, 3),
    "put": (lambda h, c, d: put(h, c, b"d/n"), True, 3),
    "delete": (lambda h, c, d: h.ns.delete_object(c, "bucket", b"d/x"), True, 3),
    "head": (lambda h, c, d: h.ns.head_object(c, "bucket", b"d/x", Conditions()), False, 1),
}


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("verb", DIRECTORY_VERBS)
def test_what_a_directory_lets_callers_do(hall, verb, who):
    act, changes, needed = DIRECTORY_VERBS[verb]
    for number, mode in enumerate(MODES):
        directory = mkdir(hall)
        run(hall.ns.create(ROOT, directory, b"x", CreateMode.GUARDED, SetAttr(mode=0o666), b""))
        chmod(hall, directory, mode)
        wanted = {None if bits(who, mode) & needed == needed else AccessDenied}
        if who == "reader" and changes:
            wanted = {ReadOnly, AccessDenied}  # whichever is found first
        assert said(act(hall, CALLERS[who], directory)) in wanted, f"{mode:o}"
        run(hall.ns.rename(ROOT, hall.root, b"d", hall.root, b"old%d" % number))


@pytest.mark.parametrize("act", ["remove", "rename", "delete", "over"])
@pytest.mark.parametrize("who", ["owner", "group", "other", "root"])
def test_a_sticky_directory_is_for_owners(hall, act, who):
    """The directory is root's, the entry the owner's."""
    chmod(hall, hall.root, 0o1777)
    make(hall, b"x", OWNER, 0o666)
    make(hall, b"mine", CALLERS[who], 0o666)
    verbs = {
        "remove": lambda c: hall.ns.remove(c, hall.root, b"x"),
        "rename": lambda c: hall.ns.rename(c, hall.root, b"x", hall.root, b"y"),
        "delete": lambda c: hall.ns.delete_object(c, "bucket", b"x"),
        "over": lambda c: hall.ns.rename(c, hall.root, b"mine", hall.root, b"x"),
    }
    assert said(verbs[act](CALLERS[who])) == (None if who in {"owner", "root"} else NotPermitted)


@pytest.mark.parametrize("who", CALLERS)
def test_access_tells_true_bits(hall, who):
    file, directory = make(hall), mkdir(hall)
    for mode in MODES:
        chmod(hall, file, mode)
        chmod(hall, directory, mode)
        has = bits(who, mode)
        writes = has & 2 and who != "reader"
        of_file = (has & 4 and Access.READ) | (writes and Access.MODIFY | Access.EXTEND)
        of_file |= Access.EXECUTE if (mode & 0o111 if who == "root" else has & 1) else 0
        of_directory = (has & 4 and Access.READ) | (has & 1 and Access.LOOKUP)
        of_directory |= Access.MODIFY | Access.EXTEND | Access.DELETE if writes and has & 1 else 0
        assert run(hall.ns.access(CALLERS[who], file, 0x3F))[1] == of_file, f"{mode:o}"
        assert run(hall.ns.access(CALLERS[who], directory, 0x3F))[1] == of_directory, f"{mode:o}"
        assert run(hall.ns.access(CALLERS[who], directory, Access.READ))[1] == of_directory & Access.READ


SETATTRS = {
    # what: (change, by whom it may be done to a file of OWNER's with mode 0o622)
    "chmod": (SetAttr(mode=0o600), {"owner": None, "group": NotPermitted, "other": NotPermitted}),
    "chown": (SetAttr(uid=5), dict.fromkeys(("owner", "group", "other"), NotPermitted)),
    "chown to itself": (SetAttr(uid=100), {"owner": None, "group": NotPermitted, "other": NotPermitted}),
    "chgrp": (SetAttr(gid=7), {"owner": NotPermitted, "group": NotPermitted, "other": NotPermitted}),
    "chgrp to itself": (SetAttr(gid=100), {"owner": None, "group": NotPermitted, "other": NotPermitted}),
    "utimes": (SetAttr(atime=5, mtime=5), {"owner": None, "group": NotPermitted, "other": NotPermitted}),
    "touch": (SetAttr(atime=NOW, mtime=NOW), {"owner": None, "group": None, "other": None}),
}


@pytest.mark.parametrize("what", SETATTRS)
@pytest.mark.parametrize("who", CALLERS)
def test_who_may_set_attributes(hall, what, who):
    change, by = SETATTRS[what]
    file = make(hall, mode=0o622)
    wanted = {"root": None, "reader": ReadOnly, **by}[who]
    assert said(hall.ns.setattr(CALLERS[who], file, change, None)) == wanted


def test_touch_needs_write_permission(hall):
    file = make(hall, mode=0o644)
    assert said(hall.ns.setattr(OTHER, file, SetAttr(mtime=NOW), None)) == AccessDenied


def test_an_owner_gives_a_file_to_a_group_of_its_own(hall):
    file = make(hall, caller=GROUP)
    assert run(hall.ns.setattr(GROUP, file, SetAttr(gid=100), None)).after.gid == 100


PRIVILEGED = {0o6777: 0o777, 0o4755: 0o755, 0o2775: 0o775, 0o2745: 0o2745, 0o6745: 0o2745, 0o755: 0o755}


@pytest.mark.parametrize("act", ["write", "stable", "truncate", "same size", "open with truncation"])
@pytest.mark.parametrize("who", ["owner", "root"])
@pytest.mark.parametrize("mode", PRIVILEGED)
def test_a_file_that_is_written_is_privileged_no_more(hall, act, who, mode):
    """As Linux does it (file_remove_privs): set-group-id without group execution is for mandatory locks and stays."""
    file = make(hall)
    chmod(hall, file, mode)
    caller = CALLERS[who]
    acts = {
        "write": lambda: hall.ns.write(caller, file, 0, b"x", Stability.UNSTABLE),
        "stable": lambda: hall.ns.write(caller, file, 0, b"x", Stability.FILE_SYNC),
        "truncate": lambda: hall.ns.setattr(caller, file, SetAttr(size=5), None),
        "same size": lambda: hall.ns.setattr(caller, file, SetAttr(size=0), None),
        "open with truncation": lambda: hall.ns.create(
            caller, hall.root, b"f", CreateMode.UNCHECKED, SetAttr(size=0), b""
        ),
    }
    run(acts[act]())
    assert run(hall.ns.getattr(ROOT, file)).mode == (mode if who == "root" else PRIVILEGED[mode])


def test_a_write_of_nothing_leaves_everything(hall):
    file = make(hall)
    chmod(hall, file, 0o4755)
    before = run(hall.ns.getattr(ROOT, file))
    assert run(hall.ns.write(OWNER, file, 10, b"", Stability.FILE_SYNC)).count == 0
    assert run(hall.ns.getattr(ROOT, file)) == before


@pytest.mark.parametrize("who", ["owner", "root"])
@pytest.mark.parametrize("change", [SetAttr(uid=100), SetAttr(gid=100)])
def test_a_file_given_away_is_privileged_no_more_whoever_gives_it(hall, who, change):
    file = make(hall)
    chmod(hall, file, 0o6755)
    assert run(hall.ns.setattr(CALLERS[who], file, change, None)).after.mode == 0o755
    directory = mkdir(hall)
    chmod(hall, directory, 0o2755)
    assert run(hall.ns.setattr(CALLERS[who], directory, change, None)).after.mode == 0o2755


@pytest.mark.parametrize("make_it", [make, mkdir])
def test_a_stranger_to_the_group_sets_no_group_id(hall, make_it):
    file = make_it(hall)
    run(hall.ns.setattr(ROOT, file, SetAttr(gid=7), None))
    assert run(hall.ns.setattr(OWNER, file, SetAttr(mode=0o2755), None)).after.mode == 0o755
    assert run(hall.ns.setattr(ROOT, file, SetAttr(mode=0o2755), None)).after.mode == 0o2755


def test_a_setgid_directory_hands_on_its_group_and_no_privilege(hall):
    directory = mkdir(hall)
    run(hall.ns.setattr(ROOT, directory, SetAttr(gid=7), None))
    chmod(hall, directory, 0o2777)
    file = run(hall.ns.create(OWNER, directory, b"f", CreateMode.GUARDED, SetAttr(mode=0o2755), b"")).file
    assert (file.gid, file.mode) == (7, 0o755)
    below = run(hall.ns.mkdir(OWNER, directory, b"d", SetAttr(mode=0o755))).file
    assert (below.gid, below.mode) == (7, 0o2755)


def test_a_truncation_to_the_same_size_moves_the_times_and_nothing_else(hall):
    file = make(hall)
    run(hall.ns.write(OWNER, file, 0, b"12345", Stability.FILE_SYNC))
    etag = run(hall.ns.head_object(ROOT, "bucket", b"f", Conditions())).etag
    wcc = run(hall.ns.setattr(OWNER, file, SetAttr(size=5), None))
    assert wcc.after.mtime > wcc.before.mtime
    assert wcc.after.ctime > wcc.before.ctime
    assert run(hall.ns.head_object(ROOT, "bucket", b"f", Conditions())).etag == etag


def test_a_truncation_to_the_size_that_pending_data_shows_makes_that_size_durable(hall):
    file = make(hall)
    run(hall.ns.write(OWNER, file, 0, b"12345", Stability.UNSTABLE))
    run(hall.ns.setattr(OWNER, file, SetAttr(size=5), None))
    assert run(hall.reopen().ns.getattr(ROOT, file)).size == 5


def test_setattr_ends_what_an_exclusive_create_remembers(hall):
    verifier = b"verifier"

    def create():
        return hall.ns.create(OWNER, hall.root, b"x", CreateMode.EXCLUSIVE, SetAttr(), verifier)

    file = run(create()).file.file
    assert run(create()).file.file == file  # sent again
    run(hall.ns.setattr(OWNER, file, SetAttr(mode=0o600), None))
    assert said(create()) == AlreadyExists


def test_a_guard_sees_the_time_of_unstable_writes(hall):
    file = make(hall)
    ctime = run(hall.ns.getattr(OWNER, file)).ctime
    run(hall.ns.write(OWNER, file, 0, b"x", Stability.UNSTABLE))
    assert said(hall.ns.setattr(OWNER, file, SetAttr(mode=0o600), ctime)) == GuardFailed
    ctime = run(hall.ns.getattr(OWNER, file)).ctime
    assert said(hall.ns.setattr(OWNER, file, SetAttr(mode=0o600), ctime)) is None


def test_ctime_grows_across_a_restart_with_a_clock_that_went_back(hall):
    file = make(hall)
    before = run(hall.ns.getattr(ROOT, file)).ctime
    again = hall.reopen()
    again.clock._now_ns = 5
    assert run(again.ns.setattr(ROOT, file, SetAttr(mode=0o600), None)).after.ctime == before + 1
    wrote = run(again.ns.write(ROOT, file, 0, b"x", Stability.UNSTABLE)).file.after
    assert wrote.ctime == before + 2


@pytest.mark.parametrize(("offset", "length"), [(MAX_SIZE, 1), ((1 << 64) - 1, 1), (MAX_SIZE - 3, 4)])
def test_a_file_does_not_grow_past_the_largest_size(hall, offset, length):
    file = make(hall)
    assert said(hall.ns.write(OWNER, file, offset, b"x" * length, Stability.UNSTABLE)) == TooLarge
    assert said(hall.ns.setattr(OWNER, file, SetAttr(size=MAX_SIZE + 1), None)) == TooLarge


def test_the_last_byte_of_the_largest_file(hall):
    file = make(hall)
    run(hall.ns.write(OWNER, file, MAX_SIZE - 1, b"x", Stability.FILE_SYNC))
    assert run(hall.ns.getattr(OWNER, file)).size == MAX_SIZE
    end = run(hall.ns.read(OWNER, file, MAX_SIZE - 4, 1 << 20))
    assert (b"".join(end.buffers), end.eof) == (b"\0\0\0x", True)
    beyond = run(hall.ns.read(OWNER, file, (1 << 64) - 1, (1 << 32) - 1))
    assert (beyond.count, beyond.eof) == (0, True)
    assert hall.findings() == []


def test_bytes_of_what_has_none(hall):
    directory = mkdir(hall)
    fifo = run(hall.ns.mknod(OWNER, hall.root, b"p", FileType.FIFO, 0, SetAttr())).file.file
    assert said(hall.ns.write(OWNER, directory, 0, b"x", Stability.UNSTABLE)) == IsDirectory
    assert said(hall.ns.setattr(OWNER, directory, SetAttr(size=0), None)) == IsDirectory
    assert said(hall.ns.write(OWNER, fifo, 0, b"x", Stability.UNSTABLE)) == InvalidArgument
    assert said(hall.ns.setattr(OWNER, fifo, SetAttr(size=0), None)) == InvalidArgument


@pytest.mark.parametrize("kind", [FileType.BLOCK, FileType.CHARACTER])
def test_devices_are_for_the_super_user(hall, kind):
    assert said(hall.ns.mknod(OWNER, hall.root, b"p", kind, 1, SetAttr())) == NotPermitted
    assert said(hall.ns.mknod(ROOT, hall.root, b"p", kind, 1, SetAttr())) is None


# ---------------------------------------------------------------------- S3's side of the table


def test_anonymous_is_nobody_and_comes_in_by_no_mode_alone(hall):
    make(hall, b"open", OWNER, 0o644)
    assert said(get(hall, authority.ANONYMOUS, b"open")) == AccessDenied
    run(hall.ns.set_acl(OWNER, "bucket", b"open", "public-read"))
    assert said(get(hall, authority.ANONYMOUS, b"open")) is None
    chmod(hall, run(hall.ns.lookup(ROOT, hall.root, b"open")).file.file, 0o640)
    assert said(get(hall, authority.ANONYMOUS, b"open")) == AccessDenied


def test_every_directory_on_the_way_of_a_key_is_searched(hall):
    hall.put(b"a/b/c", b"deep")
    top = run(hall.ns.lookup(ROOT, hall.root, b"a")).file.file
    chmod(hall, top, 0o766)
    assert said(get(hall, OTHER, b"a/b/c")) == AccessDenied
    assert said(hall.ns.head_object(OTHER, "bucket", b"a/b/missing", Conditions())) == AccessDenied


def test_a_read_only_key_makes_and_drops_no_bucket(hall):
    reader = Caller(0, 0, account="owner", read_only=True)
    assert said(hall.ns.create_bucket(reader, "new")) == ReadOnly
    assert said(hall.ns.delete_bucket(reader, "bucket")) == ReadOnly
    assert said(hall.ns.delete_bucket(OWNER, "bucket")) == AccessDenied


def test_a_read_only_key_ends_no_upload_and_keeps_no_versions(hall):
    reader = Caller(0, 0, account="owner", read_only=True)
    made = run(hall.ns.create_upload(ROOT, "bucket", UploadRequest(b"a", {}, {})))
    target = UploadTarget("bucket", b"a", made.upload_id)
    assert said(hall.ns.abort_upload(reader, target)) == ReadOnly
    assert said(hall.ns.begin_part(reader, target, 1)) == ReadOnly
    assert said(hall.ns.set_versioning(reader, "bucket", "enabled")) == ReadOnly
    assert said(hall.ns.set_versioning(OWNER, "bucket", "enabled")) == AccessDenied


@pytest.mark.parametrize(("mode", "shown"), [(0o700, False), (0o704, False), (0o701, False), (0o705, True)])
def test_a_listing_shows_what_may_be_read_and_searched(hall, mode, shown):
    directory = mkdir(hall)
    chmod(hall, directory, mode)
    image = next(iter(hall.ns._volumes.every())).cache.inodes[directory.ino].image
    assert authority.may_list(OTHER, image) == shown
    assert authority.may_list(OWNER, image)


def test_modes_of_what_s3_makes():
    assert authority.new_mode({}, FileType.REGULAR) == 0o644
    assert authority.new_mode({}, FileType.DIRECTORY) == 0o755
    settings = {"file_mode": "0660", "directory_mode": "2770"}
    assert authority.new_mode(settings, FileType.REGULAR) == 0o660
    assert authority.new_mode(settings, FileType.DIRECTORY) == 0o2770
    assert authority.new_mode(settings, FileType.REGULAR, "private") == 0o600
    assert authority.new_mode(settings, FileType.DIRECTORY, "public-read") == 0o755


def test_a_bucket_has_modes_of_its_own_for_what_s3_makes(hall):
    volume = next(iter(hall.ns._volumes.every()))
    volume.row.settings.update(file_mode="660", directory_mode="770")
    hall.put(b"d/f", b"x")
    directory = run(hall.ns.lookup(ROOT, hall.root, b"d")).file
    assert directory.mode == 0o770
    assert run(hall.ns.lookup(ROOT, directory.file, b"f")).file.mode == 0o660


def test_the_document_prints_the_table():
    text = (Path(__file__).parents[3] / "docs" / "SEMANTICS.md").read_text().splitlines()
    for head, rows in (
        ("| NFS | S3 | needs |", authority.rights_table()),
        ("| canned ACL | file | directory |", authority.acl_table()),
    ):
        first = text.index(head) + 2
        assert text[first : first + len(rows)] == rows
        assert not text[first + len(rows)].startswith("|")
