from __future__ import annotations

import uuid

import pytest

from storage_engine.wire import handshake
from storage_engine.wire.frames import BrokenStream

SECRET = b"the secret of this cluster......"
NAMED = handshake.Named(3, uuid.UUID(int=7))


def exchange(client_secret=SECRET, server_secret=SECRET, expected=NAMED):
    nonce = handshake.decode_client_hello(memoryview(handshake.encode_client_hello(handshake.new_nonce())))
    server_nonce = handshake.new_nonce()
    hello = handshake.encode_server_hello(server_secret, NAMED, nonce, server_nonce)
    proof = handshake.check_server_hello(memoryview(hello), client_secret, expected, nonce)
    handshake.check_client_proof(memoryview(proof), server_secret, NAMED, nonce + server_nonce)
    return proof


def test_both_ends_of_one_cluster_know_each_other():
    exchange()


def test_a_client_refuses_a_node_that_does_not_know_the_secret():
    with pytest.raises(handshake.NotProven):
        exchange(server_secret=b"x" * 32)


def test_a_node_refuses_a_client_that_does_not_know_the_secret():
    with pytest.raises(handshake.NotProven):
        handshake.check_client_proof(memoryview(bytes(32)), SECRET, NAMED, bytes(64))


@pytest.mark.parametrize("other", [handshake.Named(4, NAMED.uuid), handshake.Named(3, uuid.UUID(int=8))])
def test_a_client_refuses_a_node_on_a_swapped_disk(other):
    with pytest.raises(handshake.NotProven):
        exchange(expected=other)


def test_a_proof_cannot_be_replayed_on_another_connection():
    proof = exchange()
    with pytest.raises(handshake.NotProven):
        handshake.check_client_proof(memoryview(proof), SECRET, NAMED, bytes(64))


def test_the_nodes_own_proof_cannot_be_sent_back_to_it():
    nonces = (handshake.new_nonce(), handshake.new_nonce())
    hello = handshake.encode_server_hello(SECRET, NAMED, *nonces)
    with pytest.raises(handshake.NotProven):
        handshake.check_client_proof(memoryview(hello[-32:]), SECRET, NAMED, b"".join(nonces))


def test_another_version_is_refused():
    hello = bytearray(handshake.encode_client_hello(bytes(32)))
    hello[1] += 1
    with pytest.raises(BrokenStream):
        handshake.decode_client_hello(memoryview(hello))


def test_the_secret_is_not_in_what_is_sent():
    hello = handshake.encode_server_hello(SECRET, NAMED, bytes(32), bytes(32))
    assert SECRET not in hello
