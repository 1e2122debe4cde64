"""The S3 door: GET and PUT of 4 KiB over one and over many connections, and of 64 MiB over one."""

from __future__ import annotations

import hashlib
import itertools
import os
import selectors
import socket
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks.measure import deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIB = 1 << 20
SMALL = 4096
_SECONDS = 1.0
_HEAD_END = b"\r\n\r\n"


class RequestFailed(Exception):
    """A request was not answered with 2xx."""


class S3Load:
    """A client with a bucket of its own; its requests are signed ahead."""

    def __init__(self, host: str, port: int, keys: tuple[str, str]) -> None:
        self._host, self._port = host, port
        self._signer = S3SigV4Auth(Credentials(*keys), "s3", "us-east-1")
        self._bucket = f"bench-{uuid.uuid4().hex[:8]}"
        self._names = (f"k{number:06d}" for number in itertools.count())
        self._small = os.urandom(SMALL)
        self._send_all([self._request("PUT", "", b"")])

    def get_small(self, connections: int) -> Callable[[], float]:
        """Prepare GETs of 4 KiB objects."""
        keys = [next(self._names) for _ in range(32)]
        self._send_all([self._request("PUT", key, self._small) for key in keys])
        requests = [self._request("GET", key, b"") for key in keys]
        return lambda: self._replay(list(itertools.islice(itertools.cycle(requests), 40_000)), connections, SMALL)

    def put_small(self, connections: int) -> Callable[[], float]:
        """Prepare PUTs of new 4 KiB objects; each 200 means it is durable."""
        requests = [self._request("PUT", next(self._names), self._small) for _ in range(1500 + 100 * connections)]
        return lambda: self._replay(requests, connections, 0)

    def put_large(self, mib: int) -> Callable[[], float]:
        """Prepare the PUT of one object of *mib* MiB."""
        body = os.urandom(MIB) * mib
        request = self._request("PUT", next(self._names), body, payload_hash="UNSIGNED-PAYLOAD")

        def work() -> float:
            self._send_all([request])
            return mib

        return work

    def get_large(self, mib: int) -> Callable[[], float]:
        """PUT one object of *mib* MiB, and prepare its GET."""
        key = next(self._names)
        self._send_all([self._request("PUT", key, os.urandom(MIB) * mib, payload_hash="UNSIGNED-PAYLOAD")])
        request = self._request("GET", key, b"")

        def work() -> float:
            self._send_all([request], mib * MIB)
            return mib

        return work

    def _request(self, method: str, key: str, body: bytes, payload_hash: str | None = None) -> tuple[bytes, bytes]:
        """Return head and body of a signed request."""
        path = f"/{self._bucket}/{key}" if key else f"/{self._bucket}"
        request = AWSRequest(method, f"http://{self._host}:{self._port}{path}", data=body)
        request.headers["x-amz-content-sha256"] = payload_hash or hashlib.sha256(body).hexdigest()
        request.context["payload_signing_enabled"] = payload_hash is None
        self._signer.add_auth(request)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode(), body

    def _send_all(self, requests: Sequence[tuple[bytes, bytes]], body_bytes: int = 0) -> None:
        """Send *requests* one after another over one connection."""
        with _Exchange(self._host, self._port, body_bytes) as exchange:
            for request in requests:
                exchange.send(request)
                while not exchange.answered():
                    pass

    def _replay(self, requests: list[tuple[bytes, bytes]], connections: int, body_bytes: int) -> float:
        """Keep one request under way on each connection for a second at most; return how many were answered."""
        over, waiting, answered = deadline(_SECONDS), iter(requests), 0
        with ExitStack() as stack, selectors.DefaultSelector() as selector:
            for _ in range(connections):
                exchange = stack.enter_context(_Exchange(self._host, self._port, body_bytes))
                exchange.send(next(waiting))
                selector.register(exchange.sock, selectors.EVENT_READ, exchange)
            while selector.get_map():
                for ready, _ in selector.select():
                    exchange = ready.data
                    if not exchange.answered():
                        continue
                    answered += 1
                    request = None if over() else next(waiting, None)
                    if request is None:
                        selector.unregister(exchange.sock)
                    else:
                        exchange.send(request)
        return answered


class _Exchange:
    """One keep-alive connection and the answer that is arriving on it."""

    def __init__(self, host: str, port: int, body_bytes: int) -> None:
        self._body_bytes = body_bytes
        self._buffer = memoryview(bytearray(MIB))
        self._head, self._missing = bytearray(), 0
        self.sock = socket.create_connection((host, port), 10)
        self.sock.settimeout(120)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.sock.close()

    def send(self, request: tuple[bytes, bytes]) -> None:
        """Send a request; nothing of an earlier answer may be missing."""
        head, body = request
        if len(body) <= SMALL:
            self.sock.sendall(head + body)
        else:
            self.sock.sendall(head)
            self.sock.sendall(body)

    def answered(self) -> bool:
        """Take what has arrived and return whether the answer is whole; raise RequestFailed unless it is 2xx."""
        got = self.sock.recv_into(self._buffer)
        if not got:
            raise RequestFailed("the server closed the connection")
        if self._missing:
            self._missing -= got
            return not self._missing
        self._head += self._buffer[:got]
        end = self._head.find(_HEAD_END)
        if end < 0:
            return False
        length = self._length(bytes(self._head[:end]))
        self._missing = length - (len(self._head) - end - len(_HEAD_END))
        self._head.clear()
        return not self._missing

    def _length(self, head: bytes) -> int:
        """Return the answer's body length; raise RequestFailed for an error or a body that is too short."""
        lower = head.lower()
        start = lower.find(b"\r\ncontent-length:")
        length = int(lower[start + 17 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if lower[9:10] != b"2" or length < self._body_bytes:
            raise RequestFailed(f"answered {bytes(self._head[:600])!r}")
        return length
