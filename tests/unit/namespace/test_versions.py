"""Versions of names and ghosts of directories: what the model does not ask."""

from __future__ import annotations

import pytest
from hall import ROOT, MemoryHall, begin, run

from foundation.crash import crash_point
from foundation.errors import (
    AccessDenied,
    BucketNotEmpty,
    InvalidArgument,
    IsDeleteMarker,
    KeyConflict,
    NotFound,
    StaleHandle,
    VersionNotFound,
)
from metastore.records import NULL_VERSION, Extent, Inode, Reclaim, Version
from namespace import archive
from namespace.api import (
    Caller,
    Conditions,
    CreateMode,
    DeleteResult,
    PutRequest,
    SetAttr,
    Stability,
    VersionListRequest,
)

KEY = b"d/f"


@pytest.fixture
def hall():
    made = MemoryHall()
    run(made.ns.set_versioning(ROOT, "bucket", "enabled"))
    return made


def versions(hall, **request):
    page = run(hall.ns.list_versions(ROOT, "bucket", VersionListRequest(**request)))
    return [(each.info.key, "marker" if each.marker else each.info.size, each.latest) for each in page.versions]


def look(hall, *path):
    file = hall.root
    for name in path:
        file = run(hall.ns.lookup(ROOT, file, name)).file.file
    return file


def read(hall, version_id, key=KEY):
    reader = run(hall.ns.open_version(ROOT, "bucket", key, version_id))
    try:
        return b"".join(run(reader.read(0, reader.info.size)))
    finally:
        reader.close()


def head(hall, key=KEY):
    return run(hall.ns.head_object(ROOT, "bucket", key, Conditions()))


def delete(hall, key=KEY):
    return run(hall.ns.delete_object(ROOT, "bucket", key))


def delete_version(hall, version_id, key=KEY):
    return run(hall.ns.delete_version(ROOT, "bucket", key, version_id))


def write(hall, file, data, offset=0):
    run(hall.ns.write(ROOT, file, offset, data, Stability.FILE_SYNC))


def rows(hall, kind):
    return [row for (vol, *_), row in hall.database.rows[kind].items() if vol == hall.vol]


# -- the setting --------------------------------------------------------------------------------------------------


def test_a_bucket_that_never_kept_versions_has_no_rows_and_asks_nothing():
    hall = MemoryHall()
    asked = []
    for name in ("load_versions", "load_null_version", "load_names"):
        setattr(hall.metastore, name, lambda *_: asked.append(1))
    assert run(hall.ns.get_versioning(ROOT, "bucket")) == ""
    assert hall.put(KEY, b"one").version_id == b""
    hall.put(KEY, b"two")
    file = look(hall, b"d", b"f")
    write(hall, file, b"three")
    run(hall.ns.rename(ROOT, look(hall, b"d"), b"f", hall.root, b"g"))
    assert delete(hall, b"g") == DeleteResult()
    assert asked == []
    assert rows(hall, Version) == []
    (volume,) = hall.ns._volumes.every()
    assert volume.cache.histories == {}


def test_only_the_owner_sets_versioning_and_it_never_ends():
    hall = MemoryHall()
    stranger = Caller(5, 5, account="stranger")
    with pytest.raises(AccessDenied):
        run(hall.ns.set_versioning(stranger, "bucket", "enabled"))
    with pytest.raises(InvalidArgument):
        run(hall.ns.set_versioning(ROOT, "bucket", ""))
    run(hall.ns.set_versioning(ROOT, "bucket", "suspended"))
    assert run(hall.reopen().ns.get_versioning(ROOT, "bucket")) == "suspended"


def test_a_crash_after_the_setting_is_durable_leaves_it_set():
    hall = MemoryHall()

    def die():
        raise RuntimeError("died")

    point = crash_point("versioning.after_commit")
    point.arm(die)
    with pytest.raises(RuntimeError):
        run(hall.ns.set_versioning(ROOT, "bucket", "enabled"))
    assert point.passes == 1
    point.disarm()
    again = hall.reopen()
    assert run(again.ns.get_versioning(ROOT, "bucket")) == "enabled"
    again.put(KEY, b"one")
    assert head(again).version_id not in {b"", NULL_VERSION}


