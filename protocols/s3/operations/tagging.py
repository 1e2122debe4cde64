"""Operations on tags, of objects and of buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.s3.call import Answer, xml_answer
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.tagging import (
    BUCKET_TAGS_MAX,
    MAX_DOCUMENT_BYTES,
    OBJECT_TAGS_MAX,
    read_tags,
    tags_document,
)
from protocols.s3.intake import take_small_body

if TYPE_CHECKING:
    from protocols.s3.call import Call


async def get_object_tagging(call: Call) -> Answer:
    """Answer GetObjectTagging: an empty set where there are none."""
    return xml_answer(tags_document(await call.namespace.get_tags(call.caller, call.bucket, call.key)))


async def put_object_tagging(call: Call) -> Answer:
    """Answer PutObjectTagging: the tags of the document replace all that there are."""
    tags = read_tags(await take_small_body(call, MAX_DOCUMENT_BYTES), OBJECT_TAGS_MAX)
    await call.namespace.set_tags(call.caller, call.bucket, call.key, tags)
    return Answer()


async def delete_object_tagging(call: Call) -> Answer:
    """Answer DeleteObjectTagging."""
    await call.namespace.set_tags(call.caller, call.bucket, call.key, {})
    return Answer(204)


async def get_bucket_tagging(call: Call) -> Answer:
    """Answer GetBucketTagging: an error where there are none, unlike an object's."""
    tags = await call.namespace.get_bucket_tags(call.caller, call.bucket)
    if not tags:
        raise S3Error("NoSuchTagSet", BucketName=call.bucket)
    return xml_answer(tags_document(tags))


async def put_bucket_tagging(call: Call) -> Answer:
    """Answer PutBucketTagging."""
    tags = read_tags(await take_small_body(call, MAX_DOCUMENT_BYTES), BUCKET_TAGS_MAX)
    await call.namespace.set_bucket_tags(call.caller, call.bucket, tags)
    return Answer()


async def delete_bucket_tagging(call: Call) -> Answer:
    """Answer DeleteBucketTagging."""
    await call.namespace.set_bucket_tags(call.caller, call.bucket, {})
    return Answer(204)
