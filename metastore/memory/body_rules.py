"""The rules of bodies over the memory database: contents, parts, what is to be freed, blobs (see `tree_rules`)."""

from __future__ import annotations

from collections import Counter
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from metastore.records import Blob, Extent, FileType, Reclaim, Upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metastore.memory.database import MemoryDatabase
    from metastore.memory.tree_rules import Broken
    from metastore.records import Inode

_KEY_MAX, _PARTS_MAX = 1024, 10_000


def broken_bodies(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    """Yield what is wrong with the bodies of *vol*."""
    return chain.from_iterable(
        rules(database, vol) for rules in (_files, _owners, _parts, _uploads, _reclaims, _blobs, _blob_numbers)
    )


def _files(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    owners = Counter(inode.content for inode in database.inodes(vol) if inode.extents)
    in_parts = {part.content for part in database.parts(vol)}
    for inode in database.inodes(vol):
        if inode.type != FileType.REGULAR:
            continue
        content = inode.content
        if content and (vol, content) in database.rows[Reclaim]:
            yield "content.reclaimed", content, b"", None, f"it is being reclaimed, and ino {inode.ino} has it"
        if inode.extents and (owners[content] > 1 or content in in_parts):
            yield "content.shared", content, b"", None, f"ino {inode.ino} has it, and so has another file or a part"
        yield from _file(database, inode)


def _file(database: MemoryDatabase, inode: Inode) -> Iterator[Broken]:
    rows, ino = _rows_of(database, inode.vol, inode.content), inode.ino
    if inode.extents != len(rows):
        yield "extent.count", ino, b"", len(rows), f"extents {inode.extents}, counted {len(rows)}"
    inline = inode.x_length > 0
    if (
        inode.x_length < 0
        or (inline and (inode.extents or not inode.x_blob))
        or (not inline and (inode.x_blob or inode.extents == 1))
    ):
        yield "extent.inline", ino, b"", None, f"inline of {inode.x_length} bytes, {inode.extents} rows"
    extents = [*rows, *_inline(inode)]
    used = inode.x_length + sum(extent.length for extent in rows)
    if inode.used != used:
        yield "extent.used", ino, b"", used, f"used {inode.used}, counted {used}"
    if any(extent.offset + extent.length > inode.size for extent in extents):
        yield "extent.end", ino, b"", None, f"size {inode.size}"
    if _overlap(rows):
        yield "extent.overlap", ino, b"", None, "two extents hold one byte"
    for extent in extents:
        if not _is_held(database, extent):
            yield "extent.blob", ino, b"", None, f"blob {extent.blob} does not hold its bytes"


def _rows_of(database: MemoryDatabase, vol: int, content: int) -> list[Extent]:
    rows = database.extents.get((vol, content), {})
    return [rows[offset] for offset in sorted(rows)]


def _inline(inode: Inode) -> list[Extent]:
    if inode.x_length <= 0:
        return []
    return [Extent(inode.vol, inode.content, inode.x_offset, inode.x_length, inode.x_blob, inode.x_blob_offset)]


def _overlap(rows: list[Extent]) -> bool:
    return any(one.offset + one.length > two.offset for one, two in pairwise(rows))


def _is_held(database: MemoryDatabase, extent: Extent) -> bool:
    blob = database.rows[Blob].get((extent.vol, extent.blob))
    held = blob is not None and not blob.doomed and 0 <= extent.blob_offset <= blob.size - extent.length
    return held and extent.length > 0


def _owners(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    owned = {inode.content for inode in database.inodes(vol) if inode.extents}
    owned |= {row.content for row in database.reclaims(vol)}
    owned |= {part.content for part in database.parts(vol)}
    for of_vol, content in sorted(database.extents):
        if of_vol == vol and content not in owned:
            yield "content.owner", content, b"", None, "nobody has it"


def _parts(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    owners = Counter(part.content for part in database.parts(vol))
    for part in database.parts(vol):
        at, content = (part.number, part.upload_id), part.content
        rows = _rows_of(database, vol, content)
        if (vol, part.upload_id) not in database.rows[Upload]:
            yield "part.upload", *at, content, "its upload is not there"
        if not 1 <= part.number <= _PARTS_MAX:
            yield "part.number", *at, None, "parts have numbers from 1 to 10000"
        if content >= database.marks[vol, "content"]:
            yield "part.unreserved", *at, content, f"content {content} was never reserved"
        if part.size < max((extent.offset + extent.length for extent in rows), default=0):
            yield "part.size", *at, None, f"size {part.size}"
        if _overlap(rows):
            yield "part.overlap", *at, None, "two extents hold one byte"
        if not all(_is_held(database, extent) for extent in rows):
            yield "part.blob", *at, None, "a blob does not hold its bytes"
        if (vol, content) in database.rows[Reclaim]:
            yield "part.reclaimed", *at, content, f"content {content} is being reclaimed"
        if content and owners[content] > 1:
            yield "part.shared", *at, None, f"another part has content {content} too"


def _uploads(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    for upload in database.uploads(vol):
        if not 1 <= len(upload.object_key) <= _KEY_MAX or not upload.upload_id:
            yield "upload.key", 0, upload.upload_id, None, "its key is empty or too long"


def _reclaims(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    for row in database.reclaims(vol):
        if row.content >= database.marks[vol, "content"]:
            yield "reclaim.unreserved", row.content, b"", row.content, "its number was never reserved"
        if row.epoch > database.volumes[vol].epoch:
            yield "reclaim.epoch", row.content, b"", 0, f"a draft of epoch {row.epoch}, which is still to come"


def _blobs(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    refs = Counter(inode.x_blob for inode in database.inodes(vol) if inode.x_length > 0)
    for (of_vol, _), rows in database.extents.items():
        if of_vol == vol:
            refs.update(extent.blob for extent in rows.values())
    for blob in database.blobs(vol):
        if blob.refs != refs[blob.id]:
            yield "blob.refs", blob.id, b"", refs[blob.id], f"refs {blob.refs}, counted {refs[blob.id]}"
        if blob.doomed and blob.refs:
            yield "blob.doomed", blob.id, b"", None, f"doomed with refs {blob.refs}"


def _blob_numbers(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    ranges = [each for each in database.ranges if each.vol == vol]
    newest = max((ring.epoch for ring in database.rings), default=None)
    for blob in database.blobs(vol):
        reserved = blob.id < database.marks[vol, "blob"] and any(r.first <= blob.id <= r.last for r in ranges)
        if not reserved:
            yield "blob.unreserved", blob.id, b"", blob.id, "its number was never reserved"
        if newest is not None and blob.ring_epoch > newest:
            yield "blob.ring", blob.id, b"", None, f"placed by ring {blob.ring_epoch}, which is still to come"
