"""Operations on the service: ListBuckets."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from protocols.s3.call import xml_answer
from protocols.s3.codec.dates import format_xml
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.listing import decode_token, encode_token, owner_element, parse_limit
from protocols.s3.codec.xmlwrite import document, element

if TYPE_CHECKING:
    from namespace.api import Bucket
    from protocols.s3.call import Answer, Call


#: Buckets of one answer: of a whole list, too, for clients that ask for no pages know no others.
MAX_BUCKETS = 10_000
_PAGING = ("max-buckets", "continuation-token", "prefix", "bucket-region")


async def list_buckets(call: Call) -> Answer:
    """Answer ListBuckets: the caller's buckets, by name, in pages if asked (S3 API ListBuckets)."""
    params = call.params
    prefix, region = params.get("prefix", ""), params.get("bucket-region", call.region)
    after = decode_token(params["continuation-token"]) if params.get("continuation-token") else b""
    limit = parse_limit(params.get("max-buckets"), "max-buckets", MAX_BUCKETS)
    if not limit:
        raise S3Error("InvalidArgument", "max-buckets must be between 1 and 10000.", ArgumentName="max-buckets")
    buckets = await call.namespace.list_buckets(call.caller) if region == call.region else []
    wanted = (each for each in buckets if each.name.startswith(prefix) and each.name.encode() > after)
    page = list(islice(wanted, limit))
    more = next(wanted, None) is not None
    # Like S3, which tells the region to those who ask for a page.
    place = element("BucketRegion", call.region) if any(name in params for name in _PAGING) else ""
    credential = call.identity.credential
    content = owner_element((credential.owner, credential.display_name))
    content += f"<Buckets>{''.join(_bucket(bucket, place) for bucket in page)}</Buckets>"
    if prefix:
        content += element("Prefix", prefix)
    if more:
        content += element("ContinuationToken", encode_token(page[-1].name.encode()))
    return xml_answer(document("ListAllMyBucketsResult", content))


def _bucket(bucket: Bucket, place: str) -> str:
    created = element("CreationDate", format_xml(bucket.created))
    return f"<Bucket>{element('Name', bucket.name)}{created}{place}</Bucket>"
