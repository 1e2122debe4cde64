"""Names that one door cannot say, collisions, bodies of `dir/` keys, implied directories, silly names."""

from __future__ import annotations

import pytest
from hall import ROOT, MemoryHall, begin, run
from msgspec.structs import replace

from foundation.errors import (
    AccessDenied,
    AlreadyExists,
    InvalidArgument,
    InvalidName,
    IsDirectory,
    KeyConflict,
    NotEmpty,
    NotFound,
    NotSupported,
    PreconditionFailed,
    StaleHandle,
)
from namespace import remains
from namespace.aliases import file_alias
from namespace.api import Caller, Conditions, CreateMode, ListRequest, PutRequest, SetAttr

SECOND_NS = 1_000_000_000
SILLY = b".nfs" + b"0123456789abcdef" + b"01234567"


@pytest.fixture
def hall():
    return MemoryHall()


@pytest.fixture
def strict():
    hall = MemoryHall()
    volumes = hall.database.volumes
    volumes[hall.vol] = replace(volumes[hall.vol], settings={"strict": "true"})
    return hall.reopen()


def create(hall, name, directory=None, caller=ROOT):
    made = hall.ns.create(caller, directory or hall.root, name, CreateMode.GUARDED, SetAttr(), b"")
    return run(made).file.file


def mkdir(hall, name, directory=None):
    return run(hall.ns.mkdir(ROOT, directory or hall.root, name, SetAttr())).file.file


def look(hall, *names):
    file = hall.root
    for name in names:
        file = run(hall.ns.lookup(ROOT, file, name)).file.file
    return file


def shown(hall, directory=None):
    page = run(hall.ns.readdir(ROOT, directory or hall.root, 2, 100))
    return {entry.name for entry in page.entries}


def keys(hall):
    page = run(hall.ns.list_objects(ROOT, "bucket", ListRequest()))
    return [info.key for info in page.contents]


def put(hall, key, body=b"", user=None, headers=None):
    session = run(hall.ns.begin_put(ROOT, "bucket", PutRequest(key, headers or {}, user or {})))
    run(session.write(body))
    return run(session.finish(b"etag", {}))


def head(hall, key):
    return run(hall.ns.head_object(ROOT, "bucket", key, Conditions()))


def delete(hall, key, caller=ROOT):
    run(hall.ns.delete_object(caller, "bucket", key))


# -------------------------------------------------------------------------------- keys that are no paths


def test_keys_that_are_no_paths_keep_their_form_and_have_aliases(hall):
    odd = [b"/lead", b"a//b", b"a/./b", b"a/../b", b"n\0l", b"tab\t", b"x" * 300, b"//"]
    for key in odd:
        put(hall, key, b"" if key.endswith(b"/") else key)
    assert keys(hall) == sorted(odd)
    for key in odd[:-1]:
        assert hall.get(key) == key
    long = file_alias(b"x" * 300, beside_directory=False)
    assert shown(hall) == {b"~gf.e-", b"a", b"~gf.e-n%00l", b"~gf.e-tab%09", long}
    assert shown(hall, look(hall, b"a")) == {b"~gf.e-", b"~gf.e-.", b"~gf.e-.."}
    assert look(hall, b"a", b"~gf.e-..", b"b").ino
    assert hall.findings() == []


def test_an_alias_made_by_nfs_is_the_key_it_denotes(hall):
    above = mkdir(hall, b"~gf.e-..")
    create(hall, b"\xff", above)
    create(hall, b"~gf.l-~gf.e-.", above)
    create(hall, b"~gf.x", above)
    assert keys(hall) == [b"../", b"../~gf.e-%FF", b"../~gf.e-.", b"../~gf.x"]
    assert shown(hall, above) == {b"\xff", b"~gf.l-~gf.e-.", b"~gf.x"}
    put(hall, b"../~gf.e-%FF", b"by S3")
    assert run(hall.ns.getattr(ROOT, look(hall, b"~gf.e-..", b"\xff"))).size == 5


