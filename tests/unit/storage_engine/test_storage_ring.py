from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage_engine.api import BlobId
from storage_engine.ring import PARTITIONS, RingNode, TooFewNodes, build_ring, partition_of


def ring_of(*ids, copies=2, previous=None):
    return build_ring([RingNode(number) for number in ids], copies, previous)


def shares(ring):
    return Counter(node for nodes in ring.partitions for node in nodes[: ring.copies])


def moved(before, after):
    """Return how many copies have to be made."""
    pairs = zip(before.partitions, after.partitions, strict=True)
    return sum(len(set(b[: after.copies]) - set(a[: before.copies])) for a, b in pairs)


def test_every_partition_has_distinct_nodes_and_all_of_three_take_part():
    ring = ring_of(1, 2, 3)
    assert len(ring.partitions) == PARTITIONS
    assert all(sorted(nodes) == [1, 2, 3] for nodes in ring.partitions)
    assert all(abs(count - PARTITIONS * 2 / 3) < PARTITIONS * 0.05 for count in shares(ring).values())


def test_a_new_node_takes_its_share_and_nothing_else_moves():
    before, after = ring_of(1, 2, 3, 4), ring_of(1, 2, 3, 4, 5)
    assert moved(before, after) == shares(after)[5]
    assert abs(shares(after)[5] - PARTITIONS * 2 / 5) < PARTITIONS * 0.06


def test_a_node_that_goes_moves_only_what_it_had():
    before, after = ring_of(1, 2, 3, 4, 5), ring_of(1, 2, 4, 5)
    assert moved(before, after) == shares(before)[3]


def test_the_first_hand_off_is_who_takes_over_for_good():
    before, after = ring_of(1, 2, 3, 4), ring_of(1, 2, 4)
    for old, new in zip(before.partitions, after.partitions, strict=True):
        assert new[:2] == tuple(node for node in old if node != 3)[:2]


def test_weight_decides_the_share():
    light = [RingNode(number) for number in range(1, 9)]
    ring = build_ring([*light, RingNode(9, weight=2)], 1)
    assert abs(shares(ring)[9] - PARTITIONS * 2 / 10) < PARTITIONS * 0.05
    assert 9 not in shares(build_ring([*light, RingNode(9, weight=0)], 1))


def test_copies_lie_in_different_zones_where_there_are_enough():
    nodes = [RingNode(number, zone="ab"[number % 2]) for number in range(1, 7)]
    zones = {node.id: node.zone for node in nodes}
    two, three = build_ring(nodes, 2), build_ring(nodes, 3)
    assert all(zones[a] != zones[b] for a, b, *_ in two.partitions)
    assert all(len({zones[node] for node in order[:3]}) == 2 for order in three.partitions)


def test_the_epoch_grows_only_when_something_changes():
    first = ring_of(1, 2, 3)
    assert ring_of(3, 2, 1, previous=first) is first
    second = ring_of(1, 2, 3, 4, previous=first)
    assert (first.epoch, second.epoch) == (1, 2)
    assert ring_of(1, 2, 3, previous=second).epoch == 3


def test_the_checksum_tells_rings_apart():
    first = ring_of(1, 2, 3)
    assert first.checksum == ring_of(1, 2, 3).checksum
    others = [ring_of(1, 2, 4), ring_of(1, 2, 3, copies=3), ring_of(1, 2, 3, previous=ring_of(1, 2))]
    assert len({first.checksum, *(ring.checksum for ring in others)}) == 4


def test_the_partition_of_a_blob_never_changes():
    # Stored blobs are found by it: if this fails, every blob would have to move.
    assert [partition_of(BlobId(1, number)) for number in range(5)] == [17, 201, 967, 143, 80]


def test_too_few_nodes_are_refused():
    with pytest.raises(TooFewNodes):
        ring_of(1, 2, copies=3)
    with pytest.raises(TooFewNodes):
        build_ring([RingNode(1), RingNode(2, weight=0)], 2)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(1, 60), min_size=3, max_size=9), st.integers(1, 3))
def test_any_ring_is_whole(ids, copies):
    ring = ring_of(*ids, copies=copies)
    assert all(len(set(nodes)) == len(nodes) >= copies and set(nodes) <= ids for nodes in ring.partitions)
