"""What `gatefold status` says: facts of the configuration, and live ones from the gateway if it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.admin import NotAnswering, NotRunning, ask
from appliance.config import FIRST_GATEWAY
from appliance.greeting import host_of, s3_endpoint
from appliance.identities import export_facts
from foundation import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.config import Config
    from appliance.home import Home
    from metastore.api import MetaStore
    from namespace.service import GatefoldNamespace
    from protocols.nfs.exports import Exports
    from storage_engine.api import BodyStore


def status(home: Home) -> dict[str, Any]:
    """Return the facts; `state` is the first gateway's: "running", "stopped" or "not answering".

    Any gateway of the home may tell what it knows; without an answer the lists that it would fill are empty.
    """
    config = home.config()
    facts = _configured(config)
    for name in reversed((FIRST_GATEWAY, *(gateway.name for gateway in config.gateways))):
        try:
            facts.update(ask(home, "status", name))  # the first gateway's answer comes last, and stays
            facts["state"] = "running"
        except NotAnswering:
            facts["state"] = "not answering"
        except NotRunning:
            facts["state"] = "stopped"
    return facts


async def live_facts(
    metastore: MetaStore, bodies: BodyStore, namespace: GatefoldNamespace, exports: Exports
) -> dict[str, Any]:
    """Return what a running gateway knows."""
    keys = await metastore.access_keys()
    accounts = await metastore.accounts()
    return {
        "version": __version__,
        "exports": export_facts(exports.every()),
        "accounts": [
            {"name": each.name, "access_keys": [key.access_key for key in keys if key.account == each.id]}
            for each in accounts
        ],
        "nodes": [
            {
                "id": node.id,
                "address": node.address,
                "up": node.up,
                "total_bytes": node.total_bytes,
                "free_bytes": node.free_bytes,
                "blobs": node.blobs,
                "detail": node.detail,
            }
            for node in await bodies.states()
        ],
        "volumes": [
            {"name": volume.name, "vol": volume.vol, "holder": volume.holder, "epoch": volume.epoch}
            for volume in await metastore.volumes()
        ],
        "gateways": [
            {
                "id": gateway.id,
                "name": gateway.name,
                "address": gateway.address,
                "alive": gateway.alive,
                "volumes": list(gateway.volumes),
            }
            for gateway in await namespace.gateways()
        ],
    }


async def greeting_facts(
    metastore: MetaStore, bodies: BodyStore, namespace: GatefoldNamespace, exports: Exports
) -> dict[str, Any]:
    """Return what `serve` prints once: the live facts and one key pair."""
    key = (await metastore.access_keys())[0]
    return {
        **await live_facts(metastore, bodies, namespace, exports),
        "key": {"access_key": key.access_key, "secret_key": key.secret_key},
    }


def status_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yield *facts* for people."""
    nfs = facts["nfs"]
    yield f"Gatefold {facts['version']}: {facts['state']}"
    yield f"  S3       {facts['s3']['endpoint']}"
    yield f"  NFS      {nfs['host']}, port {nfs['port']}, mount port {nfs['mount_port']}"
    for export in facts["exports"]:
        mode = "read-only" if export["read_only"] else "read-write"
        yield f"  export   {export['path']} {mode}, squash {export['squash']}, to {' '.join(export['clients'])}"
    for account in facts["accounts"]:
        yield f"  account  {account['name']}: {' '.join(account['access_keys'])}"
    for volume in facts["volumes"]:
        yield f"  bucket   {volume['name']}"
    for gateway in facts["gateways"]:
        state = "up" if gateway["alive"] else "down"
        held = " ".join(gateway["volumes"]) or "nothing"
        yield f"  gateway  {gateway['name']} {gateway['address']} {state}, holds {held}"
    for node in facts["nodes"]:
        state = "up" if node["up"] else f"down {node['detail']}"
        yield f"  node {node['id']}   {node['address']} {state}"


def _configured(config: Config) -> dict[str, Any]:
    return {
        "version": __version__,
        "state": "stopped",
        "s3": {"endpoint": s3_endpoint(config)},
        "nfs": {
            "host": host_of(config.nfs.listen),
            "port": config.nfs.port,
            "mount_port": config.nfs.mount_port,
            "portmap": config.nfs.portmap,
        },
        "exports": [],
        "accounts": [],
        "volumes": [],
        "gateways": [],
        "nodes": [
            {"id": node.id, "address": f"{node.host}:{node.port}", "up": False, "detail": ""} for node in config.nodes
        ],
    }