def test_a_hashed_alias_is_found_and_never_made(hall):
    key = b"y" * 300
    alias = file_alias(key, beside_directory=False)
    with pytest.raises(NotFound):
        look(hall, alias)
    with pytest.raises(InvalidArgument):
        create(hall, alias)
    with pytest.raises(InvalidArgument):
        mkdir(hall, alias)
    put(hall, key, b"long")
    ino = look(hall, alias).ino
    hall = hall.reopen()
    assert look(hall, alias).ino == ino
    run(hall.ns.rename(ROOT, hall.root, alias, hall.root, b"short"))
    assert keys(hall) == [b"short"]
    with pytest.raises(NotFound):
        look(hall, alias)
    put(hall, key, b"again")
    run(hall.ns.rename(ROOT, hall.root, b"short", hall.root, alias))
    assert hall.get(key) == b"long"
    run(hall.ns.remove(ROOT, hall.root, alias))
    assert keys(hall) == []
    assert hall.findings() == []


def test_a_hashed_alias_answers_the_same_whatever_is_in_memory(hall):
    """Look-ups by alias, of what comes and goes, with a cache that holds nothing."""
    alias = file_alias(b"z" * 300, beside_directory=False)
    hall = hall.reopen()
    for volume in hall.ns._volumes.every():
        volume.cache._limit = 0
    for _ in range(3):
        with pytest.raises(NotFound):
            look(hall, alias)
        put(hall, b"z" * 300)
        put(hall, b"other")
        assert look(hall, alias).ino
        create(hall, b"f")
        run(hall.ns.remove(ROOT, hall.root, b"f"))
        assert look(hall, alias).ino
        delete(hall, b"z" * 300)


def test_a_late_load_by_alias_does_not_bring_a_removed_file_back(hall):
    key = b"z" * 300
    alias = file_alias(key, beside_directory=False)
    put(hall, key)
    hall = hall.reopen()
    look(hall, b".")
    hall.metastore.hold_loads()
    late = begin(hall.ns.lookup(ROOT, hall.root, alias))
    assert not late.called
    removed = begin(hall.ns.delete_object(ROOT, "bucket", key))
    held, hall.metastore._held_loads = hall.metastore._held_loads, None
    held.pop().resolve(None)  # the removal's own load returns first
    assert removed.called
    held.pop().resolve(None)
    assert late.called
    late.addErrback(lambda failure: failure.trap(NotFound))
    with pytest.raises(NotFound):
        look(hall, alias)


def test_a_late_load_that_found_no_alias_does_not_hide_a_new_file(hall):
    key = b"z" * 300
    alias = file_alias(key, beside_directory=False)
    hall = hall.reopen()
    look(hall, b".")
    hall.metastore.hold_loads()
    late = begin(hall.ns.lookup(ROOT, hall.root, alias))
    held, hall.metastore._held_loads = hall.metastore._held_loads, None
    put(hall, key)
    held.pop().resolve(None)
    outcome = []
    late.addBoth(outcome.append)
    assert outcome[0].file.file == look(hall, alias)


# -------------------------------------------------------------------------------- a beside a/


def test_a_file_beside_a_directory_is_shown_by_its_alias_for_as_long(hall):
    put(hall, b"a", b"file")
    ino = look(hall, b"a").ino
    put(hall, b"a/b", b"below")
    assert keys(hall) == [b"a", b"a/b"]
    assert shown(hall) == {b"a", b"~gf.f-a"}
    assert look(hall, b"~gf.f-a").ino == ino != look(hall, b"a").ino
    assert hall.get(b"a") == b"file"
    delete(hall, b"a/b")
    assert shown(hall) == {b"a"}
    assert look(hall, b"a").ino == look(hall, b"~gf.f-a").ino == ino
    assert hall.findings() == []


def test_every_way_a_directory_goes_gives_the_file_its_name_back(hall):
    def collide():
        put(hall, b"a/")
        assert shown(hall) == {b"a", b"~gf.f-a"}

    put(hall, b"a", b"file")
    collide()
    run(hall.ns.rmdir(ROOT, hall.root, b"a"))
    assert shown(hall) == {b"a"}
    collide()
    delete(hall, b"a/")
    assert shown(hall) == {b"a"}
    collide()
    run(hall.ns.rename(ROOT, hall.root, b"a", hall.root, b"b"))
    assert shown(hall) == {b"a", b"b"}
    assert keys(hall) == [b"a", b"b/"]


