"""What a crash or a bad disk may leave in a segment, and what a node makes of it."""

from __future__ import annotations

import os
import shutil
import uuid

import msgspec
import pytest
from one_node import MIB, OneNode

from storage_engine.checksum import crc32c
from storage_engine.node.identity import WrongDisk
from storage_engine.node.records import (
    FIRST_RECORD,
    SEAL_POSITION,
    UnknownFormat,
    decode_segment_header,
    encode_segment_header,
    span_of,
)
from storage_engine.node.scan import scan_segment
from storage_engine.wire.frames import Refusal, Status

FIRST, SECOND = b"the first blob" * 3, b"the second" * 4


@pytest.fixture
def node(tmp_path):
    node = OneNode(tmp_path / "disk")
    yield node
    if node.parts is not None:
        node.close()


def reopened(node, data, *, size=5 * MIB):
    """Open the node with *data*, and zeros up to *size*, in its one segment, as if the disk had come back so."""
    if node.parts is not None:
        node.close()
    for path in node.segments:
        path.unlink()
    for path in node.notes:
        path.unlink()
    with (node.config.folder / "segments" / f"{1:016x}.seg").open("wb") as file:
        file.write(data)
        file.truncate(max(size, len(data)))
    node.open()
    return node


def answer(node, number, expected):
    """Return the bytes or the refusal of a read; any other bytes than *expected* are a failure."""
    try:
        body = node.read(1, number, 0, len(expected))
    except Refusal as refusal:
        return refusal.status
    assert body == expected, "wrong bytes were served"
    return body


def image_of_two(node):
    node.put(1, 1, FIRST)
    node.put(1, 2, SECOND)
    return node.segments[0].read_bytes()[: 4 << 10]


def test_a_tail_torn_at_any_byte_keeps_the_valid_prefix(node):
    image = image_of_two(node)
    second = FIRST_RECORD + span_of(len(FIRST))
    end = second + span_of(len(SECOND))
    for cut in range(second, end + 1):
        torn = image[:cut] + bytes(len(image) - cut)
        reopened(node, torn)
        assert answer(node, 1, FIRST) == FIRST
        whole = torn == image
        assert answer(node, 2, SECOND) == (SECOND if whole else Status.NOT_HELD), cut
        if cut % 16 == 0:
            node.put(1, 2, SECOND)  # what was never answered may be sent again
            node.open()
            assert answer(node, 2, SECOND) == SECOND


def test_a_file_cut_at_any_byte_keeps_the_valid_prefix(node):
    image = image_of_two(node)
    second = FIRST_RECORD + span_of(len(FIRST))
    for cut in range(second, second + span_of(len(SECOND)), 7):
        reopened(node, image[:cut], size=0)
        assert answer(node, 1, FIRST) == FIRST
        assert answer(node, 2, SECOND) in {SECOND, Status.NOT_HELD}


@pytest.mark.parametrize("sealed", [False, True])
def test_any_flipped_byte_gives_the_right_bytes_or_a_typed_error(node, sealed):
    image = image_of_two(node)
    if sealed:
        # A zeroed byte behind the tail makes the next start seal it.
        reopened(node, image + b"x")
        image = node.segments[0].read_bytes()[: 4 << 10]
        assert any(image[SEAL_POSITION : SEAL_POSITION + 8])
    start, stop = FIRST_RECORD, FIRST_RECORD + span_of(len(FIRST))
    refused = 0
    for position in range(start, stop):
        flipped = bytearray(image)
        flipped[position] ^= 0x40
        reopened(node, bytes(flipped))
        refused += answer(node, 1, FIRST) != FIRST
        assert answer(node, 2, SECOND) == SECOND, "damage must not hide what follows"
    padding = stop - start - (96 + 4 + 4 + len(FIRST))
    assert refused == stop - start - padding


def test_a_flip_while_the_node_runs_is_found_and_noted_and_the_segment_kept(node):
    node.put(1, 1, FIRST)
    path = node.segments[0]
    with path.open("r+b") as file:
        file.seek(FIRST_RECORD + 96 + 4 + 4 + 5)
        file.write(b"\xff")
    assert answer(node, 1, FIRST) == Status.DAMAGED
    assert answer(node, 1, FIRST) == Status.DAMAGED
    assert len(node.notes) == 1
    node.delete(1, 1)
    node.open()
    assert node.store.index.use(1).pinned


