"""A batch of Changes folded to one final image per row: what a transaction has to write, whatever led there.

The database then deletes, cuts, puts and moves references, in that order. The memory metastore applies the same
Changes one by one; a property test holds both results equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from metastore.postgres.encoding import BYTEA_ARRAY, INT8, INT8_ARRAY, bigint, bigint_array, bytes_array
from metastore.postgres.rows import ROW_TABLES
from metastore.postgres.session import Statement
from metastore.records import Blob, Extent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metastore.postgres.session import Call
    from metastore.records import Change, Cut, Row, RowType

BEGIN = Statement("begin", "BEGIN", ())
COMMIT = Statement("commit", "COMMIT", ())
ROLLBACK = Statement("rollback", "ROLLBACK", ())

#: Locks the volumes, raises GF001 unless this gateway holds them at these epochs, and writes the batch's number.
_BEGIN_BATCH = Statement(
    "begin batch", "SELECT gatefold_begin_batch($1, $2, $3, $4)", (INT8, INT8, INT8_ARRAY, INT8_ARRAY)
)
_CUT = Statement("cut", "SELECT gatefold_cut($1, $2, $3)", (INT8_ARRAY, INT8_ARRAY, INT8_ARRAY))
#: A cut takes back references of blobs that it learns of on the way, and so does reclaim: two such transactions in one
#: volume would wait for each other in a circle. Those that only move references lock the blobs by number.
_LOCK_REFERENCES = Statement(
    "lock references", f"SELECT pg_advisory_xact_lock(({0x6761_7466}::bigint << 32) + $1)", (INT8,)
)
#: Raises GF002 if one of the blobs has no row.
_MOVE_REFS = Statement("move refs", "SELECT gatefold_move_refs($1, $2, $3)", (INT8_ARRAY, INT8_ARRAY, INT8_ARRAY))
_REPLIES = Statement(
    "replies",
    "INSERT INTO reply_cache (vol, epoch, number, replies) SELECT v, e, $3, r FROM unnest($1, $2, $4) AS t (v, e, r)",
    (INT8_ARRAY, INT8_ARRAY, INT8, BYTEA_ARRAY),
)
#: Edges before inodes and so on does not matter; a fixed order does, so that transactions meet in the same one.
_ORDER: tuple[RowType, ...] = tuple(ROW_TABLES)
_KEY_OF = {kind: table.key_of for kind, table in ROW_TABLES.items()}


class _Content:
    """The extents of one content generation that a batch touched."""

    __slots__ = ("cut", "gone", "rows")

    def __init__(self) -> None:
        self.rows: dict[int, Extent | None] = {}  # offset -> final image, None = dropped
        self.gone: set[int] = (
            set()
        )  # offsets whose row in the database goes before the cut, with no reference given back
        self.cut: int | None = None  # the lowest offset of the batch's cuts

    def is_cut(self, offset: int) -> bool:
        """Say whether the database's row at *offset* goes with the cut, or has gone before it."""
        return self.cut is not None and offset >= self.cut


