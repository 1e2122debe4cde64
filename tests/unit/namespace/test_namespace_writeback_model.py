"""Write-back in every order: writes, seals, flushes, truncations, PUTs and crashes against one array of bytes.

The machine holds and fails puts and holds commits as it likes. After each step: NFS shows the last state; what is in
the database is, byte by byte, of a state at or after the last one that was answered as durable; and at the end nothing
is left in memory and `check` finds nothing.
"""

from __future__ import annotations

from typing import Any

from hall import ROOT, MemoryHall, begin, run
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from foundation.errors import FsError, NoReply, Unavailable
from metastore.records import Extent, Inode
from namespace import rewriting, writeback
from namespace.api import CreateMode, SetAttr, Stability
from storage_engine.api import BlobId

SPAN = 80
OFFSETS = st.integers(0, SPAN - 20)
DATA = st.binary(min_size=1, max_size=20)
Bytes = tuple[int | None, ...]


def padded(data: bytes) -> Bytes:
    """The bytes by position; None behind the end."""
    return (*data, *[None] * (SPAN - len(data)))


class WriteBackMachine(RuleBasedStateMachine):
    @initialize(few=st.integers(1, 3))
    def start(self, few: int) -> None:
        self.saved = (writeback.FLUSH_RUNS, rewriting.FEW_EXTENTS, rewriting.LEAST_EXTENTS)
        writeback.FLUSH_RUNS, rewriting.FEW_EXTENTS, rewriting.LEAST_EXTENTS = few, 2, 2
        self.hall = MemoryHall()
        made = self.hall.ns.create(ROOT, self.hall.root, b"f", CreateMode.GUARDED, SetAttr(), b"")
        self.file = run(made).file.file
        self.states: list[bytes] = [b""]
        self.floors = [0] * SPAN  # per position: the oldest state that the database may show
        self.puts_held = self.commits_held = False
        self.waiting: list[tuple[Any, int, int]] = []  # (operation, state at its begin, first position it promises)

    # ------------------------------------------------------------------ what is done

    @rule(offset=OFFSETS, data=DATA, stable=st.booleans())
    def write(self, offset: int, data: bytes, stable: bool) -> None:
        shown = self.states[-1].ljust(offset, b"\0")
        self.states.append(shown[:offset] + data + shown[offset + len(data) :])
        stability = Stability.FILE_SYNC if stable else Stability.UNSTABLE
        self.began(self.hall.ns.write(ROOT, self.file, offset, data, stability), 0 if stable else SPAN)

    @rule()
    def commit(self) -> None:
        self.began(self.hall.ns.commit(ROOT, self.file, 0, 0), 0)

    @precondition(lambda self: self.puts_held)
    @rule(offset=OFFSETS, data=DATA)
    def commit_and_write(self, offset: int, data: bytes) -> None:
        """What a COMMIT under way waits for is overtaken."""
        self.commit()
        self.write(offset, data, stable=False)
        self.write(offset + 5, data, stable=False)

    @rule(size=OFFSETS)
    def truncate(self, size: int) -> None:
        self.states.append(self.states[-1].ljust(size, b"\0")[:size])
        self.began(self.hall.ns.setattr(ROOT, self.file, SetAttr(size=size), None), size)

    @precondition(lambda self: not (self.puts_held or self.commits_held or self.hall.bodies._put_errors))
    @rule(data=DATA)
    def put(self, data: bytes) -> None:
        overlay = self.entry().overlay
        pending = overlay is not None and len(overlay.runs) > 0
        before = self.volume().verifier
        self.states.append(data)
        self.hall.put(b"f", data)
        self.floors = [len(self.states) - 1] * SPAN
        assert (self.volume().verifier != before) == pending

    def began(self, work: Any, promises: int) -> None:
        self.waiting.append((begin(work), len(self.states) - 1, promises))
        self.look()

    # ------------------------------------------------------------------ what happens meanwhile

    @rule()
    def hold_puts(self) -> None:
        self.hall.bodies.hold_puts()
        self.puts_held = True

    @rule()
    def release_puts(self) -> None:
        self.puts_held = False
        self.hall.bodies.release_puts()
        self.look()

    @precondition(lambda self: len(self.states) > 3 and not self.hall.bodies._put_errors)
    @rule()
    def fail_put(self) -> None:
        self.hall.bodies.fail_puts(Unavailable("on demand"))

    @rule()
    def hold_commits(self) -> None:
        self.hall.metastore.hold_commits()
        self.commits_held = True

    @rule()
    def release_batch(self) -> None:
        self.hall.metastore.release_batch()
        self.look()

    @rule()
    def release_commits(self) -> None:
        self.commits_held = False
        self.hall.metastore.release_commits()
        self.look()

    @rule(seconds=st.sampled_from([1, 6]))
    def pass_time(self, seconds: int) -> None:
        if not self.hall.bodies._put_errors:  # a rewriting that fails only waits
            self.hall.clock.advance(seconds)
            self.look()

    @precondition(lambda self: len(self.states) > 5)
    @rule()
    def crash(self) -> None:
        before = self.volume().verifier
        self.hall.metastore.refuse_next()
        chmod = begin(self.hall.ns.setattr(ROOT, self.file, SetAttr(mode=0o600), None))
        self.commits_held = False
        self.hall.metastore.release_commits()
        self.look()
        self.settle()
        chmod.addErrback(lambda _: None)
        self.states = [self.durable()]
        self.floors = [0] * SPAN
        assert self.volume().verifier != before
        assert self.hall.ns._writeback.room.meter.runs == 0

    def settle(self) -> None:
        """Let all that is held go."""
        self.release_puts()
        self.release_commits()
        assert not self.waiting

    def look(self) -> None:
        """Take the answers that have come."""
        left = []
        for operation, state, promises in self.waiting:
            if not operation.called:
                left.append((operation, state, promises))
                continue
            found: list[Any] = []
            operation.addBoth(found.append)
            error = getattr(found[0], "value", None)
            if error is None:
                for position in range(promises, SPAN):
                    self.floors[position] = max(self.floors[position], state)
            else:
                assert isinstance(error, (FsError, NoReply)), error
        self.waiting = left

    # ------------------------------------------------------------------ what must hold

    def volume(self) -> Any:
        return next(iter(self.hall.ns._volumes.every()))

    def entry(self) -> Any:
        return self.volume().cache.inodes[self.file.ino]

    def durable(self) -> bytes:
        """The bytes that a crash now would leave."""
        image = self.hall.database.rows[Inode][self.hall.vol, self.file.ino]
        body = bytearray(image.size)
        extents = list(self.hall.database.extents.get((self.hall.vol, image.content), {}).values())
        if image.x_length:
            assert not extents
            extents = [Extent(1, image.content, image.x_offset, image.x_length, image.x_blob, image.x_blob_offset)]
        assert sum(extent.length for extent in extents) == image.used
        for extent in extents:
            blob = self.hall.bodies.blobs[BlobId(self.hall.vol, extent.blob)]
            part = blob[extent.blob_offset : extent.blob_offset + extent.length]
            assert len(part) == extent.length
            assert extent.end <= image.size
            body[extent.offset : extent.end] = part
        return bytes(body)

    @invariant()
    def the_database_shows_what_was_promised(self) -> None:
        if not hasattr(self, "hall"):
            return
        durable = padded(self.durable())
        states = [padded(state) for state in self.states]
        for position, floor in enumerate(self.floors):
            # Bytes that a write left between two sizes may be a hole until they are flushed.
            allowed = {state[position] for state in states[floor:]} | {0}
            if None not in {state[position] for state in states[floor:]}:
                allowed.discard(None)
            if floor == len(states) - 1:
                allowed = {states[-1][position]}
            assert durable[position] in allowed, (position, durable[position], allowed)

    @invariant()
    def nfs_shows_the_last_state(self) -> None:
        if not hasattr(self, "hall") or self.commits_held:
            return
        result = run(self.hall.ns.read(ROOT, self.file, 0, 2 * SPAN))
        assert b"".join(result.buffers) == self.states[-1]
        assert result.file.size == len(self.states[-1])

    def teardown(self) -> None:
        if not hasattr(self, "hall"):
            return
        writeback.FLUSH_RUNS, rewriting.FEW_EXTENTS, rewriting.LEAST_EXTENTS = self.saved
        self.settle()
        self.hall.bodies._put_errors.clear()
        run(self.hall.ns.commit(ROOT, self.file, 0, 0))
        assert self.durable() == self.states[-1]
        self.hall.clock.advance(60)
        meter = self.hall.ns._writeback.room.meter
        assert (meter.held, meter.bytes, meter.flying, meter.runs, meter.overlays) == (0, 0, 0, 0, 0)
        assert self.hall.findings() == []


class TestWriteBack(WriteBackMachine.TestCase):
    settings = settings(
        max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
