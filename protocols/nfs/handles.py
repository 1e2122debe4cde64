"""File handles: volume, inode, generation and export, under a keyed MAC (docs/adr/0020).

    version  reserved  export id  volume   inode    generation  MAC
    1 byte   1 byte    2 bytes    4 bytes  8 bytes  4 bytes     12 bytes

A handle says the same on every host and in every process that has the key. There is exactly one handle for a file
in whole-bucket exports and the root export (export id 0): two would be two incoherent inodes on one client.
"""

from __future__ import annotations

import hmac
from hashlib import blake2s
from struct import Struct as Layout
from typing import NamedTuple

from foundation.errors import InvalidArgument
from namespace.api import FileId
from protocols.nfs.codec.nfs3_types import nfsstat3
from protocols.nfs.errors import Nfs3Refusal

_BODY = Layout(">BBHIQI")
_VERSION = 1
MAC_BYTES = 12
#: Exactly FHSIZE of MOUNT version 1, so that it can hand out these handles too.
HANDLE_BYTES = _BODY.size + MAC_BYTES
#: A key shorter than the MAC's strength would be the weakest part.
MIN_KEY_BYTES = 16
#: Handles checked before are remembered, about 300 bytes each; a MAC costs as much as a whole cached look-up.
_REMEMBERED = 16384


class Handle(NamedTuple):
    """What a handle names, and the export that it was handed out by (0 = any whole-bucket export)."""

    file: FileId
    export: int


class HandleCodec:
    """Makes and checks handles with one key."""

    def __init__(self, key: bytes) -> None:
        """Use *key* (16 to 32 bytes, from configuration, the same in every gateway of an installation)."""
        if not MIN_KEY_BYTES <= len(key) <= blake2s.MAX_KEY_SIZE:
            raise InvalidArgument("the handle key must have 16 to 32 bytes")
        self._mac = blake2s(key=key, digest_size=MAC_BYTES, person=b"gf-fh-1")
        self._checked: dict[bytes, Handle] = {}

    def encode(self, file: FileId, export: int) -> bytes:
        """Return the handle of *file* under *export* (0 for whole buckets)."""
        body = _BODY.pack(_VERSION, 0, export, file.vol, file.ino, file.gen)
        return body + self._digest(body)

    def decode(self, handle: bytes) -> Handle:
        """Return what *handle* names; raise Nfs3Refusal (NFS3ERR_BADHANDLE) unless this key made it."""
        known = self._checked.get(handle)
        if known is not None:
            return known
        body = handle[: _BODY.size]
        if len(handle) != HANDLE_BYTES or not hmac.compare_digest(self._digest(body), handle[_BODY.size :]):
            raise Nfs3Refusal(nfsstat3.NFS3ERR_BADHANDLE)
        version, _, export, vol, ino, gen = _BODY.unpack(body)
        if version != _VERSION:
            raise Nfs3Refusal(nfsstat3.NFS3ERR_BADHANDLE)
        if len(self._checked) >= _REMEMBERED:
            self._checked.clear()
        fresh = self._checked[handle] = Handle(FileId(vol, ino, gen), export)
        return fresh

    def _digest(self, body: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(body)
        return mac.digest()
