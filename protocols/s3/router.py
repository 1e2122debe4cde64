"""Which operation a request means: one table, and 501 for everything that is not in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocols.s3.auth.credential import AuthType
from protocols.s3.auth.form import PARAMETERS
from protocols.s3.codec.conditions import IF_MATCH_SIZE, IF_MATCH_TIME
from protocols.s3.codec.copysource import RANGE, SOURCE, SOURCE_HEADERS
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.sigv2 import SIGNED_PARAMETERS
from protocols.s3.codec.uri import Level
from protocols.s3.object_headers import OVERRIDES
from protocols.s3.operations import (
    attributes,
    buckets,
    configurations,
    copying,
    deletion,
    forms,
    multipart,
    objects,
    service,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from protocols.s3.auth.credential import Identity
    from protocols.s3.call import Answer, Call

METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of S3 and the parameters that it understands."""

    name: str
    run: Callable[[Call], Coroutine[Any, Any, Answer]]
    params: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()  # of those that change what an operation does, the ones that it serves
    slow: bool = False  # it may take longer than a client waits for a first byte


_LIST = ("prefix", "delimiter", "max-keys", "encoding-type")
_V1 = frozenset({*_LIST, "marker"})
_V2 = frozenset({*_LIST, "start-after", "continuation-token", "fetch-owner"})
_VERSIONS = frozenset({*_LIST, "key-marker", "version-id-marker"})
_BUCKETS = frozenset({"prefix", "max-buckets", "continuation-token", "bucket-region"})
_VERSION = frozenset({"versionId"})
_PART = frozenset({"partNumber"})
_READ = _VERSION | _PART | set(OVERRIDES)
_UPLOADS = frozenset({"prefix", "delimiter", "max-uploads", "encoding-type", "key-marker", "upload-id-marker"})
_PARTS = frozenset({"max-parts", "part-number-marker", "encoding-type"})
_LIKENESS = frozenset({IF_MATCH_SIZE, IF_MATCH_TIME})
_COPY = SOURCE_HEADERS | {"x-amz-metadata-directive", "x-amz-tagging-directive"}