def test_what_was_there_before_is_the_null_version():
    hall = MemoryHall()
    hall.put(KEY, b"old")
    run(hall.ns.set_versioning(ROOT, "bucket", "enabled"))
    assert head(hall).version_id == NULL_VERSION
    made = hall.put(KEY, b"newer")
    assert made.version_id == head(hall).version_id != NULL_VERSION
    assert read(hall, NULL_VERSION) == b"old"
    assert hall.findings() == []


def test_of_null_versions_the_newest_is_kept(hall):
    for state in ("suspended", "enabled"):
        run(hall.ns.set_versioning(ROOT, "bucket", state))
        hall.put(KEY, state.encode())
    run(hall.ns.set_versioning(ROOT, "bucket", "suspended"))
    hall.put(KEY, b"null again")
    assert versions(hall) == [(KEY, 10, True), (KEY, 7, False)]
    assert read(hall, NULL_VERSION) == b"null again"
    assert delete(hall) == DeleteResult(NULL_VERSION, marker=True)
    assert versions(hall) == [(KEY, "marker", True), (KEY, 7, False)]
    hall.put(KEY, b"once more")
    assert versions(hall) == [(KEY, 9, True), (KEY, 7, False)]
    assert hall.findings() == []


def test_names_of_a_directory_made_here_ask_for_no_versions_until_one_is_forgotten(hall):
    asked, load = [], hall.metastore.load_versions
    hall.metastore.load_versions = lambda *name: asked.append(name[2]) or load(*name)
    for key in (KEY, KEY, b"d/g", b"h", b"i"):
        hall.put(key, b"data")
    run(hall.ns.create(ROOT, hall.root, b"f", CreateMode.GUARDED, SetAttr(), b""))
    assert asked == []
    cache = hall.ns._volumes.every()[0].cache
    directory = look(hall, b"d").ino
    for history in [each for each in cache.histories.values() if each.parent == directory]:
        cache._ring.remove(history)
        cache._forget(history)
    hall.put(b"d/new", b"1")
    hall.put(KEY, b"2")
    assert asked == [b"new", b"f"]
    assert [each[1] for each in versions(hall, prefix=KEY)] == [1, 4, 4]
    assert hall.findings() == []


# -- S3 -----------------------------------------------------------------------------------------------------------


def test_a_put_keeps_the_handle_and_a_version_that_comes_back_has_another(hall):
    first = hall.put(KEY, b"one").version_id
    handle = look(hall, b"d", b"f")
    second = hall.put(KEY, b"two2").version_id
    assert look(hall, b"d", b"f") == handle
    assert delete_version(hall, second) == DeleteResult(second)
    assert hall.get(KEY) == b"one"
    assert head(hall).version_id == first
    with pytest.raises(StaleHandle):
        run(hall.ns.getattr(ROOT, handle))
    assert hall.findings() == []


def test_no_handle_reaches_what_only_history_keeps(hall):
    hall.put(KEY, b"one")
    handle = look(hall, b"d", b"f")
    delete(hall)
    for act in (
        hall.ns.getattr(ROOT, handle),
        hall.ns.read(ROOT, handle, 0, 10),
        hall.ns.write(ROOT, handle, 0, b"x", Stability.FILE_SYNC),
        hall.ns.link(ROOT, handle, hall.root, b"again"),
        hall.ns.setattr(ROOT, handle, SetAttr(mode=0o600), None),
    ):
        with pytest.raises(StaleHandle):
            run(act)


def test_a_deletion_tells_its_marker_and_deleting_again_the_same(hall):
    first = hall.put(KEY, b"one").version_id
    result = delete(hall)
    assert result.marker
    assert result.version_id
    assert delete(hall) == result
    with pytest.raises(NotFound):
        head(hall)
    with pytest.raises(IsDeleteMarker):
        read(hall, result.version_id)
    assert versions(hall) == [(KEY, "marker", True), (KEY, 3, False)]
    assert delete_version(hall, result.version_id) == DeleteResult(result.version_id, marker=True)
    assert hall.get(KEY) == b"one"
    assert head(hall).version_id == first


