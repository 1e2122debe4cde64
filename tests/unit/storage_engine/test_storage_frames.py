from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_engine.wire.frames import HEAD_BYTES, BrokenStream, FrameReader, encode_frame

FRAMES = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=300)), max_size=8
)


def stream_of(frames):
    return b"".join(b"".join(encode_frame(kind, status, request, [body])) for kind, status, request, body in frames)


def plain(frames):
    return [(frame.kind, frame.status, frame.request, bytes(frame.payload)) for frame in frames]


@given(FRAMES, st.lists(st.integers(0, 3000), max_size=12))
def test_any_cut_of_the_stream_gives_the_same_frames(frames, cuts):
    stream = stream_of(frames)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    reader, found = FrameReader(limit=300), []
    for a, b in itertools.pairwise(edges):
        found += reader.feed(stream[a:b])
    assert plain(found) == frames
    assert not reader.wanted()


@given(FRAMES, st.data())
def test_filling_the_wanted_buffer_gives_the_same_frames(frames, data):
    stream = stream_of(frames)
    reader, found, position = FrameReader(limit=300), [], 0
    while position < len(stream):
        wanted = reader.wanted()
        if len(wanted) and data.draw(st.booleans()):
            count = data.draw(st.integers(1, len(wanted)))
            wanted[:count] = stream[position : position + count]
            found += reader.filled(count)
        else:
            count = data.draw(st.integers(1, len(stream) - position))
            found += reader.feed(stream[position : position + count])
        position += count
    assert plain(found) == frames


@given(st.binary(max_size=100), st.integers(1, 20))
def test_garbage_is_refused_or_waited_for_but_never_answered_with_much_memory(garbage, step):
    reader = FrameReader(limit=64)
    try:
        for at in range(0, len(garbage), step):
            reader.feed(garbage[at : at + step])
            assert len(reader.wanted()) <= 64
    except BrokenStream:
        pass


def test_a_frame_over_the_limit_is_refused_before_it_is_received():
    reader = FrameReader(limit=10)
    head = b"".join(encode_frame(1, 0, 1, [bytes(11)]))[:HEAD_BYTES]
    with pytest.raises(BrokenStream):
        reader.feed(head)


def test_a_frame_that_lies_whole_in_a_piece_is_a_view_of_it():
    stream = stream_of([(1, 0, 1, b"body")])
    (frame,) = FrameReader().feed(stream)
    assert frame.payload.obj is stream
