"""The processes of one installation, in the order in which they start."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from appliance.config import FIRST_GATEWAY
from appliance.postgres.server import PostgresServer
from appliance.supervisor import Component, GatefoldProcess
from foundation.aio import gather

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from appliance.config import Config
    from appliance.home import Home
    from foundation.clock import Clock


def rooms(reactor: Any, clock: Clock, home: Home, config: Config) -> list[list[Component]]:
    """Return what holds the data: the managed database, if it is managed, and then the nodes."""
    groups: list[list[Component]] = []
    if config.database.managed:
        groups.append([PostgresServer(reactor, clock, home, config.database, config.lifecycle)])
    at = ("--home", str(home.path))
    nodes: list[Component] = [
        GatefoldProcess(reactor, clock, f"node{node.id}", ("node", *at, "--id", str(node.id)), config.lifecycle)
        for node in config.nodes
    ]
    return [*groups, nodes] if nodes else groups


def house(reactor: Any, clock: Clock, home: Home, config: Config) -> list[list[Component]]:
    """Return everything `gatefold serve` runs: the rooms, and the gateway last."""
    return [*rooms(reactor, clock, home, config), *gateway(reactor, clock, home, config, FIRST_GATEWAY)]


def gateway(reactor: Any, clock: Clock, home: Home, config: Config, name: str) -> list[list[Component]]:
    """Return what `gatefold serve --gateway NAME` runs: that gateway alone."""
    arguments = ("gateway", "run", name, "--home", str(home.path))
    return [[GatefoldProcess(reactor, clock, name, arguments, config.lifecycle)]]


@asynccontextmanager
async def running(groups: list[list[Component]], on_line: Callable[[str, str], object]) -> AsyncIterator[None]:
    """Run *groups* while the block lasts, for one task; whatever was started is stopped."""
    started: list[list[Component]] = []
    try:
        for group in groups:
            started.append(group)
            await gather([component.start(on_line) for component in group])
        yield
    finally:
        for group in reversed(started):
            await gather([component.stop() for component in group])
