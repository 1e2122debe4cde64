"""Answers that take long: 200 is said early, and spaces follow until the document is known (S3, CopyObject).

So no client, and nothing between, takes a copy of gigabytes for a dead connection. The document says how it ended: an
error's, after a 200, is what clients of these operations look for. Success is never said before it is durable; where
the outcome is not known, the connection ends within the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from foundation.aio import Promise, start
from foundation.errors import NoReply
from protocols.s3.call import Answer
from protocols.s3.codec.xmlwrite import DECLARATION
from protocols.s3.errors import is_known

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from foundation.clock import Clock
    from protocols.s3.http.body import Body

_log = Logger()
#: How long a client waits for the first or next byte; clients give up after 60 s and more.
TURN_SECONDS = 10.0


async def patient(
    clock: Clock, body: Body, work: Coroutine[Any, Any, Answer], failed: Callable[[Exception], Answer]
) -> Answer:
    """Return the answer of *work*, or, if that takes long, one that waits for it; *failed* makes an error's answer.

    While the request's *body* is not whole, the client has no answer to wait for. Raise what *work* raises while
    nothing has been sent.
    """
    running = _Work(clock, work)
    while not await running.ended_within(TURN_SECONDS):
        if body.complete:
            break
    else:
        return running.result()
    return Answer(headers=[("content-type", "application/xml")], length=None, stream=_Waiting(running, failed))


class _Work:
    """An operation under way."""

    def __init__(self, clock: Clock, work: Coroutine[Any, Any, Answer]) -> None:
        """Begin *work*."""
        self._clock = clock
        self._answer: Answer | None = None
        self._error: BaseException | None = None
        self._turn: Promise[None] | None = None
        self.abandoned = False  # nobody will ask for the result
        start(work).addCallbacks(self._succeed, self._fail)

    def _succeed(self, answer: Answer) -> None:
        self._answer = answer
        self._wake()

    def _fail(self, failure: Any) -> None:
        self._error = failure.value
        if self.abandoned and not is_known(failure.value) and not isinstance(failure.value, NoReply):
            _log.failure("S3 request failed after its client had gone", failure)
        self._wake()

    def _wake(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.resolve(None)

    @property
    def _ended(self) -> bool:
        return self._answer is not None or self._error is not None

    async def ended_within(self, seconds: float) -> bool:
        """Return as soon as the work has ended, or False after *seconds*."""
        if not self._ended:
            turn = self._turn = Promise()
            timer = self._clock.call_later(seconds, self._wake)
            await turn
            timer.cancel()
        return self._ended

    def result(self) -> Answer:
        """Return the answer, or raise what the work raised."""
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer


class _Waiting:
    """Spaces, then the document."""

    def __init__(self, work: _Work, failed: Callable[[Exception], Answer]) -> None:
        self._work = work
        self._failed = failed
        self._begun = self._whole = False

    async def next(self) -> Sequence[bytes | memoryview]:
        """Return the next buffers, none at the end; raise NoReply if the outcome is not known."""
        if self._whole:
            return ()
        if not self._begun:
            self._begun = True
            return (DECLARATION,)
        if not await self._work.ended_within(TURN_SECONDS):
            return (b" ",)
        self._whole = True
        return (self._document().removeprefix(DECLARATION),)

    def _document(self) -> bytes:
        try:
            return self._work.result().body
        except NoReply:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the end of this answer
            return self._failed(error).body

    async def close(self) -> None:
        """Let the work go on: what it does is done whether or not anybody waits for the answer."""
        self._work.abandoned = True
