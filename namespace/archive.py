"""Inodes without a name: what keeps a version that is not current (ADR 0064).

A file's bytes move into its history by pointer, whatever their size. Only where the file itself lives on with the same
bytes (it has further names, moves, or is changed in place) are they shared: each extent gets one more reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from metastore.records import FileType, Inode
from namespace.assembling import layout
from namespace.attributes import etag_of, is_as_put
from namespace.contents import name_body
from namespace.edit import inline_fields
from namespace.metadata import edited_user
from namespace.view import MAX_SIZE, Missing, NeedCopy, inline_extent, new_generation

if TYPE_CHECKING:
    from metastore.records import ObjectMeta
    from namespace.cache import InodeEntry
    from namespace.edit import Edit

#: A body map of more extents is copied before the plan that shares it, in chunks.
SHARED_EXTENTS_MAX = 2000


def shelve(edit: Edit, entry: InodeEntry) -> int:
    """Make the inode itself, which loses its last name, one that keeps a version; return its number."""
    image = edit.image(entry)
    _strip_meta(edit, entry, image)
    edit.touch(entry, nlink=0, **_closed(image))
    edit.then(lambda: _forget_overlay(entry))
    return image.ino


def part_with(edit: Edit, entry: InodeEntry) -> int:
    """Move the content of *entry* to a new inode that keeps it; the caller gives the file another at once."""
    image = edit.image(entry)
    return _archived(edit, entry, image, _body_of(image, image.content))


def share(edit: Edit, entry: InodeEntry) -> int:
    """Give the content of *entry*, which keeps it, to a new inode too; return its number.

    Raise Missing for one of many extents, which are copied ahead: a Change does not grow with a file.
    """
    image = edit.image(entry)
    if image.extents > SHARED_EXTENTS_MAX:
        return _named_copy(edit, entry, image)
    extents = edit.view.extents(entry, 0, MAX_SIZE).extents if image.extents else inline_extent(image)
    content = edit.view.number("content")
    for extent in extents:
        edit.reference(extent.blob, 1)
        if image.extents:
            edit.put(replace(extent, content=content))
    return _archived(edit, entry, image, _body_of(image, content))


def _named_copy(edit: Edit, entry: InodeEntry, image: Inode) -> int:
    copies = edit.view.volume.copies
    copied = copies.get(image.content)
    if copied is None or copied.layout != layout(image):
        raise Missing(NeedCopy(entry))
    edit.then(lambda: copies.pop(image.content, None))
    return _archived(edit, entry, image, name_body(edit, copied.body))


def _body_of(image: Inode, content: int) -> dict[str, object]:
    """Return the fields of a body like that of *image*, as generation *content*."""
    inline = inline_extent(image)
    fields = inline_fields(inline[0] if inline else None)
    return {"content": content, "size": image.size, "used": image.used, "extents": image.extents, **fields}


def _archived(edit: Edit, entry: InodeEntry, image: Inode, body: dict[str, object]) -> int:
    """Make an inode like *image*, with no name and with *body*, and the S3 metadata of *entry*; return its number."""
    made = edit.new_inode(
        FileType.REGULAR,
        image.mode,
        image.uid,
        image.gid,
        nlink=0,
        atime=image.atime,
        mtime=image.mtime,
        content_time=image.content_time,
        write_seq=image.write_seq,
        **body,
        **_closed(image),
    )
    meta = edit.view.meta(entry)
    if meta is not None:
        edit.put(replace(_as_shown(meta, image), ino=made.ino))
    return made.ino


def close(edit: Edit, entry: InodeEntry) -> None:
    """Make what the file holds a version of its own that NFS does not change in place any more."""
    image = edit.image(entry)
    _strip_meta(edit, entry, image)
    edit.set(entry, **_closed(image))


def _closed(image: Inode) -> dict[str, object]:
    """Return the fields by which the ETag shown now stays, whatever the inode's number is."""
    return {"etag": etag_of(image), "etag_seq": image.write_seq}


def _strip_meta(edit: Edit, entry: InodeEntry, image: Inode) -> None:
    """Let go what is said of another content: it would be shown again once the ETag is closed."""
    if is_as_put(image):
        return
    meta = edit.view.meta(entry)
    if meta is not None:
        edit.put(_as_shown(meta, image))


def _as_shown(meta: ObjectMeta, image: Inode) -> ObjectMeta:
    """Return the metadata that S3 shows of *image* (see `metadata`)."""
    return meta if is_as_put(image) else replace(meta, user=edited_user(meta.user, image.mtime), checksums={}, parts={})


def _forget_overlay(entry: InodeEntry) -> None:
    """Let UNSTABLE data go with the file's last name: its handle is stale now."""
    overlay = entry.overlay
    if overlay is not None:
        entry.overlay = entry.attr = None
        overlay.discard()


def restore(edit: Edit, ino: int) -> Inode:
    """Return an inode that kept a version for `place` to name: to NFS it is a new file under an old number."""
    ctime = max(edit.now_ns, edit.image_of(ino).ctime + 1)
    return edit.replace(ino, nlink=1, gen=new_generation(), create_verf=None, ctime=ctime)
