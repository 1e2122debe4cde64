"""The NFS door: cached GETATTR, durable CREATE, and 1 MiB READ and WRITE."""

from __future__ import annotations

import itertools
import os
import struct
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

from benchmarks.measure import deadline
from benchmarks.rpc import (
    COMMIT,
    CREATE,
    GETATTR,
    MIB,
    MKDIR,
    NFS,
    READ,
    WRITE,
    CallFailed,
    Connection,
    encode,
    make,
    mount,
    opaque,
    sattr,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GUARDED, _UNSTABLE = 1, 0
_SECONDS = 1.0
#: As many as a Linux client keeps under way when it reads or writes in order.
_DATA_WINDOW = 4


class NfsLoad:
    """A client with a folder of its own on the export."""

    def __init__(self, host: str, port: int, mount_port: int, export: str) -> None:
        self._host, self._port = host, port
        root = mount(host, mount_port, export)
        self._names = (f"n{number}" for number in itertools.count())
        self._xids = itertools.count(2)
        with closing(self._connect()) as connection:
            self._folder = make(connection, MKDIR, root, f"bench-{uuid.uuid4().hex[:8]}", 0o755)

    def getattr(self, window: int) -> Callable[[], float]:
        """Prepare GETATTRs of one cached file, *window* in flight."""
        with closing(self._connect()) as connection:
            file = make(connection, CREATE, self._folder, next(self._names), 0o644)
        calls = [
            [encode(next(self._xids), NFS, GETATTR, opaque(file))] for _ in range(60_000 if window > 1 else 30_000)
        ]
        return self._replay(calls, window)

    def create(self, window: int) -> Callable[[], float]:
        """Prepare CREATEs of new names in one directory, *window* in flight; each reply means it is durable."""
        with closing(self._connect()) as connection:
            directory = make(connection, MKDIR, self._folder, next(self._names), 0o755)
        tail = struct.pack(">I", _GUARDED) + sattr(0o644)
        calls = [
            [encode(next(self._xids), NFS, CREATE, opaque(directory) + opaque(b"f%06d" % number) + tail)]
            for number in range(400 * window + 4000)
        ]
        return self._replay(calls, window)

    def write(self, mib: int) -> Callable[[], float]:
        """Prepare UNSTABLE 1 MiB WRITEs of a new file in order, and the COMMIT."""
        return self._write(mib)[1]

    def read(self, mib: int) -> Callable[[], float]:
        """Write a file, and prepare 1 MiB READs of it in order."""
        file, fill = self._write(mib)
        fill()
        return self._replay(list(self._reads(file, mib)), _DATA_WINDOW, MIB)

    def _write(self, mib: int) -> tuple[bytes, Callable[[], float]]:
        with closing(self._connect()) as connection:
            file = make(connection, CREATE, self._folder, next(self._names), 0o644)
        unit = os.urandom(MIB)
        calls = [
            [
                encode(
                    next(self._xids),
                    NFS,
                    WRITE,
                    opaque(file) + struct.pack(">QIII", number * MIB, MIB, _UNSTABLE, MIB),
                    MIB,
                ),
                unit,
            ]
            for number in range(mib)
        ]
        commit = [[encode(next(self._xids), NFS, COMMIT, opaque(file) + struct.pack(">QI", 0, 0))]]

        def work() -> float:
            with closing(self._connect()) as connection:
                connection.replay(calls, _DATA_WINDOW, lambda: False)
                connection.replay(commit, 1, lambda: False)
            return mib

        return file, work

    def _reads(self, file: bytes, mib: int) -> Iterator[list[bytes]]:
        for number in range(mib):
            yield [encode(next(self._xids), NFS, READ, opaque(file) + struct.pack(">QI", number * MIB, MIB))]

    def _replay(self, calls: list[list[bytes]], window: int, reply_bytes: int = 0) -> Callable[[], float]:
        """Return the work of sending *calls*: data (with *reply_bytes*) all of it, others for a second at most."""

        def work() -> float:
            until = (lambda: False) if reply_bytes else deadline(_SECONDS)
            with closing(self._connect()) as connection:
                answered = connection.replay(calls, window, until, reply_bytes)
            if not answered:
                raise CallFailed("nothing was answered")
            return answered

        return work

    def _connect(self) -> Connection:
        return Connection(self._host, self._port)