def test_a_file_put_beside_a_directory_has_the_alias_at_once(hall):
    mkdir(hall, b"a")
    put(hall, b"a", b"1")
    assert shown(hall) == {b"a", b"~gf.f-a"}
    with pytest.raises(IsDirectory):
        run(hall.ns.rename(ROOT, hall.root, b"~gf.f-a", hall.root, b"a"))
    run(hall.ns.rename(ROOT, hall.root, b"~gf.f-a", hall.root, b"c"))
    assert keys(hall) == [b"a/", b"c"]
    run(hall.ns.remove(ROOT, hall.root, b"~gf.f-c"))
    assert keys(hall) == [b"a/"]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_copy_entry_by_entry_makes_the_same_tree(hall, backwards):
    """What `cp -a` does: each entry under the name READDIR told, in whichever order."""
    source, target = mkdir(hall, b"from"), mkdir(hall, b"to")
    for key in (b"from/x", b"from/x/", b"from/x/y", b"from/d/", b"from/d//", b"from/.", b"from/./", b"from/n\1"):
        put(hall, key, b"" if key.endswith(b"/") else key)
    put(hall, b"from/d/", b"a body")

    def copy(source, target):
        page = run(hall.ns.readdir(ROOT, source, 2, 100)).entries
        for entry in reversed(page) if backwards else page:
            if entry.attr.type == 2:
                copy(entry.attr.file, mkdir(hall, entry.name, target))
            else:
                create(hall, entry.name, target)

    copy(source, target)
    copied = [key[5:] for key in keys(hall) if key.startswith(b"from/")]
    assert [key[3:] for key in keys(hall) if key.startswith(b"to/")] == copied
    assert b"x" in copied
    assert b"x/y" in copied
    assert shown(hall, source) == shown(hall, target)
    assert hall.findings() == []


def test_a_file_made_by_its_alias_keeps_it_until_a_directory_came_and_went(hall):
    create(hall, b"~gf.f-a")
    assert keys(hall) == [b"a"]
    with pytest.raises(NotFound):
        look(hall, b"a")
    with pytest.raises(AlreadyExists):
        create(hall, b"a")  # the key is taken
    mkdir(hall, b"a")
    assert shown(hall) == {b"a", b"~gf.f-a"}
    run(hall.ns.rmdir(ROOT, hall.root, b"a"))
    assert shown(hall) == {b"a"}


def test_only_regular_files_stand_beside_a_directory(hall):
    with pytest.raises(InvalidArgument):
        run(hall.ns.symlink(ROOT, hall.root, b"~gf.f-a", b"t", SetAttr()))
    with pytest.raises(InvalidArgument):
        mkdir(hall, b"~gf.f-a")
    run(hall.ns.symlink(ROOT, hall.root, b"l", b"t", SetAttr()))
    with pytest.raises(InvalidArgument):
        run(hall.ns.rename(ROOT, hall.root, b"l", hall.root, b"~gf.f-a"))
    with pytest.raises(InvalidArgument):
        run(hall.ns.link(ROOT, look(hall, b"l"), hall.root, b"~gf.d-body"))
    for key in (b"l", b"l/", b"l/b"):
        with pytest.raises(KeyConflict):
            put(hall, key)
    for key in (b"d/", b"d", b"f"):
        put(hall, key, b"regular")
    for directory, name in ((look(hall, b"d"), b"~gf.d-body"), (hall.root, b"~gf.f-d"), (hall.root, b"~gf.f-f")):
        with pytest.raises(InvalidArgument):
            run(hall.ns.rename(ROOT, hall.root, b"l", directory, name))
    run(hall.ns.rename(ROOT, hall.root, b"l", hall.root, b"f"))
    assert keys(hall) == [b"d", b"d/"]
    assert hall.findings() == []


# -------------------------------------------------------------------------------- bodies of directories' keys


def test_a_directorys_key_may_have_a_body(hall):
    put(hall, b"d/", b"body", {"k": "v"})
    put(hall, b"d/f", b"1")
    assert keys(hall) == [b"d/", b"d/f"]
    assert (head(hall, b"d/").size, head(hall, b"d/").user, hall.get(b"d/")) == (4, {"k": "v"}, b"body")
    level = run(hall.ns.list_objects(ROOT, "bucket", ListRequest(b"d/", b"/")))
    assert [(info.key, info.size) for info in level.contents] == [(b"d/", 4), (b"d/f", 1)]
    after = run(hall.ns.list_objects(ROOT, "bucket", ListRequest(b"d/", b"/", b"d/")))
    assert [info.key for info in after.contents] == [b"d/f"]
    assert shown(hall, look(hall, b"d")) == {b"~gf.d-body", b"f"}
    put(hall, b"d/", b"another")
    assert hall.get(b"d/") == b"another"
    assert head(hall, b"d/").user == {}
    delete(hall, b"d/f")
    assert keys(hall) == [b"d/"]
    delete(hall, b"d/")
    assert shown(hall) == set()
    assert hall.findings() == []


