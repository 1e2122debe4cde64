"""The house put together: plain constructor calls, top to bottom; only here are concrete classes known."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from appliance.admin import AdminServer
from appliance.config import ConfigError
from appliance.greeting import s3_address
from appliance.home import CLUSTER, DATABASE, HANDLE, DatabaseUnusable
from appliance.identities import export_facts, read_credentials, read_rules
from appliance.postgres.server import PostgresServer
from appliance.status import greeting_facts, live_facts
from appliance.succession import Succession
from foundation.aio import gather
from metastore.postgres import ConnectionLost, Outdated, PgMetaStore, Unfit
from namespace.service import GatefoldNamespace
from protocols.nfs.exports import Exports
from protocols.nfs.server import NfsServer
from protocols.s3.server import CorsRules, S3Server
from storage_engine.api import Placement
from storage_engine.cluster import ClusterBodyStore, NodeAddress
from storage_engine.ring import Ring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from appliance.config import Config, S3Config
    from appliance.home import Home
    from foundation.clock import Clock
    from metastore.api import MetaStore
    from metastore.records import Node, RingRow
    from storage_engine.api import BlobId, BodyStore


@dataclass(frozen=True, slots=True)
class Rooms:
    """Both rooms, open."""

    metastore: MetaStore
    bodies: BodyStore


@asynccontextmanager
async def open_metastore(reactor: Any, clock: Clock, home: Home, config: Config, name: str) -> AsyncIterator[MetaStore]:
    """Connect to the database as *name* while the block runs; raise DatabaseUnusable."""
    metastore = PgMetaStore(reactor, database_dsn(reactor, clock, home, config), clock, name)
    try:
        await metastore.open()
    except Outdated as error:
        raise DatabaseUnusable(f"{error}; run `gatefold upgrade --home {home.path}`") from error
    except (Unfit, ConnectionLost) as error:
        raise DatabaseUnusable(str(error)) from error
    try:
        yield metastore
    finally:
        await metastore.close()


@asynccontextmanager
async def open_rooms(reactor: Any, clock: Clock, home: Home, config: Config, name: str) -> AsyncIterator[Rooms]:
    """Connect to the database and to the nodes while the block runs; raise ConfigError if there is no ring."""
    async with open_metastore(reactor, clock, home, config, name) as metastore:
        ring = await metastore.ring()
        if ring is None:
            raise ConfigError("the database holds no ring: `gatefold setup` did not finish")
        bodies = body_store(reactor, clock, home, metastore, await metastore.nodes(), ring)
        await bodies.open()
        try:
            yield Rooms(metastore, bodies)
        finally:
            await bodies.close()


@asynccontextmanager
async def open_gateway(
    reactor: Any, clock: Clock, home: Home, config: Config, name: str, gone: Callable[[BaseException], object]
) -> AsyncIterator[None]:
    """Serve as gateway *name*, whose lock the caller holds, while the block runs.

    Rooms, namespace, doors, admin socket; closed in the opposite order. *gone*: see `GatefoldNamespace.open`.
    """
    config = config.for_gateway(name)
    async with AsyncExitStack() as stack:
        rooms = await stack.enter_async_context(open_rooms(reactor, clock, home, config, name))
        metastore, bodies = rooms.metastore, rooms.bodies
        run = await metastore.register_gateway(name, s3_address(config))
        succession = Succession(home, name)
        succession.begin(run.id)

        namespace = GatefoldNamespace(metastore, bodies, clock, predecessors=succession.predecessors)
        stack.push_async_callback(namespace.close)
        await namespace.open(gone)
        succession.settle(run.id)

        exports = Exports(await read_rules(config, metastore))
        doors: list[S3Server | NfsServer] = []
        stack.push_async_callback(_close_doors, doors)
        for door in await _doors(reactor, clock, home, config, metastore, namespace, exports):
            await door.start()
            doors.append(door)

        async def reload_exports() -> dict[str, Any]:
            exports.replace(await read_rules(home.config(), metastore))
            return {"exports": export_facts(exports.every())}

        answers = {
            "status": lambda: live_facts(metastore, bodies, namespace, exports),
            "greeting": lambda: greeting_facts(metastore, bodies, namespace, exports),
            "reload exports": reload_exports,
        }
        admin = AdminServer(reactor, home, answers, name)
        admin.start()
        stack.push_async_callback(admin.stop)
        yield


async def _doors(  # noqa: PLR0913, PLR0917 - what both doors are made of
    reactor: Any,
    clock: Clock,
    home: Home,
    config: Config,
    metastore: MetaStore,
    namespace: GatefoldNamespace,
    exports: Exports,
) -> tuple[S3Server, NfsServer]:
    """Return both doors, not open yet."""
    credentials = await read_credentials(metastore)
    s3 = S3Server(
        reactor,
        namespace,
        credentials,
        clock,
        config.s3.listen,
        config.s3.port,
        config.s3.region,
        config.s3.domain or None,
        cors=_cors(config.s3),
    )
    nfs = NfsServer(
        reactor=reactor,
        namespace=namespace,
        exports=exports,
        handle_key=home.key(HANDLE),
        clock=clock,
        listen=config.nfs.listen,
        nfs_port=config.nfs.port,
        mount_port=config.nfs.mount_port,
        portmap=config.nfs.portmap,
    )
    return s3, nfs


def _cors(s3: S3Config) -> CorsRules:
    """Return which pages of other origins may use the S3 door."""
    return CorsRules(
        s3.cors_origins,
        s3.cors_methods,
        tuple(name.lower() for name in s3.cors_headers),
        s3.cors_expose,
        s3.cors_max_age_seconds,
    )


async def _close_doors(doors: list[S3Server | NfsServer]) -> None:
    """Drain all doors side by side: each may take its time for what is under way."""
    await gather([door.stop() for door in doors])


def database_dsn(reactor: Any, clock: Clock, home: Home, config: Config) -> str:
    """Return how to reach the database."""
    if config.database.managed:
        return PostgresServer(reactor, clock, home, config.database, config.lifecycle).dsn
    return home.secret(DATABASE).decode()


def body_store(
    reactor: Any, clock: Clock, home: Home, metastore: MetaStore, nodes: list[Node], ring: RingRow
) -> ClusterBodyStore:
    """Return the store over *nodes*, not connected yet."""

    async def placement_of(blob: BlobId) -> Placement | None:
        row = await metastore.load_blob(blob.vol, blob.id)
        return None if row is None else Placement(row.ring_epoch, row.missing, row.handoff)

    return ClusterBodyStore(
        reactor=reactor,
        clock=clock,
        secret=home.secret(CLUSTER),
        nodes=[NodeAddress(node.id, UUID(node.uuid), node.host, node.port) for node in nodes],
        ring=_ring(ring),
        write_quorum=ring.write_quorum,
        placement_of=placement_of,
    )


def _ring(row: RingRow) -> Ring:
    """Return the ring of *row*; raise ConfigError if it is not the one that was drawn."""
    ring = Ring(row.epoch, row.copies, row.partitions)
    if ring.checksum != row.checksum:
        raise ConfigError(f"ring {row.epoch} does not match its checksum: bodies would be looked for in wrong places")
    return ring
