"""Running a test's coroutine on a reactor of its own, bounded in time."""

from __future__ import annotations

from twisted.internet.epollreactor import EPollReactor

from foundation.aio import start


def run_on_reactor(work, seconds=30.0):
    """Call *work* with a new reactor, run that until the coroutine has ended, and return or raise what it did."""
    reactor = EPollReactor()
    outcome = []

    def begin():
        start(work(reactor)).addBoth(outcome.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    deadline = reactor.callLater(seconds, reactor.stop)
    reactor.run(installSignalHandlers=False)
    if deadline.active():
        deadline.cancel()
    _close(reactor)
    assert outcome, f"the test did not end within {seconds} s"
    if hasattr(outcome[0], "raiseException"):
        outcome[0].raiseException()
    return outcome[0]


def _close(reactor):
    """Give the descriptors of *reactor* back: Twisted leaves them to the end of the process, and examples are many."""
    for descriptor in reactor.removeAll():
        descriptor.connectionLost(None)
    for waker in list(reactor._internalReaders):
        waker.connectionLost(None)
    reactor._poller.close()
