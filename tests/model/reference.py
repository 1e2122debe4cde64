"""The reference model: what docs/SEMANTICS.md says, in the fewest lines, for one super-user caller.

Verbs return None or raise `Refused` with the name of the expected error. A file has the bytes that NFS sees (`data`)
and those that S3 sees (`committed`): they differ while UNSTABLE data is pending. A directory holds directories and
files by their S3 components; `Entry.name` is what NFS shows. How an alias is spelled is `namespace.aliases`' business,
whose properties have tests of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from namespace.aliases import BODY_ALIAS, directory_alias, file_alias, is_hashed, named_file, s3_form

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[bytes, ...]  # NFS names from the root


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
class Entry:
    """A name of anything but a directory."""

    node: File | Link
    name: bytes
    listed: bool = True


@dataclass(eq=False)
class Dir:
    explicit: bool
    dirs: dict[bytes, Dir] = field(default_factory=dict)
    files: dict[bytes, Entry] = field(default_factory=dict)  # b"": the body of the directory's own key

    def shown(self) -> dict[bytes, Dir | File | Link]:
        """Return what NFS shows."""
        names: dict[bytes, Dir | File | Link] = {dir_name(each): child for each, child in self.dirs.items()}
        return names | {entry.name: entry.node for entry in self.files.values()}

    def find(self, name: bytes) -> tuple[bytes, Dir | Entry] | None:
        """Return component and child that an NFS name means: as shown, or by the `f` alias that every file has."""
        for component, child in self.dirs.items():
            if dir_name(component) == name:
                return component, child
        beside = named_file(name)
        for component, entry in self.files.items():
            if entry.name == name or (beside is not None and component == s3_form(beside)):
                return component, entry
        return None

    def add_dir(self, component: bytes, child: Dir) -> None:
        """A directory comes: the file of its name is shown by its alias."""
        self.dirs[component] = child
        if component and component in self.files:
            self.files[component].name = file_alias(component, beside_directory=True) or component

    def drop_dir(self, component: bytes) -> None:
        """A directory goes: the file of its name has its own name again."""
        del self.dirs[component]
        if component and component in self.files:
            self.files[component].name = file_name(component)

    def is_empty(self) -> bool:
        return not self.dirs and not self.files


Node = Dir | File | Link


def dir_name(component: bytes) -> bytes:
    return directory_alias(component) or component


def file_name(component: bytes) -> bytes:
    return file_alias(component, beside_directory=False) or component


class Model:
    def __init__(self, *, strict: bool = False) -> None:
        self.root = Dir(explicit=True)
        self.strict = strict

    # ---------------------------------------------------------------- walking

    def at(self, path: Path) -> Node:
        node: Node = self.root
        for name in path:
            assert isinstance(node, Dir)
            found = node.find(name)
            assert found is not None
            node = found[1].node if isinstance(found[1], Entry) else found[1]
        return node

    def directory(self, path: Path) -> Dir:
        node = self.at(path)
        assert isinstance(node, Dir)
        return node

    # ---------------------------------------------------------------- names that NFS gives

    def check(self, name: bytes) -> None:
        if not name or b"/" in name or b"\0" in name:
            raise Refused("InvalidArgument")
        if len(name) > 255:
            raise Refused("NameTooLong")
        if name in (b".", b".."):
            raise Refused("AlreadyExists")

    def place(self, parent: Dir, name: bytes, node: Node, moving: Entry | Dir | None = None) -> bytes:
        """Return the component of something new, or of *moving*, that NFS calls *name*."""
        beside = named_file(name)
        if name == BODY_ALIAS:
            component, fits = b"", isinstance(node, File)
        elif beside is not None:
            component, fits = s3_form(beside), isinstance(node, File)
        else:
            component = s3_form(name)
            fits = not is_hashed(name) and (component != b"" or isinstance(node, Dir))
        if not fits:
            raise Refused("InvalidArgument")
        if self.strict and name != component:
            raise Refused("InvalidName")
        if name == BODY_ALIAS and parent is self.root:
            raise Refused("InvalidArgument")
        if not isinstance(node, Dir) and parent.files.get(component) not in (None, moving):
            raise Refused("AlreadyExists")
        return component

    # ---------------------------------------------------------------- NFS

    def create(self, where: Path, name: bytes, *, guarded: bool) -> None:
        parent = self.directory(where)
        self.check(name)
        found = parent.find(name)
        if found is not None:
            if guarded or isinstance(found[1], Dir) or not isinstance(found[1].node, File):
                raise Refused("AlreadyExists")
            return
        self._new(where, name, File())

    def mkdir(self, where: Path, name: bytes) -> None:
        self._new(where, name, Dir(explicit=True))

    def symlink(self, where: Path, name: bytes, target: bytes) -> None:
        self._new(where, name, Link(target))

    def _new(self, where: Path, name: bytes, node: Node) -> None:
        parent = self.directory(where)
        self.check(name)
        if parent.find(name) is not None:
            raise Refused("AlreadyExists")
        component = self.place(parent, name, node)
        if isinstance(node, Dir):
            parent.add_dir(component, node)
        else:
            parent.files[component] = Entry(node, name, is_listed(node, name))
        parent.explicit = True

    def link(self, source: Path, where: Path, name: bytes) -> None:
        node = self.at(source)
        self.check(name)
        if isinstance(node, Dir):
            raise Refused("IsDirectory")
        self._new(where, name, node)
        node.nlink += 1

    def remove(self, where: Path, name: bytes) -> None:
        parent = self.directory(where)
        component, child = self._existing(parent, name)
        if isinstance(child, Dir):
            raise Refused("IsDirectory")
        child.node.nlink -= 1
        del parent.files[component]
        parent.explicit = True

    def rmdir(self, where: Path, name: bytes) -> None:
        parent = self.directory(where)
        if name == b".":
            raise Refused("InvalidArgument")
        component, child = self._existing(parent, name)
        if not isinstance(child, Dir):
            raise Refused("NotDirectory")
        if not child.is_empty():
            raise Refused("NotEmpty")
        parent.drop_dir(component)
        parent.explicit = True

    def _existing(self, parent: Dir, name: bytes) -> tuple[bytes, Dir | Entry]:
        self.check(name)
        found = parent.find(name)
        if found is None:
            raise Refused("NotFound")
        return found

    def chmod(self, path: Path) -> None:
        node = self.at(path)
        if isinstance(node, Dir):
            node.explicit = True

    def rename(self, where: Path, name: bytes, there: Path, new_name: bytes) -> None:
        source, target = self.directory(where), self.directory(there)
        self.check(new_name)
        component, child = self._existing(source, name)
        found = target.find(new_name)
        node = child.node if isinstance(child, Entry) else child
        if found is not None and node in (found[1], getattr(found[1], "node", None)):
            return
        if isinstance(node, Dir) and self._below(node, target):
            raise Refused("InvalidArgument")
        if found is not None:
            self._check_victim(node, found[1])
            goal = found[0]
            plain = goal and isinstance(found[1], Entry) and found[1].name == file_name(goal)
            if isinstance(node, Link) and (not plain or named_file(new_name) is not None):
                raise Refused("InvalidArgument")
            shown = new_name if isinstance(found[1], Dir) else found[1].name
        else:
            goal, shown = self.place(target, new_name, node, child), new_name
        if isinstance(node, Dir):
            source.drop_dir(component)
            target.add_dir(goal, node)
            node.explicit = True
        else:
            if found is not None and isinstance(found[1], Entry):
                found[1].node.nlink -= 1
            del source.files[component]
            target.files[goal] = Entry(node, shown, is_listed(node, new_name))
        source.explicit = target.explicit = True

    def _check_victim(self, node: Node, victim: Dir | Entry) -> None:
        if isinstance(victim, Dir):
            if not isinstance(node, Dir):
                raise Refused("IsDirectory")
            if not victim.is_empty():
                raise Refused("NotEmpty")
        elif isinstance(node, Dir):
            raise Refused("NotDirectory")

    def _below(self, node: Dir, target: Dir) -> bool:
        return node is target or any(self._below(child, target) for child in node.dirs.values())

    def write(self, path: Path, offset: int, data: bytes, *, stable: bool) -> None:
        node = self.at(path)
        assert isinstance(node, File)
        node.data = node.data.ljust(offset, b"\0")[:offset] + data + node.data[offset + len(data) :]
        if stable:
            node.committed = node.data

    def commit(self, path: Path) -> None:
        node = self.at(path)
        assert isinstance(node, File)
        node.committed = node.data

    def truncate(self, path: Path, size: int) -> None:
        """SETATTR of the size is durable for the size; pending data before it stays pending."""
        node = self.at(path)
        assert isinstance(node, File)
        pending = node.data != node.committed
        node.data = node.data.ljust(size, b"\0")[:size]
        node.committed = node.committed.ljust(size, b"\0")[:size] if pending else node.data

    # ---------------------------------------------------------------- S3

    def put(self, key: bytes, body: bytes, *, meta: bool = False) -> None:
        *above, last = self._split(key)
        self._check_room(above, last)
        if self.strict and not last and (body or meta):
            raise Refused("NotSupported")
        parent = self._made(above)
        if not last:
            parent.explicit = True
            if not body and not meta:
                self._drop_file(parent, b"")
                return
        entry = parent.files.get(last)
        if entry is not None and entry.node.nlink == 1:
            assert isinstance(entry.node, File)
            entry.node.data = entry.node.committed = body
        elif entry is not None:
            entry.node.nlink -= 1
            entry.node = File(body, body)
        else:
            shown = file_alias(last, beside_directory=last in parent.dirs) or last if last else BODY_ALIAS
            parent.files[last] = Entry(File(body, body), shown)

    def _split(self, key: bytes) -> list[bytes]:
        if len(key) > 1024:
            raise Refused("NameTooLong")
        if not key:
            raise Refused("InvalidName")
        return key.split(b"/")

    def _check_room(self, above: list[bytes], last: bytes) -> None:
        """Refuse a key whose way leads through, or which is itself, something that S3 does not show."""
        odd = any(dir_name(each) != each for each in above) or (last and file_name(last) != last)
        if self.strict and odd:
            raise Refused("InvalidName")
        node = self.root
        for component in above:
            if component not in node.dirs:
                entry = node.files.get(component) if component else None
                if entry is not None and (self.strict or not entry.listed):
                    raise Refused("KeyConflict")
                return
            node = node.dirs[component]
        hidden = last in node.files and not node.files[last].listed
        if last and (hidden or (self.strict and last in node.dirs)):
            raise Refused("KeyConflict")

    def _made(self, path: list[bytes]) -> Dir:
        node = self.root
        for component in path:
            if component not in node.dirs:
                node.add_dir(component, Dir(explicit=False))
            node = node.dirs[component]
        return node

    def _drop_file(self, parent: Dir, component: bytes) -> None:
        entry = parent.files.pop(component, None)
        if entry is not None:
            entry.node.nlink -= 1

    def delete(self, key: bytes) -> None:
        if key not in self.keys():
            self._split(key)
            return
        *above, last = self._split(key)
        chain = [self.root]
        for component in above:
            chain.append(chain[-1].dirs[component])
        self._drop_file(chain[-1], last)
        if not last:
            chain[-1].explicit = False
        while len(chain) > 1 and chain[-1].is_empty() and not chain[-1].explicit:
            chain.pop()
            chain[-1].drop_dir(above[len(chain) - 1])

    # ---------------------------------------------------------------- what both doors must show

    def keys(self) -> dict[bytes, bytes]:
        """Return every key that S3 lists, with its committed bytes."""
        found: dict[bytes, bytes] = {}

        def walk(node: Dir, prefix: bytes) -> None:
            if node.explicit and prefix:
                found[prefix] = b""
            for component, entry in node.files.items():
                if entry.listed and isinstance(entry.node, File):
                    found[prefix + component] = entry.node.committed
            for component, child in node.dirs.items():
                walk(child, prefix + component + b"/")

        walk(self.root, b"")
        return found

    def level(self, prefix: bytes) -> tuple[list[bytes], list[bytes]]:
        """Return keys and common prefixes of a listing with the delimiter `/`; *prefix* is a directory's or empty.

        Every directory is a common prefix, even if all it holds is unlisted.
        """
        node = self.root
        for component in prefix.split(b"/")[:-1]:
            node = node.dirs[component]
        keys = [key for key in self.keys() if key.startswith(prefix) and b"/" not in key[len(prefix) :]]
        return sorted(keys), sorted(prefix + component + b"/" for component in node.dirs)

    def directories(self) -> list[Path]:
        return [path for path, node in self.nodes() if isinstance(node, Dir)]

    def files(self) -> list[Path]:
        return [path for path, node in self.nodes() if isinstance(node, File)]

    def nodes(self) -> list[tuple[Path, Node]]:
        return list(self._walk((), self.root))

    def _walk(self, path: Path, node: Node) -> Iterator[tuple[Path, Node]]:
        yield path, node
        if isinstance(node, Dir):
            for name, child in sorted(node.shown().items(), key=lambda item: item[0]):
                yield from self._walk((*path, name), child)


def is_listed(node: Node, name: bytes) -> bool:
    """Tell whether S3 lists what NFS has called *name*: files, but for those that Linux clients hide."""
    return isinstance(node, File) and re.fullmatch(rb"\.nfs[0-9a-f]{24}", name) is None
