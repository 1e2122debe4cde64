"""What S3 calls the things that the house names in `foundation.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation import errors
from protocols.s3.codec.errors import WIRE_ERRORS, S3Error
from protocols.s3.http.head import Refused

if TYPE_CHECKING:
    from foundation.errors import FsError

#: Leaf of FsError -> (S3 code, HTTP status, text). A test asserts that every leaf has its line.
FS_ERRORS: dict[type[FsError], tuple[str, int, str]] = {
    errors.NotFound: ("NoSuchKey", 404, "The specified key does not exist."),
    errors.BucketNotFound: ("NoSuchBucket", 404, "The specified bucket does not exist."),
    errors.AlreadyExists: ("KeyConflict", 409, "The name is taken."),
    errors.BucketExists: ("BucketAlreadyExists", 409, "The requested bucket name is not available."),
    errors.BucketOwned: ("BucketAlreadyOwnedByYou", 409, "You own the bucket that you tried to create already."),
    errors.BucketNotEmpty: ("BucketNotEmpty", 409, "The bucket that you tried to delete is not empty."),
    errors.NotDirectory: ("KeyConflict", 409, "A part of the key names something that is no directory."),
    errors.IsDirectory: ("KeyConflict", 409, "The key names a directory."),
    errors.KeyConflict: ("KeyConflict", 409, "The key cannot stand beside what the bucket holds."),
    errors.NotEmpty: ("KeyConflict", 409, "The directory is not empty."),
    errors.AccessDenied: ("AccessDenied", 403, "Access Denied"),
    errors.NotPermitted: ("AccessDenied", 403, "Access Denied"),
    errors.CrossVolume: ("InvalidRequest", 400, "The two places are in different buckets."),
    errors.NameTooLong: ("KeyTooLongError", 400, "Your key is too long."),
    errors.InvalidName: ("InvalidArgument", 400, "The key cannot exist in this bucket."),
    errors.InvalidArgument: ("InvalidArgument", 400, "Invalid argument."),
    errors.TooLarge: ("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed object size."),
    errors.NoSpace: ("InsufficientStorage", 507, "The storage nodes have no room."),
    errors.QuotaExceeded: ("QuotaExceeded", 403, "The quota has no room."),
    errors.ReadOnly: ("AccessDenied", 403, "The bucket is read-only."),
    errors.TooManyLinks: ("KeyConflict", 409, "The file has too many links."),
    errors.StaleHandle: ("NoSuchKey", 404, "The specified key does not exist."),
    errors.NotSymlink: ("InvalidRequest", 400, "The key names no symbolic link."),
    errors.GuardFailed: ("PreconditionFailed", 412, "At least one of the preconditions did not hold."),
    errors.PreconditionFailed: ("PreconditionFailed", 412, "At least one of the preconditions did not hold."),
    errors.NotModified: ("NotModified", 304, "Not Modified"),
    errors.BadDigest: ("BadDigest", 400, "The checksum that you specified did not match what the server received."),
    errors.VersionNotFound: ("NoSuchVersion", 404, "The specified version does not exist."),
    errors.IsDeleteMarker: ("MethodNotAllowed", 405, "The specified method is not allowed against this resource."),
    errors.UploadNotFound: ("NoSuchUpload", 404, "The specified multipart upload does not exist."),
    errors.InvalidPart: ("InvalidPart", 400, "One or more of the specified parts could not be found."),
    errors.InvalidPartOrder: ("InvalidPartOrder", 400, "The list of parts was not in ascending order."),
    errors.PartTooSmall: ("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size."),
    errors.CompletionMismatch: ("InvalidRequest", 400, "What is said of the whole object does not fit its parts."),
    errors.NothingToChange: (
        "InvalidRequest",
        400,
        "This copy request is illegal because it is trying to copy an object to itself without changing it.",
    ),
    errors.RangeNotSatisfiable: ("InvalidRange", 416, "The requested range is not satisfiable."),
    errors.NotSupported: ("NotImplemented", 501, "The operation is not offered for this object."),
    errors.Unavailable: ("ServiceUnavailable", 503, "Service is unable to handle the request. Try again."),
    errors.HeldElsewhere: ("ServiceUnavailable", 503, "Another gateway serves the bucket. Try again."),
    errors.Corrupt: ("InternalError", 500, "No copy of the object's bytes matches its checksum."),
}


def describe(error: Exception) -> tuple[str, int, str]:
    """Return (S3 code, HTTP status, text) for anything that may end a request; unknown errors are ours."""
    if isinstance(error, S3Error):
        return error.code, error.status, error.message
    if isinstance(error, Refused):
        return error.code, error.status, error.message
    for kind in type(error).__mro__:
        if kind in FS_ERRORS:
            return FS_ERRORS[kind]
    status, message = WIRE_ERRORS["InternalError"]
    return "InternalError", status, message


def is_known(error: Exception) -> bool:
    """Return whether *error* is an outcome, and no bug."""
    return isinstance(error, (S3Error, Refused, errors.FsError))
