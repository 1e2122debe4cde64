"""libnfs by its C interface, in this process: a client that shares no line with ours or the kernel's."""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_STAT = "dev ino mode nlink uid gid rdev size blksize blocks atime mtime ctime atime_nsec mtime_nsec ctime_nsec used"


class Stat(ctypes.Structure):
    """struct nfs_stat_64."""

    _fields_ = [(name, c_uint64) for name in _STAT.split()]


class _Url(ctypes.Structure):
    _fields_ = [(name, c_char_p) for name in ("server", "path", "file")]


class _Dirent(ctypes.Structure):
    _fields_ = [("next", c_void_p), ("name", c_char_p), ("inode", c_uint64)]


class Refused(OSError):
    """libnfs returned an errno."""


class LibNfs:
    """One mount. Methods have the names of libnfs' synchronous functions and raise Refused."""

    def __init__(self, library: str, url: str) -> None:
        """Mount *url*, as nfs://host/export?nfsport=…&mountport=…"""
        self._lib = lib = ctypes.CDLL(library)
        lib.nfs_init_context.restype = c_void_p
        lib.nfs_parse_url_dir.restype = POINTER(_Url)
        lib.nfs_parse_url_dir.argtypes = [c_void_p, c_char_p]
        lib.nfs_get_error.restype = c_char_p
        lib.nfs_get_error.argtypes = [c_void_p]
        lib.nfs_readdir.restype = POINTER(_Dirent)
        lib.nfs_destroy_url.argtypes = [POINTER(_Url)]
        self._context = c_void_p(lib.nfs_init_context())
        parsed = lib.nfs_parse_url_dir(self._context, url.encode())
        assert parsed, lib.nfs_get_error(self._context)
        try:
            self.call("mount", parsed.contents.server, parsed.contents.path)
        finally:
            lib.nfs_destroy_url(parsed)

    def call(self, name: str, *arguments: Any) -> int:
        """Call nfs_*name* with the context and *arguments*; raise Refused for a negative result."""
        result: int = getattr(self._lib, f"nfs_{name}")(self._context, *arguments)
        if result < 0:
            raise Refused(-result, f"{name}: {self._lib.nfs_get_error(self._context).decode()}")
        return result

    def close(self) -> None:
        self._lib.nfs_destroy_context(self._context)

    def lstat(self, path: str) -> Stat:
        found = Stat()
        self.call("lstat64", path.encode(), byref(found))
        return found

    def statvfs(self, path: str) -> Any:
        """Return the words of a struct statvfs: block size, fragment size, blocks, free blocks …"""
        room = (c_uint64 * 16)()
        self.call("statvfs", path.encode(), byref(room))
        return room

    def names(self, path: str) -> dict[str, int]:
        """Return a directory's names with their inode numbers."""
        directory, found = c_void_p(), {}
        self.call("opendir", path.encode(), byref(directory))
        while entry := self._lib.nfs_readdir(self._context, directory):
            found[entry.contents.name.decode("utf-8", "surrogateescape")] = entry.contents.inode
        self._lib.nfs_closedir(self._context, directory)
        return found

    @contextmanager
    def _opened(self, name: str, *arguments: Any) -> Iterator[c_void_p]:
        file = c_void_p()
        self.call(name, *arguments, byref(file))
        try:
            yield file
        finally:
            self.call("close", file)

    def write(self, path: str, body: bytes) -> None:
        """Make the file and write *body*, in as many WRITEs as libnfs likes, then COMMIT."""
        with self._opened("creat", path.encode(), c_int(0o644)) as file:
            at = 0
            while at < len(body):
                piece = body[at : at + (1 << 20)]
                at += self.call("pwrite", file, c_uint64(at), c_uint64(len(piece)), piece)
            self.call("fsync", file)

    def read(self, path: str) -> bytes:
        buffer, parts = ctypes.create_string_buffer(1 << 20), []
        with self._opened("open", path.encode(), c_int(os.O_RDONLY)) as file:
            at = 0
            while got := self.call("pread", file, c_uint64(at), c_uint64(len(buffer)), buffer):
                parts.append(buffer.raw[:got])
                at += got
        return b"".join(parts)

    def readlink(self, path: str) -> bytes:
        buffer = ctypes.create_string_buffer(8192)
        self.call("readlink", path.encode(), buffer, c_int(len(buffer)))
        return buffer.value