@pytest.mark.parametrize(
    ("user", "headers", "plain"),
    [
        ({}, {}, True),
        ({}, {"content-type": "application/x-directory"}, True),
        ({}, {"content-type": "application/x-directory; charset=UTF-8"}, True),
        ({}, {"content-type": "text/plain"}, False),
        ({}, {"cache-control": "no-store"}, False),
        ({"mtime": "1"}, {}, False),
    ],
)
def test_a_marker_with_nothing_to_keep_is_the_directory_itself(hall, user, headers, plain):
    put(hall, b"d/", b"body")
    put(hall, b"d/", b"", user, headers)
    assert shown(hall, look(hall, b"d")) == (set() if plain else {b"~gf.d-body"})
    assert head(hall, b"d/").size == 0
    assert head(hall, b"d/").user == user
    assert keys(hall) == [b"d/"]
    assert hall.findings() == []


def test_nfs_sees_the_body_as_an_entry(hall):
    put(hall, b"d/", b"body")
    directory = look(hall, b"d")
    with pytest.raises(NotEmpty):
        run(hall.ns.rmdir(ROOT, hall.root, b"d"))
    run(hall.ns.rename(ROOT, directory, b"~gf.d-body", directory, b"f"))
    assert hall.get(b"d/f") == b"body"
    assert head(hall, b"d/").size == 0
    run(hall.ns.link(ROOT, look(hall, b"d", b"f"), directory, b"~gf.d-body"))
    assert hall.get(b"d/") == b"body"
    put(hall, b"d/", b"other")  # one of two names: it gets a file of its own
    assert (hall.get(b"d/"), hall.get(b"d/f")) == (b"other", b"body")
    for name in (b"f", b"~gf.d-body"):
        run(hall.ns.remove(ROOT, directory, name))
    run(hall.ns.rmdir(ROOT, hall.root, b"d"))
    with pytest.raises(InvalidArgument):
        create(hall, b"~gf.d-body")  # the bucket itself has no key
    assert hall.findings() == []


def test_conditions_hold_for_directories_keys(hall):
    def put_new(body):
        request = PutRequest(b"d/", {}, {}, Conditions(if_none_match=(b"*",)))
        session = run(hall.ns.begin_put(ROOT, "bucket", request))
        run(session.write(body))
        run(session.finish(b"etag", {}))

    put_new(b"body")
    with pytest.raises(PreconditionFailed):
        put_new(b"more")
    delete(hall, b"d/")
    put_new(b"")
    with pytest.raises(PreconditionFailed):
        put_new(b"")


def test_a_body_needs_the_rights_of_an_entry(hall):
    stranger = Caller(7, 7)
    mkdir(hall, b"d")
    with pytest.raises(AccessDenied):
        hall.put(b"d/", b"xx", stranger)
    run(hall.ns.setattr(ROOT, look(hall, b"d"), SetAttr(mode=0o772), None))
    with pytest.raises(AccessDenied):
        hall.put(b"d/", b"xx", stranger)  # w is there, x is not
    run(hall.ns.setattr(ROOT, look(hall, b"d"), SetAttr(mode=0o773), None))
    hall.put(b"d/", b"xx", stranger)
    assert run(hall.ns.getattr(ROOT, look(hall, b"d", b"~gf.d-body"))).uid == 7
    with pytest.raises(AccessDenied):
        delete(hall, b"d/", stranger)  # the directory's own directory is not theirs
    run(hall.ns.setattr(ROOT, hall.root, SetAttr(mode=0o777), None))
    run(hall.ns.setattr(ROOT, look(hall, b"d"), SetAttr(mode=0o775), None))
    for act in (lambda: delete(hall, b"d/", stranger), lambda: hall.put(b"d/", b"", stranger)):
        with pytest.raises(AccessDenied):
            act()  # that is, but the body is an entry of a directory that is not
    assert hall.get(b"d/") == b"xx"


# -------------------------------------------------------------------------------- implied directories


