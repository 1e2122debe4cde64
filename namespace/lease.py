"""The lease: until when this gateway may answer from memory, and when it may take another gateway's volumes.

No two clocks are ever compared, and no wall clock counts; only that CLOCK_BOOTTIME goes on while a process is stopped
or its machine sleeps, and that two such clocks run at about the same speed.

- *The holder* renews by adding one to its beat in the database. Once it knows that this is committed it may answer
  until the moment before it asked, plus `lease_seconds`, less `margin_seconds`.
- *The observer* must have seen one beat in an answer, and again in the answer to a question asked `lease_seconds` plus
  `margin_seconds` later. The first answer came after that beat was committed, and the holder asked before that; so when
  the second question is asked, the holder's deadline for that beat is past, and no later beat was there.
- A beat that is committed after that question is known to its holder only after its deadline. **A renewal that is
  known too late therefore continues no lease: it begins another one**, a *term*, and what was held in the last one is
  dropped and must be taken again, by (holder, epoch), of which the observer has seen the same: one of the two wins.

The margins bear clocks that run at different speeds: (6 - 0.5) / (1 - r) <= (6 + 0.5) / (1 + r) for every r up to
1/12, on both sides at once, which is the fastest that `chronyd` ever turns a clock (its default `maxslewrate`); the
kernel's own NTP discipline stays below 1/2000. What they do not bear is a hypervisor that stops a guest's
CLOCK_BOOTTIME with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from foundation.aio import Promise, spawn
from foundation.crash import crash_point
from foundation.errors import NoReply
from foundation.log import Logger
from metastore.api import GatewayGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from foundation.clock import Clock, Timer
    from metastore.api import MetaStore

_log = Logger()
_after_renewal = crash_point("lease.after_renewal")


class Terms(Struct, frozen=True):
    """How long things take, in seconds.

    A shorter lease is taken over sooner and lost sooner when the database stalls: 6 s outlast a restart of PostgreSQL,
    and three renewals in a row may be lost.
    """

    lease_seconds: float = 6.0
    margin_seconds: float = 0.5
    renew_seconds: float = 1.5  # from the sending of one renewal to that of the next
    retry_seconds: float = 0.2  # after one that failed
    watch_seconds: float = 1.0  # between two looks at who holds what


class Lease:
    """This gateway's own lease."""

    def __init__(self, metastore: MetaStore, clock: Clock, terms: Terms) -> None:
        """Prepare to renew the row of the gateway that *metastore* has registered."""
        self._metastore = metastore
        self._clock = clock
        self.terms = terms
        self._in_force = False
        self._renewed: Promise[None] = Promise()  # resolves when a term begins
        self._timer: Timer | None = None
        self._ended = False
        #: Boot time up to which answers may leave. Compared on every operation: a plain attribute.
        self.deadline = float("-inf")
        #: Counts the leases of this process: grows whenever one runs out.
        self.term = 0
        #: Called when a lease has run out, before anyone is told so: whoever keeps memory drops it.
        self.lapsed: Callable[[], object] = lambda: None
        #: Called with the error when this run is gone for good.
        self.gone: Callable[[BaseException], object] = lambda _error: None

    async def begin(self) -> None:
        """Get the first lease and renew it from now on; raise what the metastore raises."""
        asked = self._clock.boottime_seconds()
        await self._renew(asked)
        self._renew_later(asked)

    def end(self) -> None:
        """Renew no more; whoever waits for a lease is told NoReply."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        renewed, self._renewed = self._renewed, Promise()
        renewed.resolve(None)

    async def held(self) -> int:
        """Wait for a lease in force and return its term; raise NoReply after the end."""
        while not self.holds(self.term):
            if self._ended:
                raise NoReply("the gateway is stopping")
            await self._renewed
        return self.term

    def holds(self, term: int) -> bool:
        """Return whether the lease of *term* is in force."""
        self.look()
        return self._in_force and term == self.term

    def look(self) -> None:
        """Compare the clock with the deadline; once it is past, `lapsed` is called, once per term."""
        if self._in_force and self._clock.boottime_seconds() >= self.deadline:
            self._in_force = False
            self.term += 1
            _log.error("the lease ran out: nothing is answered from memory until there is another")
            self.lapsed()

    # ------------------------------------------------------------------ renewals

    async def _renew(self, asked: float) -> None:
        """Renew once; *asked* is a time before the renewal was sent."""
        await self._metastore.renew()
        _after_renewal()
        self.look()  # known too late, it must not join two leases
        self.deadline = asked + self.terms.lease_seconds - self.terms.margin_seconds
        if self._clock.boottime_seconds() >= self.deadline or self._ended:
            return
        if not self._in_force:
            self._in_force = True
            renewed, self._renewed = self._renewed, Promise()
            renewed.resolve(None)

    def _renew_later(self, asked: float, pause_seconds: float = 0.0) -> None:
        if self._ended:
            return
        due = asked + self.terms.renew_seconds - self._clock.boottime_seconds()
        self._timer = self._clock.call_later(max(pause_seconds, due), lambda: spawn("renew the lease", self._turn()))

    async def _turn(self) -> None:
        asked = self._clock.boottime_seconds()
        try:
            await self._renew(asked)
        except GatewayGone as error:
            _log.critical("others took this gateway for dead and forgot it: {error}", error=error)
            self.deadline = float("-inf")
            self.look()
            self.gone(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the lease runs out unless a renewal gets through
            _log.warn("the lease is not renewed: {error}", error=error)
            self._renew_later(asked, self.terms.retry_seconds)
        else:
            self._renew_later(asked)
