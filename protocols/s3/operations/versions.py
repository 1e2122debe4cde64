"""ListObjectVersions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.s3.call import xml_answer
from protocols.s3.codec.versions import parse_versions, versions_document

if TYPE_CHECKING:
    from protocols.s3.call import Answer, Call


async def list_object_versions(call: Call) -> Answer:
    """Answer ListObjectVersions."""
    request = parse_versions(call.params)
    listing = await call.namespace.list_versions(call.caller, call.bucket, request)
    credential = call.identity.credential
    owner = (credential.owner, credential.display_name)
    return xml_answer(versions_document(call.bucket, call.params, request, listing, owner))
