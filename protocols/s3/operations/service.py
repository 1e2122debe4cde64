"""Operations on the service: ListBuckets."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from protocols.s3.call import xml_answer
from protocols.s3.codec.dates import format_xml
from protocols.s3.codec.listing import MAX_KEYS, decode_token, encode_token, owner_element, parse_limit
from protocols.s3.codec.xmlwrite import document, element

if TYPE_CHECKING:
    from protocols.s3.call import Answer, Call


async def list_buckets(call: Call) -> Answer:
    """Answer ListBuckets: the caller's buckets, by name, in pages if asked (S3 API ListBuckets)."""
    params = call.params
    prefix = params.get("prefix", "")
    after = decode_token(params["continuation-token"]).decode() if "continuation-token" in params else ""
    limit = parse_limit(params.get("max-buckets"), "max-buckets") or MAX_KEYS
    buckets = await call.namespace.list_buckets(call.caller)
    wanted = (bucket for bucket in buckets if bucket.name.startswith(prefix) and bucket.name > after)
    page = list(islice(wanted, limit))
    more = next(wanted, None) is not None
    rows = "".join(
        f"<Bucket>{element('Name', bucket.name)}{element('CreationDate', format_xml(bucket.created))}</Bucket>"
        for bucket in page
    )
    credential = call.identity.credential
    content = owner_element((credential.owner, credential.display_name)) + f"<Buckets>{rows}</Buckets>"
    if prefix:
        content += element("Prefix", prefix)
    if more:
        content += element("ContinuationToken", encode_token(page[-1].name.encode()))
    return xml_answer(document("ListAllMyBucketsResult", content))
