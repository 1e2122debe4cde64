"""`gatefold setup`: from an empty folder to an installation that can serve.

The configuration is written last: a home without one was never set up, and what an interrupted setup left behind is
removed by the next.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from appliance.choices import new_config, new_installation
from appliance.claim import claim, release, remove_leftovers
from appliance.components import running
from appliance.config import DatabaseConfig, render
from appliance.home import DATABASE, Home, write_durably
from appliance.postgres.identity import choose_identity
from appliance.postgres.places import choose_places
from appliance.postgres.server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.choices import Choices
    from foundation.clock import Clock

_KEY_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits


async def set_up(reactor: Any, clock: Clock, home: Home, choices: Choices, say: Callable[[str], object]) -> None:
    """Make the installation that complete *choices* describe; raise SetupRefused, or whatever went wrong.

    After an error nothing of it is left, save rows in an external database, which the next setup takes over.
    """
    installation = new_installation()
    with home.lock("lock", "setup"):
        claim(home, installation)
        try:
            config = new_config(choices, _database_config(home, choices, installation), installation)
            home.make_secrets()
            if choices.database:
                home.write_secret(DATABASE, choices.database.encode())
                await _found(reactor, clock, home, config, choices, say)
            else:
                say("making the database")
                server = PostgresServer(reactor, clock, home, config.database, config.lifecycle)
                server.found()
                async with running([[server]], lambda _name, _line: None):
                    await _found(reactor, clock, home, config, choices, say)
            write_durably(home.config_path, render(config).encode(), 0o600)
            release(home)
        except BaseException:
            remove_leftovers(home)
            raise


def _database_config(home: Home, choices: Choices, installation: str) -> DatabaseConfig:
    if choices.database:
        return DatabaseConfig(managed=False)
    identity = choose_identity()
    directory, socket = choose_places(home, identity, installation)
    return DatabaseConfig(managed=True, directory=directory, socket_directory=socket, user=identity.name)
