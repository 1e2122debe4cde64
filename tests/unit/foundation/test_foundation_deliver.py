"""`foundation.aio.deliver`: a coroutine's result without a Deferred, if it comes at once."""

import gc

import pytest
from twisted.internet.defer import Deferred

from foundation.aio import Promise, deliver


def test_a_result_that_needs_no_wait_is_there_when_deliver_returns():
    got = []

    async def work():
        return 5

    deliver(work(), lambda *args: got.append(args), "more")
    assert got == [(5, "more")]


def test_values_and_errors_awaited_reach_the_coroutine_as_ever():
    first, second, third, fourth = Deferred(), Promise(), Deferred(), Promise()
    got = []

    async def inner():
        return await first

    async def work():
        values = [await inner(), await second]
        for failing in (third, fourth):
            try:
                await failing
            except ValueError as error:
                values.append(str(error))
        return values

    deliver(work(), got.append)
    first.callback(1)
    second.resolve(2)
    assert got == []
    third.errback(ValueError("three"))
    fourth.fail(ValueError("four"))
    assert got == [[1, 2, "three", "four"]]


def test_an_error_before_the_first_wait_is_raised():
    async def work():
        raise ValueError("at once")

    with pytest.raises(ValueError, match="at once"):
        deliver(work(), pytest.fail)


def test_a_coroutine_that_is_given_up_is_closed():
    ended = []

    async def work():
        try:
            await Deferred()
        finally:
            ended.append(True)

    deliver(work(), pytest.fail)
    gc.collect()
    assert ended == [True]
