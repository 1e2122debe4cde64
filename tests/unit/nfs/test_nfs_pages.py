"""READDIR and READDIRPLUS: the client's limits, cookies and eof (RFC 1813, sections 3.3.16 and 3.3.17)."""

import pytest
from door import Door
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_types import createhow3, createmode3, nfsstat3
from protocols.nfs.codec.xdr import encode

STATUS_BYTES = 4


def filled(names):
    door = Door()
    for name in names:
        door.ok("CREATE", args3.CREATE3args(door.at(name), createhow3(createmode3.UNCHECKED)))
    return door


def page(door, plus, cookie, limit, dircount=None):
    if plus:
        return door.nfs("READDIRPLUS", args3.READDIRPLUS3args(door.root, cookie, bytes(8), dircount or limit, limit))
    return door.nfs("READDIR", args3.READDIR3args(door.root, cookie, bytes(8), limit))


@settings(max_examples=40)
@given(
    names=st.sets(st.binary(min_size=1, max_size=60).filter(lambda name: name not in {b".", b".."}), max_size=20),
    plus=st.booleans(),
    limit=st.integers(400, 3000),
)
def test_pages_of_any_size_show_every_entry_once_and_never_pass_the_limit(names, plus, limit):
    door = filled(names)
    seen, cookie, eof = [], 0, False
    while not eof:
        status, result = page(door, plus, cookie, limit)
        assert status == nfsstat3.NFS3_OK
        assert len(encode(result)) + STATUS_BYTES <= limit
        assert result.entries
        seen += [entry.name for entry in result.entries]
        cookie, eof = result.entries[-1].cookie, result.eof
    assert len(seen) == len(set(seen))
    assert set(seen) == names | {b".", b".."}


@pytest.mark.parametrize("plus", [False, True])
def test_every_limit_gives_a_page_or_toosmall_and_a_larger_one_never_fewer_entries(plus):
    door = filled([b"a", b"longer name", b"x" * 255])
    counts = []
    for limit in range(0, 1400, 4):
        status, result = page(door, plus, 0, limit)
        if status == nfsstat3.NFS3ERR_TOOSMALL:
            assert result.obj_attributes.fileid == 1
            assert counts == []
        else:
            assert len(encode(result)) + STATUS_BYTES <= limit
            assert result.eof == (len(result.entries) == 5)
            counts.append(len(result.entries))
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 5)


def test_dircount_bounds_what_names_take():
    door = filled([b"name%03d" % number for number in range(50)])
    status, result = page(door, True, 2, 60000, dircount=10 * (24 + 8))
    assert status == nfsstat3.NFS3_OK
    assert (len(result.entries), result.eof) == (8, False)  # asked for with room for longer names
    assert page(door, True, 2, 60000, dircount=31)[0] == nfsstat3.NFS3ERR_TOOSMALL
    assert len(page(door, True, 2, 60000, dircount=32)[1].entries) == 1


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("cookie", [2**63, 2**64 - 1, 10**6])
def test_a_cookie_past_the_end_is_the_end_and_never_bad(plus, cookie):
    status, result = page(filled([b"a"]), plus, cookie, 1000)
    assert status == nfsstat3.NFS3_OK
    assert (result.entries, result.eof) == ((), True)


def test_the_page_goes_on_after_a_cookie_whose_entry_is_gone():
    door = filled([b"a", b"b", b"c"])
    cookie = page(door, False, 0, 1000)[1].entries[3].cookie
    door.ok("REMOVE", args3.REMOVE3args(door.at(b"b")))
    assert [entry.name for entry in page(door, False, cookie, 1000)[1].entries] == [b"c"]


@pytest.mark.parametrize("plus", [False, True])
def test_the_verifier_is_constant_and_whatever_comes_is_right(plus):
    door = filled([b"a"])
    first = page(door, plus, 0, 1000)[1].cookieverf
    door.ok("REMOVE", args3.REMOVE3args(door.at(b"a")))
    assert page(door, plus, 0, 1000)[1].cookieverf == first
    wrong = args3.READDIR3args(door.root, 2, b"whatever", 1000)
    assert door.nfs("READDIR", wrong)[0] == nfsstat3.NFS3_OK


def test_the_namespace_is_asked_for_a_sensible_number_of_entries():
    door = filled([])
    for plus in (False, True):
        for limit in (300, 65536, 2**32 - 1):
            page(door, plus, 0, limit)
    assert all(1 <= limit <= 2048 for limit in door.namespace.limits)
    assert door.namespace.limits[1] > 1000


def test_entries_carry_attributes_and_handles_that_work():
    door = filled([b"a"])
    entries = page(door, True, 0, 5000)[1].entries
    assert [entry.name for entry in entries] == [b".", b"..", b"a"]
    for entry in entries:
        attr = door.ok("GETATTR", args3.GETATTR3args(entry.name_handle)).obj_attributes
        assert attr == entry.name_attributes
        assert attr.fileid == entry.fileid


def test_an_entry_whose_object_is_gone_is_shown_without_attributes(monkeypatch):
    door = filled([b"a"])
    whole = door.namespace.readdir

    async def readdir(*args):
        page = await whole(*args)
        return replace(page, entries=tuple(replace(entry, attr=None) for entry in page.entries))

    monkeypatch.setattr(door.namespace, "readdir", readdir)
    for entry in page(door, True, 0, 5000)[1].entries:
        assert (entry.name_attributes, entry.name_handle) == (None, None)


def test_a_file_is_no_directory():
    door = filled([b"a"])
    file = door.ok("LOOKUP", args3.LOOKUP3args(door.at(b"a"))).object
    status, failure = door.nfs("READDIR", args3.READDIR3args(file, 0, bytes(8), 1000))
    assert status == nfsstat3.NFS3ERR_NOTDIR
    assert failure.obj_attributes.type == 1
