"""Body maps too long for one Change, copied ahead for a plan that gives the same bytes a second owner (ADR 0064).

The copy is a draft (`contents`): chunks of rows that a crash may follow, garbage until a Change names it. A plan that
needs one says so (`NeedCopy`), is called again when it is there, and names it if the file is still what was copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from foundation.aio import Promise
from namespace.assembling import Changed, Slice, assemble, layout
from namespace.contents import ContentDraft
from namespace.edit import Planned

if TYPE_CHECKING:
    from metastore.records import Inode
    from namespace.cache import InodeEntry
    from namespace.contents import Body
    from namespace.hall import Hall
    from namespace.view import View
    from namespace.volume import VolumeState


class Copied(Struct, frozen=True):
    """A content that a plan may name, and what it was copied of."""

    layout: tuple[int, ...]
    draft: ContentDraft
    body: Body


class Sharing:
    """Copies body maps for plans that wait."""

    def __init__(self, hall: Hall) -> None:
        """Copy in the volumes of *hall*."""
        self._hall = hall
        self._under_way: dict[InodeEntry, Promise[None]] = {}

    async def copy(self, volume: VolumeState, entry: InodeEntry) -> None:
        """Copy the body map of a file, once for all who ask; a file that changes meanwhile has none then."""
        waiting = self._under_way.get(entry)
        if waiting is not None:
            await waiting
            return
        ended = self._under_way[entry] = Promise()
        try:
            if entry.image is not None:
                await self._copy(volume, entry, entry.image)
        finally:
            del self._under_way[entry]
            ended.resolve(None)

    async def _copy(self, volume: VolumeState, entry: InodeEntry, image: Inode) -> None:
        stale = volume.copies.pop(image.content, None)
        if stale is not None:
            stale.draft.give_up()
        content = await self._hall.engine.run(volume, _plan_content)
        await self._hall.engine.settled(volume)  # the table shows what is durable
        seen = layout(image)

        def check(view: View) -> None:
            view.entry(entry.ino)
            if entry.image is None or layout(entry.image) != seen:
                raise Changed

        draft = ContentDraft(self._hall, volume, content)
        try:
            body = await assemble(
                self._hall.engine.metastore, draft, [Slice(image.content, None, 0, image.size, check)]
            )
        except Changed:
            return
        volume.copies[image.content] = Copied(seen, draft, body)


def _plan_content(view: View) -> Planned[int]:
    content = view.number("content")
    return Planned(lambda: content)
