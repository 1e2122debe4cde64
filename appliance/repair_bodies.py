"""Repairs of bodies and numbers: extents, references, contents, parts, and the marks below which numbers are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from appliance.repair_work import CHUNK, RepairWork, after_step
from metastore.records import Part, Reclaim

if TYPE_CHECKING:
    from appliance.repair_work import Step
    from metastore.api import Finding

#: A number beyond this is damage; reserving up to it would use up what there is.
_HIGHEST_NUMBER = 1 << 60


class BodyRepairs(RepairWork):
    """Steps by finding: each returns what was and what is, or None where it leaves what the rows do not prove."""

    # -- numbers --------------------------------------------------------------------------------------------------

    def _reserve(self, kind: str) -> Step:
        async def step(found: Finding) -> tuple[str, str] | None:
            """Reserve what is in use, so that nothing new gets its number."""
            number = found.right
            if number is None or number >= _HIGHEST_NUMBER:
                return None
            free = (await self._metastore.reserve(self._vol, kind, 1)).first
            if number > free:
                await self._metastore.reserve(self._vol, kind, number - free)
            after_step()
            return f"next {kind} {free}", f"next {kind} beyond {number}"

        return step

    async def _reserve_blobs(self, found: Finding) -> tuple[str, str] | None:
        """Reserve a blob's number, if it is still to come; a range that was lost cannot be told from one never made."""
        free = (await self._metastore.reserve_blobs(self._vol, 1)).first
        if not free <= found.number < _HIGHEST_NUMBER:
            return None
        if found.number > free:
            await self._metastore.reserve_blobs(self._vol, found.number - free)
        after_step()
        return f"next blob {free}", f"next blob beyond {found.number}"

    # -- rows of bodies -------------------------------------------------------------------------------------------

    async def _keep_content(self, found: Finding) -> tuple[str, str]:
        """Take a content that somebody has off the list of what is freed."""
        content = found.right if found.rule == "part.reclaimed" else found.number
        assert content is not None
        await self._commit(drops=((Reclaim, (content,)),))
        return f"content {content} was being freed", "it is kept"

    async def _end_draft(self, found: Finding) -> tuple[str, str]:
        await self._commit(Reclaim(self._vol, found.number, self._clock.now_ns()))
        return found.detail, "garbage: nobody builds it"

    async def _count_extents(self, found: Finding) -> tuple[str, str] | None:
        """Count the rows of a content, if their bytes are as many as they were: else some are lost."""
        inode = await self._inode(found.number)
        if inode is None or inode.x_length:
            return None  # rows and an inline extent: which of the two is the content, nothing tells
        rows, in_rows = await self._measured(inode.content)
        if in_rows != inode.used:
            return None
        await self._commit(replace(inode, extents=rows))
        return f"extents {inode.extents}", f"extents {rows}"

    async def _count_bytes(self, found: Finding) -> tuple[str, str] | None:
        """Count the bytes of a content, if its rows are as many as they were: else some are lost."""
        inode = await self._inode(found.number)
        if inode is None:
            return None
        rows, in_rows = await self._measured(inode.content)
        if rows != inode.extents or inode.x_length < 0:
            return None
        await self._commit(replace(inode, used=inode.x_length + in_rows))
        return f"used {inode.used}", f"used {inode.x_length + in_rows}"

    async def _measured(self, content: int) -> tuple[int, int]:
        """Return how many rows a content has and how many bytes are in them; -1 if one of them makes no sense."""
        rows = in_rows = start = 0
        while page := await self._metastore.load_extents(self._vol, content, start, CHUNK):
            if any(row.length <= 0 or row.offset < start for row in page):
                return -1, -1
            rows, in_rows = rows + len(page), in_rows + sum(row.length for row in page)
            start = page[-1].offset + page[-1].length
        return rows, in_rows

    async def _move_inline(self, found: Finding) -> tuple[str, str] | None:
        """Move the one extent of a content into its inode, where it belongs."""
        inode = await self._inode(found.number)
        if inode is None or inode.x_length or inode.x_blob or inode.extents != 1:
            return None
        rows = await self._metastore.load_extents(self._vol, inode.content, 0, 2)
        if len(rows) != 1:
            return None
        (row,) = rows
        moved = replace(
            inode, extents=0, x_offset=row.offset, x_length=row.length, x_blob=row.blob, x_blob_offset=row.blob_offset
        )
        await self._commit(moved, drops=((type(row), row.key),))
        return "its one extent in the table", "in the inode"

    async def _count_references(self, found: Finding) -> tuple[str, str] | None:
        blob = await self._metastore.load_blob(self._vol, found.number)
        if blob is None or blob.doomed or found.right is None or (found.right < blob.refs and self._in_doubt):
            return None
        await self._commit(refs=((blob.id, found.right - blob.refs),))
        return f"refs {blob.refs}", f"refs {found.right}"

    async def _give_to_reclaim(self, found: Finding) -> tuple[str, str] | None:
        if self._in_doubt:
            return None
        await self._commit(Reclaim(self._vol, found.number, self._clock.now_ns()))
        return "nobody had it", "it waits to be freed"

    async def _drop_part(self, found: Finding) -> tuple[str, str]:
        """Drop a part that no upload can ever use; its content belongs to nobody then."""
        await self._commit(drops=((Part, (found.name, found.number)),))
        return f"content {found.right}", "the part is dropped"

    async def _finish_uploads(self) -> None:
        """Detach the parts of uploads that have ended."""
        while count := await self._metastore.reap_uploads(self._vol, self._clock.now_ns(), CHUNK):
            after_step()
            self._note("upload.ended", "ended uploads", "to be finished", f"{count} rows of them are detached")
