"""`gatefold gateway`: further gateways on the database and nodes of an installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from appliance.choices import free_port, from_port
from appliance.command import explained, home_at, home_option, json_option, run_task, show_rows
from appliance.config import FIRST_GATEWAY, GatewayConfig
from appliance.succession import lock_name

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def gateway() -> None:
    """Add a second gateway, and look at them."""


@gateway.command("add")
@click.argument("name")
@home_option
@click.option("--listen", help="IPv4 address of both doors. [default: that of the first gateway]")
@click.option("--s3-port", type=int, help="[default: the next free one after the first gateway's]")
@click.option("--nfs-port", type=int, help="[default: the next free one]")
@click.option("--mount-port", type=int, help="[default: the next free one]")
@explained
def add(
    name: str, home_path: Path, listen: str | None, s3_port: int | None, nfs_port: int | None, mount_port: int | None
) -> None:
    """Add the gateway NAME: it takes over what another one held that died, and serves it at ports of its own."""
    home = home_at(home_path)
    with home.lock("config.lock", "gateway add"):
        config = home.config()
        address = listen or config.s3.listen
        taken = {config.s3.port, config.nfs.port, config.nfs.mount_port, *(node.port for node in config.nodes)}
        taken |= {port for each in config.gateways for port in (each.s3_port, each.nfs_port, each.mount_port)}
        ports: list[int] = []
        for asked, first in (
            (s3_port, config.s3.port),
            (nfs_port, config.nfs.port),
            (mount_port, config.nfs.mount_port),
        ):
            ports.append(asked or free_port(address, from_port(first + 1), taken | set(ports)))
        home.add_gateway(GatewayConfig(name, address, *ports))
    click.echo(f"Gateway {name} is added. Next:\n\n  gatefold serve --home {home.path} --gateway {name}\n")


@gateway.command("list")
@home_option
@json_option
@explained
def list_gateways(home_path: Path, *, as_json: bool) -> None:
    """List this home's gateways; `gatefold status` says which of them live."""
    config = home_at(home_path).config()
    rows = [
        {
            "name": name,
            "listen": doors.s3.listen,
            "s3": doors.s3.port,
            "nfs": doors.nfs.port,
            "mount": doors.nfs.mount_port,
        }
        for name in (FIRST_GATEWAY, *(each.name for each in config.gateways))
        for doors in (config.for_gateway(name),)
    ]
    show_rows(rows, ("name", "listen", "s3", "nfs", "mount"), as_json=as_json)


@gateway.command("run", hidden=True)
@click.argument("name")
@home_option
@explained
def run(name: str, home_path: Path) -> None:
    """Run the process of one gateway; `serve` does this."""
    from appliance.gateway import run_gateway  # noqa: PLC0415 - other commands start faster without it

    home = home_at(home_path)
    config = home.config()
    config.for_gateway(name)  # a name that is none must not become a file
    with home.lock(lock_name(name), f"gateway {name}"):
        run_task(lambda reactor, clock: run_gateway(reactor, clock, home, config, name))
