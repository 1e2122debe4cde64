"""`gatefold setup`: from an empty folder to an installation that can serve.

The configuration is written last: a home without one was never set up, and what an interrupted setup left behind is
removed by the next.
"""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING, Any

from appliance.choices import new_config, new_installation
from appliance.claim import SetupRefused, claim, release, remove_leftovers
from appliance.components import running
from appliance.compose import database_dsn, open_metastore
from appliance.config import Config, ConfigError, DatabaseConfig, NodeConfig, render
from appliance.home import DATABASE, DatabaseUnusable, Home, write_durably
from appliance.node import node_identity
from appliance.postgres.identity import choose_identity
from appliance.postgres.places import choose_places
from appliance.postgres.server import PostgresServer
from foundation.errors import InvalidName
from metastore.migrate import upgrade
from metastore.records import AccessKey, Account, Node, RingRow, Volume
from namespace.bucket_names import check_bucket_name
from namespace.buckets import root_inode
from namespace.view import new_generation
from storage_engine.node import format_disk
from storage_engine.ring import RingNode, build_ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.choices import Choices
    from foundation.clock import Clock
    from metastore.api import MetaStore

_KEY_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits


async def set_up(reactor: Any, clock: Clock, home: Home, choices: Choices, say: Callable[[str], object]) -> None:
    """Make the installation that complete *choices* describe; raise SetupRefused, or whatever went wrong.

    After an error nothing of it is left, save rows in an external database, which has to be emptied then.
    """
    try:
        check_bucket_name(choices.bucket)
    except InvalidName:
        raise ConfigError(f"bucket: {choices.bucket!r} is no name for a bucket") from None
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


async def _found(
    reactor: Any, clock: Clock, home: Home, config: Config, choices: Choices, say: Callable[[str], object]
) -> None:
    """Make everything that lies in the database, and format the nodes."""
    try:
        upgrade(database_dsn(reactor, clock, home, config))
    except Exception as error:  # whatever its drivers call it, the database is not usable
        raise DatabaseUnusable(f"the database cannot be prepared: {error}") from error
    async with open_metastore(reactor, clock, home, config, "setup") as metastore:
        if await metastore.accounts():
            raise SetupRefused("this database holds an installation already, or what was left of one; empty it")
        await metastore.register_gateway("setup")
        say(f"formatting {len(config.nodes)} storage nodes")
        nodes = [_format(home, config, node) for node in config.nodes]
        for row in nodes:
            await metastore.put_node(row)
        account = _new_account(choices)
        await metastore.put_account(account)
        await metastore.put_access_key(_new_key(account))
        ring = _new_ring(nodes, choices)
        await _make_bucket(clock, metastore, account, choices.bucket)
        await metastore.end_gateway()
        # Last: without a ring nothing serves what is there.
        await metastore.put_ring(ring)


def _format(home: Home, config: Config, node: NodeConfig) -> Node:
    """Make a node's disk and return its row."""
    identity = node_identity(config, node)
    format_disk(home.inside(node.directory), identity)
    return Node(node.id, node.uuid, node.host, node.port, "", 1, "up")


def _new_ring(nodes: list[Node], choices: Choices) -> RingRow:
    """Return the first epoch of the ring over *nodes*."""
    ring = build_ring([RingNode(node.id, node.weight, node.zone) for node in nodes], choices.copies)
    return RingRow(ring.epoch, ring.copies, choices.write_quorum, ring.partitions, ring.checksum)


def _new_account(choices: Choices) -> Account:
    return Account(secrets.token_hex(32), choices.account, choices.uid, choices.gid, ())


def _new_key(account: Account) -> AccessKey:
    """Draw a key pair of the form that every S3 tool takes: 20 and 40 characters."""
    access_key = "GF" + "".join(secrets.choice(_KEY_LETTERS) for _ in range(18))
    return AccessKey(access_key, "".join(secrets.choice(_SECRET_LETTERS) for _ in range(40)), account.id)


async def _make_bucket(clock: Clock, metastore: MetaStore, account: Account, name: str) -> None:
    """Make the first bucket, held by nobody."""
    now_ns = clock.now_ns()
    root = root_inode(account.uid, account.gid, now_ns, new_generation())
    bucket = await metastore.create_volume(Volume(0, name, account.id, now_ns, 0, 0, {}), root)
    await metastore.release_volume(bucket.vol)
