"""What NFS clients do."""

from __future__ import annotations

from hall import ROOT, run
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from rules import DATA, NAMES, PICK, Rules

from namespace.api import CreateMode, SetAttr, Stability


class NfsRules(Rules):
    """The verbs of POSIX by handle."""

    @rule(where=PICK, chosen=NAMES, guarded=st.booleans())
    def create(self, where: int, chosen: bytes | int, guarded: bool) -> None:
        path = self.pick(self.model.directories(), where)
        name = self.name(path, chosen)
        mode = CreateMode.GUARDED if guarded else CreateMode.UNCHECKED
        self.both(
            lambda: self.model.create(path, name, guarded=guarded),
            lambda: run(self.hall.ns.create(ROOT, self.handle(path), name, mode, SetAttr(), b"")),
        )

    @rule(where=PICK, chosen=NAMES)
    def mkdir(self, where: int, chosen: bytes | int) -> None:
        path = self.pick(self.model.directories(), where)
        name = self.name(path, chosen)
        self.both(
            lambda: self.model.mkdir(path, name),
            lambda: run(self.hall.ns.mkdir(ROOT, self.handle(path), name, SetAttr())),
        )

    @rule(where=PICK, chosen=NAMES)
    def symlink(self, where: int, chosen: bytes | int) -> None:
        path = self.pick(self.model.directories(), where)
        name = self.name(path, chosen)
        self.both(
            lambda: self.model.symlink(path, name, b"a/b"),
            lambda: run(self.hall.ns.symlink(ROOT, self.handle(path), name, b"a/b", SetAttr())),
        )

    @rule(source=PICK, where=PICK, chosen=NAMES)
    def link(self, source: int, where: int, chosen: bytes | int) -> None:
        from_path = self.pick([path for path, _ in self.model.nodes()], source)
        path = self.pick(self.model.directories(), where)
        name = self.name(path, chosen)
        self.both(
            lambda: self.model.link(from_path, path, name),
            lambda: run(self.hall.ns.link(ROOT, self.handle(from_path), self.handle(path), name)),
        )

    @rule(where=PICK, chosen=NAMES, directory=st.booleans())
    def remove(self, where: int, chosen: bytes | int, directory: bool) -> None:
        path = self.pick(self.model.directories(), where)
        name = self.name(path, chosen)
        expect = self.model.rmdir if directory else self.model.remove
        act = self.hall.ns.rmdir if directory else self.hall.ns.remove
        self.both(lambda: expect(path, name), lambda: run(act(ROOT, self.handle(path), name)))

    @rule(where=PICK, chosen=NAMES, there=PICK, new=NAMES)
    def rename(self, where: int, chosen: bytes | int, there: int, new: bytes | int) -> None:
        path = self.pick(self.model.directories(), where)
        target = self.pick(self.model.directories(), there)
        name, new_name = self.name(path, chosen), self.name(target, new)
        self.both(
            lambda: self.model.rename(path, name, target, new_name),
            lambda: run(self.hall.ns.rename(ROOT, self.handle(path), name, self.handle(target), new_name)),
        )

    @rule(which=PICK)
    def chmod(self, which: int) -> None:
        """An attribute set on an implied directory makes it explicit."""
        path, _ = self.pick(self.model.nodes(), which)
        self.model.chmod(path)
        run(self.hall.ns.setattr(ROOT, self.handle(path), SetAttr(mode=0o700), None))

    @precondition(Rules.has_files)
    @rule(which=PICK, offset=st.integers(0, 12_000), data=DATA, stable=st.booleans())
    def write(self, which: int, offset: int, data: bytes, stable: bool) -> None:
        path = self.pick(self.model.files(), which)
        stability = Stability.FILE_SYNC if stable else Stability.UNSTABLE
        if data:
            self.model.write(path, offset, data, stable=stable)
        run(self.hall.ns.write(ROOT, self.handle(path), offset, data, stability))

    @precondition(Rules.has_files)
    @rule(which=PICK)
    def commit(self, which: int) -> None:
        path = self.pick(self.model.files(), which)
        self.model.commit(path)
        run(self.hall.ns.commit(ROOT, self.handle(path), 0, 0))

    @precondition(Rules.has_files)
    @rule(which=PICK, size=st.integers(0, 15_000))
    def truncate(self, which: int, size: int) -> None:
        path = self.pick(self.model.files(), which)
        self.commit(which)
        self.model.truncate(path, size)
        run(self.hall.ns.setattr(ROOT, self.handle(path), SetAttr(size=size), None))
