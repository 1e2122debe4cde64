"""Whose an object is, as S3 shows it: the account that its file's uid stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Canonical user id and display name.
Owner: TypeAlias = tuple[str, str]


class Owners:
    """The accounts by id and by uid, which the appliance keeps up to date."""

    def __init__(self, accounts: Iterable[tuple[str, str, int]] = ()) -> None:
        """Know *accounts*: (id, name, uid)."""
        self.know(accounts)

    def know(self, accounts: Iterable[tuple[str, str, int]]) -> None:
        """Know *accounts* and no others from now on."""
        rows = sorted(accounts, reverse=True)
        self._names = {account: name for account, name, _ in rows}
        self._uids = {account: uid for account, _, uid in rows}
        self._accounts = {uid: account for account, _, uid in rows}  # the least id, of several with one uid

    def knows(self, account: str) -> bool:
        """Tell whether there is such an account."""
        return account in self._names

    def of_account(self, account: str) -> Owner:
        """Return how *account* is shown."""
        return account, self._names.get(account, account)

    def of_file(self, uid: int, account: str) -> Owner:
        """Return the owner of a file of *uid* in a bucket of *account*, who owns what is no account's."""
        if self._uids.get(account) == uid:
            return self.of_account(account)
        return self.of_account(self._accounts.get(uid, account))
