"""Folding a batch to final images; what is sent, and in which order."""

import pytest

from metastore.postgres.fold import Fold
from metastore.records import Blob, Change, Cut, Edge, Extent, Inode, ObjectMeta, Reply


def folded(*changes):
    fold = Fold()
    for change in changes:
        fold.add(change)
    return fold


def inode(ino, **changes):
    return Inode(1, ino, 1, 1, 0, 0, 0, 1, **changes)


def extent(offset, blob=1, length=10):
    return Extent(1, 7, offset, length, blob, 0)


def test_the_last_image_of_a_row_is_kept():
    fold = folded(*(Change(1, (inode(2, size=size),)) for size in (1, 2, 3)))
    assert [row.size for row in fold.final_puts(Inode).values()] == [3]


@pytest.mark.parametrize(
    ("steps", "put", "dropped"),
    [
        ("put drop", False, True),
        ("drop put", True, False),
        ("put drop put", True, False),
        ("drop put drop", False, True),
    ],
)
def test_puts_and_drops_of_one_row_leave_the_last(steps, put, dropped):
    made = {"put": Change(1, (inode(2),)), "drop": Change(1, drops=((Inode, (2,)),))}
    fold = folded(*(made[step] for step in steps.split()))
    assert ((1, 2) in fold.final_puts(Inode), (1, 2) in fold.final_drops(Inode)) == (put, dropped)


def test_a_cut_takes_gathered_extents_and_gives_back_their_references():
    fold = folded(Change(1, (extent(0, blob=1), extent(10, blob=2))), Change(1, cuts=(Cut(7, 10),)))
    assert set(fold.final_puts(Extent)) == {(1, 7, 0)}
    assert fold.deltas == [(1, 2, -1)]
    assert fold.cuts == [(1, 7, 10)]
    # Whatever row the database has there was settled by the Change that put over it: it goes before the cut counts.
    assert fold.final_drops(Extent) == {(1, 7, 10)}


def test_an_extent_put_after_the_cut_stays_and_the_database_row_goes_with_the_cut():
    fold = folded(Change(1, cuts=(Cut(7, 0),)), Change(1, (extent(10),)))
    assert set(fold.final_puts(Extent)) == {(1, 7, 10)}
    assert fold.final_drops(Extent) == set()


def test_an_extent_dropped_after_the_cut_is_counted_by_the_cut():
    fold = folded(Change(1, cuts=(Cut(7, 0),)), Change(1, drops=((Extent, (7, 10)),)))
    assert fold.final_drops(Extent) == set()


def test_the_lowest_of_several_cuts_counts_and_rows_touched_between_are_settled():
    changes = [Change(1, cuts=(Cut(7, 20),)), Change(1, (extent(10), extent(30))), Change(1, cuts=(Cut(7, 5),))]
    fold = folded(*changes)
    assert fold.cuts == [(1, 7, 5)]
    assert fold.final_puts(Extent) == {}
    assert fold.deltas == [(1, 1, -2)]
    assert fold.final_drops(Extent) == {(1, 7, 10)}


def test_within_one_change_cuts_come_first_and_puts_last():
    fold = folded(Change(1, (extent(20),), drops=((Extent, (7, 0)),), cuts=(Cut(7, 10),)))
    assert set(fold.final_puts(Extent)) == {(1, 7, 20)}
    assert fold.final_drops(Extent) == {(1, 7, 0)}


def test_deltas_go_into_the_image_of_a_blob_put_in_the_same_batch():
    fold = folded(Change(1, (Blob(1, 4, 9, 1, 1),), blob_refs=((4, 2), (5, 1))), Change(1, blob_refs=((4, -1), (5, 2))))
    assert fold.final_puts(Blob)[1, 4].refs == 2
    assert fold.deltas == [(1, 5, 3)]


@pytest.mark.parametrize(
    "changes",
    [
        (Change(1, (Blob(1, 4, 9, 1, 1),)), Change(1, (Blob(1, 4, 9, 1, 1),))),
        (Change(1, blob_refs=((4, 1),)), Change(1, (Blob(1, 4, 9, 1, 1),))),
        (Change(1, (Inode(2, 2, 1, 1, 0, 0, 0, 1),)),),
    ],
    ids=["a blob twice", "a blob after its references", "a row of another volume"],
)
def test_what_cannot_be_right_is_refused_before_it_is_sent(changes):
    with pytest.raises(ValueError, match=r"blob|volume"):
        folded(*changes)


def names_of(fold, epochs):
    return [statement.name for statement, _ in fold.calls(5, 9, epochs)]


def test_a_create_is_one_transaction_of_five_statements():
    create = Change(1, (inode(1), inode(2), Edge(1, 1, b"a", 2, 3)))
    assert names_of(folded(create), {1: 1}) == ["begin", "begin batch", "upsert inode", "upsert edge", "commit"]


def test_deletes_come_before_cuts_before_puts_before_deltas_before_replies():
    change = Change(
        1,
        (inode(2), extent(0), Blob(1, 9, 1, 1, 1), ObjectMeta(1, 2, {}, {})),
        drops=((Edge, (1, b"a")), (Inode, (3,))),
        cuts=(Cut(8, 0),),
        blob_refs=((1, 1),),
        reply=Reply(b"k", b"v"),
    )
    assert names_of(folded(change), {1: 1}) == [
        "begin", "begin batch", "delete inode", "delete edge", "lock references", "cut", "upsert inode",
        "upsert extent", "upsert blob", "upsert object_meta", "move refs", "replies", "commit",
    ]  # fmt: skip


def test_the_number_of_statements_does_not_grow_with_the_batch():
    many = [Change(1, (inode(n), Edge(1, 1, b"%d" % n, n, n))) for n in range(3, 1000)]
    assert len(folded(*many).calls(5, 9, {1: 1})) == 5
