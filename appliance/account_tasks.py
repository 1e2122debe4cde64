"""Commands that change accounts, keys and buckets: in the database, and then in the gateways that run."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from appliance.accounts import new_account_id, new_key
from appliance.admin import NotAnswering, NotRunning, ask
from appliance.components import rooms, running
from appliance.compose import open_metastore
from appliance.config import FIRST_GATEWAY
from appliance.home import NotPossible
from appliance.repair import refuse_if_served
from appliance.tasks import a_metastore
from foundation.errors import InvalidArgument, NoReply
from metastore.api import VolumeTaken
from metastore.records import Account
from namespace.settings import check_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.config import Config
    from appliance.home import Home
    from foundation.clock import Clock
    from metastore.api import MetaStore

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_MAX_NUMBER = 2**32 - 2
#: Whose files anonymous callers make: no account's.
_NOBODY = 65534
#: The first user number that an account gets when none is asked for.
_FIRST_UID = 10_000


async def add_account(  # noqa: PLR0913, PLR0917 - what an account is
    reactor: Any, clock: Clock, home: Home, name: str, uid: int | None, gid: int | None, groups: tuple[int, ...]
) -> dict[str, Any]:
    """Add an account without keys and return it; raise NotPossible."""
    if not _NAME.fullmatch(name):
        raise NotPossible(f"{name!r} is no name for an account: letters, digits and . _ @ -, at most 64")
    async with a_metastore(reactor, clock, home) as metastore:
        accounts = await metastore.accounts()
        if any(each.name == name for each in accounts):
            raise NotPossible(f"there is an account {name} already")
        if uid is None:
            uid = max([_FIRST_UID - 1, *(each.uid for each in accounts if each.uid < _NOBODY)]) + 1
        numbers = (uid, uid if gid is None else gid, *groups)
        if uid == _NOBODY or not all(0 <= number <= _MAX_NUMBER for number in numbers):
            raise NotPossible(f"user and group numbers are 0 to {_MAX_NUMBER}, and {_NOBODY} is nobody's")
        account = Account(new_account_id(), name, uid, numbers[1], groups)
        await metastore.put_account(account)
    tell_gateways(home)
    return {"name": name, "uid": uid, "gid": account.gid, "groups": list(groups), "id": account.id}


async def remove_account(reactor: Any, clock: Clock, home: Home, name: str) -> None:
    """Remove an account and its keys; raise NotPossible while it owns buckets."""
    async with a_metastore(reactor, clock, home) as metastore:
        account = await _named(metastore, name)
        if not await metastore.drop_account(account.id):
            owned = [each.name for each in await metastore.volumes() if each.owner == account.id]
            raise NotPossible(f"{name} owns {', '.join(owned[:10])}: delete its buckets first")
    tell_gateways(home)


async def add_key(reactor: Any, clock: Clock, home: Home, name: str) -> dict[str, Any]:
    """Give an account one more key pair and return it; raise NotPossible."""
    async with a_metastore(reactor, clock, home) as metastore:
        key = new_key(await _named(metastore, name))
        await metastore.put_access_key(key)
    tell_gateways(home)
    return {"account": name, "access_key": key.access_key, "secret_key": key.secret_key}


async def remove_key(reactor: Any, clock: Clock, home: Home, access_key: str) -> None:
    """Remove a key pair; raise NotPossible."""
    async with a_metastore(reactor, clock, home) as metastore:
        if all(each.access_key != access_key for each in await metastore.access_keys()):
            raise NotPossible(f"there is no key {access_key}")
        await metastore.drop_access_key(access_key)
    tell_gateways(home)


async def _named(metastore: MetaStore, name: str) -> Account:
    for account in await metastore.accounts():
        if account.name == name:
            return account
    raise NotPossible(f"there is no account {name}")


def tell_gateways(home: Home) -> None:
    """Let every gateway of *home* that runs read the accounts at once; others do by themselves, within 2 s."""
    for name in _gateways(home.config()):
        with suppress(NotRunning):
            ask(home, "read accounts", name)


def _gateways(config: Config) -> Iterator[str]:
    yield FIRST_GATEWAY
    yield from (gateway.name for gateway in config.gateways)


async def set_bucket(reactor: Any, clock: Clock, home: Home, bucket: str, changes: dict[str, str]) -> dict[str, str]:
    """Change settings of *bucket* and return all of them: through the gateway that holds it, or if none runs, here.

    Raise NotPossible, or HomeBusy when a gateway of another home may hold it.
    """
    try:
        check_settings(changes)
    except InvalidArgument as error:
        raise NotPossible(str(error)) from error
    refusals: list[str] = []
    for name in _gateways(home.config()):
        try:
            return ask(home, "set bucket", name, bucket=bucket, changes=changes)
        except NotAnswering as error:
            refusals.append(str(error))
        except NotRunning:
            continue
    if refusals:
        raise NotPossible("; ".join(refusals))
    return await _set_at_rest(reactor, clock, home, bucket, changes)


async def _set_at_rest(reactor: Any, clock: Clock, home: Home, bucket: str, changes: dict[str, str]) -> dict[str, str]:
    """Take the bucket while nothing serves it, change it and give it back."""
    config = home.config()
    with home.lock("lock", "bucket set"):
        database = rooms(reactor, clock, home, config)[:1] if config.database.managed else []
        async with (
            running(database, lambda _name, _line: None),
            open_metastore(reactor, clock, home, config, "command") as metastore,
        ):
            await refuse_if_served(metastore)
            row = await metastore.volume_named(bucket)
            if row is None:
                raise NotPossible(f"there is no bucket {bucket}")
            await metastore.register_gateway("command")
            try:
                await metastore.take_volume(row.vol, row.holder, row.epoch)
                changed = await metastore.change_settings(row.vol, changes)
                await metastore.release_volume(row.vol)
            except (VolumeTaken, NoReply) as error:
                raise NotPossible(f"a gateway has taken {bucket} meanwhile: {error}") from error
            finally:
                await metastore.end_gateway()
    return changed.settings
