"""What a volume has in memory: inodes and entries, each with the batch of its last change, bounded in bytes.

Eviction keeps two rules (DESIGN 2). A changed object or a deletion mark goes only when its batch is durable *and* not
newer than the start of the oldest load in flight, else that load would bring the old state back. And nothing goes
that an operation under way has used: every use stamps the object with the operation's number.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from namespace.aliases import is_hashed
from namespace.entries import ABSENT_COST, SCANNED_COST, DirectoryNames
from namespace.entries import EdgeEntry as EdgeEntry
from namespace.entries import Entry as Entry
from namespace.entries import InodeEntry as InodeEntry
from namespace.history import History

if TYPE_CHECKING:
    from collections.abc import Callable

    from metastore.records import Edge, Inode, ObjectMeta
    from namespace.memory import Memory

#: Ranges kept of one directory; where eviction has cut more, the one below the name that goes is forgotten.
MAX_KNOWN_RANGES = 256
#: Room is made for more than what is over the limit, one part in so many of it: not a little at every operation.
SLACK = 1024
#: How many objects one operation's end looks at to make room, beside twice as many as have come since: bounds the pause
#: where all are in use, and still keeps up with pages.
MAX_LOOKS = 1024
#: A hashed alias is one more name, under a key that no skey has: skeys are UTF-8. It tells the skey of the entry that
#: has or had the alias, which is a hash of the skey; what that entry is now, the skey's own entry tells.
ALIAS_MARK = b"\xff"


class Cache:
    """The objects of one volume incarnation.

    Inodes that a page scan came across are kept apart, as bare rows, until an operation uses one. They go first, so
    that a scan of any size leaves what is in use alone.
    """

    def __init__(self, memory: Memory, durable: Callable[[], int]) -> None:
        """Take a part of *memory*, all while no other cache needs some; *durable* tells the last durable batch."""
        self.inodes: dict[int, InodeEntry] = {}
        self.directories: dict[int, DirectoryNames] = {}
        self.histories: dict[tuple[int, bytes], History] = {}  # of names, in volumes that keep versions
        self.whole_histories: set[int] = set()  # directories of whose names all versions are in memory
        self.bytes = 0
        self._memory = memory
        self._limit = memory.limit
        self._noted = 0  # `bytes` when the memory was told of it
        self._durable = durable
        self._ring: deque[Entry] = deque()  # second chance: from the left come those to look at
        self._scanned: dict[int, Inode] = {}  # none of them is among `inodes`
        self._scan_order: deque[int] = deque()  # their numbers, the oldest at the left, and some that are gone
        self._entered = 0  # how many objects have come since room was made
        self._operations: dict[int, None] = {}  # numbers of operations under way, in order
        self._next_operation = 1
        self._loads: dict[int, int] = {}  # load -> batch that was durable when it began
        self._next_load = 0
        memory.join(self)

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
        if self.bytes > self._noted or self.bytes > self._limit:
            self.make_room()

    def make_room(self) -> None:
        """Evict if there is too much: for what enters rows outside an operation."""
        if self.bytes > self._limit:
            self._evict(self._limit - self._limit // SLACK, MAX_LOOKS + 2 * self._entered)
        grown, self._noted = self.bytes - self._noted, self.bytes
        if grown > 0:
            self._memory.grew(grown)

    def give(self, size: int) -> int:
        """Evict about *size* bytes, if that can be, for other caches; return how many it was."""
        before = self.bytes
        self._evict(before - size, MAX_LOOKS + size // ABSENT_COST)
        self._noted = self.bytes
        return before - self.bytes

    def begin_load(self) -> int:
        """Note that a load begins now, and return its token."""
        self._next_load += 1
        self._loads[self._next_load] = self._durable()
        return self._next_load

    def end_load(self, token: int) -> None:
        """Note that the load's rows are entered, or that it failed."""
        del self._loads[token]

    def may_forget(self, stamp: int, batch: int) -> bool:
        """Tell whether what operation *stamp* used last and *batch* changed last may leave memory."""
        busy = next(iter(self._operations), self._next_operation)
        return stamp < busy and batch <= self._safe_batch()

    # ------------------------------------------------------------------ loaded rows: never over what is present

    def learn_inode(self, image: Inode) -> InodeEntry:
        """Enter a loaded *image* unless the inode, or its deletion mark, is present; return what is present."""
        entry = self.inodes.get(image.ino)
        if entry is None:
            entry = self._new_inode(image.ino, image, 0)
        return entry

    def scanned(self, image: Inode) -> None:
        """Keep *image*, which a page scan came across and which is not among `inodes`, as the first to go."""
        if image.ino not in self._scanned:
            self._scanned[image.ino] = image
            self._scan_order.append(image.ino)
            self.bytes += _scanned_size(image)
            self._entered += 1

    def warm(self, ino: int) -> InodeEntry | None:
        """Enter *ino* if a page scan has left it here."""
        image = self._scanned.get(ino)
        return None if image is None else self._new_inode(ino, image, 0)

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
        """Return what tells the skey of the hashed *alias*, or that no entry has it; None if it is not known."""
        names = self.directories.get(parent)
        if names is None:
            return None
        entry = names.entries.get(ALIAS_MARK + alias)
        if entry is None and names.known.covers_range(b"", None):
            return EdgeEntry(parent, ALIAS_MARK + alias, None, 0)
        return entry

    def learn_meta(self, entry: InodeEntry, meta: ObjectMeta | None) -> None:
        """Enter loaded S3 metadata, or that there is none, unless it is known."""
        if not entry.meta_known:
            entry.meta, entry.meta_known = meta, True
            self.recount(entry)

    # ------------------------------------------------------------------ changes: install's alone

    def put_inode(self, image: Inode, batch: int) -> InodeEntry:
        """Make *image* the inode as of *batch*."""
        entry = self.inodes.get(image.ino)
        if entry is None:
            return self._new_inode(image.ino, image, batch)
        entry.image, entry.batch, entry.attr, entry.atime = image, batch, None, 0
        return entry

    def put_meta(self, ino: int, meta: ObjectMeta | None) -> None:
        """Make *meta* the S3 metadata of *ino*, if the inode is present; None: it has none."""
        entry = self.inodes.get(ino)
        if entry is not None:
            entry.meta, entry.meta_known = meta, True
            self.recount(entry)

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
        names = self.directories.get(ino)
        if names is not None:
            names.known.clear()
            self._settle(ino, names)

    def put_edge(self, parent: int, skey: bytes, edge: Edge | None, batch: int) -> None:
        """Make *edge* what the name means as of *batch*; None leaves a deletion mark."""
        names = self.names(parent)
        self._set_edge(names, parent, skey, edge, batch)
        if edge is not None and edge.alias is not None and is_hashed(edge.alias):
            self._set_edge(names, parent, ALIAS_MARK + edge.alias, edge, batch)

    def _set_edge(self, names: DirectoryNames, parent: int, skey: bytes, edge: Edge | None, batch: int) -> None:
        entry = names.entries.get(skey)
        if entry is None:
            self._new_edge(names, parent, skey, edge, batch)
        else:
            entry.edge, entry.batch = edge, batch
            self.recount(entry)

    def history(self, parent: int, skey: bytes) -> History:
        """Return what is known of a name's versions."""
        history = self.histories.get((parent, skey))
        if history is None:
            history = self.histories[parent, skey] = History(parent, skey, self.recount)
            self._enter(history)
        return history

    def names(self, directory: int) -> DirectoryNames:
        """Return what is known of *directory*'s names."""
        names = self.directories.get(directory)
        if names is None:
            names = self.directories[directory] = DirectoryNames()
            self.recount(names)
        return names

    def know_empty(self, directory: int) -> None:
        """Note that *directory* was made here: its names in memory are all there are."""
        names = self.names(directory)
        names.known.add(b"", None)
        self.recount(names)

    def recount(self, counted: Entry | DirectoryNames) -> None:
        """Count anew what has grown or shrunk."""
        size = counted.size()
        self.bytes += size - counted.cost
        counted.cost = size

    # ------------------------------------------------------------------ inside

    def _new_inode(self, ino: int, image: Inode | None, batch: int) -> InodeEntry:
        if ino in self._scanned:
            self.bytes -= _scanned_size(self._scanned.pop(ino))
        entry = self.inodes[ino] = InodeEntry(ino, image, batch)
        self._enter(entry)
        return entry

    def _new_edge(self, names: DirectoryNames, parent: int, skey: bytes, edge: Edge | None, batch: int) -> None:
        entry = names.entries[skey] = EdgeEntry(parent, skey, edge, batch)
        self._enter(entry)

    def _enter(self, entry: Entry) -> None:
        entry.cost = size = entry.size()
        self.bytes += size
        self._ring.append(entry)
        self._entered += 1

    def _evict(self, enough: int, looks: int) -> None:
        """Make room until no more than *enough* bytes are taken, looking at no more than *looks* objects.

        An object that was used since the last look gets a second chance; what pages brought gets none.
        """
        busy = next(iter(self._operations), self._next_operation)
        safe = self._safe_batch()
        self._entered = 0
        while self._scan_order and self.bytes > enough and looks:
            looks -= 1
            image = self._scanned.pop(self._scan_order.popleft(), None)
            if image is not None:
                self.bytes -= _scanned_size(image)
        for _ in range(min(looks, 2 * len(self._ring))):
            if self.bytes <= enough or not self._ring:
                return
            entry = self._ring.popleft()
            if _kept(entry, busy, safe):
                self._ring.append(entry)
            elif entry.stamp:
                entry.stamp = 0  # used since the last look: a second chance
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
            self.whole_histories.discard(entry.ino)
            names = self.directories.get(entry.ino)
            if names is not None:
                self._settle(entry.ino, names)
            return
        if isinstance(entry, History):
            del self.histories[entry.parent, entry.skey]
            if any(entry.rows.values()):
                self.whole_histories.discard(entry.parent)
            return
        names = self.directories[entry.parent]
        del names.entries[entry.skey]
        if entry.edge is not None:
            # What memory does not have any more must not be taken for absent.
            names.known.cut(entry.skey, entry.skey + b"\0")
            if len(names.known) > MAX_KNOWN_RANGES:
                names.known.drop_next_to(entry.skey)
        self._settle(entry.parent, names)

    def _settle(self, directory: int, names: DirectoryNames) -> None:
        """Count *names* anew; let them go if they hold no entry, and tell nothing or have outlived their inode."""
        if not names.entries and (not names.known or directory not in self.inodes):
            del self.directories[directory]
            self.bytes -= names.cost
        else:
            self.recount(names)


def _scanned_size(image: Inode) -> int:
    return SCANNED_COST + (0 if image.target is None else len(image.target))


def _kept(entry: Entry, busy: int, safe: int) -> bool:
    """Tell whether *entry* must stay: in use, undone by a crash or by a load in flight, or with UNSTABLE data."""
    return entry.stamp >= busy or entry.batch > safe or (type(entry) is InodeEntry and entry.overlay is not None)
