"""The questions that `gatefold setup` asks; Enter takes what stands in brackets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from appliance.choices import Choices


def ask_choices(choices: Choices) -> Choices:
    """Return *choices* with the answers of whoever sits at the terminal."""
    click.echo("Gatefold setup. Ports of 0 mean: find free ones.\n")
    listen = click.prompt("Address for both doors (0.0.0.0 = every interface)", default=choices.listen)
    s3_port = click.prompt("S3 port", default=choices.s3_port, type=click.IntRange(0, 65535))
    nfs_port = click.prompt("NFS port", default=choices.nfs_port, type=click.IntRange(0, 65535))
    mount_port = click.prompt("MOUNT port", default=choices.mount_port, type=click.IntRange(0, 65535))
    nodes = click.prompt("Storage nodes", default=choices.nodes, type=click.IntRange(1, 64))
    copies = click.prompt("Copies of each body", default=min(choices.copies, nodes), type=click.IntRange(1, nodes))
    database = click.prompt(
        "DSN of an external PostgreSQL (empty = one of our own)", default=choices.database, show_default=False
    )
    bucket = click.prompt("First bucket", default=choices.bucket)
    clients = click.prompt("Networks that may mount", default=" ".join(choices.clients))
    return replace(
        choices,
        listen=listen,
        s3_port=s3_port,
        nfs_port=nfs_port,
        mount_port=mount_port,
        nodes=nodes,
        copies=copies,
        database=database,
        bucket=bucket,
        clients=tuple(clients.split()),
    )
