"""What `gatefold check` asks of names beyond the metastore's rules: the rules of names, as a pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from namespace.names import alias_of, nfs_name
from namespace.tree import is_listed

if TYPE_CHECKING:
    from metastore.api import AuditedEdge
    from metastore.records import Edge


def audit_edge(audited: AuditedEdge) -> tuple[str, Edge] | None:
    """Return the rule that a name breaks and what its edge should be; None if it breaks none."""
    edge, twin = audited.edge, audited.twin
    # A file may have been made under its `f` alias with no directory beside it. Beside one it must have it, or one NFS
    # name would mean two things; no door shows a ghost.
    aliases = {alias_of(edge.skey, beside=True)}
    if twin is None or twin.ghost:
        aliases.add(alias_of(edge.skey))
    if edge.alias not in aliases:
        return "edge.grammar", replace(edge, alias=alias_of(edge.skey, beside=twin is not None))
    if not edge.listed and is_listed(audited.type, nfs_name(edge.skey, edge.alias)):
        return "edge.unlisted", replace(edge, listed=True)
    return None
