"""(procedure, nfsstat3) to the arguments that bring that error about in a `Scene`, or to why nothing can.

`WIRE` needs nothing but calls, so it runs against a whole house as well; `INSIDE` reaches into the rooms behind the
door; `NEVER` says in one line why an error that the RFC lists does not occur.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nfs_hall
from msgspec.structs import replace
from rfc1813 import ERRORS
from scene import OWNER, STRANGER, Scene

import namespace.tree
from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_types import createhow3, createmode3, diropargs3, mknoddata3, nfsstat3, sattr3, stable_how

if TYPE_CHECKING:
    from protocols.nfs.codec.xdr import XdrStruct

Case = "Callable[[Scene], XdrStruct]"
MAKERS = ("CREATE", "MKDIR", "SYMLINK", "MKNOD")
#: Procedures with a name in a directory, which must exist for the second kind.
NEW, OLD = (*MAKERS, "LINK"), ("LOOKUP", "REMOVE", "RMDIR", "RENAME")
PAGES = ("READDIR", "READDIRPLUS")
CHANGES = ("SETATTR", "WRITE", *NEW, "REMOVE", "RMDIR", "RENAME")
LONG = b"n" * 256


def with_handle(args: Any, handle: bytes) -> Any:
    """Return *args* with *handle* as the first one."""
    first = args.__struct_fields__[0]
    value = getattr(args, first)
    return replace(args, **{first: handle if isinstance(value, bytes) else replace(value, dir=handle)})


def where(args: Any, name: bytes) -> Any:
    """Return *args* about *name* instead of another one."""
    field = next(each for each in args.__struct_fields__ if isinstance(getattr(args, each), diropargs3))
    return replace(args, **{field: replace(getattr(args, field), name=name)})


def _in(name: str, directory: str) -> Case:
    """Return the case of *name* in another directory of the scene, for a stranger to it."""

    def case(scene: Scene) -> XdrStruct:
        scene.by(OWNER)
        return scene.good(name, scene.at(b"new" if name in NEW else b"inner", getattr(scene, directory)))

    return case


def _setattr(who: Any, handle: str, attributes: sattr3, guard: int | None = None) -> Case:
    def case(scene: Scene) -> XdrStruct:
        scene.by(who)
        return args3.SETATTR3args(getattr(scene, handle), attributes, guard)

    return case


def _private(name: str) -> Case:
    """Return the case of another user's private file or directory."""

    def case(scene: Scene) -> XdrStruct:
        scene.nfs.setattr(scene.file, sattr3(mode=0o600))
        scene.nfs.setattr(scene.directory, sattr3(mode=0o700))
        scene.by(STRANGER)
        return scene.good(name)

    return case


def _page(name: str, room: int) -> Case:
    def case(scene: Scene) -> XdrStruct:
        args: Any = scene.good(name)
        return replace(args, count=room) if name == "READDIR" else replace(args, maxcount=room)

    return case


def _wire() -> dict[tuple[str, str], Case]:
    cases: dict[tuple[str, str], Case] = {}
    for name in ERRORS:
        cases[name, "BADHANDLE"] = lambda scene, name=name: with_handle(scene.good(name), bytes(32))
        cases[name, "STALE"] = lambda scene, name=name: with_handle(scene.good(name), scene.gone_directory)
    for name in (*NEW, *OLD, *PAGES):
        cases[name, "NOTDIR"] = lambda scene, name=name: (
            with_handle(scene.good(name), scene.file)
            if name != "LINK"
            else scene.good(name, scene.at(b"new", scene.file))
        )
    for name in (*NEW, *OLD):
        cases[name, "NAMETOOLONG"] = lambda scene, name=name: where(scene.good(name), LONG)
        cases[name, "ACCES"] = _in(name, "locked")
    for name in NEW:
        cases[name, "EXIST"] = lambda scene, name=name: scene.good(name, scene.at(b"file"))
    for name in OLD:
        cases[name, "NOENT"] = lambda scene, name=name: scene.good(name, scene.at(b"none"))
    for name in ("READ", "WRITE", *PAGES):
        cases[name, "ACCES"] = _private(name)
    for name in PAGES:
        cases[name, "TOOSMALL"] = _page(name, 120)
    for name in ("READ", "WRITE", "READLINK"):
        cases[name, "INVAL"] = lambda scene, name=name: with_handle(scene.good(name), scene.directory)
    return cases


def _rename(source: str, target: str, directory: str = "root") -> Case:
    return lambda scene: args3.RENAME3args(
        scene.at(source.encode()), scene.at(target.encode(), getattr(scene, directory))
    )