def test_what_never_was_leaves_no_marker(hall):
    assert delete(hall) == DeleteResult()
    assert delete_version(hall, b"0" * 32) == DeleteResult(b"0" * 32)
    assert versions(hall) == []
    for version_id in (b"0" * 32, b"x" * 32, b"-" * 32, NULL_VERSION):
        with pytest.raises(VersionNotFound):
            read(hall, version_id)


def test_headers_metadata_and_checksums_stay_with_their_version(hall):
    def put(user, crc, body):
        session = run(hall.ns.begin_put(ROOT, "bucket", PutRequest(KEY, {"content-type": "x/y"}, user)))
        run(session.write(body))
        return run(session.finish(b"e" + body, {"crc32": crc})).version_id

    first = put({"n": "1"}, "AAAA", b"1")
    put({"n": "2"}, "BBBB", b"2")
    write(hall, look(hall, b"d", b"f"), b"3")
    edited = head(hall)
    assert edited.checksums == {}
    put({"n": "4"}, "CCCC", b"4")
    old = run(hall.ns.head_version(ROOT, "bucket", KEY, first))
    assert (old.etag, old.user, old.checksums) == (b"e1", {"n": "1"}, {"crc32": "AAAA"})
    kept = run(hall.ns.head_version(ROOT, "bucket", KEY, edited.version_id))
    assert (kept.etag, kept.user, kept.checksums) == (edited.etag, {"n": "2"}, {})
    assert kept.last_modified == edited.last_modified


def test_an_etag_that_nfs_gave_stays_when_the_inode_itself_becomes_history(hall):
    file = run(hall.ns.create(ROOT, hall.root, b"f", CreateMode.GUARDED, SetAttr(), b"")).file.file
    write(hall, file, b"data")
    before = head(hall, b"f")
    delete(hall, b"f")
    assert run(hall.ns.head_version(ROOT, "bucket", b"f", before.version_id)) == before
    delete_version(hall, delete(hall, b"f").version_id, b"f")
    assert head(hall, b"f") == before


def test_a_version_under_a_name_that_something_unlisted_has_does_not_come_back(hall):
    hall.put(b"f", b"one")
    marker = delete(hall, b"f").version_id
    run(hall.ns.symlink(ROOT, hall.root, b"f", b"x", SetAttr()))
    with pytest.raises(KeyConflict):
        delete_version(hall, marker, b"f")
    assert hall.findings() == []


def test_versions_are_paged_by_key_and_prefix(hall):
    for key in (b"a", b"d/f", b"d/g", b"e"):
        hall.put(key, b"1")
        hall.put(key, b"22")
    delete(hall, b"d/g")
    assert versions(hall, prefix=b"d/") == [
        (b"d/f", 2, True),
        (b"d/f", 1, False),
        (b"d/g", "marker", True),
        (b"d/g", 2, False),
        (b"d/g", 1, False),
    ]
    page = run(hall.ns.list_versions(ROOT, "bucket", VersionListRequest(delimiter=b"/", limit=3)))
    assert ([each.info.key for each in page.versions], page.common_prefixes) == ([b"a", b"a"], (b"d/",))
    rest = VersionListRequest(delimiter=b"/", after_key=page.next_key, after_version=page.next_version)
    page = run(hall.ns.list_versions(ROOT, "bucket", rest))
    assert ([each.info.key for each in page.versions], page.common_prefixes) == ([b"e", b"e"], ())
    assert page.next_key is None


def test_a_page_goes_on_behind_a_version_that_is_gone(hall):
    for size in range(5):
        hall.put(KEY, b"x" * size)
    seen = []
    request = VersionListRequest(limit=2)
    while True:
        page = run(hall.ns.list_versions(ROOT, "bucket", request))
        for each in page.versions:
            seen.append(each.info.size)
            delete_version(hall, each.info.version_id)
        if page.next_key is None:
            break
        request = VersionListRequest(limit=2, after_key=page.next_key, after_version=page.next_version)
    assert seen == [4, 3, 2, 1, 0]
    run(hall.ns.delete_bucket(ROOT, "bucket"))


