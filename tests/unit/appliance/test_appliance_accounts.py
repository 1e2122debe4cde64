"""What a gateway knows of accounts and keys, and when it learns of changes."""

from __future__ import annotations

import pytest
from hall import run

from appliance.accounts import REREAD_SECONDS, Accounts, new_account_id, new_key
from foundation.clock import ManualClock
from foundation.errors import Unavailable
from metastore.memory import MemoryDatabase, MemoryMetaStore
from metastore.records import AccessKey, Account
from protocols.s3.ownership import Owners

ANN = Account("a" * 64, "ann", 1001, 1001, (50,))


class Directory(MemoryMetaStore):
    """A metastore that can be away."""

    away = False

    async def accounts(self) -> list[Account]:
        if self.away:
            raise Unavailable("the database is away")
        return await super().accounts()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def directory(clock: ManualClock) -> Directory:
    directory = Directory(clock, MemoryDatabase())
    run(directory.put_account(ANN))
    run(directory.put_access_key(AccessKey("AK", "secret", ANN.id)))
    return directory


@pytest.fixture
def accounts(directory: Directory, clock: ManualClock) -> Accounts:
    accounts = Accounts(directory, clock)
    run(accounts.start())
    return accounts


def test_a_key_that_comes_or_goes_is_known_after_the_next_look(
    accounts: Accounts, directory: Directory, clock: ManualClock
):
    known = accounts.credential("AK")
    assert known is not None
    assert (known.caller.uid, known.caller.groups, known.caller.account) == (1001, frozenset({50}), ANN.id)
    run(directory.drop_access_key("AK"))
    run(directory.put_access_key(AccessKey("NEW", "secret", ANN.id)))
    run(directory.put_access_key(AccessKey("NOBODYS", "secret", "z" * 64)))
    assert accounts.credential("AK") is not None
    clock.advance(REREAD_SECONDS)
    assert [accounts.credential(each) is not None for each in ("AK", "NEW", "NOBODYS")] == [False, True, False]


def test_a_nudge_needs_no_clock(accounts: Accounts, directory: Directory):
    run(directory.drop_account(ANN.id))
    run(accounts.reread())
    assert accounts.credential("AK") is None
    assert not accounts.owners.knows(ANN.id)


def test_without_the_database_what_was_known_stays_and_the_looks_go_on(
    accounts: Accounts, directory: Directory, clock: ManualClock
):
    directory.away = True
    clock.advance(REREAD_SECONDS * 3)
    assert accounts.credential("AK") is not None
    run(directory.drop_access_key("AK"))
    directory.away = False
    clock.advance(REREAD_SECONDS)
    assert accounts.credential("AK") is None


def test_a_stopped_gateway_looks_no_more(accounts: Accounts, directory: Directory, clock: ManualClock):
    accounts.stop()
    run(directory.drop_access_key("AK"))
    clock.advance(REREAD_SECONDS * 5)
    assert accounts.credential("AK") is not None


def test_a_key_pair_has_the_form_that_tools_take_and_is_never_drawn_twice():
    keys = [new_key(ANN) for _ in range(100)]
    assert {(len(key.access_key), len(key.secret_key)) for key in keys} == {(20, 40)}
    assert len({key.access_key for key in keys} | {key.secret_key for key in keys}) == 200
    assert len(new_account_id()) == 64


def test_a_file_is_the_account_of_its_uid_and_else_the_buckets():
    owners = Owners([("b", "bob", 7), ("a", "ann", 7), ("c", "carol", 9)])
    assert owners.of_file(7, "c") == ("a", "ann"), "the least id of two"
    assert owners.of_file(7, "b") == ("b", "bob"), "the bucket's own, where it fits"
    assert owners.of_file(8, "c") == ("c", "carol"), "nobody's uid"
    assert owners.of_file(8, "gone") == ("gone", "gone"), "an account that is gone has its id for a name"
    owners.know([])
    assert not owners.knows("a")
