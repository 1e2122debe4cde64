"""Which directories the root reaches, of a list of directories and their parents."""

import random

import pytest

from metastore.postgres.reach import Reach


def suspects(parents):
    reach = Reach()
    for ino, parent in sorted(parents.items()):
        reach.add(ino, parent)
    return reach.suspects()


@pytest.mark.parametrize(
    ("parents", "cut_off"),
    [
        ({1: 0}, []),
        ({1: 0, 2: 1, 3: 2, 9: 3}, []),
        ({1: 0, 2: 5, 5: 1}, []),
        ({1: 0, 2: 3, 3: 2, 4: 3, 5: 1}, [2, 3, 4]),
        ({1: 0, 2: 2}, [2]),
        ({1: 0, 2: 7, 3: 2}, [2, 3]),
        ({1: 0, 2: 0}, [2]),
        ({2: 1}, [2]),
    ],
    ids=["root", "chain", "order", "cycle", "itself", "no such parent", "no name", "no root"],
)
def test_a_directory_is_suspect_whose_way_up_does_not_end_at_the_root(parents, cut_off):
    assert suspects(parents) == cut_off


def test_a_large_tree_is_followed_once():
    rng = random.Random(1)
    parents = {1: 0} | {ino: rng.randrange(1, ino) for ino in range(2, 50_000)}
    parents[40_000] = 49_999
    parents[49_999] = 40_000
    below = {40_000, 49_999}
    for ino in range(40_001, 49_999):
        if parents[ino] in below:
            below.add(ino)
    assert suspects(parents) == sorted(below)
