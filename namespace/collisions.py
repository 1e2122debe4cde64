"""`a` beside `a/`: NFS shows the directory as `a`, and the file under its `f` alias for as long (DESIGN 3.2, ADR 0061).

The alias is set in the Change that makes the directory and goes in the one that takes it away, so no state exists in
which one NFS name would mean two things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundation.errors import AlreadyExists, InvalidArgument, InvalidName
from metastore.records import ROOT_INO, FileType
from namespace.aliases import named_file
from namespace.names import BODY_SKEY, alias_of, other_form, place_of

if TYPE_CHECKING:
    from metastore.records import Edge
    from namespace.edit import Edit
    from namespace.view import View


def directory_comes(edit: Edit, parent: int, skey: bytes) -> None:
    """Show the file that the new directory *skey* stands beside, if there is one, under its alias."""
    _show_file(edit, parent, other_form(skey), beside=True)


def directory_goes(edit: Edit, parent: int, skey: bytes) -> None:
    """Show the file that the directory *skey* stood beside, if there is one, under its own name again."""
    _show_file(edit, parent, other_form(skey), beside=False)


def _show_file(edit: Edit, parent: int, skey: bytes, *, beside: bool) -> None:
    if skey == BODY_SKEY:
        return  # beside `//` there is no file: `/` is that directory's own key
    edge = edit.view.edge(parent, skey)
    if edge is None:
        return
    alias = alias_of(skey, beside=beside)
    if edge.alias != alias:
        edit.put(replace(edge, alias=alias))


def free_place(
    view: View, directory: int, name: bytes, kind: int, moving: Edge | None = None
) -> tuple[bytes, bytes | None]:
    """Return skey and alias for something new, or *moving*, that NFS calls *name*, which `view.named` did not find.

    Raise AlreadyExists if a file has its key under an `f` alias, InvalidArgument if nothing of *kind* can have the
    name, InvalidName if the bucket is strict and S3 would show another name.
    """
    skey, alias = place_of(name, kind)
    if alias is not None:
        if view.volume.strict:
            raise InvalidName("the bucket takes only names that are the same through both doors")
        if skey == BODY_SKEY and directory == ROOT_INO:
            raise InvalidArgument("a bucket has no key of its own")
    if kind != FileType.DIRECTORY and view.edge(directory, skey) not in (None, moving):
        raise AlreadyExists("a file has this key, and is shown under its alias")
    return skey, alias


def taken_place(victim: Edge, name: bytes, kind: int) -> tuple[bytes, bytes | None]:
    """Return skey and alias of what replaces *victim*, which NFS calls *name*: it has its place whole.

    Raise InvalidArgument if only a regular file can have that place, and *kind* is something else.
    """
    if kind not in (FileType.REGULAR, FileType.DIRECTORY):
        special = victim.skey == BODY_SKEY or victim.alias != alias_of(victim.skey)
        if special or named_file(name) is not None:
            raise InvalidArgument("only a regular file stands beside a directory of its name, or is its body")
    return victim.skey, victim.alias
