"""What S3 shows of an inode: ETag, times, headers and user metadata, true to the present content (DESIGN 3.3).

Nothing is rewritten when NFS changes a file: the view is computed from the inode and the metadata row, and every verb,
COPY too, takes it from here. The row holds what S3 said last; `etag_seq == write_seq` tells whether the content is
still the one it was said of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from namespace.api import ObjectInfo
from namespace.attributes import EMPTY_ETAG, etag_of, is_as_put
from namespace.suffixes import content_type
from namespace.view import is_directory

if TYPE_CHECKING:
    from metastore.records import Inode, ObjectMeta

DIRECTORY_CONTENT_TYPE = "application/x-directory"
#: rclone, s3fs: the file's mtime, in seconds with a fraction.
MTIME = "mtime"
#: rclone: the MD5 of what it uploaded in parts, base64.
RCLONE_DIGEST = "md5chksum"
#: s3cmd: `name:value/name:value`, among them `md5` and `mtime` in whole seconds.
S3CMD_ATTRS = "s3cmd-attrs"
_NS = 1_000_000_000


def object_info(key: bytes, image: Inode, meta: ObjectMeta | None) -> ObjectInfo:
    """Return what S3 shows of *image* under *key*."""
    etag, modified_ns = validators(image)
    if is_directory(image):
        return ObjectInfo(key, 0, etag, modified_ns, {"content-type": DIRECTORY_CONTENT_TYPE}, {}, {})
    headers = dict(meta.headers) if meta is not None else {}
    if "content-type" not in headers:
        headers["content-type"] = content_type(key)
    if meta is None:
        return ObjectInfo(key, image.size, etag, modified_ns, headers, {}, {})
    user, checksums, parts = meta.user, meta.checksums, meta.parts
    if not is_as_put(image):
        # Digests of other bytes, and a time before the edit, would let a sync skip it.
        user, checksums, parts = edited_user(user, image.mtime), {}, {}
    return ObjectInfo(key, image.size, etag, modified_ns, headers, user, checksums, tags=meta.tags, parts=parts)


def validators(image: Inode) -> tuple[bytes, int]:
    """Return the ETag and Last-Modified (ns) that S3 shows of *image*."""
    return (EMPTY_ETAG, image.mtime) if is_directory(image) else (etag_of(image), image.content_time)


def edited_user(user: dict[str, str], mtime_ns: int) -> dict[str, str]:
    """Return the user metadata of a file whose content NFS has changed since; *mtime_ns* is the file's."""
    if not user.keys() & {MTIME, RCLONE_DIGEST, S3CMD_ATTRS}:
        return user
    edited = {name: value for name, value in user.items() if name != RCLONE_DIGEST}
    seconds, fraction = divmod(mtime_ns, _NS)
    if MTIME in edited:
        edited[MTIME] = f"{seconds}.{fraction:09d}"
    if S3CMD_ATTRS in edited:
        edited[S3CMD_ATTRS] = "/".join(
            f"mtime:{seconds}" if attr.startswith("mtime:") else attr
            for attr in edited[S3CMD_ATTRS].split("/")
            if not attr.startswith("md5:")
        )
    return edited
