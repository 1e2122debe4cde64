"""What a plan sees: a read-only view of one volume that notes what was consulted and says what is missing.

Looking at something that is not in memory raises `Missing`; the engine loads it and plans again. `batch` grows to the
highest batch of all that was consulted: the answer leaves when that batch is durable.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from foundation.errors import StaleHandle
from metastore.records import NEWEST, Extent, FileType, Inode
from namespace.aliases import is_plain
from namespace.extents import ExtentMap
from namespace.names import directory_skey, meaning_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from metastore.records import Edge, ObjectMeta, Version
    from namespace.api import FileId
    from namespace.cache import Entry, InodeEntry
    from namespace.history import History
    from namespace.volume import VolumeState

#: An upper bound for offsets: every byte of a file lies below it.
MAX_SIZE = (1 << 63) - 1


class NeedInode(Struct, frozen=True):
    """An inode is not in memory."""

    ino: int


class NeedEdges(Struct, frozen=True):
    """Names of one directory are not in memory."""

    parent: int
    skeys: tuple[bytes, ...]


class NeedAlias(Struct, frozen=True):
    """Which entry of a directory has a hashed alias is not in memory."""

    parent: int
    alias: bytes


class NeedPath(Struct, frozen=True):
    """The rest of a path is not in memory."""

    top: int
    components: tuple[bytes, ...]


class NeedExtents(Struct, frozen=True):
    """Parts of a body map are not in memory."""

    entry: InodeEntry
    ranges: tuple[tuple[int, int], ...]


class NeedMeta(Struct, frozen=True):
    """An object's S3 metadata is not in memory."""

    entry: InodeEntry


class NeedVersions(Struct, frozen=True):
    """Versions of a name, from a seq on, are not in memory."""

    parent: int
    skey: bytes
    start: int


class NeedNullVersion(Struct, frozen=True):
    """Whether a name has a `null` version is not in memory."""

    parent: int
    skey: bytes


class NeedName(Struct, frozen=True):
    """It is not known which name an inode has."""

    entry: InodeEntry


class NeedCopy(Struct, frozen=True):
    """A body map is too long for one Change, and has not been copied ahead (see `sharing`)."""

    entry: InodeEntry


class NeedNumbers(Struct, frozen=True):
    """A number pool is dry."""

    kind: str


class NeedRoom(Struct, frozen=True):
    """There is too much UNSTABLE data in memory to take more; *wait* ends when there is room."""

    wait: Callable[[], Awaitable[None]]


class NeedFetch(Struct, frozen=True):
    """Something else is not in memory; `fetch(metastore, *arguments)` brings it there, by the late-load rule."""

    fetch: Callable[..., Coroutine[Any, Any, None]]
    arguments: tuple[int | bytes, ...] = ()


Need: TypeAlias = (
    NeedInode
    | NeedEdges
    | NeedAlias
    | NeedPath
    | NeedExtents
    | NeedMeta
    | NeedFetch
    | NeedVersions
    | NeedNullVersion
    | NeedName
    | NeedCopy
    | NeedNumbers
    | NeedRoom
)


class Missing(Exception):
    """The plan cannot go on before *need* is in memory."""

    def __init__(self, need: Need) -> None:
        """Say what is needed."""
        super().__init__(need)
        self.need = need


