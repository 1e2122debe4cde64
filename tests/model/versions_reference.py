"""The reference model of a bucket that keeps versions: what docs/SEMANTICS.md says of them, in the fewest lines.

Files are called `a` and `b`, directories `d` and `e`, so that no name is both. A key is a path of names, of which the
last is empty for the object `dir/` with a body; its history is a list of versions, newest first, of which the first
has the live file. Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

QUIET = 60.0
Path = tuple[bytes, ...]


class Refused(Exception):
    """The model expects an error of this name."""


@dataclass(eq=False)
class File:
    data: bytes = b""
    closed: bool = False  # S3 made it, and NFS has not changed it since
    written: bool = False
    time: float = 0.0  # of the last change of content
    nlink: int = 1

    def is_open(self, now: float) -> bool:
        return not self.closed and (not self.written or abs(now - self.time) < QUIET)


@dataclass(eq=False)
class Version:
    null: bool
    file: File | None  # None: a delete marker
    id: bytes | None = None  # as the house told it
    plain: bool = False  # an explicit directory, which has no versions


@dataclass(eq=False)
class VersionedModel:
    state: str = ""
    now: float = 0.0
    files: dict[Path, File] = field(default_factory=dict)
    dirs: dict[Path, bool] = field(default_factory=lambda: {(): True})  # explicit?
    history: dict[Path, list[Version]] = field(default_factory=dict)
    inos: dict[Path, int] = field(default_factory=dict)  # of directories, ghosts too

    # ---------------------------------------------------------------- history of one key

    def kept(self, path: Path, *, nfs: bool) -> bool:
        """Say whether the live version stays as history when its content goes."""
        versions = self.history.get(path, [])
        if self.state == "suspended":
            return bool(versions) and not versions[0].null
        return self.state == "enabled" and not (nfs and self.files[path].is_open(self.now))

    def freeze(self, path: Path) -> None:
        """Keep the live content as a version of its own."""
        live = self.files[path]
        versions = self.history.setdefault(path, [])
        if not versions:
            versions.append(Version(null=True, file=live))
        versions[0].file = File(live.data, closed=True, written=True)

    def begin(self, path: Path) -> None:
        """Give the live content of *path*, which is new, its version."""
        versions = self.history.get(path, [])
        if self.state == "enabled":
            self.history[path] = [Version(null=False, file=self.files[path]), *versions]
        elif self.state == "suspended":
            versions = [each for each in versions if not each.null]
            self.history[path] = [Version(null=True, file=self.files[path]), *versions] if versions else []

    def leave(self, path: Path, *, nfs: bool, marker: bool = True) -> None:
        """Let the live content of *path* go from its name."""
        if not self.state:
            return
        if self.kept(path, nfs=nfs):
            self.freeze(path)
        else:
            self.history[path] = self.history.get(path, [])[1:]
        versions = self.history[path]
        if not marker or not versions or versions[0].file is None:
            return
        if self.state == "suspended":
            versions = [each for each in versions if not each.null]
        self.history[path] = [Version(null=self.state == "suspended", file=None), *versions] if versions else []

    def change(self, path: Path, data: bytes) -> None:
        """Change the content of a live file through NFS."""
        file = self.files[path]
        if file.nlink == 1 and self.state and not file.is_open(self.now) and self.kept(path, nfs=False):
            self.freeze(path)
            self.begin(path)
        file.data, file.closed, file.written, file.time = data, False, True, self.now

    # ---------------------------------------------------------------- S3

    def put(self, path: Path, body: bytes) -> None:
        self._imply(path)
        old = self.files.get(path)
        if not path[-1] and not body:  # the plain marker of an explicit directory
            if old is not None:
                self.leave(path, nfs=False)
                self.files.pop(path).nlink -= 1
            return
        if old is not None and old.nlink == 1:
            if self.state and self.kept(path, nfs=False):
                self.freeze(path)
                self.begin(path)
            old.data, old.closed, old.written, old.time = body, True, True, self.now
            return
        if old is not None:
            self.leave(path, nfs=False, marker=False)
            old.nlink -= 1
        self.files[path] = File(body, closed=True, written=True, time=self.now)
        self.begin(path)

    def _imply(self, path: Path) -> None:
        """Make the directories that a key needs; the one that it names is explicit."""
        for depth in range(1, len(path)):
            self.dirs.setdefault(path[:depth], False)
        if not path[-1]:
            self.dirs[path[:-1]] = True

    def delete(self, path: Path) -> None:
        if path not in self.files and (path[-1] or not self.dirs.get(path[:-1])):
            return
        if path in self.files:
            self.leave(path, nfs=False)
            self.files.pop(path).nlink -= 1
        self._gone(path)

    def _gone(self, path: Path) -> None:
        if not path[-1]:
            self.dirs[path[:-1]] = False
        self._climb(path[:-1])

    def _climb(self, path: Path) -> None:
        while path and not self.dirs[path] and not self.children(path):
            del self.dirs[path]
            path = path[:-1]

    def delete_version(self, path: Path, index: int) -> None:
        versions = self.history.get(path, [])
        live = self.files.get(path)
        if not versions:  # its own null version
            self.files.pop(path).nlink -= 1
            self._gone(path)
            return
        gone = versions.pop(index)
        heir = versions[0].file if versions else None
        if live is not None and gone.file is live:
            self.files.pop(path).nlink -= 1
            if heir is None:
                self._gone(path)
            else:
                self.files[path] = heir
        elif live is None and heir is not None:
            self.files[path] = heir
            self._imply(path)

    # ---------------------------------------------------------------- NFS

    def create(self, where: Path, name: bytes) -> None:
        path = (*where, name)
        if path in self.files:
            raise Refused("AlreadyExists")
        self.files[path] = File(time=self.now)
        self.begin(path)
        self.dirs[where] = True

    def link(self, source: Path, where: Path, name: bytes) -> None:
        path = (*where, name)
        if path in self.files:
            raise Refused("AlreadyExists")
        self.files[path] = self.files[source]
        self.files[path].nlink += 1
        self.begin(path)
        self.dirs[where] = True

    def remove(self, path: Path) -> None:
        if path not in self.files:
            raise Refused("NotFound")
        self.leave(path, nfs=True)
        self.files.pop(path).nlink -= 1
        self.dirs[path[:-1]] = True

    def mkdir(self, path: Path) -> None:
        if path in self.dirs:
            raise Refused("AlreadyExists")
        self.dirs[path] = self.dirs[path[:-1]] = True

    def rmdir(self, path: Path) -> None:
        if path not in self.dirs:
            raise Refused("NotFound")
        if self.children(path):
            raise Refused("NotEmpty")
        del self.dirs[path]
        self.dirs[path[:-1]] = True

    def rename_file(self, path: Path, target: Path) -> None:
        if path not in self.files:
            raise Refused("NotFound")
        file, victim = self.files[path], self.files.get(target)
        if victim is file:
            return
        if victim is not None:
            self.leave(target, nfs=True, marker=False)
            victim.nlink -= 1
        self.leave(path, nfs=True)
        del self.files[path]
        self.files[target] = file
        self.begin(target)
        self.dirs[path[:-1]] = self.dirs[target[:-1]] = True

    def rename_directory(self, path: Path, target: Path) -> None:
        if path not in self.dirs:
            raise Refused("NotFound")
        if path == target:
            return
        if target[: len(path)] == path:
            raise Refused("InvalidArgument")
        if target in self.dirs and self.children(target):
            raise Refused("NotEmpty")
        self.dirs.pop(target, None)
        aside = (*target[:-1], b"%s~%x" % (target[-1], self.inos.get(target, 0)))
        self._move(target, aside)
        self._move(path, target)
        self.dirs[path[:-1]] = self.dirs[target[:-1]] = self.dirs[target] = True

    def _move(self, path: Path, target: Path) -> None:
        for table in (self.files, self.dirs, self.history, self.inos):
            for each in [each for each in table if each[: len(path)] == path]:
                table[(*target, *each[len(path) :])] = table.pop(each)

    def children(self, path: Path) -> list[bytes]:
        return [each[-1] for each in (*self.files, *self.dirs) if each and each[:-1] == path]

    # ---------------------------------------------------------------- what both doors must show

    def told(self) -> list[tuple[bytes, list[Version]]]:
        """Return every key with its versions, in byte order."""
        told = {b"/".join(path): list(versions) for path, versions in self.history.items() if versions}
        for path, file in self.files.items():
            told.setdefault(b"/".join(path), [Version(null=True, file=file)])
        for path, explicit in self.dirs.items():
            if explicit and path and (*path, b"") not in self.files:
                key = b"/".join(path) + b"/"
                told[key] = [Version(null=True, file=None, plain=True), *told.get(key, [])]
        return sorted(told.items())
