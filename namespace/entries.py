"""The objects that a volume has in memory, and about what each takes; `cache` says when they come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from namespace.history import History
from namespace.intervals import IntervalSet

if TYPE_CHECKING:
    from metastore.records import Edge, Inode, ObjectMeta
    from namespace.api import Attr
    from namespace.extents import ExtentMap
    from namespace.overlay import Overlay

#: What cached objects cost in bytes, their share of the tables included: measured (`tests/unit/namespace`), with what
#: grows with use (an inode's attributes) counted from the start. Texts and maps are added by their real size.
INODE_COST = 1060
SCANNED_COST = 800
EDGE_COST = 400
ABSENT_COST = 290
DIRECTORY_COST = 480
RANGE_COST = 140
MAP_COST = 420
EXTENT_COST = 160
META_COST = 750
#: One name and value of S3 metadata, beside their characters.
HEADER_COST = 120


class InodeEntry:
    """One inode in memory. `image` None is a deletion mark."""

    __slots__ = (
        "atime", "attr", "batch", "cost", "extents", "image", "ino", "meta", "meta_known", "name", "overlay", "stamp",
    )  # fmt: skip

    def __init__(self, ino: int, image: Inode | None, batch: int) -> None:
        """Enter *image* as of *batch* (0: as loaded)."""
        self.ino = ino
        self.image = image
        self.batch = batch
        self.stamp = 0
        self.atime = 0  # of a read since the image was made, which no Change has carried yet; 0: the image's holds
        self.attr: Attr | None = None  # what getattr shows; None: to be made anew
        self.overlay: Overlay | None = None
        self.extents: ExtentMap | None = None
        self.meta: ObjectMeta | None = None
        self.meta_known = False
        self.name: tuple[int, bytes] | None = None  # where it was found last: whoever uses it looks whether it holds
        self.cost = 0  # about how many bytes it takes, as the cache has counted it

    def size(self) -> int:
        """Return about how many bytes it takes now."""
        size, image = INODE_COST, self.image
        if image is not None and image.target is not None:
            size += len(image.target)
        if self.extents is not None:
            size += MAP_COST + EXTENT_COST * len(self.extents.extents) + RANGE_COST * len(self.extents.known)
        if self.meta is not None:
            size += meta_size(self.meta)
        return size


class EdgeEntry:
    """One name in memory. `edge` None is a deletion mark, or a name known not to exist."""

    __slots__ = ("batch", "cost", "edge", "parent", "skey", "stamp")

    def __init__(self, parent: int, skey: bytes, edge: Edge | None, batch: int) -> None:
        """Enter *edge* as of *batch* (0: as loaded)."""
        self.parent = parent
        self.skey = skey
        self.edge = edge
        self.batch = batch
        self.stamp = 0
        self.cost = 0  # about how many bytes it takes, as the cache has counted it

    def size(self) -> int:
        """Return about how many bytes it takes now."""
        if self.edge is None:
            return ABSENT_COST + len(self.skey)
        alias = self.edge.alias
        return EDGE_COST + len(self.skey) + (0 if alias is None else len(alias))


def meta_size(meta: ObjectMeta) -> int:
    """Return about how many bytes *meta* takes in memory."""
    texts = (meta.headers, meta.user, meta.checksums, meta.tags, meta.acl, meta.parts)
    return META_COST + sum(HEADER_COST + len(name) + len(value) for each in texts for name, value in each.items())


class DirectoryNames:
    """The names of one directory, and the ranges of skey in which those in memory are all there are."""

    __slots__ = ("cost", "entries", "known")

    def __init__(self) -> None:
        """Know nothing."""
        self.entries: dict[bytes, EdgeEntry] = {}
        self.known: IntervalSet[bytes] = IntervalSet()
        self.cost = 0  # about how many bytes it takes without its entries, as the cache has counted it

    def size(self) -> int:
        """Return about how many bytes it takes now, its entries left out."""
        return DIRECTORY_COST + RANGE_COST * len(self.known)


Entry: TypeAlias = InodeEntry | EdgeEntry | History
