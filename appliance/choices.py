"""What `gatefold setup` is told, and what it decides by itself."""

from __future__ import annotations

import ipaddress
import os
import random
import socket
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from appliance.config import (
    FORMAT,
    Config,
    ConfigError,
    DatabaseConfig,
    ExportConfig,
    NfsConfig,
    NodeConfig,
    S3Config,
    check_address,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: What is exported at first: every bucket, those made later too.
ROOT_PATH = "/"
_S3_PORT = 9000
_NFS_PORTS = (2049, 20048)  # what clients try when nobody tells them
_NFS_PORTS_UNPRIVILEGED = (12049, 12048)
_PORTMAP_PORT = 111
#: Nodes listen below the ports that the kernel hands to clients, each installation somewhere else.
_NODE_PORTS = range(20_000, 32_000)
_MAX_NODES = 64
_LOOPBACK = "127.0.0.1"
#: Who may mount by default: hosts whose addresses no router of the internet forwards. NFS believes what they say.
PRIVATE_NETWORKS = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")


@dataclass(frozen=True, slots=True)
class Choices:
    """The answers of a setup; a port of 0 means that setup looks for a free one. An answers file has these keys."""

    listen: str = _LOOPBACK
    s3_port: int = 0
    nfs_port: int = 0
    mount_port: int = 0
    portmap: bool | None = None  # None: if this process may, and nobody else does
    nodes: int = 3
    copies: int = 2
    write_quorum: int = 0  # 0: as many as copies
    node_port: int = 0  # the first node's; the others follow
    database: str = ""  # DSN of an external PostgreSQL; empty: a managed one
    bucket: str = "data"
    account: str = "admin"
    uid: int = -1  # the account's POSIX identity; -1: that of whoever runs setup
    gid: int = -1
    clients: tuple[str, ...] = PRIVATE_NETWORKS
    squash: str = "none"


def read_answers(path: Path) -> Choices:
    """Read an answers file; raise ConfigError."""
    try:
        return parse(Choices, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def complete(choices: Choices) -> Choices:
    """Check *choices* and fill in what was left open; raise ConfigError."""
    check_address("listen", choices.listen)
    if not 1 <= choices.nodes <= _MAX_NODES:
        raise ConfigError(f"nodes: {choices.nodes} is not in 1..{_MAX_NODES}")
    if not 1 <= choices.copies <= choices.nodes:
        raise ConfigError(f"copies: {choices.copies} is not in 1..{choices.nodes}, the number of nodes")
    quorum = choices.write_quorum or choices.copies
    if not 1 <= quorum <= choices.copies:
        raise ConfigError(f"write_quorum: {quorum} is not in 1..{choices.copies}, the number of copies")
    if choices.squash not in ("none", "root", "all"):
        raise ConfigError(f"squash: {choices.squash!r} is none of none, root, all")
    for network in choices.clients:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigError(f"clients: {error}") from None
    # What this process may listen on, rather than who it is: an ordinary user may have been given low ports.
    standard = all(_is_free(choices.listen, port) for port in (*_NFS_PORTS, _PORTMAP_PORT))
    nfs_port, mount_port = _NFS_PORTS if standard else _NFS_PORTS_UNPRIVILEGED
    taken: set[int] = {choices.s3_port, choices.nfs_port, choices.mount_port}
    s3_port = choices.s3_port or free_port(choices.listen, from_port(_S3_PORT), taken)
    nfs_port = choices.nfs_port or free_port(choices.listen, from_port(nfs_port), taken | {s3_port})
    mount_port = choices.mount_port or free_port(choices.listen, from_port(mount_port), taken | {s3_port, nfs_port})
    portmap = choices.portmap
    if portmap is None:
        portmap = standard and choices.nfs_port in (0, _NFS_PORTS[0])
    first = choices.node_port or _first_of_free_run(choices.nodes)
    return replace(
        choices,
        write_quorum=quorum,
        s3_port=s3_port,
        nfs_port=nfs_port,
        mount_port=mount_port,
        portmap=portmap,
        node_port=first,
        uid=choices.uid if choices.uid >= 0 else os.getuid(),
        gid=choices.gid if choices.gid >= 0 else os.getgid(),
    )


def new_config(choices: Choices, database: DatabaseConfig, installation: str) -> Config:
    """Return the configuration of a new installation from complete *choices*."""
    return Config(
        format=FORMAT,
        installation=installation,
        database=database,
        s3=S3Config(listen=choices.listen, port=choices.s3_port),
        nfs=NfsConfig(choices.listen, choices.nfs_port, choices.mount_port, portmap=bool(choices.portmap)),
        nodes=tuple(
            NodeConfig(number, str(uuid4()), _LOOPBACK, choices.node_port + number - 1, f"node{number}")
            for number in range(1, choices.nodes + 1)
        ),
        exports=(ExportConfig(ROOT_PATH, choices.clients, squash=choices.squash),),
    )


def new_installation() -> str:
    """Draw the name that tells this installation from others."""
    return str(uuid4())


def from_port(first: int) -> range:
    """Return *first* and every port after it."""
    return range(first, 65_536)


def free_port(address: str, candidates: Iterable[int], taken: set[int]) -> int:
    """Return the first of *candidates* that can be listened on."""
    for port in candidates:
        if port not in taken and _is_free(address, port):
            return port
    raise ConfigError(f"no free port on {address}")


def _first_of_free_run(count: int) -> int:
    """Return the first of *count* free ports in a row, at a place drawn at random.

    Another installation that does not run now must not find its ports taken when it starts.
    """
    draw = random.SystemRandom()
    for _ in range(100):
        first = draw.randrange(_NODE_PORTS.start, _NODE_PORTS.stop - count)
        if all(_is_free(_LOOPBACK, port) for port in range(first, first + count)):
            return first
    raise ConfigError(f"no {count} free ports in a row on {_LOOPBACK}")


def _is_free(address: str, port: int) -> bool:
    """Return whether this process could listen on *port* now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
