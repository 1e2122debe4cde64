"""Commands that look into the rooms: through what `serve` runs, or by running what they need while they last."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from appliance.admin import NotAnswering, NotRunning, ask
from appliance.check import Report, check, repair_and_check
from appliance.components import rooms, running
from appliance.compose import database_dsn, open_metastore, open_rooms
from appliance.config import FIRST_GATEWAY
from appliance.home import DatabaseUnusable, HomeBusy
from appliance.identities import export_facts, read_rules
from metastore.migrate import StillServed, upgrade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.config import Config
    from appliance.home import Home
    from foundation.clock import Clock
    from metastore.api import MetaStore


async def run_check(reactor: Any, clock: Clock, home: Home) -> Report:
    """Run `gatefold check`."""
    config = home.config()
    async with _room_processes(reactor, clock, home, config), open_rooms(reactor, clock, home, config, "check") as both:
        return await check(both.metastore, both.bodies)


async def run_repair(reactor: Any, clock: Clock, home: Home) -> Report:
    """Run `gatefold check --repair`; raise HomeBusy while anything serves."""
    config = home.config()
    with home.lock("lock", "check --repair"):
        groups = rooms(reactor, clock, home, config)
        async with (
            running(groups, lambda _name, _line: None),
            open_rooms(reactor, clock, home, config, "repair") as both,
        ):
            return await repair_and_check(both.metastore, both.bodies, clock)


async def run_upgrade(reactor: Any, clock: Clock, home: Home) -> tuple[int, int]:
    """Run `gatefold upgrade`: return the schema's versions before and after.

    Raise HomeBusy while anything serves, or DatabaseUnusable; then the database is as it was.
    """
    config = home.config()
    with home.lock("lock", "upgrade"):
        database = rooms(reactor, clock, home, config)[:1] if config.database.managed else []
        async with running(database, lambda _name, _line: None):
            try:
                return upgrade(database_dsn(reactor, clock, home, config))
            except StillServed as error:
                raise HomeBusy(str(error)) from error
            except Exception as error:  # whatever its drivers call it
                raise DatabaseUnusable(f"the database cannot be upgraded: {error}") from error


async def list_accounts(reactor: Any, clock: Clock, home: Home) -> list[dict[str, Any]]:
    """Return the accounts, without secrets."""
    async with _metastore(reactor, clock, home) as metastore:
        keys = await metastore.access_keys()
        return [
            {
                "id": each.id,
                "name": each.name,
                "uid": each.uid,
                "gid": each.gid,
                "access_keys": [key.access_key for key in keys if key.account == each.id],
            }
            for each in await metastore.accounts()
        ]


async def list_keys(reactor: Any, clock: Clock, home: Home, account: str) -> list[dict[str, Any]]:
    """Return the key pairs of *account*, or of all if it is empty."""
    async with _metastore(reactor, clock, home) as metastore:
        names = {each.id: each.name for each in await metastore.accounts()}
        return [
            {"account": names[key.account], "access_key": key.access_key, "secret_key": key.secret_key}
            for key in await metastore.access_keys()
            if account in ("", names[key.account])
        ]


async def list_buckets(reactor: Any, clock: Clock, home: Home) -> list[dict[str, Any]]:
    """Return the buckets with their owners' names."""
    async with _metastore(reactor, clock, home) as metastore:
        names = {each.id: each.name for each in await metastore.accounts()}
        return [
            {"name": each.name, "vol": each.vol, "owner": names.get(each.owner, each.owner)}
            for each in await metastore.volumes()
        ]


async def list_exports(reactor: Any, clock: Clock, home: Home) -> list[dict[str, Any]]:
    """Return the exports: of the configuration as it is now, and of the database."""
    async with _metastore(reactor, clock, home) as metastore:
        return export_facts(await read_rules(home.config(), metastore))


def reload_exports(home: Home) -> list[dict[str, Any]]:
    """Let every running gateway of *home* read its exports anew; return those in force.

    Raise ConfigError, and change nothing, for exports that make no sense; NotRunning if no gateway runs here.
    """
    config = home.config()
    reloaded: list[dict[str, Any]] | None = None
    for name in (FIRST_GATEWAY, *(gateway.name for gateway in config.gateways)):
        try:
            reloaded = ask(home, "reload exports", name)["exports"]
        except NotAnswering:
            raise
        except NotRunning:
            continue
    if reloaded is None:
        raise NotRunning("no gateway runs here; it reads its exports when it starts")
    return reloaded


@asynccontextmanager
async def _metastore(reactor: Any, clock: Clock, home: Home) -> AsyncIterator[MetaStore]:
    """Open the metastore for a look."""
    config = home.config()
    async with (
        _room_processes(reactor, clock, home, config, only_database=True),
        open_metastore(reactor, clock, home, config, "command") as metastore,
    ):
        yield metastore


@asynccontextmanager
async def _room_processes(
    reactor: Any, clock: Clock, home: Home, config: Config, *, only_database: bool = False
) -> AsyncIterator[None]:
    """Make sure that database and nodes run while the block does: `serve` runs them, or this does."""
    async with AsyncExitStack() as stack:
        with suppress(HomeBusy):  # `serve` has it: use what it runs
            stack.enter_context(home.lock("lock", "a command that looks inside"))
            groups = rooms(reactor, clock, home, config)
            if only_database:
                groups = groups[:1] if config.database.managed else []
            # What they print matters only if one fails, and then the failure quotes it.
            await stack.enter_async_context(running(groups, lambda _name, _line: None))
        yield
