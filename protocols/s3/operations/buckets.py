"""Operations on a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import InvalidName
from namespace import bucket_names
from protocols.s3.call import Answer, xml_answer
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.listing import list_document, parse_list
from protocols.s3.codec.xmlread import read_xml
from protocols.s3.codec.xmlwrite import document, element
from protocols.s3.intake import take_small_body

if TYPE_CHECKING:
    from protocols.s3.call import Call

#: The region whose name S3 leaves out of locations.
_UNNAMED_REGION = "us-east-1"
_MAX_CONFIGURATION_BYTES = 16 << 10
#: What of a wrong name is told back.
_SHOWN_NAME = 63


def check_bucket_name(name: str) -> None:
    """Raise S3Error InvalidBucketName unless *name* may be a new bucket's."""
    try:
        bucket_names.check_bucket_name(name)
    except InvalidName as error:
        raise S3Error("InvalidBucketName", BucketName=name[:_SHOWN_NAME]) from error


async def create_bucket(call: Call) -> Answer:
    """Answer CreateBucket; a LocationConstraint must be this endpoint's region."""
    check_bucket_name(call.bucket)
    body = await take_small_body(call, _MAX_CONFIGURATION_BYTES)
    if body.strip():
        _check_configuration(body, call.region)
    await call.namespace.create_bucket(call.caller, call.bucket)
    return Answer(headers=[("location", f"/{call.bucket}")])


def _check_configuration(body: bytes, region: str) -> None:
    """Raise S3Error for a CreateBucketConfiguration that asks for what this endpoint is not."""
    configuration = read_xml(body, "CreateBucketConfiguration")
    if any(child.name != "LocationConstraint" for child in configuration.children):
        raise S3Error("NotImplemented")
    location = (configuration.value("LocationConstraint") or "").strip() or _UNNAMED_REGION
    if location != region:
        raise S3Error("IllegalLocationConstraintException")


async def head_bucket(call: Call) -> Answer:
    """Answer HeadBucket."""
    await call.namespace.head_bucket(call.caller, call.bucket)
    return Answer(headers=[("x-amz-bucket-region", call.region)])


async def delete_bucket(call: Call) -> Answer:
    """Answer DeleteBucket."""
    await call.namespace.delete_bucket(call.caller, call.bucket)
    return Answer(204)


async def get_bucket_location(call: Call) -> Answer:
    """Answer GetBucketLocation: empty for us-east-1, as S3 does."""
    await call.namespace.head_bucket(call.caller, call.bucket)
    return xml_answer(document("LocationConstraint", "" if call.region == _UNNAMED_REGION else call.region))


async def get_bucket_versioning(call: Call) -> Answer:
    """Answer GetBucketVersioning: nothing of a bucket that never kept versions."""
    state = await call.namespace.get_versioning(call.caller, call.bucket)
    return xml_answer(document("VersioningConfiguration", element("Status", state.capitalize()) if state else ""))


async def list_objects(call: Call) -> Answer:
    """Answer ListObjects (version 1)."""
    return await _list(call, version=1)


async def list_objects_v2(call: Call) -> Answer:
    """Answer ListObjectsV2."""
    if call.params["list-type"] != "2":
        raise S3Error("InvalidArgument", "list-type must be 2.", ArgumentName="list-type")
    return await _list(call, version=2)


async def _list(call: Call, *, version: int) -> Answer:
    request = parse_list(call.params, version=version)
    listing = await call.namespace.list_objects(call.caller, call.bucket, request)
    credential = call.identity.credential
    owner = (credential.owner, credential.display_name)
    return xml_answer(list_document(call.bucket, call.params, request, listing, owner, version))