def test_a_damaged_copy_is_replaced_by_a_sound_one(node):
    node.put(1, 1, FIRST)
    with node.segments[0].open("r+b") as file:
        file.seek(FIRST_RECORD + 200 - 100 + 8)
        file.write(b"\xff")
    assert answer(node, 1, FIRST) == Status.DAMAGED
    node.put(1, 1, FIRST)
    assert answer(node, 1, FIRST) == FIRST
    node.open()
    assert answer(node, 1, FIRST) == FIRST


@pytest.mark.parametrize("position", range(0, 64, 5))
def test_a_damaged_segment_header_is_noted_and_the_file_kept(node, position):
    image = bytearray(image_of_two(node))
    image[position] ^= 1
    reopened(node, bytes(image))
    assert node.store.index.blobs == 0
    assert len(node.notes) == 1
    node.put(1, 3, b"new")
    node.open()
    assert [path.stem[-1] for path in node.segments] == ["1", "2"]
    assert answer(node, 3, b"new") == b"new"


def test_what_was_synced_nowhere_but_looks_like_a_record_is_not_one(node):
    # A body that holds another segment's record, byte for byte, at a place where a record may start.
    node.put(1, 1, FIRST)
    record = node.segments[0].read_bytes()[FIRST_RECORD : FIRST_RECORD + span_of(len(FIRST))]
    evil = bytes(512 - 104) + record * 2
    node.put(1, 2, evil)
    image = bytearray(node.segments[0].read_bytes())
    second = FIRST_RECORD + span_of(len(FIRST))
    image[second] ^= 1  # its header is lost: the reader now walks through its body
    reopened(node, bytes(image))
    assert node.store.index.blobs == 1


def test_garbage_behind_the_tail_is_no_record_and_is_never_overwritten(node):
    image = image_of_two(node)
    end = FIRST_RECORD + span_of(len(FIRST)) + span_of(len(SECOND))
    torn = image[:end] + os.urandom(3000) + image[end + 3000 :]
    reopened(node, torn)
    assert answer(node, 1, FIRST) == FIRST
    assert answer(node, 2, SECOND) == SECOND
    node.put(1, 3, b"next")
    assert len(node.segments) == 2
    assert node.segments[0].read_bytes()[end : end + 3000] == torn[end : end + 3000]


def test_a_clean_segment_goes_on_after_a_restart(node):
    image_of_two(node)
    for number in range(3, 8):
        node.open()
        node.put(1, number, b"more")
    assert len(node.segments) == 1
    assert node.store.index.blobs == 7


def test_a_segment_of_a_newer_format_is_refused_not_repaired(node):
    image = bytearray(image_of_two(node))
    node.close()
    image[8] = 2
    length = 8 + 2 + 6 + 16 + 32
    image[length : length + 4] = crc32c(bytes(image[:length])).to_bytes(4, "little")
    node.segments[0].write_bytes(image)
    with pytest.raises(UnknownFormat):
        node.open()
    assert node.segments[0].read_bytes() == bytes(image)


def test_a_segment_of_another_node_is_refused(node, tmp_path):
    other = OneNode(tmp_path / "other")
    other.put(1, 1, FIRST)
    other.close()
    node.close()
    image = bytearray(other.segments[0].read_bytes())
    header = decode_segment_header(bytes(image[:512]))
    image[:512] = encode_segment_header(msgspec.structs.replace(header, node_uuid=uuid.UUID(int=99).bytes))
    shutil.copy(other.segments[0], node.config.folder / "segments" / f"{1:016x}.seg")
    (node.config.folder / "segments" / f"{1:016x}.seg").write_bytes(image)
    with pytest.raises(WrongDisk):
        node.open()


def test_an_unfinished_segment_is_dropped_at_start(node):
    node.put(1, 1, FIRST)
    unborn = node.config.folder / "segments" / f"{2:016x}.new"
    unborn.write_bytes(b"half made")
    node.open()
    assert not unborn.exists()
    assert answer(node, 1, FIRST) == FIRST


def test_a_scan_of_random_bytes_finds_nothing_and_raises_nothing(tmp_path):
    for length in (0, 1, 511, 1024, 70_000):
        path = tmp_path / "garbage"
        path.write_bytes(os.urandom(length))
        fd = os.open(path, os.O_RDONLY)
        scan = scan_segment(fd)
        os.close(fd)
        assert scan.header is None
        assert not scan.blobs
