from __future__ import annotations

import itertools
import os

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from storage_engine.checksum import (
    PAGE_BYTES,
    crc32c,
    first_unsound,
    page_checksums,
    page_count,
    pieces,
    whole_checksum,
)

BODY = os.urandom(4 * PAGE_BYTES + 77)


def test_the_checksum_is_crc32c():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(memoryview(b"123456789")) == 0xE3069283


@given(st.integers(1, len(BODY)), st.lists(st.integers(0, len(BODY)), max_size=6))
def test_pages_and_whole_do_not_depend_on_how_the_body_is_cut(length, cuts):
    edges = sorted({0, length, *(min(cut, length) for cut in cuts)})
    parts = [memoryview(BODY)[a:b] for a, b in itertools.pairwise(edges)]
    pages = page_checksums(parts)
    body = BODY[:length]
    assert pages == tuple(crc32c(body[at : at + PAGE_BYTES]) for at in range(0, length, PAGE_BYTES))
    assert len(pages) == page_count(length)
    assert whole_checksum(pages, length) == google_crc32c.value(body)


@given(st.integers(0, 3 * PAGE_BYTES), st.integers(1, PAGE_BYTES * 2))
def test_pieces_cover_the_range_and_never_cross_a_page(offset, length):
    cut = pieces(offset, length)
    assert cut[0][0] == offset
    assert cut[-1][1] == offset + length
    assert all(a < b and a // PAGE_BYTES == (b - 1) // PAGE_BYTES for a, b in cut)
    assert all(one[1] == two[0] for one, two in itertools.pairwise(cut))


def test_a_changed_bit_is_found_in_its_page():
    pages = page_checksums([BODY])
    assert first_unsound(memoryview(BODY), 0, pages) is None
    for position in (0, PAGE_BYTES - 1, PAGE_BYTES, len(BODY) - 1):
        bad = bytearray(BODY)
        bad[position] ^= 1
        assert first_unsound(memoryview(bad), 0, pages) == position // PAGE_BYTES