# -- NFS ----------------------------------------------------------------------------------------------------------


def test_nfs_makes_a_version_after_a_quiet_minute_and_not_before(hall):
    hall.put(KEY, b"by S3")
    file = look(hall, b"d", b"f")
    write(hall, file, b"1")
    hall.clock.advance(50)
    write(hall, file, b"2")
    hall.clock.advance(50)
    write(hall, file, b"3")
    assert len(versions(hall, prefix=KEY)) == 2
    hall.clock.advance(61)
    write(hall, file, b"4")
    newest = run(hall.ns.list_versions(ROOT, "bucket", VersionListRequest(prefix=KEY))).versions
    assert [read(hall, each.info.version_id) for each in newest] == [b"4y S3", b"3y S3", b"by S3"]
    assert hall.findings() == []


def test_unstable_data_makes_its_version_when_it_is_flushed(hall):
    first = hall.put(KEY, b"by S3").version_id
    file = look(hall, b"d", b"f")
    run(hall.ns.write(ROOT, file, 0, b"NF", Stability.UNSTABLE))
    assert head(hall).version_id == first
    run(hall.ns.commit(ROOT, file, 0, 0))
    assert head(hall).version_id != first
    assert read(hall, first) == b"by S3"


def test_a_temporary_file_that_is_renamed_over_another_leaves_no_history(hall):
    hall.put(KEY, b"old")
    directory = look(hall, b"d")
    temporary = run(hall.ns.create(ROOT, directory, b"f.tmp", CreateMode.GUARDED, SetAttr(), b"")).file.file
    write(hall, temporary, b"newer")
    run(hall.ns.rename(ROOT, directory, b"f.tmp", directory, b"f"))
    assert versions(hall, prefix=b"d/f") == [(KEY, 5, True), (KEY, 3, False)]
    assert hall.findings() == []


def test_a_file_that_something_unlisted_replaces_stays_under_a_marker(hall):
    for key, new in ((b"f", b"link"), (b"g", b".nfs" + b"0" * 24)):
        hall.put(key, b"data")
        if new == b"link":
            run(hall.ns.symlink(ROOT, hall.root, new, b"x", SetAttr()))
            run(hall.ns.rename(ROOT, hall.root, new, hall.root, key))
        else:
            run(hall.ns.rename(ROOT, hall.root, key, hall.root, new))
        assert versions(hall, prefix=key) == [(key, "marker", True), (key, 4, False)]
    assert hall.findings() == []


def test_a_file_that_nobody_kept_leaves_the_marker_that_was_there(hall):
    hall.put(b"f", b"one")
    marker = delete(hall, b"f")
    run(hall.ns.create(ROOT, hall.root, b"f", CreateMode.GUARDED, SetAttr(), b""))
    run(hall.ns.remove(ROOT, hall.root, b"f"))
    assert versions(hall) == [(b"f", "marker", True), (b"f", 3, False)]
    assert delete(hall, b"f") == marker


def test_what_was_renamed_away_stays_under_a_marker(hall):
    first = hall.put(KEY, b"data").version_id
    run(hall.ns.rename(ROOT, look(hall, b"d"), b"f", hall.root, b"g"))
    assert versions(hall, prefix=b"d/f") == [(KEY, "marker", True), (KEY, 4, False)]
    assert hall.get(b"g") == read(hall, first) == b"data"
    assert hall.findings() == []


def test_history_moves_with_its_directory(hall):
    first = hall.put(KEY, b"one").version_id
    hall.put(KEY, b"two")
    run(hall.ns.rename(ROOT, hall.root, b"d", hall.root, b"e"))
    assert read(hall, first, b"e/f") == b"one"
    assert versions(hall, prefix=b"d/") == []


