"""Names in their two forms: what NFS calls a file and the `skey` that stands in the tree (DESIGN 3.2).

A file's `skey` is its S3 component, a directory's is that plus `/`: a depth-first walk in `skey` order is the byte
order of full S3 keys. The body of a directory's own key is the empty `skey` inside it. Both doors' names pass through
here and nowhere else; `aliases` has the grammar of those that differ.
"""

from __future__ import annotations

from msgspec import Struct

from foundation.errors import AlreadyExists, InvalidArgument, InvalidName, NameTooLong
from metastore.records import FileType
from namespace.aliases import (
    BODY_ALIAS,
    NAME_MAX,
    directory_alias,
    file_alias,
    is_hashed,
    is_plain,
    is_utf8,
    named_file,
    s3_form,
)

#: Longest S3 key that a request may name, in bytes.
KEY_MAX = 1024
#: The skey, inside a directory, of the body that its own key has.
BODY_SKEY = b""


class Meaning(Struct, frozen=True, gc=False):
    """What an NFS name can mean: skeys as a directory and as anything else; both None if only its alias finds it."""

    directory: bytes | None
    file: bytes | None
    alias: bytes | None  # what the file's edge has as its alias if NFS shows it by this very name


def check_new_name(name: bytes) -> None:
    """Raise unless an NFS caller may give *name* to something new, or move or remove what has it."""
    check_name(name)
    if name in (b".", b".."):
        raise AlreadyExists("the name is reserved")


def check_name(name: bytes) -> None:
    """Raise InvalidArgument or NameTooLong unless *name* can be an entry's."""
    if is_plain(name):
        return
    if not name or b"/" in name or b"\0" in name:
        raise InvalidArgument("a name is not empty and has no slash and no NUL")
    if len(name) > NAME_MAX:
        raise NameTooLong("a name has at most 255 bytes")


def meaning_of(name: bytes) -> Meaning:
    """Return what the NFS *name*, which `check_name` let pass, means."""
    if is_hashed(name):
        return Meaning(None, None, name)
    if name == BODY_ALIAS:
        return Meaning(None, BODY_SKEY, name)
    beside = named_file(name)
    if beside is not None:
        return Meaning(None, s3_form(beside), name)
    component = s3_form(name)
    if not component:
        return Meaning(directory_skey(component), None, name)  # `a//b`; a file so named would be the body of `a/`
    return Meaning(directory_skey(component), component, None if component == name else name)


def place_of(name: bytes, kind: int) -> tuple[bytes, bytes | None]:
    """Return skey and alias of something new of type *kind* (FileType) that NFS calls *name*.

    Raise InvalidArgument for a hashed alias, which says too little, and for one that only a regular file can have.
    """
    if is_plain(name):
        return (directory_skey(name) if kind == FileType.DIRECTORY else name), None
    meaning = meaning_of(name)
    skey = meaning.directory if kind == FileType.DIRECTORY else meaning.file
    if skey is None:
        raise InvalidArgument("what has this name is of another type, or has a longer one, which it does not tell")
    if meaning.directory is None and kind != FileType.REGULAR:
        raise InvalidArgument("only a regular file stands beside a directory of its name, or is its body")
    return skey, meaning.alias


def directory_skey(component: bytes) -> bytes:
    """Return the skey under which *component* stands as a directory."""
    return component + b"/"


def other_form(skey: bytes) -> bytes:
    """Return the skey of the file beside a directory, and of the directory beside a file."""
    return skey[:-1] if is_directory_skey(skey) else directory_skey(skey)


def is_directory_skey(skey: bytes) -> bool:
    """Tell whether *skey* is a directory's."""
    return skey.endswith(b"/")


def alias_of(skey: bytes, *, beside: bool = False) -> bytes | None:
    """Return the alias of an entry that S3 makes; *beside*: it is a file, and a directory has its name."""
    if skey == BODY_SKEY:
        return BODY_ALIAS
    if is_directory_skey(skey):
        return directory_alias(skey[:-1])
    return file_alias(skey, beside_directory=beside)


def nfs_name(skey: bytes, alias: bytes | None) -> bytes:
    """Return the name that NFS shows."""
    if alias is not None:
        return alias
    return skey[:-1] if skey.endswith(b"/") else skey


def key_components(key: bytes) -> list[bytes]:
    """Split an S3 *key* into skeys: directories, and last a file, or a directory where the key ends in `/`.

    Raise NameTooLong for a key that no request may name, InvalidName for one that is empty or not UTF-8.
    """
    if len(key) > KEY_MAX:
        raise NameTooLong("a key has at most 1,024 bytes")
    if not key:
        raise InvalidName("the key is empty")
    if not key.isascii() and not is_utf8(key):
        raise InvalidName("the key is not UTF-8")
    *directories, last = key.split(b"/")
    components = [directory_skey(each) for each in directories]
    if last:
        components.append(last)
    return components


def successor(prefix: bytes) -> bytes | None:
    """Return the least byte string greater than every one that begins with *prefix*; None if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None
