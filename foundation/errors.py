"""What can go wrong in the house, named by what happened and in no protocol's language.

Each door maps every leaf of `FsError` in one table of its own, and a test asserts that the table is complete.
Anything that is neither an `FsError` nor `NoReply` is a bug: a door logs it and answers its server-fault code.
"""

from __future__ import annotations

from typing import Any


class FsError(Exception):
    """An operation was refused; nothing changed."""

    #: The operation's result for its directories or file, as the namespace saw them when it refused: a door
    #: builds its attributes of failure (RFC 1813 wcc_data, post_op_attr) from it. `None` where nothing was seen.
    seen: Any = None
    #: Of NotFound and IsDeleteMarker: the id of the delete marker that hides the object, if one does.
    marker: bytes = b""


class NotFound(FsError):
    """No such name, file or object."""


class BucketNotFound(FsError):
    """No such bucket or volume."""


class AlreadyExists(FsError):
    """The name is taken."""


class BucketExists(FsError):
    """The bucket's name is taken by another owner."""


class BucketOwned(FsError):
    """The bucket exists and belongs to the caller already."""


class BucketNotEmpty(FsError):
    """The bucket still holds entries, listed or not."""


class NotDirectory(FsError):
    """A directory was needed and something else was found."""


class IsDirectory(FsError):
    """A file was needed and a directory was found."""


class KeyConflict(FsError):
    """The key cannot stand beside what the tree holds (below a symbolic link or a special file, or a strict bucket)."""


class NotEmpty(FsError):
    """The directory has entries."""


class AccessDenied(FsError):
    """Mode bits, policy or export rules do not allow it (EACCES)."""


class NotPermitted(FsError):
    """Only the owner or a privileged caller may do it (EPERM)."""


class CrossVolume(FsError):
    """The two places are in different volumes (EXDEV)."""


class NameTooLong(FsError):
    """A component is over 255 bytes, or a key over 1,024."""


class InvalidName(FsError):
    """The name or key cannot exist in this volume."""


class InvalidArgument(FsError):
    """An argument is outside its range or makes no sense."""


class TooLarge(FsError):
    """The file would pass the largest size."""


class NoSpace(FsError):
    """The storage nodes have no room."""


class QuotaExceeded(FsError):
    """The owner's quota has no room."""


class ReadOnly(FsError):
    """The volume, export or mount is read-only."""


class TooManyLinks(FsError):
    """The file has as many hard links as it can have."""


class StaleHandle(FsError):
    """The handle names a file that no longer exists, or never did."""


class NotSymlink(FsError):
    """READLINK of something that is no symbolic link (EINVAL)."""


class GuardFailed(FsError):
    """The file's ctime is not the one the caller gave (NFS3ERR_NOT_SYNC)."""


class PreconditionFailed(FsError):
    """A condition on ETag or time does not hold for a write, or for a read that must fail."""


class NotModified(FsError):
    """A read's condition says that the caller's copy is current."""


class BadDigest(FsError):
    """The body does not have the checksum that the caller announced."""


class VersionNotFound(FsError):
    """The key has no such version."""


class IsDeleteMarker(FsError):
    """The version is a delete marker: there is nothing to read."""


class UploadNotFound(FsError):
    """No such multipart upload, or it has ended."""


class InvalidPart(FsError):
    """A part that the caller lists was not uploaded, or is not the one that was."""


class InvalidPartOrder(FsError):
    """The caller's list of parts is not in ascending order."""


class PartTooSmall(FsError):
    """A part that is not the last has less than the least size of a part."""


class CompletionMismatch(FsError):
    """What the caller says of a multipart upload's whole does not fit its parts: the size, or the kind of checksum."""


class NothingToChange(FsError):
    """An object would be copied onto itself, and nothing of it would change."""


class RangeNotSatisfiable(FsError):
    """The range starts past the end of the object."""


class NotSupported(FsError):
    """The operation is known and not offered for this object."""


class Unavailable(FsError):
    """Not now: the same request may succeed later, and it has changed nothing."""


class HeldElsewhere(FsError):
    """Another gateway holds the volume; `address` is where its doors are, or empty if it does not say."""

    def __init__(self, address: str = "") -> None:
        """Name the holder's address."""
        super().__init__(f"the volume is held by the gateway at {address or 'an unknown address'}")
        self.address = address


class Corrupt(FsError):
    """No copy of the bytes matches its checksum; they are not served."""


class NoReply(Exception):
    """The outcome is unknown or was taken back: send nothing and close the connection (DESIGN 8, D4)."""
