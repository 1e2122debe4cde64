"""WRITE and COMMIT (RFC 1813, sections 3.3.7 and 3.3.21)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import InvalidArgument, IsDirectory, NoReply, TooLarge
from metastore.records import FileType
from namespace.api import Stability, Wcc, Written
from namespace.attributes import Before, attr_of
from namespace.authority import WRITE_FILE, mode_written_by
from namespace.edit import Edit, Planned
from namespace.hall import Verbs
from namespace.room import Turn
from namespace.view import MAX_SIZE, Missing, NeedRoom, View, is_directory
from namespace.writeback import Laid
from storage_engine.api import MAX_BLOB_BYTES

if TYPE_CHECKING:
    from foundation.clock import Clock
    from metastore.records import Inode
    from namespace.api import Attr, Buffer, Caller, FileId
    from namespace.cache import InodeEntry
    from namespace.volume import VolumeState
    from namespace.writeback import WriteBack


class WriteVerbs(Verbs):
    """WRITE and COMMIT."""

    async def write(self, caller: Caller, file: FileId, offset: int, data: Buffer, stability: Stability) -> Written:
        """Write all of *data* (RFC 1813, section 3.3.7)."""
        volume = await self._volumes.numbered(file.vol)
        if offset + len(data) > MAX_SIZE:
            raise TooLarge("a file has at most 2^63 - 1 bytes")
        writing = _Writing(self._writeback, self._clock, volume, offset, memoryview(data))
        try:
            entry, wcc = await self._engine.run(volume, lambda view: writing.plan(view, caller, file), (file,))
        finally:
            writing.end()
        laid = writing.laid
        if stability != Stability.UNSTABLE:
            stability = Stability.FILE_SYNC
            if laid is not None:
                await self._writeback.flush(volume, entry, laid)
                wcc = Wcc(wcc.before, await self._engine.run(volume, lambda view: _after(view, file)))
        elif laid is not None and laid.overlay.grown >= MAX_BLOB_BYTES:
            await self._writeback.seal_early(volume, entry, laid.overlay)
        if volume.dead:
            raise NoReply("the volume's incarnation ended")
        return Written(wcc, len(data), stability, writing.verifier)

    async def commit(self, caller: Caller, file: FileId, offset: int, count: int) -> Written:
        """Make UNSTABLE data of the range durable (RFC 1813, section 3.3.21)."""
        volume = await self._volumes.numbered(file.vol)

        def plan(view: View) -> Planned[tuple[InodeEntry, Attr, Laid | None, bytes]]:
            entry, image = view.file(file)
            _authorize(caller, image)
            overlay, before = entry.overlay, attr_of(entry)
            laid = None if overlay is None else Laid(overlay, overlay.seq)
            verifier = volume.verifier  # before the wait: what is dropped meanwhile must show
            return Planned(lambda: (entry, before, laid, verifier))

        entry, before, laid, verifier = await self._engine.run(volume, plan, (file,))
        if laid is not None:
            await self._writeback.flush(volume, entry, laid, offset, offset + count if count else MAX_SIZE)
        after = await self._engine.run(volume, lambda view: _after(view, file))
        # COMMIT itself changes nothing: before and after are of one moment, or another's change would pass for ours.
        return Written(Wcc(after or before, after), count, Stability.FILE_SYNC, verifier)


class _Writing:
    """One WRITE: what its plan decides and its installation leaves."""

    __slots__ = ("_clock", "_data", "_offset", "_turn", "_volume", "_writeback", "laid", "verifier")

    def __init__(self, writeback: WriteBack, clock: Clock, volume: VolumeState, offset: int, data: memoryview) -> None:
        self._writeback = writeback
        self._clock = clock
        self._volume = volume
        self._offset = offset
        self._data = data
        self._turn: Turn | None = None
        self.laid: Laid | None = None
        self.verifier = b""

    def plan(self, view: View, caller: Caller, file: FileId) -> Planned[tuple[InodeEntry, Wcc]]:
        """Plan to lay the data on the file, which is privileged no more unless uid 0 writes."""
        entry, image = view.file(file)
        _authorize(caller, image)
        if self._data:
            self._need_room(entry)
        before = Before(entry)

        def answer() -> tuple[InodeEntry, Wcc]:
            return entry, before.wcc()

        mode = mode_written_by(caller, image)
        if mode == image.mode or not self._data:
            return Planned(answer, None, (lambda: self._lay(entry),))
        edit = Edit(view, self._clock.now_ns())
        edit.touch(entry, mode=mode)
        edit.then(lambda: self._lay(entry))
        return edit.planned(answer)

    def _need_room(self, entry: InodeEntry) -> None:
        """Raise Missing until there is room for the data in memory; NoSpace when the nodes have none."""
        turn = self._turn
        if turn is not None and turn.granted:
            return
        if not self._writeback.admits(entry, len(self._data)):
            turn = self._turn = Turn(self._volume, entry, len(self._data))
            raise Missing(NeedRoom(lambda: self._writeback.wait_for_room(turn)))

    def _lay(self, entry: InodeEntry) -> None:
        self.verifier = self._volume.verifier  # the one that holds for these bytes
        if self._data:
            if self._turn is not None:
                self._writeback.room.use(self._turn)
            self.laid = self._writeback.lay(self._volume, entry, self._offset, self._data)

    def end(self) -> None:
        """Give back room that was granted and not used."""
        if self._turn is not None:
            self._writeback.give_back(self._turn)


def _authorize(caller: Caller, image: Inode) -> None:
    if is_directory(image):
        raise IsDirectory("a directory has no bytes")
    if image.type != FileType.REGULAR:
        raise InvalidArgument("only a file has bytes")
    WRITE_FILE.require(caller, image)


def _after(view: View, file: FileId) -> Planned[Attr | None]:
    """Consult the file, so that the answer waits for what a flush has changed; None if it is gone by now."""
    entry = view.entry(file.ino)
    attr = attr_of(entry) if entry.image is not None and entry.image.gen == file.gen else None
    return Planned(lambda: attr)
