"""READDIR and READDIRPLUS on the real namespace: bounds to the byte, eof, cookies (RFC 1813, 3.3.16 and 3.3.17)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace
from nfs_client import NfsClient
from nfs_hall import NfsHall

from foundation.aio import start
from namespace.api import Caller
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_types import diropargs3, ftype3, mknoddata3, nfsstat3
from protocols.nfs.codec.xdr import encode

STATUS_BYTES = 4
#: As long as a page expects names to be: it asks the namespace for no more entries than could be so short.
EVEN = [b"%09d" % number for number in range(12)]
NAMES = [b"a", b"bc", b"def", b"ghij", b"k" * 255, *(b"name %d" % number for number in range(60))]
WIDE = 4096


@pytest.fixture(scope="module")
def place():
    hall = NfsHall()
    nfs = hall.client()
    root = nfs.mount("/bucket")
    for name in NAMES:
        nfs.create(root, name)
    even = nfs.mkdir(root, b"directory")
    for name in EVEN:
        nfs.create(even, name)
    return hall, nfs, root


@pytest.fixture
def fresh():
    hall = NfsHall()
    nfs = hall.client()
    return hall, nfs, nfs.mount("/bucket")


def ask(nfs: NfsClient, directory: bytes, plus: bool, cookie: int = 0, **limits: int) -> tuple[nfsstat3, Any]:
    if plus:
        both = {"dircount": 1 << 16, "maxcount": 1 << 16, **limits}
        return nfs.call("READDIRPLUS", args3.READDIRPLUS3args(directory, cookie, bytes(8), **both))
    return nfs.call("READDIR", args3.READDIR3args(directory, cookie, bytes(8), limits.get("maxcount", 1 << 16)))


def size(result: Any) -> int:
    """Return what RFC 1813 counts: the bytes of the whole result, its status included."""
    return len(encode(result)) + STATUS_BYTES


def names_bytes(entries: tuple[Any, ...]) -> int:
    """Return what `dircount` counts: fileid, name and cookie of each entry, and its place in the list."""
    return sum(4 + 8 + 4 + (len(entry.name) + 3 & ~3) + 8 for entry in entries)


@pytest.mark.parametrize("plus", [False, True])
def test_a_page_that_fits_its_limit_exactly_is_given_and_with_one_byte_less_has_one_entry_less(place, plus):
    _, nfs, root = place
    even = nfs.lookup(root, b"directory")
    whole = ask(nfs, even, plus, 2)[1].entries
    assert len(whole) == len(EVEN)
    for count in range(1, len(EVEN) + 1):
        status, page = ask(nfs, even, plus, 2)
        exact = size(replace(page, entries=whole[:count]))
        status, page = ask(nfs, even, plus, 2, maxcount=exact)
        assert (status, page.entries, size(page)) == (nfsstat3.NFS3_OK, whole[:count], exact)
        assert page.eof == (count == len(EVEN))
        status, page = ask(nfs, even, plus, 2, maxcount=exact - 1)
        if count == 1:
            assert status == nfsstat3.NFS3ERR_TOOSMALL
        else:
            assert (page.entries, page.eof) == (whole[: count - 1], False)


def test_names_that_fit_dircount_exactly_are_given_and_with_one_byte_less_there_is_one_less(place):
    _, nfs, root = place
    even = nfs.lookup(root, b"directory")
    whole = ask(nfs, even, True, 2)[1].entries
    for count in range(1, len(EVEN) + 1):
        exact = names_bytes(whole[:count])
        assert ask(nfs, even, True, 2, dircount=exact)[1].entries == whole[:count]
        status, page = ask(nfs, even, True, 2, dircount=exact - 1)
        assert status == nfsstat3.NFS3ERR_TOOSMALL if count == 1 else page.entries == whole[: count - 1]


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("limit", [0, 1, 4, 100])
def test_a_limit_without_room_for_one_entry_is_too_small_and_tells_the_directory(place, plus, limit):
    _, nfs, root = place
    status, failure = ask(nfs, root, plus, maxcount=limit)
    assert status == nfsstat3.NFS3ERR_TOOSMALL
    assert failure.obj_attributes == nfs.getattr(root)


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("limit", [540, 700, WIDE, 2**32 - 1])
def test_pages_of_any_size_together_are_the_directory_and_eof_comes_with_the_last_entry(place, plus, limit):
    _, nfs, root = place
    seen, cookie, eof = [], 0, False
    while not eof:
        status, page = ask(nfs, root, plus, cookie, maxcount=limit, dircount=limit)
        assert (status, bool(page.entries)) == (nfsstat3.NFS3_OK, True)
        assert size(page) <= limit
        seen += page.entries
        cookie, eof = page.entries[-1].cookie, page.eof
    assert [entry.name for entry in seen[:2]] == [b".", b".."]
    assert sorted(entry.name for entry in seen[2:]) == sorted([*NAMES, b"directory"])
    cookies = [entry.cookie for entry in seen]
    assert cookies == sorted(set(cookies))
    assert ask(nfs, root, plus, cookies[-1])[1].entries == ()
    assert ask(nfs, root, plus, cookies[-2])[1].eof


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("cookie", [2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_cookie_that_never_was_is_a_place_like_any_other(place, plus, cookie):
    _, nfs, root = place
    status, page = ask(nfs, root, plus, cookie)
    assert (status, page.entries, page.eof) == (nfsstat3.NFS3_OK, (), True)


@pytest.mark.parametrize("plus", [False, True])
def test_cookies_survive_deletes_and_a_deleted_cookie_goes_on_where_it_was(fresh, plus):
    _, nfs, root = fresh
    for number in range(40):
        nfs.create(root, b"%02d" % number)
    entries = ask(nfs, root, plus)[1].entries[2:]
    for entry in entries[::2]:
        nfs.remove(root, entry.name)
    for entry, following in itertools.pairwise(entries):
        page = ask(nfs, root, plus, entry.cookie)[1]
        first = following.name if following in entries[1::2] else entries[entries.index(following) + 1].name
        assert page.entries[0].name == first if page.entries else page.eof
        if following == entries[-1]:
            break
    left = ask(nfs, root, plus)[1]
    assert [(each.name, each.cookie) for each in left.entries[2:]] == [(e.name, e.cookie) for e in entries[1::2]]


def test_what_is_made_and_removed_while_a_client_pages_hides_nothing_else(fresh):
    _, nfs, root = fresh
    stays = {b"stays %d" % number for number in range(30)}
    for name in sorted(stays):
        nfs.create(root, name)
    seen, cookie, eof, turn = [], 0, False, itertools.count()
    while not eof:
        page = ask(nfs, root, False, cookie, maxcount=300)[1]
        seen += [entry.name for entry in page.entries]
        cookie, eof = page.entries[-1].cookie, page.eof
        number = next(turn)
        if number < 20:
            nfs.create(root, b"new %d" % number)
            nfs.remove(root, b"new %d" % (number - 1)) if number else None
    assert len(seen) == len(set(seen))
    assert stays <= set(seen)


def test_an_entry_whose_inode_goes_while_the_page_is_made_has_no_attributes(fresh):
    hall, nfs, root = fresh
    for name in (b"goes", b"stays"):
        nfs.create(root, name)
    page_of = hall.metastore.page_by_cookie

    async def page(*args: Any) -> Any:
        rows = await page_of(*args)
        start(hall.ns.remove(Caller(0, 0), hall.root, b"goes"))
        return rows

    hall.metastore.page_by_cookie = page
    entries = {entry.name: entry for entry in ask(nfs, root, True)[1].entries}
    assert (entries[b"goes"].name_attributes, entries[b"goes"].name_handle) == (None, None)
    assert entries[b"stays"].name_handle == nfs.lookup(root, b"stays")


def test_an_empty_directory_ends_at_once(fresh):
    _, nfs, root = fresh
    empty = nfs.mkdir(root, b"empty")
    for plus in (False, True):
        page = ask(nfs, empty, plus)[1]
        assert ([entry.name for entry in page.entries], page.eof) == ([b".", b".."], True)
        assert [entry.fileid for entry in page.entries] == [nfs.getattr(empty).fileid, nfs.getattr(root).fileid]


def test_a_large_directory_of_a_house_is_paged_whole(house):
    wanted = {b"entry %04d" % number for number in range(3000)}
    with NfsClient("127.0.0.1", house.nfs_port, house.mount_port, timeout_seconds=60) as nfs:
        folder = nfs.mkdir(nfs.mount(house.export), b"large directory")
        names = sorted(wanted)
        for at in range(0, len(names), 250):
            xids = {nfs.send(100003, 3, 11, encode(_fifo(folder, name)), nfs.cred) for name in names[at : at + 250]}
            assert {nfs.receive()[0].xid for _ in xids} == xids
        for limit in (700, 32768, 2**32 - 1):
            entries = list(nfs.readdirplus(folder, limit, limit)) if limit > 700 else list(nfs.readdir(folder, 8192))
            assert len(entries) == len(wanted) + 2
            assert {entry.name for entry in entries[2:]} == wanted


def _fifo(folder: bytes, name: bytes) -> Any:
    return args3.MKNOD3args(diropargs3(folder, name), mknoddata3(ftype3.NF3FIFO))
