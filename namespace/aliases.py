"""The alias grammar: what NFS calls an S3 component, and what S3 calls an NFS name (ADR 0061).

Most names are the same in both forms. The others are written as a *code* on the side that cannot say them:

    ~gf.e-PAYLOAD   the other side's name, with `%XX` for what this side cannot say
    ~gf.l-CODE      the other side's name is itself this text: one `l-` more, or less, than there
    ~gf.f-NAME      NFS only: the file beside a directory called NAME
    ~gf.d-body      NFS only: the body of the directory's own key, `dir/`
    ~gf.h-HASH-TEXT NFS only: a name whose alias would have more than 255 bytes; found by alias, never made

`nfs_form` and `s3_form` are inverse to each other on everything but `f`, `d` and `h`. A text that is not exactly what
an encoder writes is no code but an ordinary name, the same on both sides.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

#: Longest NFS name, in bytes (PATHCONF name_max).
NAME_MAX = 255
MARK = b"~gf."
BODY_ALIAS = MARK + b"d-body"
_ENCODED = MARK + b"e-"
_LITERAL = MARK + b"l-"
_FILE = MARK + b"f-"
_HASHED = MARK + b"h-"

#: Names that are the same on both sides, told by one look: printable ASCII that does not begin with `~`.
_plain = re.compile(rb"[ -.0-}][ -.0-~]{0,254}").fullmatch
#: What XML 1.0 cannot carry, or what reading it changes: controls, U+FFFE, U+FFFF. Neither side shows it as it is.
_unsayable = re.compile(rb"[\x00-\x1f\x7f]|\xef\xbf[\xbe\xbf]").search
_ESCAPED = re.compile("[\x00-\x1f%\x7f\ufffe\uffff\udc80-\udcff]")
_literals = re.compile(rb"(?:~gf\.l-(?=~gf\.))*").match
_is_hashed = re.compile(rb"~gf\.h-[0-9a-f]{40}-[^/\0]*", re.DOTALL).fullmatch
_NO_NAMES = (b"", b".", b"..")
_HASH_BYTES = 20


def nfs_form(component: bytes) -> bytes:
    """Return the NFS name of an S3 *component* (UTF-8, no slash) that stands alone; too long means: hashed."""
    if _plain(component) and component not in _NO_NAMES:
        return component
    if _is_no_posix_name(component):
        return _encode(component)
    return _cross(component, _is_s3_code, _is_nfs_code) if component.startswith(MARK) else component


def s3_form(name: bytes) -> bytes:
    """Return the S3 component of an NFS *name* that is no `f`, `d` or `h` code."""
    if _plain(name):
        return name
    if _is_no_key(name):
        return _encode(name)
    return _cross(name, _is_nfs_code, _is_s3_code) if name.startswith(MARK) else name


def is_plain(name: bytes) -> bool:
    """Tell at a glance that *name* is valid and the same in both forms; False says nothing."""
    return _plain(name) is not None


def is_hashed(name: bytes) -> bool:
    """Tell whether NFS means by *name* an entry that only its alias finds."""
    return name.startswith(_HASHED) and len(name) <= NAME_MAX and _is_hashed(name) is not None


def named_file(name: bytes) -> bytes | None:
    """Return the NFS name whose file, and never a directory, *name* means; None if it is no `f` code."""
    if not name.startswith(_FILE) or len(name) > NAME_MAX:
        return None
    beside = name[len(_FILE) :]
    is_no_file = beside in _NO_NAMES or beside == _ENCODED  # the empty component is a directory's alone
    return None if is_no_file or b"\0" in beside or _is_reserved(beside) else beside


def file_alias(component: bytes, *, beside_directory: bool) -> bytes | None:
    """Return the alias of the file *component*; None if NFS shows it as it is."""
    name = nfs_form(component)
    if beside_directory and len(name) <= NAME_MAX:
        name = _FILE + name
    if len(name) > NAME_MAX:
        return _hash(component, component)
    return None if name == component else name


def directory_alias(component: bytes) -> bytes | None:
    """Return the alias of the directory *component*; None if NFS shows it as it is."""
    name = nfs_form(component)
    if len(name) > NAME_MAX:
        return _hash(component, component + b"/")
    return None if name == component else name


def _cross(name: bytes, is_code_here: Callable[[bytes], bool], is_code_there: Callable[[bytes], bool]) -> bytes:
    """Return the other side's form of a *name* with the mark.

    A code of this side means something else there, so the code's text itself is written with one `l-` more here; what
    is a code there moves up by one `l-` there. So every text, however many `l-` it has, has room (Hilbert's hotel).
    """
    literals = _literals(name)
    assert literals is not None  # it matches nothing, too
    core = name[literals.end() :]
    here, there = is_code_here(core), is_code_there(core)
    if here and core == name:
        return unquote_to_bytes(core[len(_ENCODED) :])
    if here == there:
        return name
    return name[len(_LITERAL) :] if here else _LITERAL + name


def _is_nfs_code(name: bytes) -> bool:
    """Tell whether NFS means by *name* something else than the S3 component of that text."""
    meant = _decode(name)
    return _is_reserved(name) if meant is None else is_utf8(meant) and _is_no_posix_name(meant)


def _is_s3_code(component: bytes) -> bool:
    """Tell whether S3 means by *component* an NFS name that is no key."""
    meant = _decode(component)
    if meant is None or b"\0" in meant or len(meant) > NAME_MAX:
        return False
    return _is_no_key(meant) and not _is_reserved(meant)


def _is_reserved(name: bytes) -> bool:
    return name == BODY_ALIAS or is_hashed(name) or named_file(name) is not None


def _is_no_posix_name(component: bytes) -> bool:
    return component in _NO_NAMES or b"\0" in component or _unsayable(component) is not None


def _is_no_key(name: bytes) -> bool:
    return _unsayable(name) is not None or not is_utf8(name)


def is_utf8(raw: bytes) -> bool:
    """Tell whether *raw* is valid UTF-8 (RFC 3629: no surrogates)."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _encode(raw: bytes) -> bytes:
    text = raw.decode("utf-8", "surrogateescape")
    return _ENCODED + _ESCAPED.sub(_percent, text).encode()


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


def _decode(code: bytes) -> bytes | None:
    """Return what an `e` code says; None unless it is just what `_encode` writes."""
    if not code.startswith(_ENCODED):
        return None
    raw = unquote_to_bytes(code[len(_ENCODED) :])
    return raw if _encode(raw) == code else None


def _hash(component: bytes, skey: bytes) -> bytes:
    """Return a name for *skey* that nobody can make two of, with as much of *component* as has room, to be read."""
    digest = blake2b(skey, digest_size=_HASH_BYTES).hexdigest().encode()
    head = _HASHED + digest + b"-"
    readable = _ESCAPED.sub("_", component.decode()).encode()[: NAME_MAX - len(head)]
    return head + readable.decode("utf-8", "ignore").encode()
