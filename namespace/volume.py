"""One volume as this gateway serves it: one incarnation of its cache, its numbers and its write verifier.

A crash of the volume (refused batch, lost fence) ends the incarnation; everything here is dropped with it and a new
object takes its place after the volume was taken again.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from foundation.aio import Semaphore
from namespace.atime import ReadTimes
from namespace.authority import ACL, PRIVATE
from namespace.cache import Cache
from namespace.uploads import UploadTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from metastore.api import NumberBlock
    from metastore.records import Volume
    from namespace.memory import Memory
    from namespace.sharing import Copied
    from namespace.snapshot import Snapshot

#: How many numbers are reserved ahead in one commit, and when the next block is fetched.
BLOCK = 1 << 16
#: The volume's setting that says whether it keeps versions, and what it may be.
VERSIONING, ENABLED, SUSPENDED = "versioning", "enabled", "suspended"
LOW_WATER = BLOCK // 4


class NumberPool:
    """Numbers of one kind that this incarnation may use."""

    __slots__ = ("_blocks", "fetching", "left")

    def __init__(self) -> None:
        """Begin with none."""
        self._blocks: list[list[int]] = []  # [next, last]
        self.left = 0  # how many numbers there are
        self.fetching = False

    def add(self, block: NumberBlock) -> None:
        """Add a reserved block."""
        self._blocks.append([block.first, block.last])
        self.left += block.last - block.first + 1

    def take(self) -> int | None:
        """Return a number nobody had before, or None when the pool is dry."""
        if not self.left:
            return None
        self.left -= 1
        block = self._blocks[0]
        number = block[0]
        block[0] += 1
        if number == block[1]:
            self._blocks.pop(0)
        return number


class VolumeState:
    """One incarnation of a volume."""

    def __init__(self, row: Volume, memory: Memory, durable: Callable[[], int]) -> None:
        """Serve *row* with an empty cache."""
        self.change(row)
        self.vol = row.vol
        self.epoch = row.epoch
        self.cache = Cache(memory, durable)
        self.verifier = secrets.token_bytes(8)
        self.numbers = {kind: NumberPool() for kind in ("ino", "cookie", "content", "blob")}
        self.last_batch = 0  # the newest batch with a change of this volume: what a tree-wide page waits for
        self._dead = False
        self._endings: dict[Callable[[VolumeState], object], None] = {}
        self.copies: dict[int, Copied] = {}  # content -> a copy of its body map that a plan waits for
        self.readers: dict[object, int] = {}  # open reads -> ns they began: younger doomed blobs stay
        self._dooming_since: int | None = None
        self.assembling = 0  # contents that are being made of others by reference: sources are not rewritten meanwhile
        self.snapshots: dict[int, Snapshot] = {}  # content -> what its open readers still read from the table
        self.settings_turn = Semaphore(1)  # changes of settings, one at a time: the last one committed is the one shown
        #: What earlier incarnations did for requests that must not run twice: request -> record (`namespace.once`).
        self.replies: dict[bytes, bytes] = {}
        self.uploads = UploadTable(self.cache)
        self.read_times = ReadTimes()

    @property
    def dead(self) -> bool:
        """Tell whether the incarnation is over: whoever waited gives no answer."""
        return self._dead

    @dead.setter
    def dead(self, over: bool) -> None:
        self._dead = over
        endings, self._endings = self._endings, {}
        for ending in endings:
            ending(self)

    def at_end(self, ending: Callable[[VolumeState], object]) -> None:
        """Call *ending* when the incarnation ends; once, however often it is asked for."""
        self._endings[ending] = None

    def change(self, row: Volume) -> None:
        """Serve the volume with the settings of *row* from now on."""
        self.row = row
        self.versioning = row.settings.get(VERSIONING, "")  # ENABLED, SUSPENDED, or empty: it never kept versions
        self.acl = row.settings.get(ACL, PRIVATE)  # the canned ACL by which anonymous callers may enter

    @property
    def strict(self) -> bool:
        """Tell whether the bucket takes only keys and names that are the same through both doors."""
        return self.row.settings.get("strict") == "true"

    def new_verifier(self) -> None:
        """Change the write verifier: UNSTABLE bytes were dropped (RFC 1813, section 3.3.21)."""
        self.verifier = secrets.token_bytes(8)

    def begin_read(self, now_ns: int) -> object:
        """Keep every blob that is alive now until `end_read` of the returned token."""
        token = object()
        self.readers[token] = now_ns if self._dooming_since is None else min(now_ns, self._dooming_since)
        return token

    def end_read(self, token: object) -> None:
        """Let the blobs go."""
        self.readers.pop(token, None)

    def oldest_read(self, now_ns: int) -> int:
        """Return when the oldest read under way began; *now_ns* if there is none."""
        return min(self.readers.values(), default=now_ns)

    def begin_dooming(self, now_ns: int) -> int:
        """Return the time to doom blobs at: none that a read under way may need is older.

        The statement runs later than *now_ns*, so reads that begin before `end_dooming` count as begun at that time.
        """
        self._dooming_since = max([now_ns, *self.readers.values()])
        return self._dooming_since

    def end_dooming(self) -> None:
        """Note that the blobs are doomed."""
        self._dooming_since = None