def test_a_file_of_several_names_changes_in_place_and_is_kept_under_each_that_goes(hall):
    hall.put(b"f", b"one")
    run(hall.ns.link(ROOT, look(hall, b"f"), hall.root, b"g"))
    hall.clock.advance(100)
    write(hall, look(hall, b"f"), b"two")
    assert versions(hall) == [(b"f", 3, True), (b"g", 3, True)]
    hall.clock.advance(100)
    run(hall.ns.remove(ROOT, hall.root, b"g"))
    assert versions(hall) == [(b"f", 3, True), (b"g", "marker", True), (b"g", 3, False)]
    assert hall.findings() == []


def test_truncation_to_nothing_moves_the_bytes_by_pointer(hall):
    hall.put(b"f", b"data")
    (before,) = [inode for inode in rows(hall, Inode) if inode.size == 4]
    run(hall.ns.setattr(ROOT, look(hall, b"f"), SetAttr(size=0), None))
    (kept,) = [inode for inode in rows(hall, Inode) if inode.size == 4]
    assert (kept.content, kept.x_blob, kept.nlink) == (before.content, before.x_blob, 0)
    assert rows(hall, Reclaim) == []


# -- ghosts -------------------------------------------------------------------------------------------------------


def test_a_directory_with_history_becomes_a_ghost_and_comes_back_as_another(hall):
    first = hall.put(KEY, b"one").version_id
    old = look(hall, b"d")
    delete(hall)
    with pytest.raises(NotFound):
        look(hall, b"d")
    with pytest.raises(StaleHandle):
        run(hall.ns.readdir(ROOT, old, 0, 10))
    assert [entry.name for entry in run(hall.ns.readdir(ROOT, hall.root, 2, 10)).entries] == []
    assert read(hall, first) == b"one"
    made = run(hall.ns.mkdir(ROOT, hall.root, b"d", SetAttr(mode=0o700))).file
    assert (made.file.ino, made.mode, made.nlink) == (old.ino, 0o700, 2)
    assert made.file.gen != old.gen
    with pytest.raises(StaleHandle):
        run(hall.ns.getattr(ROOT, old))
    assert read(hall, first) == b"one"
    assert hall.findings() == []


def test_ghosts_go_with_the_last_version_below_them(hall):
    first = hall.put(b"x/y/z/f", b"one").version_id
    marker = delete(hall, b"x/y/z/f").version_id
    with pytest.raises(BucketNotEmpty):
        run(hall.ns.delete_bucket(ROOT, "bucket"))
    delete_version(hall, first, b"x/y/z/f")
    assert len(rows(hall, Inode)) == 4
    delete_version(hall, marker, b"x/y/z/f")
    assert [inode.ino for inode in rows(hall, Inode)] == [1]
    assert hall.findings() == []
    run(hall.ns.delete_bucket(ROOT, "bucket"))


def test_a_directory_renamed_to_a_ghosts_name_moves_the_ghost_aside(hall):
    first = hall.put(b"live/f", b"one").version_id
    ino = look(hall, b"live").ino
    run(hall.ns.remove(ROOT, look(hall, b"live"), b"f"))
    run(hall.ns.rmdir(ROOT, hall.root, b"live"))
    hall.put(b"new/g", b"two")
    run(hall.ns.rename(ROOT, hall.root, b"new", hall.root, b"live"))
    assert hall.get(b"live/g") == b"two"
    assert read(hall, first, b"live~%x/f" % ino) == b"one"
    assert hall.findings() == []


def test_the_way_to_history_needs_the_right_to_search(hall):
    first = hall.put(KEY, b"one").version_id
    run(hall.ns.setattr(ROOT, look(hall, b"d"), SetAttr(mode=0o700), None))
    delete(hall)
    run(hall.ns.rmdir(ROOT, hall.root, b"d"))
    stranger = Caller(5, 5, account="stranger")
    with pytest.raises(AccessDenied):
        run(hall.ns.head_version(stranger, "bucket", KEY, first))
    with pytest.raises(AccessDenied):
        run(hall.ns.delete_version(stranger, "bucket", KEY, first))
    assert read(hall, first) == b"one"


