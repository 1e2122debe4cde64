"""When old batch numbers and replies are deleted: never before nobody can ask for them."""

from foundation.clock import ManualClock
from metastore.postgres.pruning import REPLY_SECONDS, Pruner


class Books:
    """A ledger and a committer, by what the pruner reads of them."""

    def __init__(self):
        self.durable, self.epochs, self.last_durable = 0, {1: 4}, {1: (4, 0)}

    def commit(self, number):
        self.durable, self.last_durable = number, {1: (4, number)}


class Link:
    def __init__(self):
        self.sent = []

    async def query(self, calls):
        self.sent += calls


def test_a_reply_stays_for_as_long_as_it_may_be_asked_for_and_goes_soon_after():
    clock, books, link = ManualClock(), Books(), Link()
    pruner = Pruner(link, clock, books, books)
    pruner.start()
    pruned = []

    async def prune(number, epochs):
        pruned.append((number, clock.boottime_seconds() - began))
        assert epochs == {1: 4}

    pruner.prune = prune
    began = clock.boottime_seconds()
    committed = {}
    for second in range(400):
        books.commit(second)
        committed[second] = second
        clock.advance(1)
    assert pruned
    for number, at in pruned:
        assert all(at - when >= REPLY_SECONDS for each, when in committed.items() if each < number)
        assert at - committed[number] <= REPLY_SECONDS + 31
    pruner.stop()


def test_the_last_batch_of_a_volume_stays():
    clock, books, link = ManualClock(), Books(), Link()
    pruner = Pruner(link, clock, books, books)
    pruner.start()
    books.commit(7)
    clock.advance(200)
    assert {statement.name: [bytes(each)[-1] for each in parameters] for statement, parameters in link.sent} == {
        "prune batch": [1, 4, 7],
        "prune reply_cache": [1, 4, 7],
    }
