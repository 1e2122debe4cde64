"""The node's append-only log: records in, durable locations out, in groups.

Appends that arrive while a batch is being written and synced share the next one. Batches go to the disk one at a
time, in one thread, and never lie in two segments. The first error of a write or sync ends the log for good: after a
failed fdatasync nobody knows what the disk holds (the kernel may have marked the pages clean), so every append is
refused from then on and the process must end and read the disk again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from foundation.aio import Promise, spawn
from foundation.crash import crash_point
from foundation.errors import NoSpace
from storage_engine.node.records import Kind, encode_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from storage_engine.node.records import Record
    from storage_engine.node.room import Room
    from storage_engine.node.segments import SegmentFile, SegmentFolder
    from storage_engine.node.threads import Runner
    from storage_engine.node.turn import Turn

_AFTER_APPEND = crash_point("node.put.after_append")
_AFTER_SYNC = crash_point("node.put.after_sync")
_AFTER_TOMBSTONE = crash_point("node.delete.after_tombstone")
#: A batch is written as one; a longer one would make its first append wait for too many others.
_MAX_BATCH_BYTES = 16 << 20
_PADDING = bytes(512)


class LogFailed(Exception):
    """The disk failed an append; the log takes no more."""


class _Append:
    """One record on its way to the disk."""

    __slots__ = ("body", "durable", "essential", "position", "record", "segment")

    def __init__(self, record: Record, body: Sequence[bytes | memoryview], *, essential: bool) -> None:
        self.record = record
        self.body = body
        self.essential = essential
        self.segment = 0
        self.position = 0
        self.durable: Promise[tuple[int, int]] = Promise()


class Log:
    """Group commit into segment files."""

    def __init__(self, folder: SegmentFolder, room: Room, write: Runner, turn: Turn) -> None:
        """Append to the segment that *room* gives; *write* must run one piece of work at a time."""
        self.error: Exception | None = None
        self.failed: Callable[[Exception], object] = lambda _error: None
        self.queued_bytes = 0
        self._folder = folder
        self._room = room
        self._write = write
        self._turn = turn
        self._queue: deque[_Append] = deque()
        self._busy = False
        self._closed = False

    async def append(
        self, record: Record, body: Sequence[bytes | memoryview], *, essential: bool = False
    ) -> tuple[int, int]:
        """Return (segment, position) of *record* when it is durable; *body* must stay unchanged until then.

        An *essential* record (tombstones, compaction) may use the head-room. Raise NoSpace or LogFailed.
        """
        if self.error is not None:
            raise LogFailed(str(self.error))
        each = _Append(record, body, essential=essential)
        self._queue.append(each)
        self.queued_bytes += record.span
        self._turn.at_end(self._start)
        return await each.durable

    def _start(self) -> None:
        if not self._busy and self._queue:
            self._busy = True
            spawn("append to the log", self._run())

    async def _run(self) -> None:
        try:
            while self._queue:
                segment = await self._segment_for(self._queue[0])
                if segment is not None:
                    await self._write_batch(segment)
        except Exception as error:  # noqa: BLE001 - whatever cuts a batch, its outcome is unknown and the log is over
            self._fail(error)
        finally:
            self._busy = False

    async def _segment_for(self, first: _Append) -> SegmentFile | None:
        """Return a segment in which *first* fits; None when there is no room and it was refused."""
        try:
            return await self._room.segment_for(first.record.span, essential=first.essential)
        except NoSpace as error:
            # Those behind it may be essential and get room: refuse this one alone.
            self._queue.popleft()
            self.queued_bytes -= first.record.span
            first.durable.fail(error)
            return None

    async def _write_batch(self, segment: SegmentFile) -> None:
        fd = self._folder.hold(segment)
        batch, buffers = self._take(segment)
        start, stop = batch[0].position, segment.tail
        tombstones = any(each.record.kind == Kind.TOMBSTONES for each in batch)

        def write() -> None:
            self._folder.write_batch(segment, fd, buffers, start, stop)
            _AFTER_APPEND()
            self._folder.disk.sync(fd)
            _AFTER_SYNC()
            if tombstones:
                _AFTER_TOMBSTONE()

        try:
            await self._write(write)
        except Exception:
            self._queue.extendleft(reversed(batch))  # `_fail` refuses them with the rest
            raise
        finally:
            self._folder.release(segment)
        self._room.prepare()
        with self._turn:
            for each in batch:
                self.queued_bytes -= each.record.span
                each.durable.resolve((segment.number, each.position))

    def _take(self, segment: SegmentFile) -> tuple[list[_Append], list[bytes | memoryview]]:
        """Move what fits into *segment* from the queue to a batch; return it and its bytes."""
        batch: list[_Append] = []
        buffers: list[bytes | memoryview] = []
        start = segment.tail
        while self._queue and segment.fits(self._queue[0].record.span):
            if segment.tail - start >= _MAX_BATCH_BYTES:
                break
            each = self._queue.popleft()
            record = each.record
            each.segment, each.position = segment.number, segment.tail
            header = encode_record(record, segment.header, segment.tail)
            segment.tail += record.span
            buffers.append(header)
            buffers.extend(each.body)
            padding = record.span - len(header) - record.length
            if padding:
                buffers.append(_PADDING[:padding])
            batch.append(each)
        return batch, buffers

    def close(self) -> None:
        """Refuse what waits and what comes; the batch under way is still answered."""
        self._closed = True
        self._refuse(LogFailed("the node stops"))

    def _fail(self, error: Exception) -> None:
        if not self._closed:
            self.failed(error)
        self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        """Refuse what waits and what comes."""
        self.error = error
        waiting, self._queue = self._queue, deque()
        for each in waiting:
            each.durable.fail(LogFailed(str(error)))
