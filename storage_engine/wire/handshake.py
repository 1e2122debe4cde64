"""Who is there: both ends prove that they know the cluster's secret, and neither sends it.

    client → HELLO   version (2), client nonce (32)
    node   → HELLO   version (2), node id (4), node uuid (16), server nonce (32), server proof (32)
    client → PROOF   client proof (32)
    node   → PROOF   empty

A proof is HMAC-SHA256 under the secret over the role, version, node id, node uuid and both nonces. The nonces are
random per connection, so nothing can be replayed; the roles differ, so nothing can be reflected. Nothing else is
accepted before the proof, and a wrong one ends the connection without a word. What follows is not encrypted: bodies
are protected against damage by their checksums, and against others by the network, or by TLS where it is laid below.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from typing import TYPE_CHECKING

from msgspec import Struct

from storage_engine.wire.frames import PROTOCOL_VERSION, BrokenStream

if TYPE_CHECKING:
    from uuid import UUID

NONCE_BYTES = 32
_CLIENT_HELLO = struct.Struct(">H32s")
_SERVER_HELLO = struct.Struct(">HI16s32s32s")


class Named(Struct, frozen=True):
    """Which node answers."""

    id: int
    uuid: UUID


class NotProven(Exception):
    """The peer does not know the secret, or is another node than it should be."""


def new_nonce() -> bytes:
    """Return a fresh nonce."""
    return secrets.token_bytes(NONCE_BYTES)


def encode_client_hello(nonce: bytes) -> bytes:
    """Return the client's HELLO."""
    return _CLIENT_HELLO.pack(PROTOCOL_VERSION, nonce)


def decode_client_hello(payload: memoryview) -> bytes:
    """Return the client's nonce; raise BrokenStream for another version."""
    if len(payload) != _CLIENT_HELLO.size:
        raise BrokenStream("a HELLO of another length")
    version, nonce = _CLIENT_HELLO.unpack(payload)
    if version != PROTOCOL_VERSION:
        raise BrokenStream(f"protocol version {version}; this node speaks {PROTOCOL_VERSION}")
    return bytes(nonce)


def encode_server_hello(secret: bytes, named: Named, client_nonce: bytes, server_nonce: bytes) -> bytes:
    """Return the node's HELLO with its proof."""
    proof = _prove(secret, b"node", named, client_nonce + server_nonce)
    return _SERVER_HELLO.pack(PROTOCOL_VERSION, named.id, named.uuid.bytes, server_nonce, proof)


def check_server_hello(payload: memoryview, secret: bytes, named: Named, client_nonce: bytes) -> bytes:
    """Return the client's proof for the node *named*; raise NotProven or BrokenStream."""
    if len(payload) != _SERVER_HELLO.size:
        raise BrokenStream("a HELLO of another length")
    version, node_id, node_uuid, server_nonce, proof = _SERVER_HELLO.unpack(payload)
    if version != PROTOCOL_VERSION:
        raise BrokenStream(f"protocol version {version}; this gateway speaks {PROTOCOL_VERSION}")
    if (node_id, node_uuid) != (named.id, named.uuid.bytes):
        raise NotProven(f"node {node_id} answers where node {named.id} should")
    nonces = client_nonce + server_nonce
    if not hmac.compare_digest(proof, _prove(secret, b"node", named, nonces)):
        raise NotProven(f"node {named.id} does not know the cluster's secret")
    return _prove(secret, b"gateway", named, nonces)


def check_client_proof(payload: memoryview, secret: bytes, named: Named, nonces: bytes) -> None:
    """Check the client's proof over both *nonces* (the client's first); raise NotProven."""
    if not hmac.compare_digest(bytes(payload), _prove(secret, b"gateway", named, nonces)):
        raise NotProven("the client does not know the cluster's secret")


def _prove(secret: bytes, role: bytes, named: Named, nonces: bytes) -> bytes:
    text = b"gatefold node protocol|" + role + struct.pack(">HI", PROTOCOL_VERSION, named.id) + named.uuid.bytes
    return hmac.new(secret, text + nonces, hashlib.sha256).digest()
