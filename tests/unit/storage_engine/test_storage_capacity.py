"""The room that statfs shows: what of it N copies on N different nodes leave for users."""

from __future__ import annotations

import random

import pytest

from storage_engine.api import Space
from storage_engine.cluster.capacity import space_of, usable
from storage_engine.wire.messages import NodeStat


@pytest.mark.parametrize(
    ("copies", "places", "bytes_for_users"),
    [
        (2, [(10, 1), (10, 1), (10, 1)], 15),
        (2, [(30, 3)], 15),
        (1, [(10, 1), (7, 1)], 17),
        (3, [(10, 1), (10, 1), (10, 1)], 10),
        (2, [(100, 1), (10, 1), (10, 1)], 20),  # one of two copies is always on a small node
        (2, [(100, 1), (10, 1)], 10),
        (2, [(10**15, 1), (0, 1)], 0),
        (2, [(100, 1)], 50),  # the second node has not reported yet
        (2, [], 0),
    ],
)
def test_as_much_as_fits_with_each_copy_on_another_node(
    copies: int, places: list[tuple[int, int]], bytes_for_users: int
) -> None:
    assert usable(copies, places) == bytes_for_users


def test_placing_bytes_on_the_emptiest_nodes_finds_room_for_no_more_and_no_less() -> None:
    draw = random.Random(7)
    for _ in range(200):
        copies = draw.randint(1, 3)
        left = [draw.randint(0, 40) for _ in range(draw.randint(copies, 5))]
        expected, placed = usable(copies, [(size, 1) for size in left]), 0
        while sorted(left)[-copies] > 0:
            for node in sorted(range(len(left)), key=lambda node: -left[node])[:copies]:
                left[node] -= 1
            placed += 1
        assert placed == expected


def test_a_shared_file_system_counts_once_and_garbage_counts_as_free() -> None:
    own = NodeStat(1, live_bytes=4, held_bytes=10, available_bytes=90, filesystem="own", taking_writes=True)
    shared = [NodeStat(1, 5, 20, 60, "shared", taking_writes=True) for _ in range(2)]
    assert space_of(2, [own, *shared]) == Space(100, 90), "one copy of each byte is on the shared one"
