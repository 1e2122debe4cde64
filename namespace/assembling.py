"""Contents made of other contents by reference: no byte moves, extents are copied as rows (DESIGN 4).

A *slice* names bytes of a content and what proves, in the plan that references them, that they are still referenced:
then the blobs cannot be doomed before the new references are durable, because batches are durable in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from foundation.errors import InvalidArgument
from namespace.contents import Body
from namespace.extents import part_of
from namespace.view import inline_extent, is_directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from metastore.api import MetaStore
    from metastore.records import Extent, Inode, Part
    from namespace.api import CopySource
    from namespace.cache import InodeEntry
    from namespace.contents import ContentDraft
    from namespace.view import View

#: Extents fetched by one query.
_PAGE = 1000
#: A body map of so many extents is copied in the plan that names the copy.
FEW = 64
#: A source that changes while it is copied is copied anew, so many times.
TRIES = 8


class Changed(Exception):
    """A source is not what it was when the copy began."""


class Slice(Struct, frozen=True):
    """The bytes [start, end) of a content."""

    content: int
    inline: tuple[Extent, ...] | None  # all its extents, if none of them is a row
    start: int
    end: int
    check: Callable[[View], None]  # raises Changed, or why the copy may not go on


def end_of(source: CopySource, size: int) -> int:
    """Return where the bytes end that *source* names; raise InvalidArgument for a range that is not inside *size*."""
    if is_whole(source):
        return size
    if source.end is None or not 0 <= source.start < source.end <= size:
        raise InvalidArgument("the range is not inside the source")
    return source.end


def is_whole(source: CopySource) -> bool:
    """Tell whether *source* is all of an object."""
    return source.start == 0 and source.end is None


def slice_of(image: Inode, source: CopySource, check: Callable[[View], None]) -> Slice:
    """Return the bytes of a file that *source* names; raise InvalidArgument for a range that is not inside it."""
    inline = None if image.extents else tuple(inline_extent(image))
    return Slice(image.content, inline, source.start, end_of(source, image.size), check)


def slice_of_part(part: Part, check: Callable[[View], None]) -> Slice:
    """Return the whole of an upload's part."""
    return Slice(part.content, None, 0, part.size, check)


def layout(image: Inode) -> tuple[int, ...]:
    """Return what changes with every change of a file's extents."""
    return (image.gen, image.content, image.write_seq, image.size, image.extents, image.x_blob, image.x_offset)


def copied_body(view: View, entry: InodeEntry, content: int) -> Body:
    """Return a copy of a file's few extents, for the Change that is being planned."""
    image = entry.image
    assert image is not None
    if is_directory(image):
        return Body(content, 0, 0, 0, (), ())  # the key of a directory is an empty object
    extents = tuple(replace(each, content=content) for each in view.extents(entry, 0, image.size).extents)
    return Body(content, image.size, image.used, 0, extents, ())


async def assemble(metastore: MetaStore, draft: ContentDraft, slices: list[Slice]) -> Body:
    """Put *slices* one behind the other into *draft*; holes stay holes.

    All that the slices were made of must be durable, so that the table shows it. Raise what a check raises.
    """
    position = 0
    draft.volume.assembling += 1
    try:
        for piece in slices:
            shift = position - piece.start
            async for extent in _extents(metastore, draft.volume.vol, piece):
                start, end = max(extent.offset, piece.start), min(extent.offset + extent.length, piece.end)
                draft.add_reference(start + shift, part_of(extent, start, end), piece.check)
                if draft.is_full:
                    await draft.store()
            position += piece.end - piece.start
    except BaseException:
        draft.give_up()
        raise
    finally:
        draft.volume.assembling -= 1
    return draft.body(position)


async def _extents(metastore: MetaStore, vol: int, piece: Slice) -> AsyncIterator[Extent]:
    """Yield the extents that have a byte in *piece*, by offset."""
    page = piece.inline
    position = piece.start
    while True:
        loaded = page if page is not None else await metastore.load_extents(vol, piece.content, position, _PAGE)
        for extent in loaded:
            if extent.offset >= piece.end:
                return
            if extent.offset + extent.length > piece.start:
                yield extent
        if page is not None or len(loaded) < _PAGE:
            return
        position = loaded[-1].offset + loaded[-1].length
