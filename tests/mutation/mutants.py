"""The rules of the engine, each with the smallest change of the code that takes it out and the test that must notice.

A mutant replaces one named function (or the few that keep one rule together) by one without the rule. What it replaces
must exist, so a rule that moves takes its mutant along or fails here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import test_rules as rules

from metastore.grouping import Batch, Ledger
from metastore.memory.database import MemoryDatabase
from namespace import edit, look, putting
from namespace.attributes import plain_attr
from namespace.cache import Cache, EdgeEntry, InodeEntry
from namespace.engine import Engine
from namespace.extents import ExtentMap
from namespace.intervals import IntervalSet
from namespace.names import nfs_name
from namespace.overlay import Overlay
from namespace.view import View
from namespace.volume import VolumeState
from namespace.volumes import Volumes

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


@dataclass(frozen=True)
class Mutant:
    rule: str
    take_out: Callable[[pytest.MonkeyPatch], None]
    test: Callable[[], None]


# -- late loads -------------------------------------------------------------------------------------------------------


def _learn_inode_over_all(patch: pytest.MonkeyPatch) -> None:
    def learn_inode(cache: Cache, image: Any) -> InodeEntry:
        return cache.put_inode(image, 0)

    patch.setattr(Cache, "learn_inode", learn_inode)


def _learn_edge_over_all(patch: pytest.MonkeyPatch) -> None:
    def learn_edge(cache: Cache, parent: int, skey: bytes, edge: Any) -> None:
        cache.put_edge(parent, skey, edge, 0)

    patch.setattr(Cache, "learn_edge", learn_edge)


def _learn_extents_from_the_start_on(patch: pytest.MonkeyPatch) -> None:
    def learn(extents: ExtentMap, loaded: Any, start: int, end: int | None) -> None:
        for extent in loaded:
            if not extents.known.covers(extent.offset):
                extents.extents.replace(extent.offset, extent.end, [extent])
        extents.known.add(start, end)

    patch.setattr(ExtentMap, "learn", learn)


# -- pages ------------------------------------------------------------------------------------------------------------


def _attributes_of_the_page(patch: pytest.MonkeyPatch) -> None:
    def entered(_cache: Cache, page: Any) -> Any:
        rows = [(named.edge, plain_attr(named.inode)) for named in page]
        return 0, [look.DirEntry(nfs_name(edge.skey, edge.alias), edge.cookie, edge.ino, attr) for edge, attr in rows]

    patch.setattr(look, "_entered", entered)


# -- gated answers ----------------------------------------------------------------------------------------------------


def _consult_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(View, "consult", _without_batch(View.consult, lambda _entry: True))


def _consult_no_marks(patch: pytest.MonkeyPatch) -> None:
    def is_mark(entry: Any) -> bool:
        return (entry.image if isinstance(entry, InodeEntry) else entry.edge) is None

    patch.setattr(View, "consult", _without_batch(View.consult, is_mark))


def _without_batch(consult: Any, skipped: Callable[[Any], bool]) -> Any:
    def consult_less(view: View, entry: InodeEntry | EdgeEntry) -> None:
        before = view.batch
        consult(view, entry)
        if skipped(entry):
            view.batch = before

    return consult_less


def _refuse_at_once(patch: pytest.MonkeyPatch) -> None:
    async def refuse(_engine: Engine, _volume: Any, _view: Any, error: Any, _subjects: Any) -> None:
        error.seen = ()

    patch.setattr(Engine, "_refuse", refuse)


# -- eviction ---------------------------------------------------------------------------------------------------------


def _evict_what_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Cache, "_safe_batch", lambda _cache: 1 << 62)


def _evict_under_loads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Cache, "_safe_batch", lambda cache: cache._durable())


def _keep_ranges(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(IntervalSet, "cut", lambda *_: None)


# -- refused batches --------------------------------------------------------------------------------------------------


def _keep_the_cache(patch: pytest.MonkeyPatch) -> None:
    adopt, forget = Volumes._adopt, Volumes._forget
    caches: dict[int, Cache] = {}

    def forget_less(volumes: Volumes, volume: VolumeState) -> None:
        caches[volume.vol] = volume.cache
        forget(volumes, volume)

    def adopt_with_old_cache(volumes: Volumes, row: Any) -> VolumeState:
        volume = adopt(volumes, row)
        volume.cache = caches.get(row.vol, volume.cache)
        return volume

    patch.setattr(Volumes, "_forget", forget_less)
    patch.setattr(Volumes, "_adopt", adopt_with_old_cache)


def _keep_queued_changes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batch, "drop_volume", lambda *_: 0)
    patch.setattr(MemoryDatabase, "fence", lambda *_: None)  # which would stop them a second time


def _let_held_replies_go(patch: pytest.MonkeyPatch) -> None:
    def tell(ledger: Ledger, crashed: list[int], lost: list[Any], error: BaseException) -> None:
        for vol in crashed:
            ledger.refused(vol, error)
        for promise in lost:
            promise.resolve(None)

    patch.setattr(Ledger, "_tell", tell)
    patch.setattr(Engine, "confirm", lambda *_: None)


def _one_verifier_for_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("namespace.volume.secrets.token_bytes", lambda _length: b"verifier")


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryDatabase, "fence", lambda *_: None)


# -- what must not run twice ------------------------------------------------------------------------------------------


def _remember_no_request(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(edit, "Reply", lambda *_: None)


def _load_no_replies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Volumes, "_remember", lambda *_: None)


def _refuse_at_once_what_others_hold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Volumes, "_awaited", Volumes._sought)


# -- UNSTABLE data ----------------------------------------------------------------------------------------------------


def _flush_what_was_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Overlay, "truncate", lambda *_: None)


def _commit_waits_for_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Overlay, "pending", lambda *_: [])


def _commit_waits_for_all(patch: pytest.MonkeyPatch) -> None:
    pending, sealable = Overlay.pending, Overlay.sealable
    patch.setattr(Overlay, "pending", lambda overlay, start, end, _, most: pending(overlay, start, end, 1 << 62, most))
    patch.setattr(Overlay, "sealable", lambda overlay, _, *rest: sealable(overlay, 1 << 62, *rest))


def _commit_forgets_what_was_replaced(patch: pytest.MonkeyPatch) -> None:
    write = Overlay.write

    def write_for_itself(overlay: Overlay, offset: int, data: memoryview) -> int:
        seq = write(overlay, offset, data)
        for run in overlay.runs.touching(offset, offset + len(data)):
            run.since = seq
        return seq

    patch.setattr(Overlay, "write", write_for_itself)


def _put_keeps_the_overlay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(putting, "_drop_overlay", lambda *_: None)


def _put_keeps_the_verifier(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VolumeState, "new_verifier", lambda _volume: None)


def _doom_without_regard_for_reads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VolumeState, "begin_dooming", lambda _volume, now_ns: now_ns)


MUTANTS = [
    Mutant(
        "a late load never replaces an inode or its deletion mark",
        _learn_inode_over_all,
        rules.test_a_late_load_never_replaces_an_inodes_deletion_mark,
    ),
    Mutant(
        "a late load never replaces a name",
        _learn_edge_over_all,
        rules.test_a_late_load_never_hides_a_name_that_was_made_meanwhile,
    ),
    Mutant(
        "an extent is known whole or not at all",
        _learn_extents_from_the_start_on,
        rules.test_a_late_load_never_brings_an_extent_back,
    ),
    Mutant(
        "pages wait for durable batches",
        _consult_nothing,
        rules.test_a_page_is_not_older_than_the_directory_that_it_comes_with,
    ),
    Mutant(
        "a page's attributes come from the live inode",
        _attributes_of_the_page,
        rules.test_a_page_shows_the_live_inodes_attributes,
    ),
    Mutant(
        "release waits for the highest batch consulted",
        _consult_nothing,
        rules.test_an_answer_waits_for_the_highest_batch_it_consulted,
    ),
    Mutant(
        "a negative answer waits for the removal it rests on",
        _consult_no_marks,
        rules.test_an_answer_that_nothing_is_there_waits_for_the_removal,
    ),
    Mutant(
        "a refusal waits as an answer does",
        _refuse_at_once,
        rules.test_a_refusal_waits_for_what_it_rests_on,
    ),
    Mutant(
        "a change is evicted only when it is durable",
        _evict_what_is_not_durable,
        rules.test_a_deletion_mark_stays_until_its_batch_is_durable,
    ),
    Mutant(
        "a change is evicted only when no older load is in flight",
        _evict_under_loads,
        rules.test_a_deletion_mark_stays_until_no_older_load_is_in_flight,
    ),
    Mutant(
        "eviction cuts the known range",
        _keep_ranges,
        rules.test_a_known_range_is_cut_where_an_entry_is_evicted,
    ),
    Mutant("a refused batch drops the cache", _keep_the_cache, rules.test_a_refused_batch_drops_what_memory_held),
    Mutant(
        "a refused batch drops the queued changes",
        _keep_queued_changes,
        rules.test_a_refused_batch_drops_the_changes_queued_behind_it,
    ),
    Mutant(
        "a refused batch takes the held replies",
        _let_held_replies_go,
        rules.test_a_refused_batch_takes_the_held_replies,
    ),
    Mutant(
        "a refused batch changes the write verifier",
        _one_verifier_for_all,
        rules.test_a_refused_batch_changes_the_write_verifier,
    ),
    Mutant("the fence", _no_fence, rules.test_a_gateway_that_lost_its_volume_changes_nothing),
    Mutant(
        "a change carries the record of its request",
        _remember_no_request,
        rules.test_what_a_request_did_is_known_to_the_next_incarnation,
    ),
    Mutant(
        "who takes a volume knows what was done before",
        _load_no_replies,
        rules.test_what_a_request_did_is_known_to_the_next_incarnation,
    ),
    Mutant(
        "a request waits for the volume that may know it",
        _refuse_at_once_what_others_hold,
        rules.test_a_request_whose_fate_is_not_known_is_not_told_to_come_as_another,
    ),
    Mutant(
        "a flush owns only what the overlay still owns",
        _flush_what_was_cut,
        rules.test_a_flush_makes_extents_only_of_what_the_overlay_still_owns,
    ),
    Mutant(
        "COMMIT waits for the writes before it",
        _commit_waits_for_nothing,
        rules.test_commit_waits_for_the_writes_before_it,
    ),
    Mutant(
        "COMMIT does not wait for the writes after it",
        _commit_waits_for_all,
        rules.test_commit_does_not_wait_for_the_writes_after_it,
    ),
    Mutant(
        "COMMIT waits for what took the place of earlier writes",
        _commit_forgets_what_was_replaced,
        rules.test_commit_waits_for_what_took_the_place_of_earlier_writes,
    ),
    Mutant(
        "PUT drops the overlay",
        _put_keeps_the_overlay,
        rules.test_a_put_drops_the_unstable_data_of_its_file,
    ),
    Mutant(
        "PUT changes the write verifier",
        _put_keeps_the_verifier,
        rules.test_a_put_over_unstable_data_changes_the_write_verifier,
    ),
    Mutant(
        "a blob is not doomed before a read that needs it",
        _doom_without_regard_for_reads,
        rules.test_a_blob_doomed_while_a_read_begins_outlives_the_read,
    ),
]
