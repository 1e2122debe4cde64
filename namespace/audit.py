"""What `gatefold check` asks of names beyond the metastore's rules: the rules of names, as a pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from metastore.records import FileType
from namespace.silly import is_silly_name

if TYPE_CHECKING:
    from metastore.api import AuditedEdge
    from metastore.records import Edge

_LISTED_TYPES = (FileType.REGULAR, FileType.DIRECTORY)


def audit_edge(audited: AuditedEdge) -> tuple[str, Edge] | None:
    """Return the rule that a name breaks and what its edge should be; None if it breaks none."""
    edge = audited.edge
    # Only a silly name hides what S3 can show; what it cannot is the metastore's rule.
    if not edge.listed and audited.type in _LISTED_TYPES and not is_silly_name(edge.skey.removesuffix(b"/")):
        return "edge.unlisted", replace(edge, listed=True)
    return None
