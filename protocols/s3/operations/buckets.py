"""Operations on a bucket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from protocols.s3.call import Answer, xml_answer
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.listing import list_document, parse_list
from protocols.s3.codec.xmlread import read_xml
from protocols.s3.codec.xmlwrite import document
from protocols.s3.intake import take_small_body
from protocols.s3.object_headers import bucket_acl

if TYPE_CHECKING:
    from namespace.api import ObjectInfo
    from protocols.s3.call import Call
    from protocols.s3.owners import Owner

#: The region whose name S3 leaves out of locations.
_UNNAMED_REGION = "us-east-1"
_MAX_CONFIGURATION_BYTES = 16 << 10
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*")
_IP_ADDRESS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_MIN_NAME, _MAX_NAME = 3, 63
_RESERVED = (("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"))


def check_bucket_name(name: str) -> None:
    """Raise S3Error InvalidBucketName unless *name* may be a new bucket's (S3 "Bucket naming rules")."""
    fits = _MIN_NAME <= len(name) <= _MAX_NAME and _BUCKET_NAME.fullmatch(name) and not _IP_ADDRESS.fullmatch(name)
    ends_well = not name.endswith("-") and "-." not in name
    if not (fits and ends_well) or name.startswith(_RESERVED[0]) or name.endswith(_RESERVED[1]):
        raise S3Error("InvalidBucketName", BucketName=name[:_MAX_NAME])


async def create_bucket(call: Call) -> Answer:
    """Answer CreateBucket; a LocationConstraint must be this endpoint's region."""
    check_bucket_name(call.bucket)
    acl = bucket_acl(call)
    body = await take_small_body(call, _MAX_CONFIGURATION_BYTES)
    if body.strip():
        _check_configuration(body, call.region)
    await call.namespace.create_bucket(call.caller, call.bucket, acl)
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
    """Answer HeadBucket, to all who may list the bucket."""
    await call.namespace.enter_bucket(call.caller, call.bucket)
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
    """Answer GetBucketVersioning: versioning was never switched on, for it cannot be yet."""
    await call.namespace.head_bucket(call.caller, call.bucket)
    return xml_answer(document("VersioningConfiguration", ""))


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

    def owner_of(info: ObjectInfo) -> Owner:
        return call.owners.of_file(info.uid, listing.account)

    return xml_answer(list_document(call.bucket, call.params, request, listing, owner_of, version))
