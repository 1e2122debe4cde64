"""The semaphore: places are handed on in order of arrival, however many wait and however soon each ends."""

import pytest

from foundation.aio import Promise, Semaphore, start


@pytest.mark.parametrize("places", [1, 3])
def test_holders_that_end_at_once_wake_thousands_in_order_and_not_within_each_other(places):
    semaphore, gate, order = Semaphore(places), Promise(), []

    async def hold(number):
        async with semaphore:
            if number < places:
                await gate
            order.append(number)

    for number in range(5000):
        start(hold(number))
    assert order == []
    gate.resolve(None)
    assert [number for number in order if number >= places] == list(range(places, 5000))
    assert sorted(order) == list(range(5000))


def test_no_more_than_its_places_hold_it_and_who_comes_late_does_not_pass_who_waits():
    semaphore, gates, order = Semaphore(2), {}, []

    async def hold(name):
        async with semaphore:
            order.append(name)
            gates[name] = Promise()
            await gates[name]

    async def hold_and_ask():
        async with semaphore:
            order.append("asks")
            start(hold("late"))

    for name in ("a", "b"):
        start(hold(name))
    start(hold_and_ask())
    start(hold("c"))
    assert order == ["a", "b"]
    gates["a"].resolve(None)
    assert order == ["a", "b", "asks", "c"]
    gates["b"].resolve(None)
    assert order == ["a", "b", "asks", "c", "late"]


def test_a_holder_that_fails_hands_its_place_on():
    semaphore, gate, order = Semaphore(1), Promise(), []

    async def fail():
        async with semaphore:
            await gate
            raise ValueError("a holder")

    async def hold():
        async with semaphore:
            order.append(1)

    failed = start(fail())
    start(hold())
    gate.resolve(None)
    assert order == [1]
    failed.addErrback(lambda failure: failure.trap(ValueError))
