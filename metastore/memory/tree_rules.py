"""The rules of volumes, inodes, names, metadata and versions over the memory database.

Each yields (rule, number, name, right, detail) of what breaks it, as `metastore.findings` takes them.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain, pairwise
from typing import TYPE_CHECKING, TypeAlias

from metastore.records import FIRST_COOKIE, ROOT_INO, Edge, FileType, Inode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metastore.memory.database import MemoryDatabase

Broken: TypeAlias = "tuple[str, int, bytes, int | None, str]"

_LARGEST = (1 << 32) - 1
_LISTED = (FileType.REGULAR, FileType.DIRECTORY)
_DEVICES = (FileType.BLOCK, FileType.CHARACTER)
_SIZES = re.compile(r"[0-9]{1,5}x[0-9]{1,13}( [0-9]{1,5}x[0-9]{1,13})*", re.ASCII)


def broken_tree(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    """Yield what is wrong with the tree of *vol*."""
    return chain.from_iterable(
        rules(database, vol)
        for rules in (_volume, _ranges, _links, _inodes, _numbers, _edges, _metas, _versions, _reachable)
    )


def _volume(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    holder = database.volumes[vol].holder
    if holder and holder not in database.gateways:
        yield "volume.holder", 0, b"", None, f"gateway {holder} holds it, and nobody knows that"
    root = database.rows[Inode].get((vol, ROOT_INO))
    if root is None or root.type != FileType.DIRECTORY:
        yield "volume.root", 0, b"", None, "it has no root directory"


def _ranges(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    ranges = sorted((each.first, each.last, each.epoch) for each in database.ranges if each.vol == vol)
    for first, last, epoch in ranges:
        if last >= database.marks[vol, "blob"]:
            yield "range.unreserved", first, b"", last, f"up to {last}"
        if epoch > database.volumes[vol].epoch:
            yield "range.epoch", first, b"", None, f"of epoch {epoch}, which is still to come"
    for before, each in pairwise(ranges):
        if before[1] >= each[0]:
            yield "range.overlap", each[0], b"", None, f"the one before it ends at {before[1]}"


def _links(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    """Yield where inodes are not as edges say: counters, names, parents."""
    edges = list(database.edges(vol))
    live = [edge for edge in edges if not edge.ghost]
    entries = Counter(edge.parent for edge in live)
    subdirectories = Counter(edge.parent for edge in live if edge.skey.endswith(b"/"))
    live_names = Counter(edge.ino for edge in live)
    parents: dict[int, list[int]] = {}
    for edge in edges:
        parents.setdefault(edge.ino, []).append(edge.parent)
    kept = {row.ino for row in database.versions(vol)}
    ghosts = {edge.ino for edge in edges if edge.ghost}
    history = Counter(row.parent for row in database.versions(vol))
    history.update(edge.parent for edge in edges if edge.ghost)
    for inode in database.inodes(vol):
        ino, is_directory = inode.ino, inode.type == FileType.DIRECTORY
        if inode.entries != entries[ino]:
            yield "inode.entries", ino, b"", entries[ino], f"entries {inode.entries}, counted {entries[ino]}"
        if inode.history != history[ino]:
            yield "inode.history", ino, b"", history[ino], f"history {inode.history}, counted {history[ino]}"
        links = (0 if ino in ghosts else 2 + subdirectories[ino]) if is_directory else live_names[ino]
        if inode.nlink != links:
            yield "inode.nlink", ino, b"", links, f"nlink {inode.nlink}, counted {links}"
        names = len(parents.get(ino, ())) if is_directory else live_names[ino]
        wanted = 0 if ino == ROOT_INO else 1
        if names != wanted if is_directory else not names and ino not in kept:
            yield "inode.named", ino, b"", names, f"{names} names"
        right = _parents_of(inode, parents.get(ino, []))
        if inode.parent not in right:
            yield "inode.parent", ino, b"", right[0] if len(right) == 1 else None, f"parent {inode.parent}"


def _parents_of(inode: Inode, named_in: list[int]) -> list[int]:
    """Return what may stand as the parent of *inode*."""
    if inode.type != FileType.DIRECTORY:
        return [0]
    return [ROOT_INO] if inode.ino == ROOT_INO else named_in


def _inodes(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    for inode in database.inodes(vol):
        ino, is_file = inode.ino, inode.type == FileType.REGULAR
        if (inode.type == FileType.SYMLINK) != (inode.target is not None):
            yield "inode.target", ino, b"", None, "a link without text, or text without a link"
        if inode.type == FileType.SYMLINK and inode.target is not None and inode.size != len(inode.target):
            yield "inode.size", ino, b"", len(inode.target), f"size {inode.size}, counted {len(inode.target)}"
        if not _is_in_range(inode):
            yield "inode.range", ino, b"", None, f"type {inode.type}, mode {inode.mode}"
        if not is_file and (inode.content or inode.extents or inode.x_length or inode.used):
            yield "inode.body", ino, b"", None, f"content {inode.content}, {inode.used} bytes"
        if not 0 <= inode.etag_seq <= inode.write_seq or (inode.etag is not None and not is_file):
            yield "inode.etag", ino, b"", None, f"etag of change {inode.etag_seq}, content of change {inode.write_seq}"


def _is_in_range(inode: Inode) -> bool:
    return (
        FileType.REGULAR <= inode.type <= FileType.FIFO
        and 0 <= inode.mode <= 0o7777  # noqa: PLR2004 - the permission bits
        and all(0 <= number <= _LARGEST for number in (inode.gen, inode.uid, inode.gid))
        and inode.size >= 0
        and 0 <= inode.flags <= int(inode.type == FileType.DIRECTORY)
        and (inode.rdev == 0 or inode.type in _DEVICES)
    )


def _numbers(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    marks = database.marks
    for inode in database.inodes(vol):
        if inode.ino != ROOT_INO and inode.ino >= marks[vol, "ino"]:
            yield "inode.unreserved", inode.ino, b"", inode.ino, "its number was never reserved"
        if inode.content >= marks[vol, "content"]:
            yield "content.unreserved", inode.content, b"", inode.content, f"the content of ino {inode.ino}"


def _edges(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    inodes = {inode.ino: inode for inode in database.inodes(vol)}
    for edge in database.edges(vol):
        at = (edge.parent, edge.skey)
        parent, inode = inodes.get(edge.parent), inodes.get(edge.ino)
        if parent is None or parent.type != FileType.DIRECTORY:
            yield "edge.parent", *at, edge.ino, "its parent is no directory"
        if not FIRST_COOKIE <= edge.cookie < database.marks[vol, "cookie"]:
            yield "edge.cookie", *at, None, f"cookie {edge.cookie}"
        if edge.alias is not None and (not 1 <= len(edge.alias) <= 255 or {0x00, 0x2F} & {*edge.alias}):  # noqa: PLR2004
            yield "edge.alias", *at, None, f"alias {edge.alias!r}"
        if not edge.skey and (edge.parent == ROOT_INO or (inode is not None and inode.type != FileType.REGULAR)):
            yield "edge.marker", *at, None, "an empty name is a regular file, and never in the root"
        yield from _named(database, edge, inode)


def _named(database: MemoryDatabase, edge: Edge, inode: Inode | None) -> Iterator[Broken]:
    """Yield where *edge* does not fit the *inode* that it names."""
    at = (edge.parent, edge.skey)
    if inode is None:
        yield "edge.inode", *at, None, f"no inode {edge.ino}"
    elif (inode.type == FileType.DIRECTORY) != edge.skey.endswith(b"/"):
        yield "edge.form", *at, None, "the form does not fit the type"
    if inode is not None and edge.listed and inode.type not in _LISTED:
        yield "edge.listed", *at, 0, "S3 cannot show what it is"
    if edge.ghost:
        below = database.children.get((edge.vol, edge.ino), {}).values()
        is_other = inode is not None and (inode.type != FileType.DIRECTORY or not inode.history)
        if is_other or edge.alias is not None or any(not each.ghost for each in below):
            yield "edge.ghost", *at, None, "a ghost is a directory with nothing in it but history, and has no alias"


def _metas(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    inodes = database.rows[Inode]
    for meta in database.metas(vol):
        inode = inodes.get((vol, meta.ino))
        if inode is None or inode.type != FileType.REGULAR:
            yield "meta.inode", meta.ino, b"", None, "it belongs to no file"
            continue
        sizes = meta.parts.get("sizes")
        if sizes is not None and inode.etag_seq == inode.write_seq:
            runs = [run.split("x") for run in sizes.split()] if _SIZES.fullmatch(sizes) else [["1", "-1"]]
            if sum(int(count) * int(size) for count, size in runs) != inode.size:
                yield "meta.parts", meta.ino, b"", None, f"parts of {sizes}"


def _versions(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    inodes = database.rows[Inode]
    for row in database.versions(vol):
        inode, parent = inodes.get((vol, row.ino)), inodes.get((vol, row.parent))
        if row.ino and (inode is None or inode.type != FileType.REGULAR):
            yield "version.inode", row.parent, row.skey, None, f"version {row.seq} is no file: ino {row.ino}"
        if parent is None or parent.type != FileType.DIRECTORY:
            yield "version.parent", row.parent, row.skey, None, "its parent is no directory"
    yield from _histories(database, vol)


def _histories(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    """Yield where the newest version is not the live file, or a marker without one, or another has no own inode."""
    files = {inode.ino for inode in database.inodes(vol) if inode.type == FileType.REGULAR}
    current = {
        (edge.parent, edge.skey): edge.ino
        for edge in database.edges(vol)
        if edge.listed and not edge.ghost and edge.ino in files
    }
    shared = Counter(row.ino for row in database.versions(vol) if row.ino)
    shared.update({edge.ino for edge in database.edges(vol)})
    newest: dict[tuple[int, bytes], int] = {}
    for row in database.versions(vol):
        at = (row.parent, row.skey)
        if at not in newest:
            newest[at] = row.seq
            if row.ino != current.get(at, 0):
                yield "version.current", *at, None, f"the newest version is ino {row.ino}"
        elif shared[row.ino] > 1:
            yield "version.kept", *at, None, f"version {row.seq} shares ino {row.ino}"


def _reachable(database: MemoryDatabase, vol: int) -> Iterator[Broken]:
    directories = {inode.ino for inode in database.inodes(vol) if inode.type == FileType.DIRECTORY}
    below: dict[int, list[int]] = {}
    for edge in database.edges(vol):
        if edge.ino in directories:
            below.setdefault(edge.parent, []).append(edge.ino)
    reached, fresh = {ROOT_INO}, [ROOT_INO]
    while fresh:
        fresh = [ino for parent in fresh for ino in below.get(parent, ()) if ino not in reached]
        reached.update(fresh)
    for ino in sorted(directories - reached):
        yield "tree.reachable", ino, b"", None, "the directory cannot be reached from the root"
