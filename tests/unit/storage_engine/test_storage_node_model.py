"""One node under random operations, crashes and reclaims, against a dictionary."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from one_node import OneNode

from storage_engine.node.index import TOMBSTONE_SECONDS
from storage_engine.wire.frames import Status

NUMBERS = st.integers(1, 30)
VOLUMES = st.integers(1, 2)
_POOL = os.urandom(2 << 20)


class NodeModel(RuleBasedStateMachine):
    """Blobs are small or large enough that segments of 5 MiB roll every few puts."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="gatefold-model-"))
        self.node = OneNode(self.folder / "disk")
        self.live: dict[tuple[int, int], bytes] = {}
        self.dead: set[tuple[int, int]] = set()
        self.closed = {1: 0, 2: 0}
        self.forgiven: set[tuple[int, int]] = set()  # deleted so long ago that the node may have forgotten

    def teardown(self):
        self.node.close()
        shutil.rmtree(self.folder)

    @rule(vol=VOLUMES, number=NUMBERS, size=st.sampled_from([1, 400, 70_000, 1_500_000]), epoch=st.integers(0, 3))
    def put(self, vol, number, size, epoch):
        key, body = (vol, number), _POOL[number : number + size]
        if key in self.forgiven:
            return  # its tombstone may be gone, and nobody uses a number twice: what would happen is not promised
        status = self.node.status(lambda: self.node.put(vol, number, body, epoch=epoch))
        if epoch < self.closed[vol]:
            assert status == Status.EPOCH_CLOSED
        elif key in self.dead:
            assert status == Status.USED
        elif key in self.live:
            assert status == (None if self.live[key] == body else Status.USED)
        else:
            assert status is None
            self.live[key] = body

    @rule(vol=VOLUMES, numbers=st.sets(NUMBERS, min_size=1, max_size=12))
    def delete(self, vol, numbers):
        self.node.delete(vol, *numbers, fence=3)
        for number in numbers:
            self.live.pop((vol, number), None)
            self.dead.add((vol, number))
            self.forgiven.discard((vol, number))

    @rule(vol=VOLUMES, epoch=st.integers(0, 3))
    def close_epochs(self, vol, epoch):
        self.node.close_epochs(vol, epoch)
        self.closed[vol] = max(self.closed[vol], epoch)

    @rule()
    def crash(self):
        self.node.open()

    @rule()
    def reclaim(self):
        self.node.reclaim()

    @rule()
    def wait_long(self):
        self.node.clock.advance(TOMBSTONE_SECONDS + 1)
        self.forgiven |= self.dead
        self.dead = set()

    @invariant()
    def reads_are_right(self):
        for (vol, number), body in self.live.items():
            middle = len(body) // 2
            assert self.node.read(vol, number, 0, min(200, len(body))) == body[:200]
            assert self.node.read(vol, number, middle, len(body) - middle) == body[middle:]
        for vol, number in self.dead | self.forgiven:
            assert self.node.status(lambda v=vol, n=number: self.node.read(v, n)) == Status.NOT_HELD
        index = self.node.store.index
        assert index.blobs == len(self.live)
        assert sum(use.blobs for use in index.uses.values()) == len(self.live)
        assert all(use.live_bytes >= 0 and use.tombs >= 0 for use in index.uses.values())
        assert not self.node.notes


TestNodeModel = NodeModel.TestCase
TestNodeModel.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
