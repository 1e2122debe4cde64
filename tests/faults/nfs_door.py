"""The NFS door as a worker uses it: a file appears, or is replaced, whole, by a rename onto its name."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from nfs_client import NfsClient, NfsStatus

from protocols.nfs.codec.nfs3_types import nfsstat3, stable_how

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House
    from ledger import Version

_CHUNK = 1 << 16
_JUKEBOX_SECONDS = 0.1
_PATIENCE_SECONDS = 30.0
#: What a file is called before it has all its bytes.
_PART = ".part-"


class NfsDoor:
    """Files in a folder of the first export, over one connection that is made anew after a failure."""

    failures = (OSError, NfsStatus)
    refusals = (ConnectionRefusedError,)
    _serial = itertools.count()

    def __init__(self, house: House, folder: str) -> None:
        self._house, self._folder_name = house, folder
        self._client: NfsClient | None = None
        self._folder = b""
        self.rewritten = 0  # files whose UNSTABLE data was lost and was written again

    def put(self, version: Version) -> None:
        """Write a file under a passing name and rename it: the reply to RENAME acknowledges it."""
        part = f"{_PART}{next(self._serial)}-{version.number}".encode()
        self._on_connection(lambda nfs: self._put(nfs, part, version))

    def delete(self, name: str) -> None:
        self._on_connection(lambda nfs: self._remove(nfs, name.encode()))

    def read(self, name: str) -> bytes | None:
        return self._on_connection(lambda nfs: self._read(nfs, name.encode()))

    @staticmethod
    def is_temporary(name: str) -> bool:
        """Return whether *name* is of a file that was still being written."""
        return name.startswith(_PART)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _put(self, nfs: NfsClient, part: bytes, version: Version) -> None:
        data = version.body()
        file = self._patiently(lambda: nfs.create(self._folder, part))
        # A verifier that changed on the way means that UNSTABLE data may be lost: write all of it again.
        while not self._write(nfs, file, data, one_by_one=version.number % 2 == 1):
            self.rewritten += 1
        self._patiently(lambda: nfs.rename(self._folder, part, self._folder, version.name.encode()))

    def _write(self, nfs: NfsClient, file: bytes, data: bytes, *, one_by_one: bool) -> bool:
        """Write *data* UNSTABLE and commit it; return whether one verifier covers all of it.

        Pieces that are committed *one_by_one* become extents of their own, which the house must free one by one.
        """
        verifiers = set()
        for offset in range(0, len(data), _CHUNK):
            piece = data[offset : offset + _CHUNK]
            written = self._patiently(lambda at=offset, piece=piece: nfs.write(file, at, piece, stable_how.UNSTABLE))
            assert written.count == len(piece)
            verifiers.add(written.verf)
            if one_by_one:
                verifiers.add(self._patiently(lambda: nfs.commit(file)).verf)
        verifiers.add(self._patiently(lambda: nfs.commit(file)).verf)
        return len(verifiers) == 1

    def _remove(self, nfs: NfsClient, name: bytes) -> None:
        try:
            self._patiently(lambda: nfs.remove(self._folder, name))
        except NfsStatus as error:
            if error.status != nfsstat3.NFS3ERR_NOENT:
                raise

    def _read(self, nfs: NfsClient, name: bytes) -> bytes | None:
        try:
            file = self._patiently(lambda: nfs.lookup(self._folder, name))
        except NfsStatus as error:
            if error.status != nfsstat3.NFS3ERR_NOENT:
                raise
            return None
        return self._patiently(lambda: nfs.read_all(file))

    def _on_connection(self, work: Callable[[NfsClient], Any]) -> Any:
        """Do *work* over the connection; after a failure the next work has a new one."""
        try:
            if self._client is None:
                self._client = self._connect()
            return work(self._client)
        except BaseException:
            self.close()
            raise

    def _connect(self) -> NfsClient:
        house = self._house
        client = NfsClient("127.0.0.1", house.nfs_port, house.mount_port, timeout_seconds=30)
        try:
            root, name = client.mount(house.export), self._folder_name.encode()
            try:
                self._folder = client.mkdir(root, name)
            except NfsStatus as error:
                if error.status != nfsstat3.NFS3ERR_EXIST:
                    raise
                self._folder = client.lookup(root, name)
        except BaseException:
            client.close()
            raise
        return client

    @staticmethod
    def _patiently(call: Callable[[], Any]) -> Any:
        """Call again as long as the server says JUKEBOX, as the kernel's client does."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return call()
            except NfsStatus as error:
                if error.status != nfsstat3.NFS3ERR_JUKEBOX or time.monotonic() > deadline:
                    raise
            time.sleep(_JUKEBOX_SECONDS)
