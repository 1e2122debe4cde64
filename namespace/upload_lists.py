"""ListMultipartUploads and ListParts: pages of the durable state, as listings are (ADR 0060)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import InvalidArgument
from metastore.records import ROOT_INO
from namespace.api import PartPage, UploadInfo, UploadPage
from namespace.authority import LIST_KEYS
from namespace.edit import Planned
from namespace.hall import Verbs
from namespace.multipart import find_upload_of, part_info, upload_info
from namespace.names import successor

if TYPE_CHECKING:
    from metastore.records import Upload
    from namespace.api import Caller, UploadListRequest, UploadTarget
    from namespace.view import View

#: The most that one page holds, as in the S3 API.
PAGE_MAX = 1000


class UploadListVerbs(Verbs):
    """What is in progress."""

    async def list_parts(self, caller: Caller, target: UploadTarget, after: int, limit: int) -> PartPage:
        """Return at most *limit* parts with a number > *after*; raise UploadNotFound."""
        _check_limit(limit)
        volume = await self._volumes.named(target.bucket)

        def plan(view: View) -> Planned[UploadInfo]:
            info = upload_info(find_upload_of(view, caller, target))
            return Planned(lambda: info)

        upload = await self._engine.run(volume, plan)
        await self._engine.settled(volume)
        found = await self._engine.metastore.load_parts(volume.vol, target.upload_id, after, limit + 1)
        parts = tuple(part_info(part) for part in found[:limit])
        return PartPage(upload, parts, parts[-1].number if len(found) > limit and parts else None)

    async def list_uploads(self, caller: Caller, bucket: str, request: UploadListRequest) -> UploadPage:
        """Return at most `limit` uploads in progress and common prefixes, by key and id."""
        _check_limit(request.limit)
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[None]:
            LIST_KEYS.require(caller, view.live(ROOT_INO)[1])
            return Planned(lambda: None)

        await self._engine.run(volume, plan)
        await self._engine.settled(volume)
        page = _Page(request)
        upper = successor(request.prefix) if request.prefix else None
        while not page.is_full and (upper is None or page.after[0] < upper):
            found = await self._engine.metastore.page_uploads(volume.vol, page.after, upper, page.room + 1)
            wanted = page.room + 1
            if page.take(found) and len(found) < wanted:
                break
        return page.answer()


class _Page:
    """A page that fills up; what does not fit tells that another page follows."""

    def __init__(self, request: UploadListRequest) -> None:
        self._request = request
        self._uploads: list[UploadInfo] = []
        self._prefixes: list[bytes] = []
        self._last = (b"", b"")
        self.is_full = False
        #: What was looked at so far: the next upload is greater.
        self.after = _first_after(request)

    @property
    def room(self) -> int:
        """Return how many still fit."""
        return self._request.limit - len(self._uploads) - len(self._prefixes)

    def take(self, found: list[Upload]) -> bool:
        """Add *found*; return False where a common prefix tells to go on behind all that it stands for."""
        delimiter, start = self._request.delimiter, len(self._request.prefix)
        for upload in found:
            cut = upload.object_key.find(delimiter, start) if delimiter else -1
            if not self.room and not (cut >= 0 and self._is_listed(upload.object_key[: cut + len(delimiter)])):
                self.is_full = True
                return True
            if cut < 0:
                self._uploads.append(upload_info(upload))
                self._last = self.after = (upload.object_key, upload.upload_id)
                continue
            prefix = upload.object_key[: cut + len(delimiter)]
            if not self._is_listed(prefix):
                self._prefixes.append(prefix)
                self._last = (prefix, b"")
            self.after = (successor(prefix) or b"\xff", b"")
            return False
        return True

    def _is_listed(self, prefix: bytes) -> bool:
        """Tell whether *prefix* is on this page, or was on one before."""
        return bool(self._prefixes and self._prefixes[-1] == prefix) or prefix <= self._request.key_marker

    def answer(self) -> UploadPage:
        """Return the page."""
        return UploadPage(tuple(self._uploads), tuple(self._prefixes), self._last if self.is_full else None)


def _first_after(request: UploadListRequest) -> tuple[bytes, bytes]:
    """Return what the first upload of the page is greater than."""
    marker = request.key_marker
    if request.delimiter and marker.endswith(request.delimiter) and not request.upload_id_marker:
        after = (successor(marker) or b"\xff", b"")  # a common prefix ended the page before
    elif request.upload_id_marker:
        after = (marker, request.upload_id_marker)
    else:
        after = (marker + b"\0", b"") if marker else (b"", b"")
    return max(after, (request.prefix, b""))


def _check_limit(limit: int) -> None:
    if not 0 < limit <= PAGE_MAX:
        raise InvalidArgument("a page has 1 to 1,000 entries")
