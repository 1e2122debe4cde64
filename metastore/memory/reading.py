"""Look-ups and pages over the memory database; each returns the state at the moment it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.api import Step
from metastore.records import Blob, Edge, FileType, Inode, InodeFlag, KeyEntry, Named, ObjectMeta, Upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from metastore.api import Steer
    from metastore.memory.database import MemoryDatabase
    from metastore.records import Extent, Part


def inodes(database: MemoryDatabase, vol: int, inos: Sequence[int]) -> list[Inode]:
    """Return the inodes among *inos* that exist."""
    table = database.rows[Inode]
    return [table[vol, ino] for ino in dict.fromkeys(inos) if (vol, ino) in table]


def edges(database: MemoryDatabase, vol: int, keys: Sequence[tuple[int, bytes]]) -> list[Named]:
    """Return the entries among (parent, skey) that exist."""
    table = database.rows[Edge]
    found = [table[vol, *key] for key in dict.fromkeys(keys) if (vol, *key) in table]
    return named(database, found)


def named(database: MemoryDatabase, found: Sequence[Edge]) -> list[Named]:
    """Join *found* with their inodes; an entry without one does not appear, as in a database's join."""
    table = database.rows[Inode]
    return [Named(edge, table[edge.vol, edge.ino]) for edge in found if (edge.vol, edge.ino) in table]


def alias(database: MemoryDatabase, vol: int, parent: int, name: bytes) -> Named | None:
    """Return the entry of *parent* whose NFS alias is *name*."""
    matching = [edge for edge in database.children.get((vol, parent), {}).values() if edge.alias == name]
    return next(iter(named(database, matching)), None)


def path(database: MemoryDatabase, vol: int, top: int, components: Sequence[bytes]) -> list[Named]:
    """Walk *components* down from *top* as far as they exist."""
    found: list[Named] = []
    for component in components:
        step = edges(database, vol, [(top, component)])
        if not step:
            break
        found += step
        top = step[0].inode.ino
    return found


def extents(database: MemoryDatabase, vol: int, content: int, start: int, limit: int) -> list[Extent]:
    """Return at most *limit* extents of *content* that end after *start*, by offset."""
    table = database.extents.get((vol, content), {})
    return [table[offset] for offset in sorted(table) if offset + table[offset].length > start][:limit]


def blob(database: MemoryDatabase, vol: int, number: int) -> Blob | None:
    """Return one blob's row."""
    return database.rows[Blob].get((vol, number))


def meta(database: MemoryDatabase, vol: int, ino: int) -> ObjectMeta | None:
    """Return one object's metadata."""
    return database.rows[ObjectMeta].get((vol, ino))


def upload(database: MemoryDatabase, vol: int, upload_id: bytes) -> Upload | None:
    """Return one upload's row."""
    return database.rows[Upload].get((vol, upload_id))


def parts(database: MemoryDatabase, vol: int, upload_id: bytes, after: int, limit: int) -> list[Part]:
    """Return the next parts of an upload, by number."""
    return [part for part in database.parts(vol) if part.upload_id == upload_id and part.number > after][:limit]


def uploads(
    database: MemoryDatabase, vol: int, after: tuple[bytes, bytes], upper: bytes | None, limit: int
) -> list[Upload]:
    """Return the next uploads in progress, by key and id."""
    running = sorted((each.object_key, each.upload_id, each) for each in database.uploads(vol) if not each.ended)
    return [each for key, number, each in running if (key, number) > after and (upper is None or key < upper)][:limit]


def by_cookie(database: MemoryDatabase, vol: int, parent: int, after: int, limit: int) -> list[Named]:
    """Return the next entries of *parent* by cookie."""
    found = (e for e in database.children.get((vol, parent), {}).values() if e.cookie > after and not e.ghost)
    return named(database, sorted(found, key=lambda edge: edge.cookie))[:limit]


def unlisted(database: MemoryDatabase, vol: int, after: tuple[int, bytes], limit: int) -> list[Named]:
    """Return the next entries that are not listed, by parent and skey."""
    found = (edge for edge in database.edges(vol) if edge.key > after and not edge.listed and not edge.ghost)
    return named(database, list(found))[:limit]


def by_skey(
    database: MemoryDatabase, vol: int, parent: int, lower: bytes, upper: bytes | None, limit: int
) -> list[Named]:
    """Return the listed entries of *parent* with lower <= skey < upper, by skey."""
    table = database.children.get((vol, parent), {})
    keys = sorted(skey for skey in table if skey >= lower and (upper is None or skey < upper))
    found = [table[skey] for skey in keys if table[skey].listed and not table[skey].ghost]
    return named(database, found)[:limit]


def walk(  # noqa: PLR0913, PLR0917 - what `metastore.api.Pages.walk` is told
    database: MemoryDatabase,
    vol: int,
    top: int,
    lower: bytes,
    upper: bytes | None,
    limit: int,
    steer: Steer | None = None,
) -> list[KeyEntry]:
    """Return the listed keys below *top* in byte order of their paths."""
    page: list[KeyEntry] = []
    for entry in _keys(database, vol, top, steer):
        if upper is not None and entry.path >= upper:
            break
        if entry.path < lower:
            continue
        if page and page[-1].path == entry.path:
            page[-1] = entry  # the object `dir/` with a body stands for the explicit directory
        elif len(page) == limit:
            break
        else:
            page.append(entry)
    return page


def _keys(database: MemoryDatabase, vol: int, top: int, steer: Steer | None) -> Iterator[KeyEntry]:
    """Yield every listed key below *top*, depth first; the stack is a list, so depth is bounded by memory alone."""
    stack: list[Iterator[tuple[bytes, Named]]] = [_entries(database, vol, top, b"")]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        prefix, entry = found
        key = KeyEntry(prefix + entry.edge.skey, entry.edge, entry.inode)
        if entry.inode.type != FileType.DIRECTORY:
            yield key
            continue
        step = Step.INTO if steer is None else steer(key.path, entry.inode)
        if step == Step.OVER or (step == Step.INTO and entry.inode.flags & InodeFlag.EXPLICIT):
            yield key
        if step == Step.INTO:
            stack.append(_entries(database, vol, entry.inode.ino, key.path))


def _entries(database: MemoryDatabase, vol: int, parent: int, prefix: bytes) -> Iterator[tuple[bytes, Named]]:
    return iter([(prefix, entry) for entry in by_skey(database, vol, parent, b"", None, len(database.rows[Edge]))])
