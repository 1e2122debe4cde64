"""CPU of the S3 door alone, without sockets: `python tests/unit/s3/bench_door.py` from the top of the tree.

Requests are signed beforehand and replayed over a connection in memory against the fake namespace. The best of
several rounds is printed, beside what one MD5 of the body and one parse by httptools cost in the same run.
"""

# ruff: noqa: E402 - it runs as a script, from anywhere
from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2])]

import httptools
from loop import House
from signing import signed
from twisted.logger import globalLogBeginner

ROUNDS, REQUESTS = 40, 100


def best(work):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(REQUESTS):
            work()
        times.append((time.perf_counter() - start) / REQUESTS)
    return min(times) * 1e6


class _Ignore:
    def on_header(self, name, value): ...


def main():
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    house = House()
    house.namespace.buckets["bench"] = {}
    wire = house.connect()
    send, sent = wire.protocol.dataReceived, wire.sent
    body = b"x" * 4096
    requests = {
        "PUT 4 KiB": signed("V4_HEADER", "PUT", "/bench/key", body=body),
        "GET 4 KiB": signed("V4_HEADER", "GET", "/bench/key"),
        "HEAD": signed("V4_HEADER", "HEAD", "/bench/key"),
        "GET presigned V4": signed("V4_QUERY", "GET", "/bench/key"),
        "GET presigned V2": signed("V2_QUERY", "GET", "/bench/key"),
        "LIST 1": signed("V4_HEADER", "GET", "/bench?list-type=2&prefix=k"),
    }

    def once(request):
        send(request)
        assert sent[0].startswith(b"HTTP/1.1 200"), b"".join(sent)
        sent.clear()

    print(f"limit: MD5 of 4 KiB {best(lambda: hashlib.md5(body).digest()):6.1f} us")
    bare = httptools.HttpRequestParser(_Ignore())
    print(f"limit: bare parse   {best(lambda: bare.feed_data(requests['GET 4 KiB'])):6.1f} us")
    for name, request in requests.items():
        print(f"{name:19} {best(lambda request=request: once(request)):6.1f} us")


if __name__ == "__main__":
    main()
