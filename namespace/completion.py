"""What completes a multipart upload: the parts that the caller lists, their ETag, and the same asked again."""

from __future__ import annotations

from hashlib import md5
from itertools import pairwise
from typing import TYPE_CHECKING

from foundation.errors import (
    FsError,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    PartTooSmall,
    UploadNotFound,
)
from namespace.api import NO_CONDITIONS, PutRequest
from namespace.authority import authorize_account
from namespace.edit import Planned
from namespace.object_parts import UPLOAD
from namespace.objects import look
from namespace.uploads import find_completed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metastore.records import Part, Upload
    from namespace.api import Caller, Completion, ObjectInfo, PartChoice, UploadTarget
    from namespace.view import View

#: Every part but the last has at least so many bytes. A bound of the S3 API, and of the rows that an object may need.
PART_MIN_BYTES = 5 << 20
#: In the ACL of an upload's row: the canned ACL that its object will get.
CANNED = "canned"
MD5_DIGITS = 32


def object_of(upload: Upload, completion: Completion) -> PutRequest:
    """Return what the upload's object is put as."""
    acl = upload.acl.get(CANNED, "")
    return PutRequest(upload.object_key, upload.headers, upload.user, completion.conditions, upload.tags, acl)


def chosen_parts(there: dict[int, Part | None], wanted: Sequence[PartChoice]) -> list[Part]:
    """Return the parts that CompleteMultipartUpload lists; raise what is wrong with the list."""
    if not wanted:
        raise InvalidArgument("an object is made of at least one part")
    if any(one.number >= two.number for one, two in pairwise(wanted)):
        raise InvalidPartOrder("part numbers do not ascend")
    chosen: list[Part] = []
    for choice in wanted:
        part = there.get(choice.number)
        if part is None or (choice.etag and choice.etag != part.etag):
            raise InvalidPart(f"part {choice.number}")
        if any(part.checksums.get(name) != value for name, value in choice.checksums.items()):
            raise InvalidPart(f"part {choice.number} has another checksum")
        chosen.append(part)
    if any(part.size < PART_MIN_BYTES for part in chosen[:-1]):
        raise PartTooSmall("a part that is not the last has at least 5 MiB")
    return chosen


def etag_of_parts(etags: Sequence[bytes]) -> bytes:
    """Return the ETag of an object made of parts with these *etags*: the MD5 of their MD5s, and how many they are."""
    digests = b"".join(map(digest_of, etags))
    return f"{md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}".encode()


def digest_of(etag: bytes) -> bytes:
    """Return the MD5 that a part's ETag is; raise InvalidArgument."""
    try:
        digest = bytes.fromhex(etag.decode("ascii"))
    except ValueError:
        digest = b""
    if len(etag) != MD5_DIGITS or not digest:
        raise InvalidArgument("a part's ETag is an MD5 in hex")
    return digest


def plan_completed(
    view: View, caller: Caller, target: UploadTarget, parts: tuple[PartChoice, ...]
) -> Planned[ObjectInfo]:
    """Plan the answer to a completion asked again, of an upload that has ended; raise UploadNotFound."""
    try:
        upload, info = find_completed(view, target.upload_id, target.key, parts)
    except UploadNotFound:
        info = _made_by(view, caller, target, parts)
    else:
        authorize_account(caller, upload.owner, view.volume.row.owner)
    return Planned(lambda: info)


def _made_by(view: View, caller: Caller, target: UploadTarget, parts: tuple[PartChoice, ...]) -> ObjectInfo:
    """Return the object, if it is the one that the upload made of these *parts*; raise UploadNotFound.

    Nobody else knows an upload that was completed before the gateway began.
    """
    try:
        info, _ = look(view, caller, target.key, NO_CONDITIONS)
        made = info.parts.get(UPLOAD, "").encode() == target.upload_id
        same = made and info.etag == etag_of_parts([part.etag for part in parts])
    except FsError:  # there is none, or the caller may not look, or names no parts
        same = False
    if not same:
        raise UploadNotFound("no such upload")
    return info
