"""File handles: only what this installation made is taken (reliability: N01)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import InvalidArgument
from namespace.api import FileId
from protocols.nfs.codec.mount import FHSIZE
from protocols.nfs.codec.nfs3_types import nfsstat3
from protocols.nfs.errors import Nfs3Refusal
from protocols.nfs.handles import HandleCodec

KEY = bytes(range(32))
FILE = FileId(3, 2**63 + 5, 2**32 - 1)


def refused(codec: HandleCodec, handle: bytes) -> bool:
    try:
        codec.decode(handle)
    except Nfs3Refusal as refusal:
        return refusal.status == nfsstat3.NFS3ERR_BADHANDLE
    return False


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 0xFFFF))
def test_a_handle_names_its_file_and_export(vol, ino, gen, export):
    file = FileId(vol, ino, gen)
    handle = HandleCodec(KEY).encode(file, export)
    assert len(handle) == FHSIZE
    assert HandleCodec(KEY).decode(handle) == (file, export)


def test_every_process_with_the_key_makes_the_same_handle():
    assert HandleCodec(KEY).encode(FILE, 0) == HandleCodec(bytes(KEY)).encode(FILE, 0)


def test_n01_no_bit_of_a_handle_can_be_changed():
    codec = HandleCodec(KEY)
    good = codec.encode(FILE, 0)
    codec.decode(good)
    for bit in range(len(good) * 8):
        assert refused(codec, (int.from_bytes(good, "big") ^ 1 << bit).to_bytes(len(good), "big"))


@pytest.mark.parametrize("length", [0, 1, 19, 20, 31, 33, 64])
def test_n01_a_handle_of_another_length_is_refused(length):
    codec = HandleCodec(KEY)
    good = codec.encode(FILE, 0)
    assert refused(codec, good.ljust(64, b"\0")[:length])


@given(st.binary(max_size=64))
def test_n01_random_bytes_are_refused(handle):
    assert refused(HandleCodec(KEY), handle)


def test_n01_the_handle_of_another_installation_is_refused():
    assert refused(HandleCodec(KEY), HandleCodec(b"another key, of 32 bytes exactly").encode(FILE, 0))


def test_a_handle_with_the_right_mac_and_a_version_to_come_is_refused():
    codec = HandleCodec(KEY)
    body = b"\2" + codec.encode(FILE, 0)[1:20]
    assert refused(codec, body + codec._digest(body))


@pytest.mark.parametrize("key", [b"", b"x" * 15, b"x" * 33])
def test_a_key_of_the_wrong_length_is_refused(key):
    with pytest.raises(InvalidArgument):
        HandleCodec(key)


def test_the_memory_of_checked_handles_is_bounded(monkeypatch):
    monkeypatch.setattr("protocols.nfs.handles._REMEMBERED", 10)
    codec = HandleCodec(KEY)
    for ino in range(50):
        codec.decode(codec.encode(FileId(1, ino, 1), 0))
        assert len(codec._checked) <= 10
