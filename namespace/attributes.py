"""Attributes: what doors are shown of an inode, and how changes move its times."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from metastore.records import FileType, Inode
from namespace.api import Attr, FileId, Wcc

if TYPE_CHECKING:
    from namespace.cache import InodeEntry

#: What a directory is said to take, whatever it holds.
DIRECTORY_SIZE = 4096
#: MD5 of no bytes: the ETag of an empty object, and of a directory's key.
EMPTY_ETAG = b"d41d8cd98f00b204e9800998ecf8427e"


def attr_of(entry: InodeEntry) -> Attr:
    """Return what NFS sees: the committed image with the write-back overlay over it."""
    attr = entry.attr
    if attr is None:
        assert entry.image is not None
        attr = entry.attr = _overlaid(entry, entry.image)
    return attr


def _overlaid(entry: InodeEntry, image: Inode) -> Attr:
    atime = entry.atime or image.atime
    overlay = entry.overlay
    if overlay is None:
        return _attr(image, image.size, atime, image.mtime, image.ctime)
    mtime = image.mtime if overlay.mtime is None else overlay.mtime
    return _attr(image, max(image.size, overlay.end), atime, mtime, max(image.ctime, overlay.ctime))


def plain_attr(image: Inode) -> Attr:
    """Return the attributes of *image* alone."""
    return _attr(image, image.size, image.atime, image.mtime, image.ctime)


def _attr(image: Inode, size: int, atime: int, mtime: int, ctime: int) -> Attr:
    used = image.used
    if image.type == FileType.DIRECTORY:
        size = used = DIRECTORY_SIZE
    return Attr(
        FileId(image.vol, image.ino, image.gen),
        image.type,
        image.mode,
        image.nlink,
        image.uid,
        image.gid,
        size,
        used,
        image.rdev,
        atime,
        mtime,
        ctime,
    )


class Before:
    """An object as it was before a plan's change; `wcc` tells both sides once the change is installed."""

    __slots__ = ("_attr", "_entry")

    def __init__(self, entry: InodeEntry) -> None:
        """Note what *entry* shows now."""
        self._entry = entry
        self._attr = attr_of(entry)

    def wcc(self) -> Wcc:
        """Return the object before the change and as it is now."""
        return Wcc(self._attr, attr_of(self._entry) if self._entry.image is not None else None)


def next_ctime(entry: InodeEntry, now_ns: int) -> int:
    """Return the ctime of a change at *now_ns*: it always grows, whatever the clock does."""
    assert entry.image is not None
    shown = entry.image.ctime
    if entry.overlay is not None:
        shown = max(shown, entry.overlay.ctime)
    return max(now_ns, shown + 1)


def is_as_put(image: Inode) -> bool:
    """Tell whether the content is the one of which S3 said last what it is: no NFS write has come since."""
    return image.etag_seq == image.write_seq


def etag_of(image: Inode) -> bytes:
    """Return the ETag that S3 shows, without quotes.

    An S3 write left its own. Content written through NFS has a synthetic one: it is stable for one version of the
    content, and its `-1` keeps clients from taking it for an MD5.
    """
    if image.etag is not None and is_as_put(image):
        return image.etag
    if image.size == 0:
        return EMPTY_ETAG
    name = b"%d %d %d %d" % (image.vol, image.ino, image.gen, image.write_seq)
    return hashlib.blake2b(name, digest_size=16).hexdigest().encode() + b"-1"