def test_a_list_of_versions_leaves_out_what_the_caller_may_not_read(hall):
    hall.put(KEY, b"one")
    hall.put(b"open/f", b"two")
    stranger = Caller(5, 5, account="stranger")

    def listed():
        found = run(hall.ns.list_versions(stranger, "bucket", VersionListRequest()))
        return [each.info.key for each in found.versions]

    assert listed() == [KEY, b"open/f"]
    run(hall.ns.setattr(ROOT, look(hall, b"d"), SetAttr(mode=0o700), None))
    assert listed() == [b"open/f"]


# -- locks --------------------------------------------------------------------------------------------------------


def lock(hall, version_id, until=None, hold=None, key=KEY):
    run(hall.ns.set_lock(ROOT, "bucket", key, version_id, (until, hold)))


def test_a_locked_version_stays_until_its_time_and_the_hold_is_lifted(hall):
    first = hall.put(KEY, b"one").version_id
    later = hall.clock.now_ns() + 1_000_000_000_000
    lock(hall, first, until=later)
    lock(hall, b"", hold=True)
    assert run(hall.ns.get_lock(ROOT, "bucket", KEY, first)) == (later, True)
    with pytest.raises(AccessDenied):
        delete_version(hall, first)
    with pytest.raises(AccessDenied):
        lock(hall, first, until=later - 1)
    delete(hall)
    with pytest.raises(AccessDenied):
        delete_version(hall, first)
    hall.clock.advance(1001)
    with pytest.raises(AccessDenied):
        delete_version(hall, first)
    lock(hall, first, hold=False)
    delete_version(hall, first)
    assert hall.findings() == []


def test_a_file_of_several_names_and_a_lock_exclude_each_other(hall):
    hall.put(b"f", b"one")
    hall.put(b"g", b"two")
    lock(hall, b"", hold=True, key=b"f")
    with pytest.raises(AccessDenied):
        run(hall.ns.link(ROOT, look(hall, b"f"), hall.root, b"f2"))
    run(hall.ns.link(ROOT, look(hall, b"g"), hall.root, b"g2"))
    with pytest.raises(InvalidArgument):
        lock(hall, b"", hold=True, key=b"g")
    lock(hall, b"", hold=False, key=b"f")
    run(hall.ns.link(ROOT, look(hall, b"f"), hall.root, b"f2"))
    assert hall.findings() == []


def test_what_nfs_is_writing_is_kept_once_it_is_locked(hall):
    file = run(hall.ns.create(ROOT, hall.root, b"f", CreateMode.GUARDED, SetAttr(), b"")).file.file
    write(hall, file, b"one")
    locked = head(hall, b"f")
    lock(hall, b"", hold=True, key=b"f")
    assert head(hall, b"f") == locked
    write(hall, file, b"two")
    assert read(hall, locked.version_id, b"f") == b"one"
    run(hall.ns.remove(ROOT, hall.root, b"f"))
    with pytest.raises(AccessDenied):
        delete_version(hall, locked.version_id, b"f")


def test_a_locked_null_version_is_not_replaced_when_versioning_is_suspended():
    hall = MemoryHall()
    hall.put(KEY, b"one")
    run(hall.ns.set_versioning(ROOT, "bucket", "enabled"))
    lock(hall, NULL_VERSION, hold=True)
    run(hall.ns.set_versioning(ROOT, "bucket", "suspended"))
    file = look(hall, b"d", b"f")
    for act in (
        lambda: hall.put(KEY, b"two"),
        lambda: delete(hall),
        lambda: write(hall, file, b"two"),
        lambda: run(hall.ns.remove(ROOT, look(hall, b"d"), b"f")),
    ):
        with pytest.raises(AccessDenied):
            act()
    assert hall.get(KEY) == b"one"
    assert hall.findings() == []


# -- memory -------------------------------------------------------------------------------------------------------


def test_all_of_it_works_from_a_cold_cache(hall):
    first = hall.put(KEY, b"one").version_id
    hall.clock.advance(100)
    hall = hall.reopen()
    write(hall, look(hall, b"d", b"f"), b"two")
    hall = hall.reopen()
    assert delete(hall).marker
    hall = hall.reopen()
    assert [each[1] for each in versions(hall, prefix=KEY)] == ["marker", 3, 3]
    hall = hall.reopen()
    delete_version(hall, first)
    assert hall.findings() == []


