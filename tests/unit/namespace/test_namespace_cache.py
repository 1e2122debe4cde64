"""The cache against a database that falls behind it: whatever is loaded late or evicted, what it says stays true."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastore.records import Edge, Extent, FileType, Inode, ObjectMeta
from namespace.attributes import attr_of
from namespace.cache import MAX_KNOWN_RANGES, Cache
from namespace.extents import ExtentMap
from namespace.memory import Memory

DIRECTORY = 1
NAMES = [b"%02d" % number for number in range(6)]
NOW = 1_700_000_000_000_000_000


def inode(ino, size=0, **fields):
    """Return an inode each of whose numbers is an object of its own, as decoding makes them."""
    now = NOW + ino
    fields = {"atime": now, "mtime": now + 1, "ctime": now + 2, "content_time": now + 3, **fields}
    gen = ino * 7919 + 10**9
    return Inode(1, ino, gen, FileType.REGULAR, 0o644, 1000, 1000, 1, size=size, content=ino + 1, **fields)


def with_content(ino):
    """Return an inode as an S3 PUT leaves it."""
    size, etag = ino + 5, b"%032x" % ino
    return inode(ino, size=size, used=size, etag=etag, write_seq=1, x_length=size, x_blob=ino + 9)


class World:
    """A cache, what is really so, and what the database says batch by batch."""

    def __init__(self, limit, made_here):
        self.truth = {ino: inode(ino) for ino in range(10, 10 + len(NAMES))}  # and name -> Edge
        if not made_here:
            self.truth |= {name: Edge(1, DIRECTORY, name, 9, n + 3) for n, name in enumerate(NAMES)}
        self.states = [self.truth]  # by batch
        self.durable = 0
        self.loads = []  # (token, the state it saw)
        self.operations = []  # (stamp, entries it used)
        self.changed = {}  # key -> its last batch
        self.cache = Cache(Memory(limit), lambda: self.durable)
        self.cache.learn_inode(inode(DIRECTORY))
        if made_here:
            self.cache.know_empty(DIRECTORY)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _change(self, key, value):
        self.truth = {**self.truth, key: value}
        if value is None:
            del self.truth[key]
        self.states.append(self.truth)
        self.changed[key] = len(self.states) - 1
        return self.changed[key]

    def put_name(self, number):
        name = NAMES[number]
        edge = Edge(1, DIRECTORY, name, number, len(self.states) + 2)
        self.cache.put_edge(DIRECTORY, name, edge, self._change(name, edge))

    def drop_name(self, number):
        name = NAMES[number]
        if name in self.truth:
            self.cache.put_edge(DIRECTORY, name, None, self._change(name, None))

    def put_inode(self, number):
        ino = number + 10
        if self.cache.inodes.get(ino) is None and self.cache.warm(ino) is None and ino in self.states[0]:
            return  # a plan changes what it has looked at
        image = inode(ino, size=len(self.states))
        self.cache.put_inode(image, self._change(ino, image))

    def drop_inode(self, number):
        ino = number + 10
        if ino in self.truth and (self.cache.inodes.get(ino) or self.cache.warm(ino)):
            self.cache.drop_inode(ino, self._change(ino, None))

    def settle(self, number):
        self.durable = min(len(self.states) - 1, self.durable + number)

    def begin_load(self, _number):
        self.loads.append((self.cache.begin_load(), self.states[self.durable]))

    def end_load(self, number):
        if not self.loads:
            return
        token, seen = self.loads.pop(number % len(self.loads))
        for name in NAMES:
            self.cache.learn_edge(DIRECTORY, name, seen.get(name))
        for ino in range(10, 10 + len(NAMES)):
            if ino % 2 and ino in seen:
                if ino not in self.cache.inodes:
                    self.cache.scanned(seen[ino])
            elif ino in seen:
                self.cache.learn_inode(seen[ino])
            else:
                self.cache.learn_no_inode(ino)
        self.cache.end_load(token)

    def begin_operation(self, number):
        stamp, used = self.cache.begin_operation(), []
        names = self.cache.directories.get(DIRECTORY)
        entry = names.entries.get(NAMES[number]) if names else None
        for each in (entry, self.cache.inodes.get(number + 10) or self.cache.warm(number + 10)):
            if each is not None:
                each.stamp = stamp
                used.append(each)
        self.operations.append((stamp, used))

    def end_operation(self, number):
        if self.operations:
            stamp, _ = self.operations.pop(number % len(self.operations))
            self.cache.end_operation(stamp)

    def make_room(self, _number):
        self.cache.make_room()

    # -- what must hold -------------------------------------------------------------------------------------------

    def check(self):
        cache, names = self.cache, self.cache.directories.get(DIRECTORY)
        for name in NAMES:
            entry = names.entries.get(name) if names else None
            if entry is not None:
                assert entry.edge == self.truth.get(name)
            elif names and names.known.covers(name):
                assert name not in self.truth
            if self.changed.get(name, 0) > self.durable:
                assert entry is not None
        for ino in range(10, 10 + len(NAMES)):
            entry, bare = cache.inodes.get(ino), cache._scanned.get(ino)
            assert entry is None or bare is None
            if entry is not None:
                assert entry.image == self.truth.get(ino)
            if bare is not None:
                assert bare == self.truth.get(ino)
            if self.changed.get(ino, 0) > self.durable:
                assert entry is not None
        for _, used in self.operations:
            for entry in used:
                present = cache.inodes.get(getattr(entry, "ino", 0)) or (names and names.entries.get(entry.skey))
                assert present is entry
        counted = [*cache.inodes.values(), *cache.directories.values()]
        counted += [entry for each in cache.directories.values() for entry in each.entries.values()]
        assert all(each.cost == each.size() for each in counted)
        assert cache.bytes == sum(each.cost for each in counted) + 800 * len(cache._scanned)


STEPS = st.sampled_from([
    "put_name", "put_name", "drop_name", "put_inode", "put_inode", "drop_inode", "settle", "settle", "begin_load",
    "end_load", "begin_operation", "end_operation", "make_room", "make_room",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([0, 4000, 100_000]), st.booleans(), st.lists(st.tuples(STEPS, st.integers(0, 5)), max_size=60))
def test_what_the_cache_says_is_so(limit, made_here, steps):
    world = World(limit, made_here)
    for step, number in steps:
        getattr(world, step)(number)
        world.check()


def test_everything_goes_when_nothing_keeps_it():
    world = World(0, made_here=True)
    for number in range(len(NAMES)):
        world.put_name(number)
        world.put_inode(number)
    world.settle(1000)
    for _ in range(4):
        world.make_room(0)
    assert (world.cache.bytes, world.cache.inodes, world.cache.directories) == (0, {}, {})


def test_creates_in_order_keep_the_rest_of_the_directory_known():
    """Eviction takes the oldest; names still to come stay known to be absent, in few ranges."""
    cache = Cache(Memory(100_000), lambda: 1 << 60)
    cache.learn_inode(inode(DIRECTORY))
    cache.know_empty(DIRECTORY)
    for number in range(20_000):
        stamp = cache.begin_operation()
        name = b"%06d" % number
        assert cache.names(DIRECTORY).known.covers(name)
        cache.put_edge(DIRECTORY, name, Edge(1, DIRECTORY, name, number + 2, number + 3), number)
        cache.inodes[DIRECTORY].stamp = stamp
        cache.end_operation(stamp)
        assert cache.bytes <= 100_000
    assert len(cache.names(DIRECTORY).known) <= MAX_KNOWN_RANGES
    assert len(cache.names(DIRECTORY).entries) < 400


def test_a_scan_leaves_what_is_in_use():
    cache = Cache(Memory(100_000), lambda: 1 << 60)
    hot = [cache.learn_inode(inode(ino)) for ino in range(10)]
    for page in range(100):
        stamp = cache.begin_operation()
        for entry in hot:
            entry.stamp = stamp
        cache.end_operation(stamp)
        for ino in range(1000):
            cache.scanned(inode(1000 * page + ino + 100))
        cache.make_room()
        assert cache.bytes <= 100_000
    assert all(cache.inodes.get(entry.ino) is entry for entry in hot)


def test_volumes_share_one_limit_and_the_largest_makes_room():
    memory = Memory(500_000)
    idle, busy, small = (Cache(memory, lambda: 1 << 60) for _ in range(3))
    for cache, count in ((small, 5), (idle, 2000), (busy, 2000)):
        for ino in range(count):
            stamp = cache.begin_operation()
            cache.learn_inode(inode(ino)).stamp = stamp
            cache.end_operation(stamp)
            assert idle.bytes + busy.bytes + small.bytes <= 370_000
    assert len(small.inodes) == 5
    assert abs(idle.bytes - busy.bytes) < 50_000


COUNT = 4000


def inodes(cache):
    for ino in range(10**6, 10**6 + COUNT):
        attr_of(cache.learn_inode(with_content(ino)))


def scanned(cache):
    for ino in range(10**6, 10**6 + COUNT):
        cache.scanned(with_content(ino))


def symlinks(cache):
    for ino in range(10**6, 10**6 + COUNT):
        cache.learn_inode(inode(ino, target=b"%04096d" % ino))


def edges(cache):
    for number in range(COUNT):
        name = b"a name of some length %08d" % number
        cache.learn_edge(1, name, Edge(1, 1, name, 10**6 + number, 10**7 + number))


def absent(cache):
    for number in range(COUNT):
        cache.learn_edge(1, b"a name of some length %08d" % number, None)


def directories(cache):
    for number in range(COUNT):
        cache.learn_edge(10**6 + number, b"name", None)


def metadata(cache):
    for ino in range(10**6, 10**6 + COUNT):
        entry = cache.learn_inode(inode(ino))
        user = {f"key{n}": f"{ino} and some text {n}" for n in range(10)}
        cache.learn_meta(entry, ObjectMeta(1, ino, {"content-type": f"text/plain{ino}"}, user))


def extents(cache):
    entry = cache.learn_inode(inode(10**6))
    entry.extents = ExtentMap(10**6)
    found = [Extent(1, 10**6, 10**9 + 4096 * n, 4096, 10**7 + n, 0) for n in range(10 * COUNT)]
    entry.extents.learn(found, 0, None)
    cache.recount(entry)


@pytest.mark.parametrize("fill", [inodes, scanned, symlinks, edges, absent, directories, metadata, extents])
def test_what_is_counted_is_what_it_takes(fill):
    cache = Cache(Memory(1 << 40), lambda: 0)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        fill(cache)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Counted is a dictionary that has just grown threefold, as those of a million names do.
    assert 0.9 <= cache.bytes / (after - before) <= 1.5
