"""A hand-written file system in memory behind the namespace's api: for tests and benchmarks of the NFS door.

It keeps the api's promises that the door leans on (errors with `seen`, Wcc, cookies, eof) and no others.
`fail_with` raises an error from the next verb; `hold` lets the next verbs wait until it is resolved.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from foundation import errors
from namespace.api import (
    NOW,
    Attr,
    Caller,
    CreateMode,
    DirEntry,
    DirPage,
    FileId,
    FileType,
    FsStat,
    Linked,
    Looked,
    Made,
    ReadResult,
    Renamed,
    SetAttr,
    Stability,
    Wcc,
    Written,
)

if TYPE_CHECKING:
    from foundation.aio import Promise

VERIFIER = b"verifier"
NOW_NS = 1_700_000_000_123_456_789


class Node:
    def __init__(self, attr: Attr, parent: Node | None) -> None:
        self.attr = attr
        self.parent = parent or self
        self.children: dict[bytes, tuple[int, Node]] = {}
        self.data: Any = b""
        self.target = b""
        self.verf: bytes | None = None


class FakeTop:
    """The names of the fake volumes, and no directory that shows them."""

    def __init__(self, namespace: FakeNamespace) -> None:
        self._namespace = namespace
        self.names = {1: "bucket", 2: "other"}

    async def name_of(self, vol: int) -> str:
        if vol not in self.names:
            raise errors.StaleHandle(str(vol))
        return self.names[vol]

    async def root_of(self, bucket: str) -> FileId:
        for vol, name in self.names.items():
            if name == bucket:
                return await self._namespace.root(vol)
        raise errors.BucketNotFound(bucket)


class FakeNamespace:
    def __init__(self, volumes: tuple[int, ...] = (1,)) -> None:
        self._inos = itertools.count(100)
        self._cookies = itertools.count(3)
        self._ticks = itertools.count(NOW_NS)
        self._nodes: dict[FileId, Node] = {}
        self.roots = {vol: self._node(vol, FileType.DIRECTORY, None, ino=1) for vol in volumes}
        self.top: Any = FakeTop(self)
        self.fail_with: BaseException | None = None
        self.hold: Promise[None] | None = None
        self.callers: list[Caller] = []
        self.limits: list[int] = []

    def _node(self, vol: int, kind: int, parent: Node | None, ino: int | None = None, mode: int = 0o755) -> Node:
        now = next(self._ticks)
        file = FileId(vol, ino or next(self._inos), 7)
        attr = Attr(file, kind, mode, 1, 0, 0, 0, 0, 0, now, now, now)
        node = self._nodes[file] = Node(attr, parent)
        return node

    async def _enter(self, caller: Caller, *files: FileId) -> Any:
        self.callers.append(caller)
        if self.hold is not None:
            await self.hold
        nodes = []
        for file in files:
            node = self._nodes.get(file)
            if node is None:
                raise errors.StaleHandle(str(file))
            nodes.append(node)
        if self.fail_with is not None:
            error, self.fail_with = self.fail_with, None
            if isinstance(error, errors.FsError):
                self._refuse(error, *nodes)
            raise error
        return nodes[0] if len(nodes) == 1 else nodes

    def _refuse(self, error: errors.FsError, *nodes: Node) -> None:
        error.seen = tuple(node.attr for node in nodes)
        raise error

    def _writable(self, caller: Caller, *nodes: Node) -> None:
        if caller.read_only:
            self._refuse(errors.ReadOnly(), *nodes)

    def _directory(self, node: Node) -> None:
        if node.attr.type != FileType.DIRECTORY:
            self._refuse(errors.NotDirectory(), node)

    def _touch(self, node: Node, **changes: Any) -> Wcc:
        before = node.attr
        now = next(self._ticks)
        node.attr = replace(before, **{"mtime": now, "ctime": now, **changes})
        return Wcc(before, node.attr)

    async def root(self, vol: int) -> FileId:
        if vol not in self.roots:
            raise errors.BucketNotFound(str(vol))
        return self.roots[vol].attr.file

    async def getattr(self, caller: Caller, file: FileId) -> Attr:
        return (await self._enter(caller, file)).attr

    async def setattr(
        self, caller: Caller, file: FileId, change: SetAttr, guard_ctime: int | None, request: bytes = b""
    ) -> Wcc:
        node = await self._enter(caller, file)
        self._writable(caller, node)
        if guard_ctime is not None and guard_ctime != node.attr.ctime:
            self._refuse(errors.GuardFailed(), node)
        return self._touch(node, **self._changes(node, change))

    def _changes(self, node: Node, change: SetAttr) -> dict[str, int]:
        changes = {
            name: next(self._ticks) if value == NOW and name.endswith("time") else value
            for name in ("mode", "uid", "gid", "size", "atime", "mtime")
            if (value := getattr(change, name)) is not None
        }
        if "size" in changes:
            size = changes["size"]
            node.data = bytes(node.data[:size]).ljust(size, b"\0")
        return changes

    async def lookup(self, caller: Caller, directory: FileId, name: bytes) -> Looked:
        node = await self._enter(caller, directory)
        self._directory(node)
        return Looked(self._find(node, name).attr, node.attr)

    def _find(self, node: Node, name: bytes) -> Node:
        if name == b".":
            return node
        if name == b"..":
            return node.parent
        if name not in node.children:
            self._refuse(errors.NotFound(name), node)
        return node.children[name][1]

    async def access(self, caller: Caller, file: FileId, wanted: int) -> tuple[Attr, int]:
        return (await self._enter(caller, file)).attr, wanted & 0x1F

    async def readlink(self, caller: Caller, file: FileId) -> tuple[Attr, bytes]:
        node = await self._enter(caller, file)
        if node.attr.type != FileType.SYMLINK:
            self._refuse(errors.NotSymlink(), node)
        return node.attr, node.target

    async def read(self, caller: Caller, file: FileId, offset: int, count: int) -> ReadResult:
        node = await self._enter(caller, file)
        if node.attr.type != FileType.REGULAR:
            self._refuse(errors.IsDirectory(), node)
        data = memoryview(node.data)[offset : offset + count]
        return ReadResult(node.attr, (data,), len(data), offset + count >= len(node.data))

    async def write(self, caller: Caller, file: FileId, offset: int, data: Any, stability: Stability) -> Written:
        node = await self._enter(caller, file)
        self._writable(caller, node)
        old = node.data
        if offset == 0 and len(data) >= len(old):
            node.data = data  # kept as it came, as a real one would
        else:
            head = bytes(old[:offset]).ljust(offset, b"\0")
            node.data = b"".join((head, data, old[offset + len(data) :]))
        return Written(self._touch(node, size=len(node.data)), len(data), stability, VERIFIER)

    async def commit(self, caller: Caller, file: FileId, offset: int, count: int) -> Written:
        node = await self._enter(caller, file)
        return Written(Wcc(node.attr, node.attr), count, Stability.FILE_SYNC, VERIFIER)

    async def _make(self, caller: Caller, directory: FileId, name: bytes, kind: int, attrs: SetAttr) -> Any:
        parent = await self._enter(caller, directory)
        self._directory(parent)
        self._writable(caller, parent)
        if len(name) > 255:
            self._refuse(errors.NameTooLong(), parent)
        if name in parent.children:
            self._refuse(errors.AlreadyExists(name), parent)
        node = self._node(parent.attr.file.vol, kind, parent)
        node.attr = replace(node.attr, uid=caller.uid, gid=caller.gid, **self._changes(node, attrs))
        parent.children[name] = (next(self._cookies), node)
        return node, self._touch(parent)

    async def create(  # noqa: PLR0917 - the verb's own
        self,
        caller: Caller,
        directory: FileId,
        name: bytes,
        mode: CreateMode,
        attrs: SetAttr,
        verifier: bytes,
        request: bytes = b"",
    ) -> Made:
        parent = self._nodes.get(directory)
        known = parent.children.get(name) if parent else None
        if known and (mode == CreateMode.UNCHECKED or (mode == CreateMode.EXCLUSIVE and known[1].verf == verifier)):
            parent = await self._enter(caller, directory)
            known[1].attr = replace(known[1].attr, **self._changes(known[1], attrs))
            return Made(known[1].attr, Wcc(parent.attr, parent.attr))
        node, wcc = await self._make(caller, directory, name, FileType.REGULAR, attrs)
        node.verf = verifier if mode == CreateMode.EXCLUSIVE else None
        return Made(node.attr, wcc)

    async def mkdir(self, caller: Caller, directory: FileId, name: bytes, attrs: SetAttr, request: bytes = b"") -> Made:
        node, wcc = await self._make(caller, directory, name, FileType.DIRECTORY, attrs)
        return Made(node.attr, wcc)

    async def symlink(
        self, caller: Caller, directory: FileId, name: bytes, target: bytes, attrs: SetAttr, request: bytes = b""
    ) -> Made:
        node, wcc = await self._make(caller, directory, name, FileType.SYMLINK, attrs)
        node.target = target
        return Made(node.attr, wcc)

    async def mknod(  # noqa: PLR0917 - the verb's own
        self,
        caller: Caller,
        directory: FileId,
        name: bytes,
        kind: int,
        rdev: int,
        attrs: SetAttr,
        request: bytes = b"",
    ) -> Made:
        node, wcc = await self._make(caller, directory, name, kind, attrs)
        node.attr = replace(node.attr, rdev=rdev)
        return Made(node.attr, wcc)

    async def remove(self, caller: Caller, directory: FileId, name: bytes, request: bytes = b"") -> Wcc:
        parent = await self._enter(caller, directory)
        self._writable(caller, parent)
        node = self._find(parent, name)
        if node.attr.type == FileType.DIRECTORY:
            self._refuse(errors.IsDirectory(), parent)
        del parent.children[name]
        node.attr = replace(node.attr, nlink=node.attr.nlink - 1)
        if not node.attr.nlink:
            del self._nodes[node.attr.file]
        return self._touch(parent)

    async def rmdir(self, caller: Caller, directory: FileId, name: bytes, request: bytes = b"") -> Wcc:
        parent = await self._enter(caller, directory)
        node = self._find(parent, name)
        if node.children:
            self._refuse(errors.NotEmpty(), parent)
        del parent.children[name]
        del self._nodes[node.attr.file]
        return self._touch(parent)

    async def rename(
        self,
        caller: Caller,
        source: FileId,
        name: bytes,
        target: FileId,
        new_name: bytes,
        request: bytes = b"",
    ) -> Renamed:
        old, new = await self._enter(caller, source, target)
        if name not in old.children:
            self._refuse(errors.NotFound(name), old, new)
        node = old.children.pop(name)[1]
        new.children[new_name] = (next(self._cookies), node)
        node.parent = new
        first = self._touch(old)
        return Renamed(first, first if old is new else self._touch(new))

    async def link(self, caller: Caller, file: FileId, directory: FileId, name: bytes, request: bytes = b"") -> Linked:
        node, parent = await self._enter(caller, file, directory)
        if name in parent.children:
            self._refuse(errors.AlreadyExists(name), node, parent)
        parent.children[name] = (next(self._cookies), node)
        node.attr = replace(node.attr, nlink=node.attr.nlink + 1)
        return Linked(node.attr, self._touch(parent))

    async def readdir(self, caller: Caller, directory: FileId, after: int, limit: int) -> DirPage:
        node = await self._enter(caller, directory)
        self._directory(node)
        self.limits.append(limit)
        entries = [
            DirEntry(b".", 1, node.attr.file.ino, node.attr),
            DirEntry(b"..", 2, node.parent.attr.file.ino, node.parent.attr),
            *sorted(
                (
                    DirEntry(name, cookie, child.attr.file.ino, child.attr)
                    for name, (cookie, child) in node.children.items()
                ),
                key=lambda entry: entry.cookie,
            ),
        ]
        rest = [entry for entry in entries if entry.cookie > after]
        return DirPage(node.attr, tuple(rest[:limit]), len(rest) <= limit)

    async def fsstat(self, caller: Caller, file: FileId) -> tuple[Attr, FsStat]:
        return (await self._enter(caller, file)).attr, FsStat(1000, 600, 50, 40)
