"""The tables of the memory metastore, and a batch applied to them one Change at a time.

This is the plain meaning of a Change: the PostgreSQL committer, which folds a batch to final images, is tested
against it. Several `MemoryMetaStore`s may share one database, as several gateways share PostgreSQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from metastore.grouping import BatchRefused, Fenced
from metastore.records import Blob, Edge, Extent, Inode, ObjectMeta, Part, Reclaim, Upload, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metastore.grouping import Batch
    from metastore.records import (
        AccessKey,
        Account,
        Change,
        Cut,
        Export,
        Gateway,
        Node,
        Reply,
        RingRow,
        Row,
        RowType,
        Volume,
    )

_ROW_TYPES: tuple[RowType, ...] = (Inode, Edge, Extent, Blob, ObjectMeta, Reclaim, Upload, Part, Version)


class BlobRange(Struct, frozen=True):
    """Blob numbers that one epoch of a volume reserved."""

    vol: int
    first: int
    last: int
    gateway: int
    epoch: int


class MemoryDatabase:
    """What PostgreSQL would hold."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: dict[RowType, dict[tuple[Any, ...], Any]] = {kind: {} for kind in _ROW_TYPES}
        self.children: dict[tuple[int, int], dict[bytes, Edge]] = {}  # (vol, parent) -> skey -> edge
        self.extents: dict[tuple[int, int], dict[int, Extent]] = {}  # (vol, content) -> offset -> extent
        self.volumes: dict[int, Volume] = {}
        self.marks: dict[tuple[int, str], int] = {}  # (vol, kind of number) -> the first that is not reserved
        self.ranges: list[BlobRange] = []
        self.replies: dict[int, list[Reply]] = {}
        self.gateways: dict[int, Gateway] = {}
        self.next_gateway = 1
        self.connected: set[int] = set()  # gateways that have registered and not closed
        self.next_vol = 1
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, AccessKey] = {}
        self.exports: dict[str, Export] = {}
        self.nodes: dict[int, Node] = {}
        self.rings: list[RingRow] = []

    def inodes(self, vol: int) -> Iterator[Inode]:
        """Yield the inodes of *vol*, by number."""
        return self._of(Inode, vol)

    def edges(self, vol: int) -> Iterator[Edge]:
        """Yield the edges of *vol*, by parent and skey."""
        return self._of(Edge, vol)

    def blobs(self, vol: int) -> Iterator[Blob]:
        """Yield the blobs of *vol*, by number."""
        return self._of(Blob, vol)

    def reclaims(self, vol: int) -> Iterator[Reclaim]:
        """Yield the detached contents of *vol*, by number."""
        return self._of(Reclaim, vol)

    def uploads(self, vol: int) -> Iterator[Upload]:
        """Yield the uploads of *vol*, by id, ended or not."""
        return self._of(Upload, vol)

    def parts(self, vol: int) -> Iterator[Part]:
        """Yield the parts of all uploads of *vol*, by upload and number."""
        return self._of(Part, vol)

    def metas(self, vol: int) -> Iterator[ObjectMeta]:
        """Yield the S3 metadata of *vol*, by inode."""
        return self._of(ObjectMeta, vol)

    def versions(self, vol: int) -> Iterator[Version]:
        """Yield the versions of *vol*, by parent, skey and order."""
        return self._of(Version, vol)

    def _of(self, kind: RowType, vol: int) -> Iterator[Any]:
        table = self.rows[kind]
        return iter([table[key] for key in sorted(table) if key[0] == vol])

    def fence(self, vol: int, gateway: int, epoch: int) -> None:
        """Raise Fenced unless *gateway* holds *vol* at *epoch*."""
        volume = self.volumes.get(vol)
        if volume is None or volume.holder != gateway or volume.epoch != epoch:
            raise Fenced(f"volume {vol} is not held by gateway {gateway} at epoch {epoch}")

    def apply(self, batch: Batch, gateway: int) -> None:
        """Apply *batch* whole, or raise BatchRefused and leave everything as it was."""
        for vol, epoch in batch.epochs.items():
            self.fence(vol, gateway, epoch)
        transaction = Transaction(self)
        try:
            for change in batch.changes:
                transaction.apply(change)
            transaction.check()
        except BaseException:
            transaction.roll_back()
            raise
        for change in batch.changes:
            if change.reply is not None:
                self.replies.setdefault(change.vol, []).append(change.reply)

    def put(self, row: Row) -> None:
        """Make *row* the image of its key, in the table and in its index."""
        self.rows[type(row)][(row.vol, *row.key)] = row
        if isinstance(row, Edge):
            self.children.setdefault((row.vol, row.parent), {})[row.skey] = row
        elif isinstance(row, Extent):
            self.extents.setdefault((row.vol, row.content), {})[row.offset] = row

    def remove_volume(self, vol: int, now_ns: int) -> None:
        """Delete all that *vol* holds but its blobs, which are doomed at *now_ns*, and their ranges."""
        for kind, table in self.rows.items():
            for key in [key for key in table if key[0] == vol]:
                if kind is Blob:
                    self.put(replace(table[key], refs=0, doomed=now_ns))
                else:
                    self.drop(kind, key)
        del self.volumes[vol]
        self.replies.pop(vol, None)

    def drop(self, kind: RowType, key: tuple[Any, ...]) -> None:
        """Remove the row of *key* (which starts with the volume), if there is one."""
        row = self.rows[kind].pop(key, None)
        if isinstance(row, Edge):
            _remove(self.children, (row.vol, row.parent), row.skey)
        elif isinstance(row, Extent):
            _remove(self.extents, (row.vol, row.content), row.offset)


