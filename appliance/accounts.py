"""The accounts and keys that a running gateway knows: read anew all the time, for commands change them."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING

from appliance.identities import read_credentials
from foundation.aio import Semaphore, spawn
from foundation.errors import FsError, NoReply
from foundation.log import Logger
from metastore.records import AccessKey
from protocols.s3.ownership import Owners

if TYPE_CHECKING:
    from foundation.clock import Clock, Timer
    from metastore.api import Directory
    from metastore.records import Account
    from protocols.s3.auth.credential import Credential

_log = Logger()
#: How long after one look the next begins: a key that is removed opens nothing after a second and the look itself.
REREAD_SECONDS = 1.0
_KEY_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits


class Accounts:
    """Who may ask, as the database says."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        """Know nobody yet."""
        self.owners = Owners()
        self._directory = directory
        self._clock = clock
        self._credentials: dict[str, Credential] = {}
        self._turn = Semaphore(1)  # so that what a later look saw is never replaced by an earlier one's
        self._timer: Timer | None = None
        self._stopped = False

    def credential(self, access_key: str) -> Credential | None:
        """Return the credential of an access key; None for one that does not exist."""
        return self._credentials.get(access_key)

    async def start(self) -> None:
        """Read everything, and go on looking."""
        await self.reread()
        self._later()

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    async def reread(self) -> None:
        """Read accounts and keys; what the database had when this was called is known when it returns."""
        async with self._turn:
            accounts = await self._directory.accounts()
            self._credentials = await read_credentials(self._directory)
            self.owners.know((account.id, account.name, account.uid) for account in accounts)

    def _later(self) -> None:
        if not self._stopped:
            self._timer = self._clock.call_later(REREAD_SECONDS, lambda: spawn("read accounts", self._look()))

    async def _look(self) -> None:
        try:
            await self.reread()
        except (FsError, NoReply) as error:
            # Who was let in before still is: without its database the gateway soon answers nobody.
            _log.warn("cannot read accounts and keys: {error}", error=error)
        finally:
            self._later()


def new_account_id() -> str:
    """Draw a canonical user id."""
    return secrets.token_hex(32)


def new_key(account: Account) -> AccessKey:
    """Draw a key pair of the form that every S3 tool takes: 20 and 40 characters."""
    access_key = "GF" + "".join(secrets.choice(_KEY_LETTERS) for _ in range(18))
    return AccessKey(access_key, "".join(secrets.choice(_SECRET_LETTERS) for _ in range(40)), account.id)
