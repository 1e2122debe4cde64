"""What `serve` prints when the house is up: how to use both doors from here."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from appliance.choices import ROOT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.config import Config, NfsConfig

_ALL = "0.0.0.0"  # noqa: S104 - compared with, not bound to
_LOOPBACK = "127.0.0.1"


def greeting(config: Config, facts: dict[str, Any]) -> Iterator[str]:
    """Yield the lines; *facts* is the gateway's answer to `status`, with the first account's secret key."""
    yield ""
    yield f"  Gatefold {facts['version']} serves {len(facts['volumes'])} bucket(s) by NFS and S3."
    yield ""
    paths = _mountable(facts)
    for path in paths:
        yield f"  mount    {mount_command(config.nfs, host_of(config.nfs.listen), path)}"
    yield f"  S3       {s3_endpoint(config)}"
    key = facts["key"]
    yield f"  key      {key['access_key']}"
    yield f"  secret   {key['secret_key']}"
    yield f"  try      {aws_command(config, key)}"
    if config.nfs.listen == _ALL:
        yield ""
        for path in paths[:1]:
            yield f"  others   {mount_command(config.nfs, public_address(), path)}"
        yield "           NFS believes who a host says it is: keep this network to hosts you trust."
    yield ""


def _mountable(facts: dict[str, Any]) -> list[str]:
    """Return the paths to mount; where all buckets are exported, one of them first."""
    paths = [export["path"] for export in facts["exports"]]
    buckets = [f"/{volume['name']}" for volume in facts["volumes"][:1]]
    return [*(bucket for bucket in buckets if ROOT_PATH in paths and bucket not in paths), *paths]


def mount_command(nfs: NfsConfig, host: str, path: str) -> str:
    """Return the command that mounts *path*; ports are named where a client could not find them out.

    `nolock`: a client on the gateway's own host cannot lock through NLM, and this version serves no NLM.
    """
    options = "vers=3,tcp,nolock"
    if not nfs.portmap:
        options += f",port={nfs.port},mountport={nfs.mount_port},mountproto=tcp"
    return f"mount -t nfs -o {options} {host}:{path} /mnt"


def host_of(listen: str) -> str:
    """Return the address at which this machine reaches what listens on *listen*."""
    return _LOOPBACK if listen == _ALL else listen


def s3_endpoint(config: Config) -> str:
    """Return the URL of the S3 door as this machine reaches it."""
    return f"http://{host_of(config.s3.listen)}:{config.s3.port}"


def s3_address(config: Config) -> str:
    """Return host:port of the S3 door as other hosts most likely reach it."""
    listen = config.s3.listen
    return f"{public_address() if listen == _ALL else listen}:{config.s3.port}"


def aws_command(config: Config, key: dict[str, str]) -> str:
    """Return a command of the AWS command line that lists the buckets."""
    return (
        f"AWS_ACCESS_KEY_ID={key['access_key']} AWS_SECRET_ACCESS_KEY={key['secret_key']}"
        f" AWS_DEFAULT_REGION={config.s3.region} aws --endpoint-url {s3_endpoint(config)} s3 ls"
    )


def public_address() -> str:
    """Return the address by which other hosts most likely reach this one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: only the route counts
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
