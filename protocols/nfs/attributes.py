"""Between the namespace's attributes and those of RFC 1813, section 2.6."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidArgument, TooLarge
from namespace.api import NOW, Attr, SetAttr, Wcc
from protocols.nfs.codec.nfs3_types import SERVER_TIME, fattr3, sattr3, wcc_attr, wcc_data

if TYPE_CHECKING:
    from protocols.nfs.codec.xdr import XdrStruct
    from protocols.nfs.exports import Export

#: The largest file, in bytes: offsets must fit a signed 64-bit integer on every client.
MAX_FILE_BYTES = 2**63 - 1

_SECOND = 1_000_000_000
_LAST_SECOND = 0xFFFFFFFF
_LAST_NFSTIME3 = _LAST_SECOND << 32 | _SECOND - 1
_EXPORT_SHIFT = 32  # volume numbers have 32 bits in a handle


def nfstime3_of(time_ns: int) -> int:
    """Return *time_ns* as nfstime3; a time outside 1970 to 2106 becomes the nearest that it can hold."""
    seconds, nseconds = divmod(time_ns, _SECOND)
    if 0 <= seconds <= _LAST_SECOND:
        return seconds << 32 | nseconds
    return 0 if seconds < 0 else _LAST_NFSTIME3


def ns_of(time: int) -> int:
    """Return an nfstime3 in ns since 1970; raise InvalidArgument for 10^9 nseconds or more."""
    nseconds = time & 0xFFFFFFFF
    if nseconds >= _SECOND:
        raise InvalidArgument(f"{nseconds} nseconds")
    return (time >> 32) * _SECOND + nseconds


def fattr3_of(attr: Attr, export: Export) -> fattr3:
    """Return *attr* as *export* shows it: a sub-directory export is a file system of its own."""
    file = attr.file
    return fattr3(
        attr.type,
        attr.mode,
        attr.nlink,
        attr.uid,
        attr.gid,
        attr.size,
        attr.used,
        attr.rdev,
        export.id << _EXPORT_SHIFT | file.vol,
        file.ino,
        nfstime3_of(attr.atime),
        nfstime3_of(attr.mtime),
        nfstime3_of(attr.ctime),
    )


def post_op_attr_of(attr: Attr | None, export: Export) -> fattr3 | None:
    """Return *attr* as a post_op_attr."""
    return None if attr is None else fattr3_of(attr, export)


def wcc_data_of(wcc: Wcc, export: Export) -> wcc_data:
    """Return a change as wcc_data."""
    before = None if wcc.before is None else _wcc_attr_of(wcc.before)
    return wcc_data(before, post_op_attr_of(wcc.after, export))


def _wcc_attr_of(attr: Attr) -> wcc_attr:
    return wcc_attr(attr.size, nfstime3_of(attr.mtime), nfstime3_of(attr.ctime))


def failure_of(kind: type[XdrStruct], seen: tuple[Attr | None, ...] | None, export: Export | None) -> XdrStruct:
    """Return the failure body *kind* filled from what was *seen*, in the order of its fields.

    Nothing changed, so an object's attributes before and after are the same.
    """
    fields: list[Any] = []
    for index, field in enumerate(kind.types):
        attr = seen[index] if seen is not None and index < len(seen) else None
        if attr is None or export is None:
            fields.append(wcc_data() if field is wcc_data else None)
        elif field is wcc_data:
            fields.append(wcc_data_of(Wcc(attr, attr), export))
        else:
            fields.append(fattr3_of(attr, export))
    return kind(*fields)


def set_attr_of(attributes: sattr3) -> SetAttr:
    """Return *attributes* as the namespace takes them; raise InvalidArgument or TooLarge."""
    if attributes.size is not None and attributes.size > MAX_FILE_BYTES:
        raise TooLarge(f"size {attributes.size}")
    return SetAttr(
        attributes.mode,
        attributes.uid,
        attributes.gid,
        attributes.size,
        _time_to_set(attributes.atime),
        _time_to_set(attributes.mtime),
    )


def _time_to_set(time: int | None) -> int | None:
    if time is None:
        return None
    return NOW if time == SERVER_TIME else ns_of(time)
