"""WRITE and COMMIT (RFC 1813, sections 3.3.7 and 3.3.21)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import InvalidArgument, IsDirectory, NoReply, TooLarge
from metastore.records import FileType
from namespace.api import Stability, Wcc, Written
from namespace.attributes import Before, attr_of
from namespace.authority import WRITE, authorize_io
from namespace.edit import Planned
from namespace.hall import Verbs
from namespace.view import MAX_SIZE, View, is_directory
from namespace.writeback import Laid
from storage_engine.api import MAX_BLOB_BYTES

if TYPE_CHECKING:
    from metastore.records import Inode
    from namespace.api import Attr, Buffer, Caller, FileId
    from namespace.cache import InodeEntry


class WriteVerbs(Verbs):
    """WRITE and COMMIT."""

    async def write(self, caller: Caller, file: FileId, offset: int, data: Buffer, stability: Stability) -> Written:
        """Write all of *data* (RFC 1813, section 3.3.7)."""
        volume = await self._volumes.numbered(file.vol)
        if offset + len(data) > MAX_SIZE:
            raise TooLarge("a file has at most 2^63 - 1 bytes")
        await self._writeback.admit(len(data))
        laid: Laid | None = None
        verifier = b""

        def plan(view: View) -> Planned[tuple[InodeEntry, Wcc]]:
            entry, image = view.file(file)
            _authorize(caller, image)
            before = Before(entry)

            def lay() -> None:
                nonlocal laid, verifier
                verifier = volume.verifier  # the one that holds for these bytes
                if data:
                    laid = self._writeback.lay(volume, entry, offset, memoryview(data))

            return Planned(lambda: (entry, before.wcc()), None, (lay,))

        entry, wcc = await self._engine.run(volume, plan, (file,))
        if stability != Stability.UNSTABLE:
            stability = Stability.FILE_SYNC
            if laid is not None:
                await self._writeback.flush(volume, entry, laid, offset, offset + len(data))
                wcc = Wcc(wcc.before, await self._engine.run(volume, lambda view: _after(view, file)))
        elif laid is not None and laid.overlay.unsealed >= MAX_BLOB_BYTES:
            await self._writeback.seal_early(volume, entry, laid.overlay)
        if volume.dead:
            raise NoReply("the volume's incarnation ended")
        return Written(wcc, len(data), stability, verifier)

    async def commit(self, caller: Caller, file: FileId, offset: int, count: int) -> Written:
        """Make UNSTABLE data of the range durable (RFC 1813, section 3.3.21)."""
        volume = await self._volumes.numbered(file.vol)

        def plan(view: View) -> Planned[tuple[InodeEntry, Attr]]:
            entry, image = view.file(file)
            _authorize(caller, image)
            before = attr_of(entry)
            return Planned(lambda: (entry, before))

        entry, before = await self._engine.run(volume, plan, (file,))
        verifier = volume.verifier  # before the wait: what is dropped meanwhile must show
        if entry.overlay is not None:
            end = offset + count if count else MAX_SIZE
            await self._writeback.flush(volume, entry, Laid(entry.overlay, entry.overlay.seq), offset, end)
        after = await self._engine.run(volume, lambda view: _after(view, file))
        return Written(Wcc(before, after), count, Stability.FILE_SYNC, verifier)


def _authorize(caller: Caller, image: Inode) -> None:
    if is_directory(image):
        raise IsDirectory("a directory has no bytes")
    if image.type != FileType.REGULAR:
        raise InvalidArgument("only a file has bytes")
    authorize_io(caller, image, WRITE)


def _after(view: View, file: FileId) -> Planned[Attr | None]:
    """Consult the file, so that the answer waits for what a flush has changed; None if it is gone by now."""
    entry = view.entry(file.ino)
    attr = attr_of(entry) if entry.image is not None and entry.image.gen == file.gen else None
    return Planned(lambda: attr)
