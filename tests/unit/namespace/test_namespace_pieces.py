"""The namespace's pure pieces against the simplest possible references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import AlreadyExists, InvalidArgument, InvalidName, NameTooLong
from metastore.records import Extent
from namespace.extents import Draft, ExtentMap
from namespace.intervals import IntervalSet
from namespace.names import check_name, check_new_name, key_components, successor
from namespace.overlay import Meter, Overlay

SPAN = 60
RANGE = st.tuples(st.integers(0, SPAN), st.integers(0, SPAN)).map(sorted)


@given(st.lists(st.tuples(st.booleans(), RANGE)))
def test_an_interval_set_is_a_set_of_points(steps):
    intervals: IntervalSet[int] = IntervalSet()
    points: set[int] = set()
    for add, (lower, upper) in steps:
        if add:
            intervals.add(lower, upper)
            points |= set(range(lower, upper))
        else:
            intervals.cut(lower, upper)
            points -= set(range(lower, upper))
        assert {p for p in range(SPAN + 2) if intervals.covers(p)} == points
        for start in range(0, SPAN, 7):
            for end in range(start + 1, SPAN, 9):
                assert intervals.covers_range(start, end) == (set(range(start, end)) <= points)


def test_an_interval_without_upper_bound_covers_all_that_follows():
    intervals: IntervalSet[bytes] = IntervalSet()
    intervals.add(b"m", None)
    assert intervals.covers(b"\xff\xff")
    assert intervals.covers_range(b"n", None)
    intervals.cut(b"p", b"q")
    assert not intervals.covers(b"p")
    assert intervals.covers(b"q")
    assert not intervals.covers_range(b"n", None)


@given(st.lists(st.tuples(RANGE, st.booleans()), max_size=12))
def test_a_draft_replaces_bytes_and_counts_rows_and_references(steps):
    base = ExtentMap(1)
    base.known.add(0, None)
    shadow: dict[int, tuple[int, int]] = {}
    references: dict[int, int] = {}
    rows: set[Extent] = set()
    for blob, ((start, end), hole) in enumerate(steps, 1):
        draft = Draft(base)
        new = [] if hole or start == end else [Extent(1, 1, start, end - start, blob, 5)]
        draft.replace(start, end, new)
        for position in range(start, end):
            shadow.pop(position, None)
            if new:
                shadow[position] = (blob, 5 + position - start)
        for number, delta in draft.reference_deltas().items():
            references[number] = references.get(number, 0) + delta
        rows = (rows - draft.removed) | set(draft.added)
        draft.install()
        assert rows == set(base.extents)
        seen = {e.offset + i: (e.blob, e.blob_offset + i) for e in base.extents for i in range(e.length)}
        assert seen == shadow
        assert all(references.get(e.blob, 0) == sum(o.blob == e.blob for o in base.extents) for e in base.extents)
        assert sum(references.values()) == len(base.extents)


@given(st.lists(st.tuples(st.integers(0, 40), st.binary(min_size=1, max_size=20), st.booleans()), max_size=15))
def test_an_overlay_shows_the_last_write_of_each_byte(steps):
    meter = Meter()
    overlay = Overlay(meter)
    shadow: dict[int, int] = {}
    for offset, data, cut in steps:
        if cut:
            overlay.truncate(offset)
            shadow = {position: byte for position, byte in shadow.items() if position < offset}
        else:
            overlay.write(offset, memoryview(data))
            shadow.update({offset + i: byte for i, byte in enumerate(data)})
        seen = {run.offset + i: byte for run in overlay.runs for i, byte in enumerate(run.data)}
        assert seen == shadow
        assert overlay.unsealed == len(shadow) == meter.bytes
        assert [run.offset for run in overlay.runs] == sorted(run.offset for run in overlay.runs)


def test_a_full_group_is_one_that_the_next_byte_cannot_join():
    overlay = Overlay(Meter())
    overlay.write(0, memoryview(bytes(4)))
    overlay.write(4, memoryview(bytes(4)))
    assert overlay.full_groups(8) == [list(overlay.runs)]
    assert overlay.full_groups(16) == []
    overlay.write(20, memoryview(bytes(3)))
    assert [len(group) for group in overlay.sealable(overlay.seq, 16)] == [2, 1]
    assert [len(group) for group in overlay.sealable(2, 16)] == [2]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (b"", InvalidArgument),
        (b"a/b", InvalidArgument),
        (b"a\0b", InvalidArgument),
        (b"n" * 256, NameTooLong),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, error):
    with pytest.raises(error):
        check_name(name)


def test_dot_names_are_reserved_for_what_is_new():
    for name in (b".", b".."):
        check_name(name)
        with pytest.raises(AlreadyExists):
            check_new_name(name)


def test_a_key_is_split_into_skeys():
    assert key_components(b"a/b/c") == [b"a/", b"b/", b"c"]
    assert key_components(b"a/b/") == [b"a/", b"b/"]
    assert key_components(b"/") == [b"/"]
    assert key_components(b"//.\0") == [b"/", b"/", b".\0"]
    assert key_components(b"n" * 256) == [b"n" * 256]


@pytest.mark.parametrize("key", [b"", b"\xff", b"a/\xed\xa0\x80"])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(InvalidName):
        key_components(key)


def test_a_key_that_is_too_long_is_refused():
    with pytest.raises(NameTooLong):
        key_components(b"k" * 1025)


@given(st.binary(), st.binary(max_size=4))
def test_the_successor_bounds_a_prefix_and_nothing_more(prefix, rest):
    upper = successor(prefix)
    if upper is None:
        assert not prefix.strip(b"\xff")
    else:
        assert prefix + rest < upper
        assert not upper.startswith(prefix)
