"""The depth-first walk over a tree in memory: order, bounds, and how much it reads."""

import itertools

import pytest
from metastore_house import directory, edge, file

from foundation.aio import start
from metastore.postgres.walking import walk
from metastore.records import Named


class Tree:
    """Directories in memory, read the way the database is: in order, up to a budget over all scans."""

    def __init__(self, names):
        self.rows_read = self.queries = 0
        self._entries = {}
        self._inos = itertools.count(2)
        self._plant(1, names)

    def _plant(self, parent, names):
        self._entries[parent] = {}
        for name, below in sorted(names.items()):
            ino = next(self._inos)
            inode = file(1, ino) if below is None else directory(1, ino, parent, entries=len(below))
            self._entries[parent][name] = Named(edge(1, parent, name, ino), inode)
            if below is not None:
                self._plant(ino, below)

    async def read(self, scans, budget):
        rows = []
        for index, scan in enumerate(scans):
            for name, entry in self._entries[scan.parent].items():
                if name >= scan.start and (scan.upper is None or name < scan.upper):
                    rows.append((index, entry))
        self.queries += 1
        self.rows_read += min(budget, len(rows))
        return rows[:budget]

    def page(self, lower=b"", upper=None, limit=1000):
        return [entry.path for entry in start(walk(self.read, 1, lower, upper, limit)).result]


def flat(count):
    return {b"f%05d" % n: None for n in range(count)}


def nested(fanout, depth):
    return flat(fanout) if depth == 0 else {b"d%05d/" % n: nested(fanout, depth - 1) for n in range(fanout)}


@pytest.mark.parametrize(
    ("names", "most_rows"),
    [
        (flat(5000), 1400),
        (nested(10, 3), 2600),
        (nested(40, 2), 2600),
        ({b"d%05d/" % n: {b"f": None} for n in range(5000)}, 4500),
        ({b"d%05d/" % n: flat(1000) for n in range(300)}, 2600),
    ],
    ids=["flat", "ten in ten in ten", "forty in forty", "one in each", "a thousand in each"],
)
def test_a_page_reads_rows_in_proportion_to_the_page(names, most_rows):
    tree = Tree(names)
    assert len(tree.page()) == 1000
    assert tree.rows_read <= most_rows
    assert tree.queries <= 20


def test_a_chain_of_directories_costs_one_query_for_each():
    names = {b"leaf": None}
    for _ in range(300):
        names = {b"d/": names}
    tree = Tree(names)
    assert tree.page() == [b"d/" * 300 + b"leaf"]
    assert tree.queries <= 302


def test_bounds_reach_into_directories_and_read_nothing_outside():
    tree = Tree({b"a/": flat(2000), b"b/": {b"x/": flat(2000)}, b"c/": flat(2000)})
    page = tree.page(b"b/x/f00500", b"b/x/f00510")
    assert page == [b"b/x/f%05d" % n for n in range(500, 510)]
    assert tree.rows_read <= 30


def test_rows_out_of_order_are_an_error_and_not_a_short_listing():
    tree = Tree(flat(10))

    async def shuffled(scans, budget):
        return list(reversed(await tree.read(scans, budget)))

    failures = []
    start(walk(shuffled, 1, b"", None, 5)).addErrback(failures.append)
    with pytest.raises(RuntimeError, match="order"):
        failures[0].raiseException()
