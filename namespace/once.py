"""Requests that must not run twice: what a Change remembers of its request, and the answer when it is asked again.

A door names such a request by a fingerprint of its own. The Change that does it carries the fingerprint and a record
(`metastore.records.Reply`); an incarnation knows those of the incarnations before it. Asked again, a plan shows the
objects as they are now: what they were before the change is not known any more (ADR 0022).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from foundation.errors import StaleHandle
from namespace.api import FileId, Linked, Made, Renamed, Wcc
from namespace.attributes import attr_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from metastore.records import Inode
    from namespace.api import Attr
    from namespace.view import View

#: What was made: ino, gen. Whatever else was done has an empty record, as its request names the objects.
_MADE = Struct(">QI")


def made_record(image: Inode) -> bytes:
    """Return the record of a request that made, or took, *image*."""
    return _MADE.pack(image.ino, image.gen)


def made_again(directory: FileId) -> Callable[[View, bytes], Made]:
    """Return how to answer that a name was made in *directory*."""

    def again(view: View, record: bytes) -> Made:
        return Made(_present(view, FileId(directory.vol, *_MADE.unpack(record))), _changed(view, directory))

    return again


def changed_again(file: FileId) -> Callable[[View, bytes], Wcc]:
    """Return how to answer that *file*, or a name in it, was changed."""
    return lambda view, _: _changed(view, file)


def renamed_again(source: FileId, target: FileId) -> Callable[[View, bytes], Renamed]:
    """Return how to answer that a name moved from *source* to *target*."""
    return lambda view, _: Renamed(_changed(view, source), _changed(view, target))


def linked_again(file: FileId, directory: FileId) -> Callable[[View, bytes], Linked]:
    """Return how to answer that *file* got a name in *directory*."""
    return lambda view, _: Linked(_present(view, file), _changed(view, directory))


def _changed(view: View, file: FileId) -> Wcc:
    return Wcc(None, _present(view, file))


def _present(view: View, file: FileId) -> Attr | None:
    """Return the file as it is now; None if it is gone: that it was changed before stays true."""
    try:
        entry, _ = view.file(file)
    except StaleHandle:
        return None
    return attr_of(entry)
