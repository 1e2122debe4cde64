from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_engine.api import MAX_BLOB_BYTES, BlobId, Origin
from storage_engine.checksum import page_checksums, pieces, whole_checksum
from storage_engine.wire import messages
from storage_engine.wire.frames import BrokenStream

U64 = st.integers(0, 2**64 - 1)
BLOB = st.builds(BlobId, U64, U64)
BODY = os.urandom(200_000)


@given(BLOB, st.builds(Origin, U64, U64, U64, U64, U64), U64, st.integers(1, len(BODY)))
def test_a_put_comes_out_as_it_went_in(blob, origin, fence, length):
    pages = page_checksums([BODY[:length]])
    put = messages.Put(blob, origin, fence, length, whole_checksum(pages, length), pages, (BODY[:length],))
    back = messages.decode_put(memoryview(b"".join(messages.encode_put(put))))
    assert (back.blob, back.origin, back.fence, back.whole, back.pages) == (blob, origin, fence, put.whole, pages)
    assert b"".join(back.body) == BODY[:length]


@given(BLOB, st.integers(0, 2**32 - 1), st.integers(1, MAX_BLOB_BYTES))
def test_a_read_comes_out_as_it_went_in(blob, offset, length):
    read = messages.Read(blob, offset, length)
    assert messages.decode_read(memoryview(messages.encode_read(read))) == read


@given(U64, U64, st.lists(U64, min_size=1, max_size=50))
def test_a_delete_comes_out_as_it_went_in(vol, fence, ids):
    delete = messages.Delete(vol, fence, tuple(ids))
    assert messages.decode_delete(memoryview(messages.encode_delete(delete))) == delete


@given(
    st.lists(st.builds(messages.HeldHere, U64, st.integers(0, 2**32 - 1), st.booleans()), max_size=20), st.booleans()
)
def test_an_inventory_page_comes_out_as_it_went_in(held, eof):
    assert messages.decode_page(memoryview(messages.encode_page(held, eof=eof))) == (held, eof)


def test_a_report_comes_out_as_it_went_in():
    stat = messages.NodeStat(1, 2, 3, 4, "fs", taking_writes=True, detail="fine")
    assert messages.decode_stat(memoryview(messages.encode_stat(stat))) == stat


def test_the_checksums_of_a_range_are_those_of_its_pieces():
    read = messages.Read(BlobId(1, 2), 60_000, 80_000)
    data = memoryview(BODY)[60_000:140_000]
    sums = tuple(range(len(pieces(60_000, 80_000))))
    payload = memoryview(b"".join(messages.encode_range(sums, data)))
    assert messages.decode_range(payload, read) == (sums, data)


DECODERS = [
    messages.decode_put,
    messages.decode_read,
    messages.decode_blob,
    messages.decode_delete,
    messages.decode_close_epochs,
    messages.decode_inventory,
    messages.decode_page,
    messages.decode_stat,
    lambda payload: messages.decode_range(payload, messages.Read(BlobId(1, 1), 0, 999)),
]


@pytest.mark.parametrize("decode", DECODERS)
@given(garbage=st.binary(max_size=200))
def test_garbage_is_a_broken_stream_and_nothing_else(decode, garbage):
    with contextlib.suppress(BrokenStream):
        decode(memoryview(garbage))


def test_a_blob_of_no_legal_length_is_refused():
    pages = page_checksums([b"x"])
    for length in (0, MAX_BLOB_BYTES + 1):
        put = messages.Put(BlobId(1, 1), Origin(1, 1, 1, 1, 1), 1, length, 0, pages, (b"x",))
        with pytest.raises(BrokenStream):
            messages.decode_put(memoryview(b"".join(messages.encode_put(put))))
