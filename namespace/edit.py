"""What a plan decided: a builder for the rows of one Change, and the frozen result the engine installs.

An `Edit` keeps the final image of each inode the plan touches, so that a rename within one directory, or a delete that
climbs a chain of implied directories, touches each row once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from metastore.records import Blob, Change, Cut, Edge, Extent, FileType, Inode, InodeFlag, ObjectMeta, Reclaim, Reply
from namespace.attributes import next_ctime
from namespace.view import MAX_SIZE, new_generation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from metastore.records import Row, RowType
    from namespace.cache import InodeEntry
    from namespace.extents import Draft
    from namespace.lineage import Lineage
    from namespace.view import View

T = TypeVar("T")
#: As a plain number: an operator of IntFlag costs more than the rest of a directory's new image.
_EXPLICIT = int(InodeFlag.EXPLICIT)


class Planned(Struct, Generic[T]):
    """What an operation changes and answers. Effects and answer run right after the rows are installed."""

    answer: Callable[[], T]
    change: Change | None = None
    effects: tuple[Callable[[], object], ...] = ()  # on memory, beyond the rows; never wait, cannot fail


class Edit:
    """The change that one plan is putting together at one moment of time."""

    def __init__(self, view: View, now_ns: int) -> None:
        """Begin with nothing changed at *now_ns*."""
        self.view = view
        self.now_ns = now_ns
        self._vol = view.volume.vol
        self._images: dict[int, Inode | None] = {}
        self._rows: list[Row] = []
        self._drops: list[tuple[RowType, tuple[int | bytes, ...]]] = []
        self._cuts: list[Cut] = []
        self._refs: dict[int, int] = {}
        self._effects: list[Callable[[], object]] = []
        #: The names whose versions change, in a volume that keeps them.
        self.lineages: dict[tuple[int, bytes], Lineage] = {}

    # ------------------------------------------------------------------ inodes

    def image(self, entry: InodeEntry) -> Inode:
        """Return *entry*'s inode as this edit has it so far."""
        image = self._images.get(entry.ino, entry.image)
        assert image is not None
        return image

    def image_of(self, ino: int) -> Inode:
        """Return the inode *ino*, which may be one that this edit makes, as this edit has it so far."""
        image = self._images.get(ino)
        return self.image(self.view.entry(ino)) if image is None else image

    def is_new(self, ino: int) -> bool:
        """Tell whether this edit makes the inode *ino*."""
        return ino in self._images and ino not in self.view.volume.cache.inodes

    def is_gone(self, ino: int) -> bool:
        """Tell whether this edit has let the inode *ino* go."""
        return ino in self._images and self._images[ino] is None

    def replace(self, ino: int, **fields: object) -> Inode:
        """Set *fields* of the inode *ino*, which may be one that this edit makes, and return it."""
        image = self._images[ino] = replace(self.image_of(ino), **fields)
        return image

    def count_history(self, directory: int, delta: int) -> None:
        """Account for versions of names, and ghosts, that come to or go from *directory*."""
        self.replace(directory, history=self.image_of(directory).history + delta)

    def set(self, entry: InodeEntry, **fields: object) -> None:
        """Set *fields* of *entry*'s inode; the first change carries its access time along."""
        if entry.atime and entry.ino not in self._images:
            fields.setdefault("atime", entry.atime)
        self._images[entry.ino] = replace(self.image(entry), **fields)

    def touch(self, entry: InodeEntry, **fields: object) -> None:
        """Set *fields* of *entry*'s inode and move its ctime."""
        self.set(entry, ctime=max(next_ctime(entry, self.now_ns), self.image(entry).ctime), **fields)

    def touch_directory(self, entry: InodeEntry, entries: int = 0, links: int = 0, *, explicit: bool = False) -> None:
        """Account for names and sub-directories that come to, or go from, a directory.

        *explicit*: the change came by NFS, which makes an implied directory stay (DESIGN 3.2).
        """
        image = self.image(entry)
        self._images[entry.ino] = replace(
            image,
            entries=image.entries + entries,
            nlink=image.nlink + links,
            mtime=self.now_ns,
            ctime=max(next_ctime(entry, self.now_ns), image.ctime),
            flags=image.flags | _EXPLICIT if explicit else image.flags,
        )

    def make_explicit(self, directory: int) -> None:
        """Let *directory*, which may be one that this edit makes, stay when it is empty, and be listed."""
        made = self._images.get(directory)
        if made is not None and directory not in self.view.volume.cache.inodes:
            self._images[directory] = replace(made, flags=made.flags | InodeFlag.EXPLICIT)
        else:
            entry = self.view.entry(directory)
            self.touch(entry, flags=self.image(entry).flags | InodeFlag.EXPLICIT)

    def count_entry(self, directory: int, links: int = 0) -> None:
        """Account for one more name in *directory*, which may be one that this edit makes."""
        made = self._images.get(directory)
        if made is not None and directory not in self.view.volume.cache.inodes:
            self._images[directory] = replace(made, entries=made.entries + 1, nlink=made.nlink + links)
        else:
            self.touch_directory(self.view.entry(directory), entries=1, links=links)

    def new_inode(self, kind: FileType, mode: int, uid: int, gid: int, **fields: object) -> Inode:
        """Return a new inode, its times now; `place` gives it a name."""
        now = self.now_ns
        content = self.view.number("content") if kind == FileType.REGULAR and "content" not in fields else 0
        image = Inode(
            self._vol,
            self.view.number("ino"),
            new_generation(),
            int(kind),
            mode,
            uid,
            gid,
            2 if kind == FileType.DIRECTORY else 1,
            atime=now,
            mtime=now,
            ctime=now,
            content_time=now,
            content=content,
        )
        if fields:
            image = replace(image, **fields)
        self._images[image.ino] = image
        if kind == FileType.DIRECTORY:
            self.then(lambda: self.view.volume.cache.know_empty(image.ino))
        else:
            self.then(lambda: self._know_no_meta(image.ino))
        return image

    def _know_no_meta(self, ino: int) -> None:
        entry = self.view.volume.cache.inodes[ino]
        entry.meta_known = True

    def drop_inode(self, image: Inode) -> None:
        """Let the inode go, its content and its S3 metadata with it."""
        self.detach_content(image)
        self._images[image.ino] = None
        if image.type == FileType.REGULAR:
            self.drop_meta(image.ino)

    def drop(self, kind: RowType, key: tuple[int | bytes, ...]) -> None:
        """Drop a row that is no inode."""
        self._drops.append((kind, key))

    def drop_meta(self, ino: int) -> None:
        """Let the S3 metadata of *ino* go."""
        self._drops.append((ObjectMeta, (ino,)))

    # ------------------------------------------------------------------ names

    def place(
        self,
        parent: int,
        skey: bytes,
        ino: int,
        cookie: int | None = None,
        *,
        alias: bytes | None = None,
        listed: bool = True,
    ) -> None:
        """Give *ino* the name *skey* in *parent*, with a new cookie unless it keeps one."""
        number = self.view.number("cookie") if cookie is None else cookie
        self._rows.append(Edge(self._vol, parent, skey, ino, number, alias, listed))

    def unplace(self, edge: Edge) -> None:
        """Take a name away; `place` may give it to something else in the same edit."""
        self._drops.append((Edge, edge.key))

    # ------------------------------------------------------------------ content

    def detach_content(self, image: Inode) -> None:
        """Let go of all of *image*'s bytes, in time that does not grow with them."""
        self.view.settle_readers(image.content)
        if image.x_length:
            self.reference(image.x_blob, -1)
        elif image.extents:
            self._rows.append(Reclaim(self._vol, image.content, self.now_ns))

    def reference(self, blob: int, delta: int) -> None:
        """Count *delta* more references to *blob*."""
        self._refs[blob] = self._refs.get(blob, 0) + delta

    def put(self, row: Row) -> None:
        """Write a row that is no inode."""
        self._rows.append(row)

    def redraw(self, entry: InodeEntry, draft: Draft, new_blobs: Sequence[Blob] = (), cut: int | None = None) -> None:
        """Make *draft* the file's body map; *new_blobs* are put with the references they get by it.

        *cut*: all extents at or behind that offset are gone, and the Change says so in one row, however many.
        """
        self.view.settle_readers(self.image(entry).content)
        if cut is not None:
            self._cuts.append(Cut(self.image(entry).content, cut))
        deltas = draft.reference_deltas(cut)
        for blob in new_blobs:
            self._rows.append(replace(blob, refs=deltas.pop(blob.id, 0)))
        for number, delta in deltas.items():
            self.reference(number, delta)
        image = self.image(entry)
        before = image.extents or int(image.x_length > 0)
        total = before + draft.count_delta
        if total == 1 and draft.count != 1:
            self.view.extents(entry, 0, MAX_SIZE)  # the one that is left must be known, to go into the inode
        self.set(entry, used=image.used + draft.used_delta)
        self._store_extents(entry, image, draft, total, cut)
        self.then(lambda: self._install_map(entry, draft))

    def _install_map(self, entry: InodeEntry, draft: Draft) -> None:
        entry.extents = draft.install()
        self.view.volume.cache.recount(entry)

    def _store_extents(self, entry: InodeEntry, before: Inode, draft: Draft, total: int, cut: int | None) -> None:
        """Keep the one extent of a content in the inode, several in the table."""
        was_inline = before.x_length > 0
        single = draft.touching(0, None)[0] if total == 1 else None
        if not was_inline:
            gone = {extent.key for extent in draft.removed if cut is None or extent.offset < cut}
            kept = {single.key} if single is not None else {extent.key for extent in draft.added}
            # A single extent leaves the table, whether it was there before or only changes its place.
            self._drops.extend((Extent, key) for key in (gone | kept if single is not None else gone - kept))
            self._rows.extend(() if single is not None else draft.added)
        elif single is None:
            self._rows.extend(draft.touching(0, None))
        self._set_inline(entry, single, total if single is None else 0)

    def _set_inline(self, entry: InodeEntry, extent: Extent | None, rows: int) -> None:
        self.set(entry, **inline_fields(extent), extents=rows)

    # ------------------------------------------------------------------ the result

    def then(self, effect: Callable[[], object]) -> None:
        """Run *effect* on memory when the rows are installed; it never waits and cannot fail."""
        self._effects.append(effect)

    def planned(self, answer: Callable[[], T], record: bytes = b"") -> Planned[T]:
        """Return the finished change; *answer* is called when it is installed.

        *record* is what the change remembers of its request, if that must not run twice (`namespace.once`).
        """
        for lineage in self.lineages.values():
            self._rows += lineage.rows()
            self._drops += lineage.drops()
        drops = self._drops
        if drops:
            placed = {row.key for row in self._rows if type(row) is Edge}
            drops = [drop for drop in drops if drop[0] is not Edge or drop[1] not in placed]
            drops += [(Inode, (ino,)) for ino, image in self._images.items() if image is None]
        # Inodes first: what else is installed may belong to one that is new.
        rows: list[Row] = [image for image in self._images.values() if image is not None]
        rows += self._rows
        refs = tuple([(blob, delta) for blob, delta in self._refs.items() if delta]) if self._refs else ()
        request = self.view.request
        reply = Reply(request, record) if request else None
        change = Change(self._vol, tuple(rows), tuple(drops), tuple(self._cuts), refs, reply)
        return Planned(answer, change, tuple(self._effects))


def inline_fields(extent: Extent | None) -> dict[str, int]:
    """Return the inode fields that hold a content's one extent, or none."""
    if extent is None:
        return {"x_offset": 0, "x_length": 0, "x_blob": 0, "x_blob_offset": 0}
    return {
        "x_offset": extent.offset,
        "x_length": extent.length,
        "x_blob": extent.blob,
        "x_blob_offset": extent.blob_offset,
    }