#: (method, level, sub-resource) -> operation. A sub-resource is a parameter that changes what a request means, or, with
#: `+copy` behind it, such a parameter (or none) beside the header x-amz-copy-source.
ROUTES: dict[tuple[str, Level, str], Operation] = {
    ("GET", Level.SERVICE, ""): Operation("ListBuckets", service.list_buckets, _BUCKETS),
    ("PUT", Level.BUCKET, ""): Operation("CreateBucket", buckets.create_bucket),
    ("HEAD", Level.BUCKET, ""): Operation("HeadBucket", buckets.head_bucket),
    ("DELETE", Level.BUCKET, ""): Operation("DeleteBucket", buckets.delete_bucket),
    ("GET", Level.BUCKET, ""): Operation("ListObjects", buckets.list_objects, _V1),
    ("GET", Level.BUCKET, "list-type"): Operation("ListObjectsV2", buckets.list_objects_v2, _V2),
    ("GET", Level.BUCKET, "location"): Operation("GetBucketLocation", buckets.get_bucket_location),
    ("GET", Level.BUCKET, "versioning"): Operation("GetBucketVersioning", buckets.get_bucket_versioning),
    ("GET", Level.BUCKET, "versions"): Operation("ListObjectVersions", versions.list_object_versions, _VERSIONS),
    ("POST", Level.BUCKET, "delete"): Operation("DeleteObjects", deletion.delete_objects),
    ("POST", Level.BUCKET, ""): Operation("PostObject", forms.post_object, PARAMETERS),
    ("PUT", Level.OBJECT, ""): Operation("PutObject", objects.put_object),
    ("GET", Level.OBJECT, ""): Operation("GetObject", objects.get_object, _READ),
    ("HEAD", Level.OBJECT, ""): Operation("HeadObject", objects.head_object, _READ),
    ("DELETE", Level.OBJECT, ""): Operation("DeleteObject", deletion.delete_object, _VERSION, _LIKENESS),
    ("GET", Level.OBJECT, "attributes"): Operation("GetObjectAttributes", attributes.get_object_attributes, _VERSION),
    ("PUT", Level.OBJECT, "+copy"): Operation("CopyObject", copying.copy_object, headers=_COPY, slow=True),
    ("POST", Level.OBJECT, "uploads"): Operation("CreateMultipartUpload", multipart.create_multipart_upload),
    ("PUT", Level.OBJECT, "uploadId"): Operation("UploadPart", multipart.upload_part, _PART),
    ("PUT", Level.OBJECT, "uploadId+copy"): Operation(
        "UploadPartCopy", multipart.upload_part_copy, _PART, SOURCE_HEADERS | {RANGE}, slow=True
    ),
    ("POST", Level.OBJECT, "uploadId"): Operation(
        "CompleteMultipartUpload", multipart.complete_multipart_upload, slow=True
    ),
    ("DELETE", Level.OBJECT, "uploadId"): Operation("AbortMultipartUpload", multipart.abort_multipart_upload),
    ("GET", Level.OBJECT, "uploadId"): Operation("ListParts", multipart.list_parts, _PARTS),
    ("GET", Level.BUCKET, "uploads"): Operation("ListMultipartUploads", multipart.list_multipart_uploads, _UPLOADS),
    **{
        ("GET", Level.BUCKET, name): Operation(operation, configurations.absent(code))
        for name, (operation, code) in configurations.ABSENT.items()
    },
    **{
        ("GET", Level.BUCKET, name): Operation(operation, configurations.empty(root, content))
        for name, (operation, root, content) in configurations.EMPTY.items()
    },
}
#: What the table adds for the header that makes a PUT a copy.
COPY = "+copy"
#: Parameters that say nothing: SDKs name the operation in x-id.
_IGNORED = frozenset({"x-id"})
#: Headers that would change what an operation does, by their beginnings.
_UNSERVED_HEADERS = (
    "x-amz-bucket-namespace",
    "x-amz-bucket-object-lock",
    "x-amz-bypass-governance",
    "x-amz-copy-source",
    "x-amz-grant-",
    "x-amz-if-match-",
    "x-amz-metadata-directive",
    "x-amz-mfa",
    "x-amz-object-lock-",
    "x-amz-object-ownership",
    "x-amz-rename-source",
    "x-amz-server-side-encryption",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
)
#: Headers served with one value only, and the error for any other.
_ONE_VALUE = {
    "x-amz-acl": ("private", "NotImplemented"),
    "x-amz-bucket-object-lock-enabled": ("false", "NotImplemented"),  # rclone makes sure of its bucket with it
    "x-amz-metadata-directive": ("REPLACE", "NotImplemented"),  # s3fs-fuse says so of puts, which replace all anyway
    "x-amz-storage-class": ("STANDARD", "InvalidStorageClass"),
}


def route(method: str, level: Level, identity: Identity) -> Operation:
    """Return the operation that a request means; raise S3Error MethodNotAllowed or NotImplemented."""
    if method not in METHODS:
        raise S3Error("MethodNotAllowed", Method=method[:32])
    params = identity.params
    sub_resources = [name for name in params if (method, level, name) in ROUTES]
    sub_resource = sub_resources[0] if sub_resources else ""
    copy = COPY if SOURCE in identity.headers else ""
    operation = ROUTES.get((method, level, sub_resource + copy))
    if operation is None or any(
        name not in operation.params and name not in _IGNORED and name != sub_resource for name in params
    ):
        raise S3Error("NotImplemented")
    if identity.form and operation.run is not forms.post_object:
        raise S3Error("AccessDenied", "A form uploads an object and does nothing else.")
    _check_signed(sub_resource, identity.auth)
    _check_headers(identity.headers, operation.headers)
    return operation


def _check_signed(sub_resource: str, auth: AuthType) -> None:
    """Raise S3Error if the signature says nothing of the *sub_resource*: SigV2 signs a fixed list of them."""
    if auth in (AuthType.V2_HEADER, AuthType.V2_QUERY) and sub_resource not in _SIGNED_BY_V2:
        raise S3Error("AccessDenied", "This sub-resource needs Signature Version 4.")


#: list-type chooses between two forms of one answer.
_SIGNED_BY_V2 = SIGNED_PARAMETERS | {"", "list-type"}


def _check_headers(headers: Mapping[str, str], served_here: frozenset[str]) -> None:
    """Raise S3Error for headers that ask for something not served: never ignore them."""
    for name, value in headers.items():
        if not name.startswith("x-amz-") or name in served_here:
            continue
        served = _ONE_VALUE.get(name)
        if served is None and name.startswith(_UNSERVED_HEADERS):
            raise S3Error("NotImplemented", Header=name)
        if served is not None and value != served[0]:
            raise S3Error(served[1], Header=name)
