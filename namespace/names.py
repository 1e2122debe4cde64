"""Names in their two forms: what NFS calls a file and the `skey` that stands in the tree (DESIGN 3.2).

A file's `skey` is its name, a directory's is its name plus `/`: a depth-first walk in `skey` order is the byte order
of full S3 keys. Both doors' names pass through here and nowhere else.
"""

from __future__ import annotations

from foundation.errors import AlreadyExists, InvalidArgument, InvalidName, NameTooLong

#: Longest component, in bytes (PATHCONF name_max).
NAME_MAX = 255
#: Longest S3 key, in bytes.
KEY_MAX = 1024


def check_new_name(name: bytes) -> None:
    """Raise unless an NFS caller may give *name* to something new, or move or remove what has it."""
    check_name(name)
    if name in (b".", b".."):
        raise AlreadyExists("the name is reserved")


def check_name(name: bytes) -> None:
    """Raise InvalidArgument, NameTooLong or InvalidName unless *name* can be a component."""
    if not name or b"/" in name or b"\0" in name:
        raise InvalidArgument("a name is not empty and has no slash and no NUL")
    if len(name) > NAME_MAX:
        raise NameTooLong("a name has at most 255 bytes")
    if not name.isascii():
        _check_utf8(name)


def file_skey(name: bytes) -> bytes:
    """Return the skey under which *name* stands as anything but a directory."""
    return name


def directory_skey(name: bytes) -> bytes:
    """Return the skey under which *name* stands as a directory."""
    return name + b"/"


def is_directory_skey(skey: bytes) -> bool:
    """Tell whether *skey* is a directory's."""
    return skey.endswith(b"/")


def nfs_name(skey: bytes, alias: bytes | None) -> bytes:
    """Return the name that NFS shows."""
    if alias is not None:
        return alias
    return skey[:-1] if skey.endswith(b"/") else skey


def key_components(key: bytes) -> list[bytes]:
    """Split an S3 *key* into skeys: directories, and last a file, or a directory where the key ends in `/`.

    Raise NameTooLong for a key or component that is too long, InvalidName for one that no POSIX tree can hold.
    """
    if len(key) > KEY_MAX:
        raise NameTooLong("a key has at most 1,024 bytes")
    _check_utf8(key)
    parts = key.split(b"/")
    components = [part + b"/" for part in parts[:-1]]
    if parts[-1]:
        components.append(parts[-1])
    for part in components:
        name = part[:-1] if part.endswith(b"/") else part
        if name in (b"", b".", b"..") or b"\0" in name:
            raise InvalidName("the key has a component that is no POSIX name")
        if len(name) > NAME_MAX:
            raise NameTooLong("a component has at most 255 bytes")
    if not components:
        raise InvalidName("the key is empty")
    return components


def successor(prefix: bytes) -> bytes | None:
    """Return the least byte string greater than every one that begins with *prefix*; None if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def _check_utf8(name: bytes) -> None:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidName("the name is not UTF-8, so S3 could not name it") from None
