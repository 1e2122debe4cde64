"""Using the metastore outside a gateway: setup, status and check are programs that ask a few things and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from twisted.internet.epollreactor import EPollReactor

from foundation.aio import start
from foundation.clock import SystemClock
from metastore.postgres.store import PgMetaStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.python.failure import Failure

T = TypeVar("T")


def call(dsn: str, name: str, work: Callable[[PgMetaStore], Awaitable[T]]) -> T:
    """Open the metastore of *dsn*, run *work* with it, close it, and return what *work* returned.

    It blocks, on a reactor of its own: for programs that run no other. What *work* or `open` raises is raised.
    *work* calls `register_gateway` itself if it creates or takes volumes; a gateway takes them over later.
    """
    reactor = EPollReactor()  # type: ignore[no-untyped-call]  # Twisted has no types there
    results: list[T] = []
    failures: list[Failure] = []

    async def run() -> None:
        store = PgMetaStore(reactor, dsn, SystemClock(reactor), name)
        try:
            await store.open()
            results.append(await work(store))
        finally:
            await store.close()

    def begin() -> None:
        start(run()).addErrback(failures.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    if failures:
        failures[0].raiseException()
    return results[0]
