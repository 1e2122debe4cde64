"""Bodies on replicated nodes: the gateway's side."""

from storage_engine.cluster.link import NodeAddress as NodeAddress
from storage_engine.cluster.store import ClusterBodyStore as ClusterBodyStore
