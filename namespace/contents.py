"""Contents in the making: extents that come one by one, kept as a draft while they are too many for one Change.

A content is named by an inode, a part or a `reclaim` row. One of few extents becomes rows in the Change that names it.
One of many is a *draft* first: its extents go into the table in chunks, under a `reclaim` row that bears the volume's
epoch, and the Change that names it drops that row. A draft whose epoch is closed, or that was given up, is garbage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from foundation.aio import spawn
from foundation.crash import crash_point
from foundation.errors import FsError, NoReply
from metastore.records import Blob, Extent, Reclaim
from namespace.edit import Edit, Planned, inline_fields
from namespace.extents import adjoins, joined

if TYPE_CHECKING:
    from collections.abc import Callable

    from namespace.hall import Hall
    from namespace.view import View
    from namespace.volume import VolumeState

_after_chunk = crash_point("draft.after_chunk")
#: Extents that one Change stores at most; with each goes a blob's row or a reference. At least 2: a content with one
#: extent has it in the inode.
CHUNK = 1000


class Body(Struct, frozen=True):
    """A content whose bytes are durable, ready to be named."""

    content: int
    size: int
    used: int  # bytes of extents
    stored: int  # extents that its draft has in the table; 0: there is no draft
    extents: tuple[Extent, ...]  # those that the naming Change puts
    blobs: tuple[Blob, ...]  # new ones among theirs, with the one reference each has; the others gain one


class ContentDraft:
    """A content that is being put together, extent by extent, in order."""

    def __init__(self, hall: Hall, volume: VolumeState, content: int) -> None:
        """Build *content*, a new number, in *volume*."""
        self.content = content
        self.volume = volume
        self._engine = hall.engine
        self._clock = hall.clock
        self._used = 0
        self._stored = 0
        self._extents: list[Extent] = []
        self._blobs: list[Blob] = []
        self._checks: dict[Callable[[View], None], None] = {}
        self._is_given_up = False

    def add_new(self, offset: int, blob: Blob) -> None:
        """Add all bytes of a new *blob* at *offset*."""
        self._used += blob.size
        self._extents.append(Extent(self.volume.vol, self.content, offset, blob.size, blob.id, 0))
        self._blobs.append(blob)

    def add_reference(self, offset: int, source: Extent, check: Callable[[View], None]) -> None:
        """Add the bytes of *source* at *offset*, whose blob *check* proves to be referenced."""
        extent = replace(source, content=self.content, offset=offset)
        self._used += extent.length
        if self._extents and adjoins(self._extents[-1], extent):
            self._extents[-1] = joined(self._extents[-1], extent)
        else:
            self._extents.append(extent)
        self._checks[check] = None

    @property
    def is_full(self) -> bool:
        """Tell whether one Change more should be stored."""
        return len(self._extents) >= CHUNK

    async def store(self) -> None:
        """Put what was added into the table, durably; raise what a check raises, and then nothing is stored."""
        await self._engine.run(self.volume, self._plan_chunk)
        self._stored += len(self._extents)
        self._extents, self._blobs, self._checks = [], [], {}
        _after_chunk()
        if self._is_given_up:  # while the chunk was on its way
            self.give_up()

    def _plan_chunk(self, view: View) -> Planned[None]:
        for check in self._checks:
            check(view)
        edit = Edit(view, self._clock.now_ns())
        if not self._stored:
            edit.put(Reclaim(self.volume.vol, self.content, edit.now_ns, self.volume.epoch))
        _put_extents(edit, self._extents, self._blobs)
        return edit.planned(lambda: None)

    def body(self, size: int) -> Body:
        """Return the content, *size* bytes long; the plan that names it must check the sources once more."""
        return Body(self.content, size, self._used, self._stored, tuple(self._extents), tuple(self._blobs))

    def give_up(self) -> None:
        """Let the draft be garbage: the content will not be named."""
        self._is_given_up = True
        if self._stored:
            self._stored = 0
            spawn("draft given up", self._detach())

    async def _detach(self) -> None:
        def plan(view: View) -> Planned[None]:
            edit = Edit(view, self._clock.now_ns())
            edit.put(Reclaim(self.volume.vol, self.content, edit.now_ns))
            return edit.planned(lambda: None)

        try:
            await self._engine.run(self.volume, plan)
        except (FsError, NoReply):
            return  # the draft is garbage when this epoch of the volume is closed


def name_body(edit: Edit, body: Body) -> dict[str, object]:
    """Plan that *body* becomes an inode's content; return the fields that say so."""
    inline = body.extents[0] if not body.stored and len(body.extents) == 1 else None
    _name(edit, body, () if inline is not None else body.extents)
    if inline is not None and not body.blobs:
        edit.reference(inline.blob, 1)
    return {
        "content": body.content,
        "size": body.size,
        "used": body.used,
        "extents": body.stored + (0 if inline is not None else len(body.extents)),
        **inline_fields(inline),
    }


def name_part_body(edit: Edit, body: Body) -> None:
    """Plan that *body* becomes a part's content, all of whose extents are rows."""
    _name(edit, body, body.extents)


def _name(edit: Edit, body: Body, rows: tuple[Extent, ...]) -> None:
    if body.stored:
        edit.drop(Reclaim, (body.content,))
    _put_extents(edit, rows, body.blobs)


def _put_extents(edit: Edit, extents: list[Extent] | tuple[Extent, ...], blobs: list[Blob] | tuple[Blob, ...]) -> None:
    new = {blob.id for blob in blobs}
    for blob in blobs:
        edit.put(blob)
    for extent in extents:
        edit.put(extent)
        if extent.blob not in new:
            edit.reference(extent.blob, 1)
