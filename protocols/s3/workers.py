"""Threads for digests of large bodies: hashlib lets go of the interpreter while it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: Below this, handing the work to a thread costs more than doing it.
MIN_BYTES = 128 << 10


class Workers:
    """A bounded pool. Each upload has one piece in work, so its queue is as long as there are uploads."""

    def __init__(self, reactor: Any, threads: int) -> None:
        """Use at most *threads* threads."""
        self._reactor = reactor
        self._pool = ThreadPool(0, threads, "s3-digest")

    def open(self) -> None:
        """Be ready for work."""
        self._pool.start()

    def close(self) -> None:
        """Let running work end, and the threads with it."""
        self._pool.stop()

    async def run(self, work: Callable[[bytes], T], data: bytes) -> T:
        """Return `work(data)`, computed here if *data* is short and in a thread if it is not."""
        if len(data) < MIN_BYTES:
            return work(data)
        result: T = await deferToThreadPool(self._reactor, self._pool, work, data)
        return result