class Fold:
    """The final images of a batch."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._puts: dict[RowType, dict[tuple[Any, ...], Row]] = {kind: {} for kind in _ORDER}
        self._drops: dict[RowType, set[tuple[Any, ...]]] = {kind: set() for kind in _ORDER}
        self._contents: dict[tuple[int, int], _Content] = {}
        self._deltas: dict[tuple[int, int], int] = {}
        self._replies: dict[int, list[tuple[bytes, bytes]]] = {}

    def add(self, change: Change) -> None:
        """Apply *change* after those added before: cuts, drops, puts, blob_refs."""
        vol = change.vol
        for cut in change.cuts:
            self._cut(vol, cut)
        for kind, key in change.drops:
            self._drop(kind, (vol, *key))
        puts, drops = self._puts, self._drops
        for row in change.puts:
            kind = row.__class__
            if row.vol != vol:
                raise ValueError(f"a Change of volume {vol} puts a row of volume {row.vol}")
            if kind is Extent:
                self._content(vol, row.content).rows[row.offset] = row  # type: ignore[union-attr,assignment]  # Extent
                continue
            key = _KEY_OF[kind](row)
            if kind is Blob:
                # Inserted, never replaced: what was dropped must really go, and a second put would undo deltas.
                if key in puts[kind] or key in self._deltas:
                    raise ValueError(f"blob {key} is put after it was put or referenced")
            else:
                drops[kind].discard(key)
            puts[kind][key] = row
        for blob, delta in change.blob_refs:
            self._move(vol, blob, delta)
        if change.reply is not None:
            self._replies.setdefault(vol, []).append((change.reply.key, change.reply.reply))

    def _content(self, vol: int, content: int) -> _Content:
        found = self._contents.get((vol, content))
        if found is None:
            found = self._contents[vol, content] = _Content()
        return found

    def _move(self, vol: int, blob: int, delta: int) -> None:
        self._deltas[vol, blob] = self._deltas.get((vol, blob), 0) + delta

    def _drop(self, kind: RowType, key: tuple[Any, ...]) -> None:
        if kind is Extent:
            vol, number, offset = key
            content = self._content(vol, number)
            if content.is_cut(offset):
                content.rows.pop(offset, None)
            else:
                content.rows[offset] = None
            return
        self._puts[kind].pop(key, None)
        self._drops[kind].add(key)
        if kind is Blob:
            self._deltas.pop((key[0], key[1]), None)

    def _cut(self, vol: int, cut: Cut) -> None:
        content = self._content(vol, cut.content)
        for offset in [offset for offset in content.rows if offset >= cut.offset]:
            extent = content.rows.pop(offset)
            if extent is not None:
                self._move(vol, extent.blob, -1)
            if not content.is_cut(offset):
                # The batch touched this row before the cut, so the Change that did has settled its reference.
                content.gone.add(offset)
        content.cut = cut.offset if content.cut is None else min(content.cut, cut.offset)

    # -- what is written ------------------------------------------------------------------------------------------

    def final_puts(self, kind: RowType) -> dict[tuple[Any, ...], Row]:
        """Return the rows of *kind* to put, by whole primary key."""
        if kind is Extent:
            return {
                (*key, offset): extent
                for key, content in self._contents.items()
                for offset, extent in content.rows.items()
                if extent is not None
            }
        if kind is not Blob:
            return self._puts[kind]
        deltas, blobs = self._deltas, self._puts[Blob]
        return {
            key: replace(row, refs=row.refs + deltas[key[0], key[1]]) if key in deltas else row  # type: ignore[union-attr]  # Blob
            for key, row in blobs.items()
        }

    def final_drops(self, kind: RowType) -> set[tuple[Any, ...]]:
        """Return the whole primary keys of *kind* to delete."""
        if kind is not Extent:
            return self._drops[kind]
        return {
            (*key, offset)
            for key, content in self._contents.items()
            for offset in content.gone.union(each for each, row in content.rows.items() if row is None)
        }

    @property
    def cuts(self) -> list[tuple[int, int, int]]:
        """Return (volume, content, offset) of the cuts, in key order."""
        return sorted((*key, each.cut) for key, each in self._contents.items() if each.cut is not None)

    @property
    def deltas(self) -> list[tuple[int, int, int]]:
        """Return (volume, blob, references) of blobs whose row is in the database already, in key order."""
        blobs = self._puts[Blob]
        return sorted((*key, delta) for key, delta in self._deltas.items() if key not in blobs)

    def calls(self, gateway: int, number: int, epochs: dict[int, int]) -> list[Call]:
        """Return the transaction that writes the batch; raise if a value does not fit its column."""
        vols = sorted(epochs)
        fence = [bigint_array(vols), bigint_array([epochs[vol] for vol in vols])]
        calls: list[Call] = [(BEGIN, []), (_BEGIN_BATCH, [bigint(gateway), bigint(number), *fence])]
        for kind in _ORDER:
            drops = self.final_drops(kind)
            if drops:
                calls.append((ROW_TABLES[kind].delete, ROW_TABLES[kind].encode_keys(sorted(drops))))
        if cuts := self.cuts:
            calls.extend(lock_references(vol) for vol in sorted({vol for vol, _, _ in cuts}))
            calls.append((_CUT, _columns(cuts)))
        for kind in _ORDER:
            puts = self.final_puts(kind)
            if puts:
                rows = [row for _, row in sorted(puts.items())] if len(puts) > 1 else puts.values()
                calls.append((ROW_TABLES[kind].upsert, ROW_TABLES[kind].encode_rows(rows)))
        if deltas := self.deltas:
            calls.append((_MOVE_REFS, _columns(deltas)))
        if self._replies:
            calls.append((_REPLIES, self._encode_replies(number, epochs)))
        calls.append((COMMIT, []))
        return calls

    def _encode_replies(self, number: int, epochs: dict[int, int]) -> list[bytes | None]:
        vols = sorted(self._replies)
        packed = [msgspec.msgpack.encode(self._replies[vol]) for vol in vols]
        return [bigint_array(vols), bigint_array([epochs[v] for v in vols]), bigint(number), bytes_array(packed)]


def lock_references(vol: int) -> Call:
    """Return what keeps transactions of *vol* that take back references as they find them after each other."""
    return (_LOCK_REFERENCES, [bigint(vol)])


def _columns(rows: Iterable[tuple[int, int, int]]) -> list[bytes | None]:
    return [bigint_array(column) for column in zip(*rows, strict=True)]
