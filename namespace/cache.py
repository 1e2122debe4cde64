"""What a volume has in memory: inodes and entries, each with the batch of its last change, bounded in bytes.

Eviction keeps two rules (DESIGN 2). A changed object or a deletion mark goes only when its batch is durable *and* not
newer than the start of the oldest load in flight, else that load would bring the old state back. And nothing goes
that an operation under way has used: every use stamps the object with the operation's number.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from namespace.aliases import is_hashed
from namespace.intervals import IntervalSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from metastore.records import Edge, Inode, ObjectMeta
    from namespace.api import Attr
    from namespace.extents import ExtentMap
    from namespace.overlay import Overlay

#: About what one cached object costs, in bytes, its share of the tables included.
INODE_COST = 900
EDGE_COST = 450
EXTENT_COST = 160
#: A directory with more ranges than this known forgets them: eviction has riddled it.
MAX_KNOWN_RANGES = 256
#: How many objects one operation's end looks at to make room: bounds the pause where all are in use.
MAX_LOOKS = 1024
#: A hashed alias is one more name of its entry, under a key that no skey has: skeys are UTF-8.
ALIAS_MARK = b"\xff"


class InodeEntry:
    """One inode in memory. `image` None is a deletion mark."""

    __slots__ = ("attr", "batch", "cost", "extents", "image", "ino", "meta", "meta_known", "overlay", "stamp")

    def __init__(self, ino: int, image: Inode | None, batch: int) -> None:
        """Enter *image* as of *batch* (0: as loaded)."""
        self.ino = ino
        self.image = image
        self.batch = batch
        self.stamp = 0
        self.attr: Attr | None = None  # what getattr shows; None: to be made anew
        self.overlay: Overlay | None = None
        self.extents: ExtentMap | None = None
        self.meta: ObjectMeta | None = None
        self.meta_known = False
        self.cost = INODE_COST  # about how many bytes it takes, as the cache has counted it


class EdgeEntry:
    """One name in memory. `edge` None is a deletion mark, or a name known not to exist."""

    __slots__ = ("batch", "cost", "edge", "parent", "skey", "stamp")

    def __init__(self, parent: int, skey: bytes, edge: Edge | None, batch: int) -> None:
        """Enter *edge* as of *batch* (0: as loaded)."""
        self.parent = parent
        self.skey = skey
        self.edge = edge
        self.batch = batch
        self.stamp = 0
        self.cost = EDGE_COST + len(skey)  # about how many bytes it takes


class DirectoryNames:
    """The names of one directory, and the ranges of skey in which those in memory are all there are."""

    __slots__ = ("entries", "known")

    def __init__(self) -> None:
        """Know nothing."""
        self.entries: dict[bytes, EdgeEntry] = {}
        self.known: IntervalSet[bytes] = IntervalSet()


Entry: TypeAlias = InodeEntry | EdgeEntry


class Cache:
    """The objects of one volume incarnation."""

    def __init__(self, limit_bytes: int, durable: Callable[[], int]) -> None:
        """Hold about *limit_bytes*; *durable* tells the last durable batch."""
        self.inodes: dict[int, InodeEntry] = {}
        self.directories: dict[int, DirectoryNames] = {}
        self.bytes = 0
        self._limit = limit_bytes
        self._durable = durable
        self._ring: deque[Entry] = deque()  # second chance: from the left come those to look at
        self._operations: dict[int, None] = {}  # numbers of operations under way, in order
        self._next_operation = 1
        self._loads: dict[int, int] = {}  # load -> batch that was durable when it began
        self._next_load = 0

    # ------------------------------------------------------------------ operations and loads under way

    def begin_operation(self) -> int:
        """Return the stamp of a new operation; until `end_operation` nothing it uses is evicted."""
        stamp = self._next_operation
        self._next_operation += 1
        self._operations[stamp] = None
        return stamp

    def end_operation(self, stamp: int) -> None:
        """Let what the operation used be evicted; make room if there is too much."""
        del self._operations[stamp]
        if self.bytes > self._limit:
            self._evict()

    def begin_load(self) -> int:
        """Note that a load begins now, and return its token."""
        self._next_load += 1
        self._loads[self._next_load] = self._durable()
        return self._next_load

    def end_load(self, token: int) -> None:
        """Note that the load's rows are entered, or that it failed."""
        del self._loads[token]

    # ------------------------------------------------------------------ loaded rows: never over what is present

    def learn_inode(self, image: Inode) -> InodeEntry:
        """Enter a loaded *image* unless the inode, or its deletion mark, is present; return what is present."""
        entry = self.inodes.get(image.ino)
        if entry is None:
            entry = self._new_inode(image.ino, image, 0)
        return entry

    def learn_no_inode(self, ino: int) -> None:
        """Enter that a load did not find *ino*, unless it is present."""
        if ino not in self.inodes:
            self._new_inode(ino, None, 0)

    def learn_edge(self, parent: int, skey: bytes, edge: Edge | None) -> None:
        """Enter a loaded *edge*, or that there is none, unless the name is present or known to be absent."""
        names = self.names(parent)
        if skey not in names.entries and not names.known.covers(skey):
            self._new_edge(names, parent, skey, edge, 0)
            if edge is not None and edge.alias is not None and is_hashed(edge.alias):
                self.learn_alias(parent, edge.alias, edge)

    def learn_alias(self, parent: int, alias: bytes, edge: Edge | None) -> None:
        """Enter which *edge* has the hashed *alias*, or that none has, unless that is present."""
        names = self.names(parent)
        if ALIAS_MARK + alias not in names.entries:
            self._new_edge(names, parent, ALIAS_MARK + alias, edge, 0)

    def aliased(self, parent: int, alias: bytes) -> EdgeEntry | None:
        """Return the entry that has, or had, the hashed *alias*, or a mark that none has; None if it is not known."""
        names = self.directories.get(parent)
        if names is None:
            return None
        entry = names.entries.get(ALIAS_MARK + alias)
        if entry is None and names.known.covers_range(b"", None):
            return EdgeEntry(parent, ALIAS_MARK + alias, None, 0)
        return entry

    # ------------------------------------------------------------------ changes: install's alone

    def put_inode(self, image: Inode, batch: int) -> InodeEntry:
        """Make *image* the inode as of *batch*."""
        entry = self.inodes.get(image.ino)
        if entry is None:
            return self._new_inode(image.ino, image, batch)
        entry.image, entry.batch, entry.attr = image, batch, None
        return entry

    def drop_inode(self, ino: int, batch: int) -> None:
        """Leave a deletion mark."""
        entry = self.inodes.get(ino)
        if entry is None:
            self._new_inode(ino, None, batch)
            return
        if entry.overlay is not None:
            entry.overlay.discard()
        entry.image = entry.attr = entry.overlay = entry.extents = entry.meta = None
        entry.batch = batch
        self.recount(entry)
        if ino in self.directories:
            self.directories[ino].known.clear()
            self._drop_names_without_entries(ino)

    def put_edge(self, parent: int, skey: bytes, edge: Edge | None, batch: int) -> None:
        """Make *edge* what the name means as of *batch*; None leaves a deletion mark."""
        names = self.names(parent)
        was = self._set_edge(names, parent, skey, edge, batch)
        gone = was.alias if was is not None and (edge is None or edge.alias != was.alias) else None
        if gone is not None and is_hashed(gone):
            self._set_edge(names, parent, ALIAS_MARK + gone, None, batch)
        if edge is not None and edge.alias is not None and is_hashed(edge.alias):
            self._set_edge(names, parent, ALIAS_MARK + edge.alias, edge, batch)

    def _set_edge(self, names: DirectoryNames, parent: int, skey: bytes, edge: Edge | None, batch: int) -> Edge | None:
        """Set one entry and return what it was."""
        entry = names.entries.get(skey)
        if entry is None:
            self._new_edge(names, parent, skey, edge, batch)
            return None
        was, entry.edge, entry.batch = entry.edge, edge, batch
        return was

    def names(self, directory: int) -> DirectoryNames:
        """Return what is known of *directory*'s names."""
        names = self.directories.get(directory)
        if names is None:
            names = self.directories[directory] = DirectoryNames()
        return names

    def know_empty(self, directory: int) -> None:
        """Note that *directory* was made here: its names in memory are all there are."""
        self.names(directory).known.add(b"", None)

    def recount(self, entry: InodeEntry) -> None:
        """Count *entry* again: its body map has grown or shrunk."""
        cost = INODE_COST + (EXTENT_COST * len(entry.extents.extents) if entry.extents is not None else 0)
        self.bytes += cost - entry.cost
        entry.cost = cost

    # ------------------------------------------------------------------ inside

    def _new_inode(self, ino: int, image: Inode | None, batch: int) -> InodeEntry:
        entry = self.inodes[ino] = InodeEntry(ino, image, batch)
        self.bytes += entry.cost
        self._ring.append(entry)
        return entry

    def _new_edge(self, names: DirectoryNames, parent: int, skey: bytes, edge: Edge | None, batch: int) -> None:
        entry = names.entries[skey] = EdgeEntry(parent, skey, edge, batch)
        self.bytes += entry.cost
        self._ring.append(entry)

    def _evict(self) -> None:
        """Make room; an object used since the last look gets a second chance."""
        busy = next(iter(self._operations), self._next_operation)
        safe = self._safe_batch()
        for _ in range(min(MAX_LOOKS, 2 * len(self._ring))):
            if self.bytes <= self._limit:
                return
            entry = self._ring.popleft()
            if entry.stamp >= busy or entry.batch > safe or (isinstance(entry, InodeEntry) and entry.overlay):
                self._ring.append(entry)
            elif entry.stamp:
                entry.stamp = 0
                self._ring.append(entry)
            else:
                self._forget(entry)

    def _safe_batch(self) -> int:
        """Return the newest batch whose changes may go: it is durable, and every load in flight sees it."""
        return min(self._loads.values(), default=self._durable())

    def _forget(self, entry: Entry) -> None:
        self.bytes -= entry.cost
        if isinstance(entry, InodeEntry):
            del self.inodes[entry.ino]
            self._drop_names_without_entries(entry.ino)
            return
        names = self.directories[entry.parent]
        del names.entries[entry.skey]
        if entry.edge is not None:
            names.known.cut(entry.skey, entry.skey + b"\0")
            if len(names.known) > MAX_KNOWN_RANGES:
                names.known.clear()
        if not names.known:
            self._drop_names_without_entries(entry.parent)

    def _drop_names_without_entries(self, directory: int) -> None:
        names = self.directories.get(directory)
        if names is not None and not names.entries:
            del self.directories[directory]