def test_a_handle_alone_finds_the_name_whose_version_it_is(hall):
    hall.put(b"other", b"x")
    first = hall.put(KEY, b"one").version_id
    file = look(hall, b"d", b"f")
    run(hall.ns.rename(ROOT, hall.root, b"d", hall.root, b"e"))
    again = hall.reopen()
    write(again, file, b"two")
    assert versions(again, prefix=b"e/f") == [(b"e/f", 3, True), (b"e/f", 3, False)]
    assert read(again, first, b"e/f") == b"one"
    assert again.findings() == []


def test_versions_that_are_loaded_late_do_not_bring_back_what_is_gone(hall):
    first = hall.put(KEY, b"one").version_id
    second = hall.put(KEY, b"two").version_id
    hall = hall.reopen()
    look(hall, b"d", b"f")
    hall.metastore.hold_loads()
    late = begin(hall.ns.head_version(ROOT, "bucket", KEY, first))
    (volume,) = hall.ns._volumes.every()
    parent = look(hall, b"d").ino
    for seq in (-1, -2):
        volume.cache.history(parent, b"f").put(seq, None, hall.metastore.durable)  # as an installation would
    hall.metastore.release_loads()
    assert isinstance(late.result.value, VersionNotFound)
    late.addErrback(lambda _: None)
    assert volume.cache.histories[parent, b"f"].rows == {-1: None, -2: None}
    assert second


def in_pieces(hall, monkeypatch):
    """Make the file `f` of 7 extents, and let no Change take more than 2."""
    monkeypatch.setattr(archive, "SHARED_EXTENTS_MAX", 2)
    monkeypatch.setattr("namespace.contents.CHUNK", 2)
    file = run(hall.ns.create(ROOT, hall.root, b"f", CreateMode.GUARDED, SetAttr(), b"")).file.file
    for offset in range(0, 70, 10):
        write(hall, file, b"x", offset)
    hall.clock.advance(100)
    return file, head(hall, b"f").version_id, hall.get(b"f")


@pytest.mark.parametrize("act", ["write", "rename", "remove one of two names"])
def test_a_content_of_many_extents_is_copied_ahead_in_chunks(hall, monkeypatch, act):
    file, version_id, before = in_pieces(hall, monkeypatch)
    changes = []
    commit = hall.metastore.commit
    hall.metastore.commit = lambda change: changes.append(change) or commit(change)
    if act == "write":
        write(hall, file, b"y")
    elif act == "rename":
        run(hall.ns.rename(ROOT, hall.root, b"f", hall.root, b"g"))
    else:
        run(hall.ns.link(ROOT, file, hall.root, b"g"))
        run(hall.ns.remove(ROOT, hall.root, b"f"))
    assert max(sum(type(row) is Extent for row in change.puts) for change in changes) == 2
    assert read(hall, version_id, b"f") == before
    assert hall.findings() == []
    run(hall.ns._duties.collect(hall.ns._volumes.every()[0]))
    assert rows(hall, Reclaim) == []


def test_a_death_while_a_content_is_copied_leaves_all_as_it_was(hall, monkeypatch):
    file, version_id, before = in_pieces(hall, monkeypatch)

    def die():
        raise RuntimeError("died")

    point = crash_point("draft.after_chunk")
    point.arm(die, 2)
    with pytest.raises(RuntimeError):
        run(hall.ns.rename(ROOT, hall.root, b"f", hall.root, b"g"))
    point.disarm()
    again = hall.reopen()
    again.clock.advance(200)
    assert versions(again) == [(b"f", 61, True)]
    run(again.ns._duties.collect(again.ns._volumes.every()[0]))
    assert rows(again, Reclaim) == []
    run(again.ns.rename(ROOT, again.root, b"f", again.root, b"g"))
    assert read(again, version_id, b"f") == again.get(b"g") == before
    assert again.findings() == []
    assert file
