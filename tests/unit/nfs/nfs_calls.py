"""Arguments for every procedure that has some: for tests of what all procedures have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocols.nfs.codec import nfs3_args as args3
from protocols.nfs.codec.nfs3_results import SIGNATURES
from protocols.nfs.codec.nfs3_types import createhow3, createmode3, ftype3, mknoddata3, sattr3, stable_how

if TYPE_CHECKING:
    from door import Door

NO_ATTRS = sattr3()
SYNC = stable_how.FILE_SYNC
NAMES = [signature.name for signature in SIGNATURES.values()]


def arguments(door: Door) -> dict[str, Any]:
    """Return arguments for every procedure, by name, about the root."""
    root, at = door.root, door.at(b"name")
    return {
        "GETATTR": args3.GETATTR3args(root),
        "SETATTR": args3.SETATTR3args(root, NO_ATTRS),
        "LOOKUP": args3.LOOKUP3args(at),
        "ACCESS": args3.ACCESS3args(root, 1),
        "READLINK": args3.READLINK3args(root),
        "READ": args3.READ3args(root, 0, 10),
        "WRITE": args3.WRITE3args(root, 0, 1, SYNC, b"x"),
        "CREATE": args3.CREATE3args(at, createhow3(createmode3.GUARDED)),
        "MKDIR": args3.MKDIR3args(at, NO_ATTRS),
        "SYMLINK": args3.SYMLINK3args(at, args3.symlinkdata3(NO_ATTRS, b"t")),
        "MKNOD": args3.MKNOD3args(at, mknoddata3(ftype3.NF3FIFO)),
        "REMOVE": args3.REMOVE3args(at),
        "RMDIR": args3.RMDIR3args(at),
        "RENAME": args3.RENAME3args(at, at),
        "LINK": args3.LINK3args(root, at),
        "READDIR": args3.READDIR3args(root, 0, bytes(8), 1000),
        "READDIRPLUS": args3.READDIRPLUS3args(root, 0, bytes(8), 1000, 1000),
        "FSSTAT": args3.FSSTAT3args(root),
        "FSINFO": args3.FSINFO3args(root),
        "PATHCONF": args3.PATHCONF3args(root),
        "COMMIT": args3.COMMIT3args(root, 0, 0),
    }
