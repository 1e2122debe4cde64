"""What the machine itself can do, measured in the same run: no figure of ours can honestly be above its limit."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import time
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
_COPY_MIB = 256
_SECONDS = 0.5
_GETATTR_CALL_BYTES, _GETATTR_REPLY_BYTES = 116, 116


def _serve(listener: socket.socket, mode: str) -> None:
    """Be the other end: take bytes (`sink`), or answer each request of a GETATTR's size (`echo`)."""
    conn, _ = listener.accept()
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer, pending, reply = bytearray(4 * MIB), 0, bytes(_GETATTR_REPLY_BYTES)
    while got := conn.recv_into(buffer):
        if mode == "echo":
            pending += got
            whole, pending = divmod(pending, _GETATTR_CALL_BYTES)
            conn.sendall(reply * whole)
    conn.close()


@contextmanager
def _peer(mode: str) -> Iterator[socket.socket]:
    """Yield a connection to another process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = get_context("fork").Process(target=_serve, args=(listener, mode), daemon=True)
        process.start()
        with socket.create_connection(listener.getsockname()) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield sock
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(MIB):  # else the other end would see its last answers refused
                pass
        process.join(10)


def loopback_copy() -> float:
    """Return MiB/s of 1 MiB units through one loopback connection."""
    unit = bytes(MIB)
    with _peer("sink") as sock:
        started = time.perf_counter()
        for _ in range(_COPY_MIB):
            sock.sendall(unit)
        return _COPY_MIB / (time.perf_counter() - started)


def loopback_calls(window: int) -> float:
    """Return round trips/s of messages of a GETATTR's size, *window* in flight, with nothing done at the other end."""
    call, answered = bytes(_GETATTR_CALL_BYTES), 0
    with _peer("echo") as sock:
        sock.sendall(call * window)
        started, pending = time.perf_counter(), 0
        while time.perf_counter() < started + _SECONDS:
            pending += len(sock.recv(MIB))
            whole, pending = divmod(pending, _GETATTR_REPLY_BYTES)
            answered += whole
            sock.sendall(call * whole)
        return answered / (time.perf_counter() - started)


def file_write(folder: Path) -> float:
    """Return MiB/s of 1 MiB writes to a new file of the house's file system, and one fdatasync at the end."""
    unit = os.urandom(MIB)
    with tempfile.TemporaryFile(dir=folder) as file:
        started = time.perf_counter()
        for _ in range(_COPY_MIB):
            os.write(file.fileno(), unit)
        os.fdatasync(file.fileno())
        return _COPY_MIB / (time.perf_counter() - started)


def file_sync(folder: Path) -> float:
    """Return 4 KiB writes/s, each made durable by fdatasync before the next."""
    unit, count = os.urandom(4096), 0
    with tempfile.TemporaryFile(dir=folder) as file:
        os.write(file.fileno(), bytes(16 * MIB))  # in place of an append: as segments are, zeroed ahead
        os.fsync(file.fileno())
        started = time.perf_counter()
        while time.perf_counter() < started + _SECONDS:
            os.pwrite(file.fileno(), unit, count * 4096 % (16 * MIB))
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - started)


def one_row_commit(dsn: str) -> float:
    """Return transactions/s of one connection that inserts one row and commits, on the house's own PostgreSQL."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE gatefold_bench_limit (n bigint PRIMARY KEY, filler text)")
        try:
            connection.execute("SET synchronous_commit = on")
            count, started = 0, time.perf_counter()
            while time.perf_counter() < started + _SECONDS:
                connection.execute("INSERT INTO gatefold_bench_limit VALUES (%s, %s)", (count, "x" * 100), prepare=True)
                count += 1
            return count / (time.perf_counter() - started)
        finally:
            connection.execute("DROP TABLE gatefold_bench_limit")


def md5() -> float:
    """Return MiB/s of MD5 in one thread: S3's ETag asks for it."""
    unit = os.urandom(MIB)
    digest, started = hashlib.md5(usedforsecurity=False), time.perf_counter()
    for _ in range(_COPY_MIB):
        digest.update(unit)
    return _COPY_MIB / (time.perf_counter() - started)
