"""Work that blocks, in bounded pools of threads, awaited by coroutines of the reactor."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from foundation.aio import Promise

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")


class Runner(Protocol):
    """Runs blocking work; a test's runs it at once."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, or raise what it raises."""


class ThreadRunner:
    """A pool of threads whose results come back on the reactor's thread."""

    def __init__(self, reactor: Any, threads: int, name: str) -> None:
        """Use at most *threads* threads, named after *name*."""
        self._reactor = reactor
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def __call__(self, work: Callable[[], T]) -> T:
        """Run *work* in a thread."""
        done: Promise[Future[T]] = Promise()
        self._pool.submit(work).add_done_callback(lambda future: self._reactor.callFromThread(done.resolve, future))
        return (await done).result()

    def stop(self) -> None:
        """Take no more work and wait for what runs."""
        self._pool.shutdown(wait=True)


async def run_here(work: Callable[[], T]) -> T:
    """Run *work* at once, on the caller's thread."""
    return work()