class View:
    """One operation's look at a volume; plans call it again from the start after each load."""

    __slots__ = ("batch", "request", "stamp", "volume")

    def __init__(self, volume: VolumeState, stamp: int, request: bytes = b"") -> None:
        """Look at *volume* on behalf of the operation with *stamp*, of a *request* that must not run twice, or not."""
        self.volume = volume
        self.stamp = stamp
        self.request = request
        self.batch = 0

    def consult(self, entry: Entry) -> None:
        """Note that the answer rests on *entry*: it is not evicted meanwhile, and its batch is waited for."""
        entry.stamp = self.stamp
        self.batch = max(self.batch, entry.batch)

    # ------------------------------------------------------------------ inodes

    def entry(self, ino: int) -> InodeEntry:
        """Return the inode's entry in memory; its image is None if the inode is gone."""
        entry = self.volume.cache.inodes.get(ino) or self.volume.cache.warm(ino)
        if entry is None:
            raise Missing(NeedInode(ino))
        self.consult(entry)
        return entry

    def live(self, ino: int) -> tuple[InodeEntry, Inode]:
        """Return an inode that an entry or a parent names, with its image."""
        entry = self.entry(ino)
        if entry.image is None:
            raise StaleHandle("the object is gone")
        return entry, entry.image

    def file(self, file: FileId) -> tuple[InodeEntry, Inode]:
        """Return the inode that a handle names; raise StaleHandle if it is gone or never was."""
        entry = self.entry(file.ino)
        image = entry.image
        # What has no link left is kept for its history alone: no handle reaches it.
        if image is None or image.gen != file.gen or not image.nlink:
            raise StaleHandle("the handle names nothing")
        return entry, image

    # ------------------------------------------------------------------ names

    def edge(self, directory: int, skey: bytes) -> Edge | None:
        """Return what *skey* means in *directory*; None if there is no such name."""
        found, edge = self._known_edge(directory, skey)
        if not found:
            raise Missing(NeedEdges(directory, (skey,)))
        return edge

    def ghost(self, directory: int, skey: bytes) -> Edge | None:
        """Return the ghost that stands in *directory* under *skey*; None if there is none."""
        found, _ = self._known_edge(directory, skey)
        if not found:
            raise Missing(NeedEdges(directory, (skey,)))
        names = self.volume.cache.directories.get(directory)
        entry = names.entries.get(skey) if names is not None else None
        return entry.edge if entry is not None and entry.edge is not None and entry.edge.ghost else None

    def named(self, directory: int, name: bytes) -> Edge | None:
        """Return what an NFS *name* means in *directory*: a directory before anything else (DESIGN 3.2)."""
        if is_plain(name):
            return self._either(directory, directory_skey(name), name, None)
        meaning = meaning_of(name)
        if meaning.directory is not None and meaning.file is not None:
            return self._either(directory, meaning.directory, meaning.file, meaning.alias)
        skey = meaning.file if meaning.directory is None else meaning.directory
        return self._aliased(directory, name) if skey is None else self.edge(directory, skey)

    def _either(self, directory: int, as_directory: bytes, as_file: bytes, alias: bytes | None) -> Edge | None:
        found_directory, edge = self._known_edge(directory, as_directory)
        if edge is not None:
            return edge
        found_file, edge = self._known_edge(directory, as_file)
        if not (found_directory and found_file):
            raise Missing(NeedEdges(directory, (as_directory, as_file)))
        # A file shown as `~gf.f-a` has that name alone, or `mkdir a` could not follow (ADR 0061).
        return edge if edge is None or edge.alias == alias else None

    def _aliased(self, directory: int, alias: bytes) -> Edge | None:
        entry = self.volume.cache.aliased(directory, alias)
        if entry is None:
            raise Missing(NeedAlias(directory, alias))
        self.consult(entry)
        if entry.edge is None:
            return None
        edge = self.edge(directory, entry.edge.skey)
        return edge if edge is not None and edge.alias == alias else None

    def _known_edge(self, directory: int, skey: bytes) -> tuple[bool, Edge | None]:
        """Tell whether it is known what *skey* means, and what: a ghost is no name."""
        names = self.volume.cache.directories.get(directory)
        if names is None:
            return False, None
        entry = names.entries.get(skey)
        if entry is None:
            return names.known.covers(skey), None
        self.consult(entry)
        edge = entry.edge
        return True, None if edge is not None and edge.ghost else edge

    def path(self, top: int, components: list[bytes]) -> list[Inode]:
        """Return the inodes along *components* (skeys) below *top*, as far as they exist."""
        found: list[Inode] = []
        parent = top
        for index, skey in enumerate(components):
            known, edge = self._known_edge(parent, skey)
            if not known or (edge is not None and edge.ino not in self.volume.cache.inodes):
                raise Missing(NeedPath(parent, tuple(components[index:])))
            self.entry(parent)  # a negative answer consults the directory too
            if edge is None:
                break
            _, image = self.live(edge.ino)
            found.append(image)
            parent = image.ino
        return found

    def ancestors(self, directory: Inode) -> list[int]:
        """Return the inode numbers from *directory* up to the root, both included."""
        chain = [directory.ino]
        while directory.parent != directory.ino:
            _, directory = self.live(directory.parent)
            chain.append(directory.ino)
        return chain

    # ------------------------------------------------------------------ history

    def newest(self, directory: int, skey: bytes, start: int = NEWEST) -> Version | None:
        """Return the newest version of a name, of those with a seq >= *start*."""
        found, row = self._history(directory, skey).first(start)
        if not found:
            raise Missing(NeedVersions(directory, skey, start))
        return row

    def null_version(self, directory: int, skey: bytes) -> Version | None:
        """Return the `null` version of a name."""
        found, row = self._history(directory, skey).null()
        if not found:
            raise Missing(NeedNullVersion(directory, skey))
        return row

    def _history(self, directory: int, skey: bytes) -> History:
        entry = self.entry(directory)
        history = self.volume.cache.history(directory, skey)
        whole = self.volume.cache.whole_histories
        if entry.image is None or not entry.image.history:
            whole.add(directory)  # it counts them
        if directory in whole:
            history.know_whole()
        self.consult(history)
        return history

    def name_of(self, entry: InodeEntry) -> Edge:
        """Return the name of a file that has one."""
        edge = self.edge(*entry.name) if entry.name is not None else None
        if edge is None or edge.ino != entry.ino:
            raise Missing(NeedName(entry))
        return edge

    # ------------------------------------------------------------------ bodies and metadata

    def extents(self, entry: InodeEntry, start: int, end: int) -> ExtentMap:
        """Return the file's body map, known at least in [start, end)."""
        return self.extents_in(entry, ((start, end),))

    def extents_in(self, entry: InodeEntry, ranges: Sequence[tuple[int, int]]) -> ExtentMap:
        """Return the file's body map, known at least in *ranges*."""
        extents = self._body_map(entry)
        covers = extents.known.covers_range
        unknown = tuple((start, end) for start, end in ranges if start < end and not covers(start, end))
        if unknown:
            raise Missing(NeedExtents(entry, unknown))
        return extents

    def _body_map(self, entry: InodeEntry) -> ExtentMap:
        """Return the map in memory; what the inode itself tells (nothing, or one extent) is whole."""
        image = entry.image
        assert image is not None
        extents = entry.extents
        if extents is None or extents.content != image.content:
            extents = ExtentMap(image.content)
            if not image.extents:
                extents.learn(inline_extent(image), 0, None)
            entry.extents = extents
            self.volume.cache.recount(entry)
        return extents

    def settle_readers(self, content: int) -> None:
        """Let open readers of *content*, which is about to change or to go, keep what they see (`snapshot`)."""
        snapshot = self.volume.snapshots.get(content)
        if snapshot is not None:
            raise Missing(NeedFetch(snapshot.freeze))

    def meta(self, entry: InodeEntry) -> ObjectMeta | None:
        """Return the object's S3 metadata."""
        if not entry.meta_known:
            raise Missing(NeedMeta(entry))
        return entry.meta

    # ------------------------------------------------------------------ new numbers

    def number(self, kind: str) -> int:
        """Return a new number of *kind*; one that a plan does not use in the end is lost, which is no harm."""
        number = self.volume.numbers[kind].take()
        if number is None:
            raise Missing(NeedNumbers(kind))
        return number


def new_generation() -> int:
    """Return a new inode generation: 32 random bits."""
    return random.getrandbits(32)


def inline_extent(image: Inode) -> list[Extent]:
    """Return the extent that the inode itself holds, as a list of none or one."""
    if not image.x_length:
        return []
    return [Extent(image.vol, image.content, image.x_offset, image.x_length, image.x_blob, image.x_blob_offset)]


def is_directory(image: Inode) -> bool:
    """Tell whether *image* is a directory."""
    return image.type == FileType.DIRECTORY
