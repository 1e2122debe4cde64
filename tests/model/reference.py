"""The reference model: what docs/SEMANTICS.md says, in the fewest lines, for one super-user caller.

Verbs return None or raise `Refused` with the name of the expected error. A file has the bytes that NFS sees (`data`)
and those that S3 sees (`committed`): they differ while UNSTABLE data is pending.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class Refused(Exception):
    """The model expects an error of this name."""


@dataclass(eq=False)
class File:
    data: bytes = b""
    committed: bytes = b""
    nlink: int = 1


@dataclass(eq=False)
class Link:
    target: bytes
    nlink: int = 1


@dataclass(eq=False)
class Dir:
    explicit: bool
    names: dict[bytes, Dir | File | Link] = field(default_factory=dict)


Node = Dir | File | Link


class Model:
    def __init__(self) -> None:
        self.root = Dir(explicit=True)

    # ---------------------------------------------------------------- walking

    def at(self, path: tuple[bytes, ...]) -> Node | None:
        node: Node | None = self.root
        for name in path:
            node = node.names.get(name) if isinstance(node, Dir) else None
        return node

    def directory(self, path: tuple[bytes, ...]) -> Dir:
        node = self.at(path)
        if node is None:
            raise Refused("NotFound")
        if not isinstance(node, Dir):
            raise Refused("NotDirectory")
        return node

    # ---------------------------------------------------------------- NFS

    def create(self, where: tuple[bytes, ...], name: bytes, *, guarded: bool) -> None:
        parent = self.directory(where)
        existing = parent.names.get(name)
        if existing is not None:
            if guarded or not isinstance(existing, File):
                raise Refused("AlreadyExists")
            return
        parent.names[name] = File()
        parent.explicit = True

    def mkdir(self, where: tuple[bytes, ...], name: bytes) -> None:
        self._new(where, name, Dir(explicit=True))

    def symlink(self, where: tuple[bytes, ...], name: bytes, target: bytes) -> None:
        self._new(where, name, Link(target))

    def _new(self, where: tuple[bytes, ...], name: bytes, node: Node) -> None:
        parent = self.directory(where)
        if name in parent.names:
            raise Refused("AlreadyExists")
        parent.names[name] = node
        parent.explicit = True

    def link(self, source: tuple[bytes, ...], where: tuple[bytes, ...], name: bytes) -> None:
        node = self.at(source)
        parent = self.directory(where)
        if isinstance(node, Dir):
            raise Refused("IsDirectory")
        if name in parent.names:
            raise Refused("AlreadyExists")
        node.nlink += 1
        parent.names[name] = node
        parent.explicit = True

    def remove(self, where: tuple[bytes, ...], name: bytes) -> None:
        parent = self.directory(where)
        node = parent.names.get(name)
        if node is None:
            raise Refused("NotFound")
        if isinstance(node, Dir):
            raise Refused("IsDirectory")
        node.nlink -= 1
        del parent.names[name]
        parent.explicit = True

    def rmdir(self, where: tuple[bytes, ...], name: bytes) -> None:
        parent = self.directory(where)
        node = parent.names.get(name)
        if node is None:
            raise Refused("NotFound")
        if not isinstance(node, Dir):
            raise Refused("NotDirectory")
        if node.names:
            raise Refused("NotEmpty")
        del parent.names[name]
        parent.explicit = True

    def rename(self, where: tuple[bytes, ...], name: bytes, there: tuple[bytes, ...], new_name: bytes) -> None:
        source, target = self.directory(where), self.directory(there)
        node = source.names.get(name)
        if node is None:
            raise Refused("NotFound")
        victim = target.names.get(new_name)
        if victim is node:
            return
        if isinstance(node, Dir) and self._below(node, target):
            raise Refused("InvalidArgument")
        if isinstance(victim, Dir):
            if not isinstance(node, Dir):
                raise Refused("IsDirectory")
            if victim.names:
                raise Refused("NotEmpty")
        elif victim is not None:
            if isinstance(node, Dir):
                raise Refused("NotDirectory")
            victim.nlink -= 1
        del source.names[name]
        target.names[new_name] = node
        source.explicit = target.explicit = True

    def _below(self, node: Dir, target: Dir) -> bool:
        if node is target:
            return True
        return any(isinstance(child, Dir) and self._below(child, target) for child in node.names.values())

    def write(self, path: tuple[bytes, ...], offset: int, data: bytes, *, stable: bool) -> None:
        node = self.at(path)
        assert isinstance(node, File)
        node.data = node.data.ljust(offset, b"\0")[:offset] + data + node.data[offset + len(data) :]
        if stable:
            node.committed = node.data

    def commit(self, path: tuple[bytes, ...]) -> None:
        node = self.at(path)
        assert isinstance(node, File)
        node.committed = node.data

    def truncate(self, path: tuple[bytes, ...], size: int) -> None:
        """SETATTR of the size is durable for the size; pending data before it stays pending."""
        node = self.at(path)
        assert isinstance(node, File)
        pending = node.data != node.committed
        node.data = node.data.ljust(size, b"\0")[:size]
        node.committed = node.committed.ljust(size, b"\0")[:size] if pending else node.data

    # ---------------------------------------------------------------- S3

    def put(self, path: tuple[bytes, ...], body: bytes) -> None:
        node: Node = self.root
        for depth, name in enumerate(path[:-1]):
            child = node.names.get(name) if isinstance(node, Dir) else None
            if child is None:
                break
            if not isinstance(child, Dir):
                raise Refused("KeyConflict")
            node = child
            del depth
        existing = self.at(path)
        if existing is not None and not isinstance(existing, File):
            raise Refused("KeyConflict")
        parent = self._implied(path[:-1])
        if existing is not None and existing.nlink == 1:
            existing.data = existing.committed = body
            return
        if existing is not None:
            existing.nlink -= 1
        parent.names[path[-1]] = File(body, body)

    def put_marker(self, path: tuple[bytes, ...]) -> None:
        node: Node | None = self.root
        for name in path:
            node = node.names.get(name) if isinstance(node, Dir) else None
            if node is None:
                break
            if not isinstance(node, Dir):
                raise Refused("KeyConflict")
        self._implied(path).explicit = True

    def _implied(self, path: tuple[bytes, ...]) -> Dir:
        node = self.root
        for name in path:
            child = node.names.setdefault(name, Dir(explicit=False))
            assert isinstance(child, Dir)
            node = child
        return node

    def delete(self, path: tuple[bytes, ...]) -> None:
        node = self.at(path)
        if not isinstance(node, File):
            return
        node.nlink -= 1
        self._drop(path)

    def delete_marker(self, path: tuple[bytes, ...]) -> None:
        node = self.at(path)
        if not isinstance(node, Dir) or not node.explicit:
            return
        node.explicit = False
        if not node.names:
            self._drop(path)

    def _drop(self, path: tuple[bytes, ...]) -> None:
        parent = self.at(path[:-1])
        assert isinstance(parent, Dir)
        del parent.names[path[-1]]
        if len(path) > 1 and not parent.names and not parent.explicit:
            self._drop(path[:-1])

    # ---------------------------------------------------------------- what both doors must show

    def keys(self) -> dict[bytes, bytes]:
        """Return every key that S3 lists, with its committed bytes."""
        found: dict[bytes, bytes] = {}

        def walk(node: Dir, prefix: bytes) -> None:
            for name, child in node.names.items():
                if isinstance(child, File):
                    found[prefix + name] = child.committed
                elif isinstance(child, Dir):
                    if child.explicit:
                        found[prefix + name + b"/"] = b""
                    walk(child, prefix + name + b"/")

        walk(self.root, b"")
        return found

    def directories(self) -> list[tuple[bytes, ...]]:
        return [path for path, node in self.nodes() if isinstance(node, Dir)]

    def files(self) -> list[tuple[bytes, ...]]:
        return [path for path, node in self.nodes() if isinstance(node, File)]

    def nodes(self) -> list[tuple[tuple[bytes, ...], Node]]:
        found: list[tuple[tuple[bytes, ...], Node]] = [((), self.root)]
        for path, node in found:
            if isinstance(node, Dir):
                found.extend(((*path, name), child) for name, child in node.names.items())
        return found
