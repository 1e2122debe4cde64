"""Record marking: the same records however the stream is cut."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nfs.codec.record import MAX_FRAGMENTS, RecordError, RecordReader, record_mark


def fragments(record: bytes, cuts: list[int]) -> bytes:
    """Return *record* on the wire, in a fragment per cut."""
    edges = [0, *sorted(cut % (len(record) + 1) for cut in cuts), len(record)]
    pieces = [record[start:stop] for start, stop in itertools.pairwise(edges)]
    wire = [len(piece).to_bytes(4, "big") + piece for piece in pieces[:-1]]
    return b"".join([*wire, record_mark(len(pieces[-1])), pieces[-1]])


def read(reader: RecordReader, data: bytes) -> list[bytes]:
    reader.feed(data)
    return list(iter(reader.next_record, None))


@given(
    records=st.lists(st.tuples(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=4)), max_size=5),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_any_cut_of_the_stream_gives_the_same_records(records, cuts):
    wire = b"".join(fragments(record, inner) for record, inner in records)
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    reader = RecordReader(100)
    got = []
    for start, stop in itertools.pairwise(edges):
        got += read(reader, wire[start:stop])
    assert got == [record for record, _ in records]
    assert not reader.mid_record()


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5), st.integers(0, 3))
def test_what_was_not_taken_yet_stays_in_front_of_what_is_fed_next(records, taken):
    wire = b"".join(record_mark(len(record)) + record for record in records)
    reader = RecordReader(100)
    reader.feed(wire)
    got = [reader.next_record() for _ in range(min(taken, len(records)))]
    assert got + read(reader, wire) == records + records


def test_every_single_byte_cut_gives_the_same_records():
    wire = fragments(b"first record", [3, 3, 7]) + fragments(b"", []) + fragments(b"x" * 50, [10])
    reader = RecordReader(100)
    got = [record for index in range(len(wire)) for record in read(reader, wire[index : index + 1])]
    assert got == [b"first record", b"", b"x" * 50]


@pytest.mark.parametrize(
    "wire",
    [
        b"\xff\xff\xff\xff",
        b"\x80\x00\x00\x65",
        b"\x00\x00\x00\x65",
        fragments(b"x" * 101, [50]),
    ],
    ids=["2^31-1", "one too many", "not the last", "in two fragments"],
)
def test_a_record_over_the_limit_is_refused_by_its_header(wire):
    with pytest.raises(RecordError):
        read(RecordReader(100), wire)


def test_a_record_at_the_limit_is_taken():
    assert read(RecordReader(100), fragments(b"x" * 100, [1, 99])) == [b"x" * 100]


def test_fragments_without_end_are_refused():
    with pytest.raises(RecordError):
        read(RecordReader(100), bytes(4) * (MAX_FRAGMENTS + 1))


def test_a_peer_that_sends_single_bytes_costs_time_in_proportion():
    def seconds(size: int) -> float:
        reader = RecordReader(size)
        reader.feed(record_mark(size))
        start = time.process_time()
        for _ in range(size - 1):
            reader.feed(b"x")
            assert reader.next_record() is None
            assert len(reader._parts) < 64
        reader.feed(b"x")
        assert reader.next_record() == b"x" * size
        return time.process_time() - start

    small = min(seconds(4000) for _ in range(3))
    assert min(seconds(32000) for _ in range(3)) < 8 * small * 4


def test_a_long_record_is_joined_from_the_pieces_that_were_received():
    reader = RecordReader(1 << 20)
    body = bytes(range(256)) * 4096
    reader.feed(record_mark(len(body)))
    assert reader.next_record() is None
    for at in range(0, len(body) - 65536, 65536):
        piece = body[at : at + 65536]
        reader.feed(piece)
        assert reader.next_record() is None
        assert reader._parts[-1] is piece
    assert reader.missing() == 65536
    reader.feed(body[-65536:])
    assert reader.next_record() == body