WIRE: dict[tuple[str, str], Case] = {
    **_wire(),
    ("SETATTR", "PERM"): _setattr(OWNER, "file", sattr3(uid=2000)),
    ("SETATTR", "ACCES"): _setattr(STRANGER, "file", sattr3(size=0)),
    ("SETATTR", "INVAL"): _setattr(OWNER, "link", sattr3(size=0)),
    ("SETATTR", "NOT_SYNC"): _setattr(OWNER, "file", sattr3(size=0), guard=1),
    ("WRITE", "FBIG"): lambda scene: args3.WRITE3args(scene.file, 2**63 - 2, 4, stable_how.FILE_SYNC, b"more"),
    ("CREATE", "EXIST"): lambda scene: args3.CREATE3args(scene.at(b"file"), createhow3(createmode3.GUARDED)),
    ("MKNOD", "BADTYPE"): lambda scene: args3.MKNOD3args(scene.at(b"new"), mknoddata3(1)),
    ("RMDIR", "INVAL"): lambda scene: scene.good("RMDIR", scene.at(b".")),
    ("RMDIR", "EXIST"): lambda scene: scene.good("RMDIR", scene.at(b"..", scene.empty)),
    ("RMDIR", "NOTEMPTY"): lambda scene: scene.good("RMDIR", scene.at(b"directory")),
    ("RENAME", "EXIST"): _rename("file", ".", "empty"),
    ("RENAME", "NOTDIR"): _rename("empty", "file"),
    ("RENAME", "ISDIR"): _rename("file", "empty"),
    ("RENAME", "INVAL"): _rename("directory", "below", "directory"),
    ("RENAME", "NOTEMPTY"): _rename("empty", "directory"),
    ("LINK", "INVAL"): lambda scene: scene.good("LINK", scene.at(b"a/b")),
}


class _Broken:
    """A namespace with a bug in every verb."""

    def __getattr__(self, verb: str) -> Any:
        async def fail(*_args: Any, **_named: Any) -> Any:
            raise ZeroDivisionError(verb)

        return fail


def _bug(name: str) -> Case:
    def case(scene: Scene) -> XdrStruct:
        scene.caller = scene.hall.client(namespace=_Broken())
        return scene.good(name)

    return case


def _read_only(name: str) -> Case:
    def case(scene: Scene) -> XdrStruct:
        scene.hall.export(read_only=True)
        return scene.good(name)

    return case


def _outside(name: str) -> Case:
    def case(scene: Scene) -> XdrStruct:
        scene.caller = scene.hall.client(host=nfs_hall.STRANGER)
        return scene.good(name)

    return case


def _other_bucket(name: str) -> Case:
    def case(scene: Scene) -> XdrStruct:
        there = scene.nfs.mount("/other")
        args: Any = scene.good(name, scene.at(b"new", there) if name == "LINK" else None)
        return args if name == "LINK" else replace(args, to=scene.at(b"new", there))

    return case


def _damaged(scene: Scene) -> XdrStruct:
    scene.hall.export(read_only=True)  # where a READ leaves no access time behind
    for blob in scene.hall.bodies.blobs:
        scene.hall.bodies.damage(blob)
    return scene.good("READ")


def _full(scene: Scene) -> XdrStruct:
    scene.hall.bodies._capacity_bytes = 0
    return scene.good("WRITE")


def _linked_often(scene: Scene) -> XdrStruct:
    scene.patch(namespace.tree, "LINK_MAX", 2)
    scene.nfs.link(scene.file, scene.root, b"again")
    return scene.good("LINK")


INSIDE: dict[tuple[str, str], Case] = {
    **{(name, "SERVERFAULT"): _bug(name) for name in ERRORS},
    **{(name, "ROFS"): _read_only(name) for name in CHANGES},
    **{(name, "XDEV"): _other_bucket(name) for name in ("RENAME", "LINK")},
    ("READLINK", "ACCES"): _outside("READLINK"),
    ("READ", "IO"): _damaged,
    ("WRITE", "NOSPC"): _full,
    ("LINK", "MLINK"): _linked_often,
}

_NO_IO = "names and attributes come from PostgreSQL: while it fails nothing is answered, or JUKEBOX"
_NO_ROOM_NEEDED = "names take no room on the nodes; a database without room answers nothing, or JUKEBOX"
_NO_QUOTA = "there are no quotas"
_ALL_SERVED = "every bucket serves this procedure"
_ANY_COOKIE = "every cookie and every verifier is right, for ever"

NEVER: dict[tuple[str, str], str] = {
    **{(name, "IO"): _NO_IO for name in ERRORS if name != "READ" and nfsstat3.NFS3ERR_IO in ERRORS[name]},
    **{(name, "NOSPC"): _NO_ROOM_NEEDED for name in (*NEW, "RENAME")},
    **{(name, "DQUOT"): _NO_QUOTA for name in ("SETATTR", "WRITE", *NEW, "RENAME")},
    **{(name, "NOTSUPP"): _ALL_SERVED for name in (*NEW, "READLINK", "RMDIR", "RENAME", "READDIRPLUS")},
    **{(name, "BAD_COOKIE"): _ANY_COOKIE for name in PAGES},
    ("SETATTR", "NOSPC"): "a file that grows has a hole at its end, which takes no room",
    ("READ", "NXIO"): "bytes of a device are its client's own: READ of one is INVAL, as of a directory",
    **{(name, "IO"): "nodes that do not take the bytes are JUKEBOX or NOSPC" for name in ("WRITE", "COMMIT")},
    ("RENAME", "MLINK"): "a directory has as many sub-directories as there is room for",
}

#: Where a failure tells no attributes though the handle is good, and why.
BLIND = {
    "SERVERFAULT": "nothing is known after a bug",
    "BADHANDLE": "the handles after a forged one are not looked at",
    "XDEV": "the door refuses it before it looks at either",
    "BADTYPE": "the door refuses it before it looks",
    "FBIG": "the same",
}


def blind(name: str, code: str) -> bool:
    """Tell whether a failure may leave its attributes out."""
    return code in BLIND or (name, code) == ("READLINK", "ACCES")  # export rules: what the client may not see
