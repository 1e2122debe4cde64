"""A node without sockets, threads and processes: its disk is a folder, its crashes are re-openings."""

from __future__ import annotations

import os
import uuid

from foundation.aio import start
from foundation.clock import ManualClock
from storage_engine.api import BlobId, Origin
from storage_engine.checksum import page_checksums, whole_checksum
from storage_engine.node import Identity, NodeConfig, format_disk
from storage_engine.node.assembly import Runners, open_disk
from storage_engine.node.segments import Disk
from storage_engine.node.threads import run_here
from storage_engine.node.turn import Turn
from storage_engine.wire.frames import Refusal
from storage_engine.wire.messages import Put

MIB = 1 << 20


def done(work):
    """Return the result of a coroutine that ends without waiting for anything outside."""
    outcome = []
    start(work).addBoth(outcome.append)
    assert outcome, "the coroutine waits"
    if hasattr(outcome[0], "raiseException"):
        outcome[0].raiseException()
    return outcome[0]


def make_put(vol, number, body, *, epoch=1, fence=None):
    pages = page_checksums([body])
    origin = Origin(epoch, 17, 18, 19 << 40, 20)
    fence = epoch if fence is None else fence
    return Put(BlobId(vol, number), origin, fence, len(body), whole_checksum(pages, len(body)), pages, (body,))


class QuickDisk(Disk):
    """A disk for tests in which the power never fails."""

    def sync(self, fd):
        pass

    def sync_folder(self, folder):
        pass


class OneNode:
    """One node's disk, opened and opened again."""

    def __init__(self, folder, disk=None, **options):
        cluster = uuid.UUID(int=1)
        self.clock = ManualClock()
        self.disk = disk or QuickDisk()
        fields = {"segment_bytes": 5 * MIB, "headroom_bytes": 0, **options}
        self.config = NodeConfig(
            id=1, uuid=uuid.UUID(int=2), cluster=cluster, folder=folder, port=0, secret_file=folder, **fields
        )
        format_disk(folder, Identity(1, self.config.uuid, cluster))
        self.parts = None
        self.open()

    def open(self):
        """Open the disk, after a crash if it was open."""
        if self.parts is not None:
            self.close()
        runners = Runners(run_here, run_here, run_here)
        self.parts = open_disk(self.config, self.clock, runners, Turn(), self.disk)

    def close(self):
        self.parts.folder.close()
        os.close(self.parts.lock)
        self.parts = None

    @property
    def store(self):
        return self.parts.store

    @property
    def segments(self):
        return sorted((self.config.folder / "segments").glob("*.seg"))

    @property
    def notes(self):
        return sorted((self.config.folder / "quarantine").glob("*.json"))

    def put(self, vol, number, body, **options):
        done(self.store.put(make_put(vol, number, body, **options)))

    def read(self, vol, number, offset=0, length=None):
        if length is None:
            location = self.store.index.find(BlobId(vol, number))
            length = 1 if location is None else location.length
        return bytes(done(self.store.read(BlobId(vol, number), offset, length)).data)

    def delete(self, vol, *ids, fence=1):
        done(self.store.delete(vol, fence, ids))

    def close_epochs(self, vol, epoch):
        done(self.store.close_epochs(vol, epoch))

    def reclaim(self):
        """Reclaim all that is worth it; return how many segments went."""
        count = 0
        while done(self.parts.reclaim.step()):
            count += 1
        return count

    def status(self, work):
        """Return the status with which *work*, a call of this node, is refused; None if it is not."""
        try:
            work()
        except Refusal as refusal:
            return refusal.status
        return None
