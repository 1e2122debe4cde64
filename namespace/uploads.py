"""Multipart uploads and their parts in memory, bounded, under the late-load rule (DESIGN 2).

What a plan needs of an upload is loaded before it plans, and from then on memory leads: every change of an upload goes
through a plan that has it here. What is here is never replaced by a load, and leaves only when its last change is
durable and older than every load in flight. The reaper frees the parts of ended uploads behind memory's back; no plan
looks at those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import UploadNotFound
from namespace.view import Missing, NeedFetch

if TYPE_CHECKING:
    from metastore.api import MetaStore
    from metastore.records import Part, Upload
    from namespace.api import ObjectInfo, PartChoice
    from namespace.cache import Cache
    from namespace.view import View

#: Uploads and parts in memory, per volume: about 10 MB, and one upload of the most parts in any case.
ROWS_LIMIT = 20_000
#: Parts fetched by one query.
PART_PAGE = 1000
#: How many uploads one look-up considers for eviction.
_MAX_LOOKS = 16


class UploadEntry:
    """One upload in memory. `upload` None: there is no such upload."""

    __slots__ = ("batch", "completed", "parts", "stamp", "upload", "whole")

    def __init__(self, upload: Upload | None) -> None:
        """Enter a loaded *upload*, its parts not known."""
        self.upload = upload
        self.parts: dict[int, Part | None] = {}
        self.whole = False  # all parts are known
        self.completed: tuple[tuple[PartChoice, ...], ObjectInfo] | None = None  # of what, and what was answered
        self.batch = 0  # of the last change
        self.stamp = 0

    @property
    def rows(self) -> int:
        """Return how many rows, or things of their size, are in memory."""
        return 1 + len(self.parts) + (len(self.completed[0]) if self.completed is not None else 0)


class UploadTable:
    """The uploads of one volume incarnation that were used last."""

    def __init__(self, cache: Cache) -> None:
        """Forget only what *cache* says may be forgotten."""
        self._cache = cache
        self._entries: dict[bytes, UploadEntry] = {}  # in order of use
        self._rows = 0

    def use(self, upload_id: bytes, stamp: int) -> UploadEntry | None:
        """Return what is known of an upload, for operation *stamp*."""
        entry = self._entries.pop(upload_id, None)
        if entry is not None:
            self._entries[upload_id] = entry
            entry.stamp = stamp
        return entry

    async def fetch(self, metastore: MetaStore, vol: int, upload_id: bytes) -> None:
        """Load an upload's row."""
        upload = await metastore.load_upload(vol, upload_id)
        if upload_id not in self._entries:
            self._entries[upload_id] = UploadEntry(upload)
            self._count(1)

    async def fetch_part(self, metastore: MetaStore, vol: int, upload_id: bytes, number: int) -> None:
        """Load one part of an upload."""
        found = await metastore.load_parts(vol, upload_id, number - 1, 1)
        entry = self._entries.get(upload_id)
        if entry is not None:
            self._learn(entry, {number: next((part for part in found if part.number == number), None)})

    async def fetch_parts(self, metastore: MetaStore, vol: int, upload_id: bytes) -> None:
        """Load all parts of an upload."""
        found: dict[int, Part | None] = {}
        last = 0
        while page := await metastore.load_parts(vol, upload_id, last, PART_PAGE):
            found.update((part.number, part) for part in page)
            last = page[-1].number
        entry = self._entries.get(upload_id)
        if entry is not None:
            self._learn(entry, found)
            entry.whole = True

    def _learn(self, entry: UploadEntry, parts: dict[int, Part | None]) -> None:
        before = len(entry.parts)
        entry.parts = {**parts, **entry.parts}
        self._count(len(entry.parts) - before)

    def put(self, upload: Upload, batch: int) -> None:
        """Make *upload* what memory shows as of *batch*: install's alone."""
        entry = self._entries.get(upload.upload_id)
        if entry is None:
            entry = self._entries[upload.upload_id] = UploadEntry(upload)
            entry.whole = True  # it is new: `create_upload` alone puts what is not here
            self._count(1)
        entry.upload, entry.batch = upload, batch

    def complete(self, upload_id: bytes, parts: tuple[PartChoice, ...], info: ObjectInfo) -> None:
        """Remember what a completion that was just installed answers: install's alone."""
        entry = self._entries[upload_id]
        before = entry.rows
        entry.completed, entry.parts = (parts, info), {}  # nobody looks at the parts of an upload that has ended
        self._count(entry.rows - before)

    def put_part(self, part: Part, batch: int) -> None:
        """Make *part* what memory shows as of *batch*: install's alone."""
        entry = self._entries[part.upload_id]
        self._count(part.number not in entry.parts)
        entry.parts[part.number] = part
        entry.batch = batch

    def _count(self, more: int) -> None:
        self._rows += more
        for _ in range(min(_MAX_LOOKS, len(self._entries) - 1)):
            if self._rows <= ROWS_LIMIT:
                return
            upload_id = next(iter(self._entries))
            entry = self._entries.pop(upload_id)
            if self._cache.may_forget(entry.stamp, entry.batch):
                self._rows -= entry.rows
            else:
                self._entries[upload_id] = entry


def find_upload(view: View, upload_id: bytes, key: bytes) -> Upload:
    """Return the upload in progress that is called *upload_id* and will be *key*; raise UploadNotFound."""
    entry = _entry(view, upload_id)
    upload = entry.upload
    if upload is None or upload.ended or upload.object_key != key:
        raise UploadNotFound("no such upload")
    return upload


def find_completed(
    view: View, upload_id: bytes, key: bytes, parts: tuple[PartChoice, ...]
) -> tuple[Upload, ObjectInfo]:
    """Return an upload that memory knows was completed of just these *parts*, and the answer; raise UploadNotFound.

    A client that lost the answer asks again; it must not learn that the upload never was.
    """
    entry = _entry(view, upload_id)
    if entry.upload is None or entry.upload.object_key != key or entry.completed is None or entry.completed[0] != parts:
        raise UploadNotFound("no such upload")
    return entry.upload, entry.completed[1]


def find_part(view: View, upload: Upload, number: int) -> Part | None:
    """Return part *number* of an upload in progress, if there is one."""
    entry = _entry(view, upload.upload_id)
    if number not in entry.parts and not entry.whole:
        raise Missing(NeedFetch(view.volume.uploads.fetch_part, (view.volume.vol, upload.upload_id, number)))
    return entry.parts.get(number)


def find_parts(view: View, upload: Upload) -> dict[int, Part | None]:
    """Return all parts of an upload in progress, by number; None stands for one that does not exist."""
    entry = _entry(view, upload.upload_id)
    if not entry.whole:
        raise Missing(NeedFetch(view.volume.uploads.fetch_parts, (view.volume.vol, upload.upload_id)))
    return entry.parts


def _entry(view: View, upload_id: bytes) -> UploadEntry:
    table = view.volume.uploads
    entry = table.use(upload_id, view.stamp)
    if entry is None:
        raise Missing(NeedFetch(table.fetch, (view.volume.vol, upload_id)))
    view.batch = max(view.batch, entry.batch)
    return entry