def _remove(index: dict[Any, dict[Any, Any]], outer: Any, inner: Any) -> None:
    members = index[outer]
    del members[inner]
    if not members:
        del index[outer]


class Transaction:
    """A batch on its way into the tables."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Begin; nothing is changed yet."""
        self._database = database
        self._undo: list[Callable[[], None]] = []
        self._directories: set[tuple[int, int]] = set()
        self._blobs: set[tuple[int, int]] = set()

    def apply(self, change: Change) -> None:
        """Apply one Change: cuts, drops, puts, blob_refs."""
        vol = change.vol
        for cut in change.cuts:
            self._cut(vol, cut)
        for kind, key in change.drops:
            self._drop(kind, (vol, *key))
        for row in change.puts:
            if row.vol != vol:
                raise BatchRefused(f"a Change of volume {vol} puts a row of volume {row.vol}")
            self._put(row)
        for blob, delta in change.blob_refs:
            self._move_refs(vol, blob, delta)

    def check(self) -> None:
        """Raise BatchRefused unless what the database's constraints demand holds at the end of the batch."""
        for directory in self._directories:
            edges = self._database.children.get(directory, {}).values()
            cookies = [edge.cookie for edge in edges]
            aliases = [edge.alias for edge in edges if edge.alias is not None]
            if len(set(cookies)) < len(cookies) or len(set(aliases)) < len(aliases):
                raise BatchRefused(f"cookie or alias twice in directory {directory}")
        for key in self._blobs:
            blob = self._database.rows[Blob].get(key)
            if blob is not None and (blob.refs < 0 or (blob.doomed and blob.refs)):
                raise BatchRefused(f"blob {key} has {blob.refs} references, doomed {blob.doomed}")

    def roll_back(self) -> None:
        """Undo everything."""
        for undo in reversed(self._undo):
            undo()

    def _cut(self, vol: int, cut: Cut) -> None:
        extents = self._database.extents.get((vol, cut.content), {})
        for extent in [each for each in extents.values() if each.offset >= cut.offset]:
            self._drop(Extent, (vol, *extent.key))
            blob = self._database.rows[Blob].get((vol, extent.blob))
            if blob is not None:
                self._set(replace(blob, refs=blob.refs - 1))

    def _put(self, row: Row) -> None:
        key = (row.vol, *row.key)
        if isinstance(row, Edge):
            self._directories.add((row.vol, row.parent))
        elif isinstance(row, Blob) and key in self._database.rows[Blob]:
            raise BatchRefused(f"blob {key} is put twice")
        self._set(row)

    def _move_refs(self, vol: int, number: int, delta: int) -> None:
        blob = self._database.rows[Blob].get((vol, number))
        if blob is None:
            raise BatchRefused(f"references of blob {(vol, number)} moved, and it is not there")
        self._set(replace(blob, refs=blob.refs + delta))

    def _set(self, row: Row) -> None:
        database, key = self._database, (row.vol, *row.key)
        old = database.rows[type(row)].get(key)
        if old is None:
            self._undo.append(lambda: database.drop(type(row), key))
        else:
            self._undo.append(lambda: database.put(old))
        if isinstance(row, Blob):
            self._blobs.add((row.vol, row.id))
        database.put(row)

    def _drop(self, kind: RowType, key: tuple[Any, ...]) -> None:
        database = self._database
        old = database.rows[kind].get(key)
        if old is not None:
            self._undo.append(lambda: database.put(old))
            database.drop(kind, key)
