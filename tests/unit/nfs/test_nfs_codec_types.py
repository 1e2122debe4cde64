"""Every type of the NFS door's protocols goes over the wire and comes back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdr_strategies import STRUCTURES, values

from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_results import SIGNATURES, unpack_result
from protocols.nfs.codec.nfs3_types import diropargs3, fattr3, nfsstat3, sattr3, stable_how
from protocols.nfs.codec.xdr import (
    Array,
    LinkedList,
    Opaque,
    Unpacker,
    XdrError,
    decode,
    encode,
    gather,
)


def words(numbers: list[int]) -> bytes:
    """Return small numbers as XDR words: nearer to the truth than random bytes."""
    return b"".join(number.to_bytes(4, "big") for number in numbers)


@pytest.mark.parametrize("kind", STRUCTURES, ids=lambda kind: kind.__name__)
@settings(max_examples=8)
@given(data=st.data())
def test_a_value_comes_back_as_it_went_and_not_when_cut_or_followed_by_more(kind, data):
    value = data.draw(values(kind))
    wire = encode(value)
    assert len(wire) % 4 == 0
    assert decode(kind.unpack, Unpacker(wire)) == value
    with pytest.raises(XdrError):
        decode(kind.unpack, Unpacker(wire + b"\0\0\0\0"))
    if wire:
        with pytest.raises(XdrError):
            decode(kind.unpack, Unpacker(wire[: data.draw(st.integers(0, len(wire) - 1))]))


@settings(max_examples=300)
@given(kind=st.sampled_from(STRUCTURES), wire=st.binary(max_size=200) | st.lists(st.integers(0, 8)).map(words))
def test_random_bytes_are_a_value_with_that_very_form_or_an_xdr_error(kind, wire):
    try:
        value = decode(kind.unpack, Unpacker(wire))
    except XdrError:
        return
    assert encode(value) == wire


@given(proc=st.sampled_from(list(SIGNATURES)), data=st.data(), status=st.sampled_from(nfsstat3))
def test_a_result_is_read_by_its_status(proc, data, status):
    signature = SIGNATURES[proc]
    kind = signature.resok if status == nfsstat3.NFS3_OK else signature.resfail
    body = data.draw(values(kind))
    wire = status.to_bytes(4, "big") + encode(body)
    assert decode(lambda unpacker: unpack_result(proc, unpacker), Unpacker(wire)) == (status, body)


def test_every_procedure_but_null_has_a_signature():
    assert sorted(SIGNATURES) == list(range(1, 22))


def test_fattr3_has_the_84_bytes_of_the_rfc():
    attr = fattr3(1, 0o644, 1, 5, 6, 7, 8, 9 << 32 | 10, 11, 12, 13 << 32 | 14, 15 << 32 | 16, 17 << 32 | 18)
    numbers = [1, 0o644, 1, 5, 6, 0, 7, 0, 8, 9, 10, 0, 11, 0, 12, 13, 14, 15, 16, 17, 18]
    assert encode(attr) == words(numbers)


def test_write_arguments_look_as_the_rfc_says():
    wire = encode(args3.WRITE3args(b"hand", 5, 3, stable_how.FILE_SYNC, b"abc"))
    assert wire.hex(" ", 4) == "00000004 68616e64 00000000 00000005 00000003 00000002 00000003 61626300"


def test_the_data_of_a_write_is_a_view_into_the_record():
    record = encode(args3.WRITE3args(b"hand", 5, 3, stable_how.FILE_SYNC, b"abc"))
    data = decode(args3.WRITE3args.unpack, Unpacker(record)).data
    assert isinstance(data, memoryview)
    assert data.obj is record


@pytest.mark.parametrize("length", [2**32 - 1, 2**32 - 3, 2**31, 65])
def test_a_length_past_the_end_or_the_limit_is_garbage_before_anything_is_allocated(length):
    wire = length.to_bytes(4, "big") + bytes(64)
    for kind in (Opaque(64), Opaque(), Array(Opaque(), 64)):
        with pytest.raises(XdrError):
            decode(kind.unpack, Unpacker(wire))


def test_padding_that_is_not_zero_is_garbage():
    with pytest.raises(XdrError):
        decode(Opaque().unpack, Unpacker(b"\0\0\0\1a\0\1\0"))


def test_a_list_cannot_have_more_items_than_its_bytes():
    with pytest.raises(XdrError):
        decode(LinkedList(sattr3).unpack, Unpacker(b"\0\0\0\1" * 1000))


def test_what_is_too_long_to_be_sent_is_refused_too():
    with pytest.raises(XdrError):
        encode(args3.LOOKUP3args(diropargs3(bytes(65), b"name")))
    with pytest.raises(XdrError):
        encode((1, 2, 3), Array(Opaque(), 2))


@given(st.lists(st.binary(max_size=20) | st.integers(8192, 8200).map(bytes), max_size=8))
def test_gathered_buffers_hold_the_same_bytes_and_long_ones_are_not_copied(parts):
    gathered = gather(parts)
    assert b"".join(gathered) == b"".join(parts)
    assert [part for part in gathered if len(part) >= 8192 and any(part is each for each in parts)] == [
        part for part in parts if len(part) >= 8192
    ]
    assert len(gathered) <= 2 * sum(len(part) >= 8192 for part in parts) + 1