def test_a_change_on_an_implied_directory_makes_it_explicit(hall):
    for verb in ("setattr", "rename"):
        put(hall, b"i/j/k", b"1")
        if verb == "setattr":
            run(hall.ns.setattr(ROOT, look(hall, b"i", b"j"), SetAttr(mode=0o700), None))
        else:
            run(hall.ns.rename(ROOT, look(hall, b"i"), b"j", look(hall, b"i"), b"m"))
        below = b"i/j" if verb == "setattr" else b"i/m"
        delete(hall, below + b"/k")
        assert below + b"/" in keys(hall)
        delete(hall, below + b"/")
        delete(hall, b"i/")
        assert keys(hall) == []


def test_a_put_makes_directories_again_that_went_while_its_body_came(hall):
    put(hall, b"i/j/other")
    gone = look(hall, b"i")
    session = run(hall.ns.begin_put(ROOT, "bucket", PutRequest(b"i/j/k", {}, {})))
    run(session.write(b"body"))
    delete(hall, b"i/j/other")
    assert shown(hall) == set()
    with pytest.raises(StaleHandle):
        create(hall, b"f", gone)
    put(hall, b"i", b"a file now")
    run(session.finish(b"etag", {}))
    assert keys(hall) == [b"i", b"i/j/k"]
    assert shown(hall) == {b"i", b"~gf.f-i"}
    assert hall.findings() == []


# -------------------------------------------------------------------------------- strict buckets


def test_a_strict_bucket_takes_only_what_both_doors_say_alike(strict):
    for key in (b"a//b", b"./a", b"~gf.f-a", b"x" * 256, b"a\n"):
        with pytest.raises(InvalidName):
            put(strict, key)
    for name in (b"\xff", b"~gf.e-.", b"~gf.f-a", b"n\n"):
        with pytest.raises(InvalidName):
            create(strict, name)
    with pytest.raises(NotSupported):
        put(strict, b"d/", b"body")
    put(strict, b"d/")
    put(strict, b"~gf.odd", b"1")
    put(strict, b"f", b"1")
    for key in (b"d", b"f/", b"f/g"):
        with pytest.raises(KeyConflict):
            put(strict, key, b"")
    assert keys(strict) == [b"d/", b"f", b"~gf.odd"]


# -------------------------------------------------------------------------------- silly names


def test_a_silly_name_is_not_there_for_s3(hall):
    put(hall, b"f", b"open")
    run(hall.ns.rename(ROOT, hall.root, b"f", hall.root, SILLY))
    assert keys(hall) == []
    with pytest.raises(NotFound):
        head(hall, SILLY)
    for key in (SILLY, SILLY + b"/x"):
        with pytest.raises(KeyConflict):
            put(hall, key)
    delete(hall, SILLY)
    run(hall.ns.rename(ROOT, hall.root, SILLY, hall.root, b"back"))
    assert hall.get(b"back") == b"open"


def test_silly_names_go_some_time_after_their_last_change(hall, monkeypatch):
    monkeypatch.setattr(remains, "AGE_NS", 700 * SECOND_NS)
    monkeypatch.setattr(remains, "REST_NS", 10 * SECOND_NS)
    monkeypatch.setattr(remains, "PAGE", 2)
    names = [SILLY[:-1] + digit for digit in (b"1", b"2")]
    for name in names:
        create(hall, name)
    run(hall.ns.symlink(ROOT, hall.root, b"link", b"x", SetAttr()))
    hall.clock.advance(600)
    run(hall.ns.setattr(ROOT, look(hall, names[1]), SetAttr(mode=0o600), None))
    hall.clock.advance(150)
    assert shown(hall) == {b"link", names[1]}
    run(hall.ns.rename(ROOT, hall.root, names[1], hall.root, b"kept"))
    hall.clock.advance(1000)
    assert shown(hall) == {b"link", b"kept"}
    assert hall.findings() == []


def test_a_silly_name_that_is_used_again_stays(hall, monkeypatch):
    """The page showed it old; by the time it is to go, it is not."""
    monkeypatch.setattr(remains, "AGE_NS", 100 * SECOND_NS)
    create(hall, SILLY)
    (volume,) = hall.ns._volumes.every()
    duty = remains.Remains(hall.ns._duties._hall)
    hall.ns._duties.stop()
    hall.clock.advance(101)
    hall.metastore.hold_loads()
    turn = begin(duty.turn(volume))
    run(hall.ns.setattr(ROOT, look(hall, SILLY), SetAttr(mode=0o600), None))
    hall.metastore.release_loads()
    assert turn.called
    assert shown(hall) == {SILLY}
