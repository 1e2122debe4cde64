"""`gatefold node`: one storage node's process, described by this installation's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from appliance.config import ConfigError
from appliance.home import CLUSTER
from appliance.logs import line_observer
from appliance.process import report_ready
from storage_engine.node import Identity, main
from storage_engine.node import NodeConfig as ProcessConfig

if TYPE_CHECKING:
    from appliance.config import Config, NodeConfig
    from appliance.home import Home


def run_node(home: Home, config: Config, number: int) -> int:
    """Run node *number* until a stop signal and return the exit status; raise ConfigError if there is no such node."""
    for node in config.nodes:
        if node.id == number:
            return main(_process_config(home, config, node), observer=line_observer, started=report_ready)
    raise ConfigError(f"{home.config_path} has no node {number}")


def node_identity(config: Config, node: NodeConfig) -> Identity:
    """Return what the node's disk says of itself."""
    return Identity(node.id, UUID(node.uuid), UUID(config.installation))


def _process_config(home: Home, config: Config, node: NodeConfig) -> ProcessConfig:
    identity = node_identity(config, node)
    return ProcessConfig(
        id=identity.id,
        uuid=identity.uuid,
        cluster=identity.cluster,
        folder=home.inside(node.directory),
        port=node.port,
        secret_file=home.secret_path(CLUSTER),
        host=node.host,
    )
