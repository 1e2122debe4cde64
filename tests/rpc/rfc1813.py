"""What RFC 1813 says of errors: the ERRORS list of every procedure of section 3.3, code by code."""

from protocols.nfs.codec.nfs3_types import nfsstat3

_ANY = "STALE BADHANDLE SERVERFAULT"
_MAKE = f"IO ACCES EXIST NOTDIR NOSPC ROFS NAMETOOLONG DQUOT NOTSUPP {_ANY}"
_LISTS = {
    "GETATTR": f"IO {_ANY}",
    "SETATTR": f"PERM IO ACCES INVAL NOSPC ROFS DQUOT NOT_SYNC {_ANY}",
    "LOOKUP": f"IO NOENT ACCES NOTDIR NAMETOOLONG {_ANY}",
    "ACCESS": f"IO {_ANY}",
    "READLINK": f"IO INVAL ACCES NOTSUPP {_ANY}",
    "READ": f"IO NXIO ACCES INVAL {_ANY}",
    "WRITE": f"IO ACCES FBIG DQUOT NOSPC ROFS INVAL {_ANY}",
    "CREATE": _MAKE,
    "MKDIR": _MAKE,
    "SYMLINK": _MAKE,
    "MKNOD": f"{_MAKE} BADTYPE",
    "REMOVE": f"NOENT IO ACCES NOTDIR NAMETOOLONG ROFS {_ANY}",
    "RMDIR": f"NOENT IO ACCES INVAL EXIST NOTDIR NAMETOOLONG ROFS NOTEMPTY NOTSUPP {_ANY}",
    "RENAME": "NOENT IO ACCES EXIST XDEV NOTDIR ISDIR INVAL NOSPC ROFS MLINK NAMETOOLONG NOTEMPTY DQUOT NOTSUPP "
    + _ANY,
    "LINK": f"IO ACCES EXIST XDEV NOTDIR INVAL NOSPC ROFS MLINK NAMETOOLONG DQUOT NOTSUPP {_ANY}",
    "READDIR": f"IO ACCES NOTDIR BAD_COOKIE TOOSMALL {_ANY}",
    "READDIRPLUS": f"IO ACCES NOTDIR BAD_COOKIE TOOSMALL NOTSUPP {_ANY}",
    "FSSTAT": f"IO {_ANY}",
    "FSINFO": _ANY,
    "PATHCONF": _ANY,
    "COMMIT": f"IO {_ANY}",
}

#: By procedure name.
ERRORS = {name: frozenset(nfsstat3[f"NFS3ERR_{code}"] for code in codes.split()) for name, codes in _LISTS.items()}

#: Codes that this server adds to some lists, and why; a client takes them as the errno that they are.
ADDED = {
    nfsstat3.NFS3ERR_ACCES: "export rules are asked at every call, also where the RFC lists no right to be refused",
    nfsstat3.NFS3ERR_IO: "the code of last resort of every procedure",
    nfsstat3.NFS3ERR_JUKEBOX: "section 2.6: any request that cannot be served at this moment",
    nfsstat3.NFS3ERR_PERM: "POSIX: chown, chmod, sticky directories and mknod of a device",
    nfsstat3.NFS3ERR_INVAL: "a name with a slash or a NUL, or that this bucket cannot have",
    nfsstat3.NFS3ERR_ISDIR: "POSIX: unlink and link of a directory",
    nfsstat3.NFS3ERR_NOENT: "POSIX: a name is gone while it is made",
    nfsstat3.NFS3ERR_MLINK: "POSIX: as many links as there may be",
    nfsstat3.NFS3ERR_FBIG: "POSIX: truncate to more than a file can have, by SETATTR or CREATE",
    nfsstat3.NFS3ERR_NOSPC: "UNSTABLE data may find no room at COMMIT; names cost room in the database",
    nfsstat3.NFS3ERR_DQUOT: "the same by quota",
    nfsstat3.NFS3ERR_ROFS: "COMMIT needs the right to write",
    nfsstat3.NFS3ERR_NOTSUPP: "what a bucket does not offer",
}
