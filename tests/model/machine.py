"""The state machine: random verbs of both doors go to the model and to the house; both must agree after each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from reference import Dir, File, Link, Model, Refused

from foundation.errors import FsError
from namespace.api import Conditions, CreateMode, FileId, ListRequest, SetAttr, Stability

if TYPE_CHECKING:
    from collections.abc import Callable

from hall import ROOT, MemoryHall, run

NAMES = st.sampled_from([b"a", b"b", b"a.", b"a0", "é".encode(), b"-"])
DATA = st.one_of(st.binary(max_size=12), st.integers(1, 9000).map(lambda n: bytes([n & 255]) * n))
PICK = st.integers(0, 1 << 16)
KEYS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)


class DualMachine(RuleBasedStateMachine):
    """One bucket, the super-user, both doors."""

    @initialize()
    def begin(self) -> None:
        self.model = Model()
        self.hall = self.make_hall()

    def make_hall(self) -> Any:
        return MemoryHall()

    # ---------------------------------------------------------------- both sides

    def both(self, expect: Callable[[], None], act: Callable[[], Any]) -> None:
        wanted = None
        try:
            expect()
        except Refused as refusal:
            wanted = str(refusal)
        got = None
        try:
            act()
        except FsError as error:
            got = type(error).__name__
        assert got == wanted, (got, wanted)

    def handle(self, path: tuple[bytes, ...]) -> FileId:
        file = self.hall.root
        for name in path:
            file = run(self.hall.ns.lookup(ROOT, file, name)).file.file
        return file

    def pick(self, choices: list[Any], number: int) -> Any:
        return choices[number % len(choices)]

    def has_files(self) -> bool:
        return hasattr(self, "model") and bool(self.model.files())

    # ---------------------------------------------------------------- NFS rules

    @rule(where=PICK, name=NAMES, guarded=st.booleans())
    def create(self, where: int, name: bytes, guarded: bool) -> None:
        path = self.pick(self.model.directories(), where)
        mode = CreateMode.GUARDED if guarded else CreateMode.UNCHECKED
        self.both(
            lambda: self.model.create(path, name, guarded=guarded),
            lambda: run(self.hall.ns.create(ROOT, self.handle(path), name, mode, SetAttr(), b"")),
        )

    @rule(where=PICK, name=NAMES)
    def mkdir(self, where: int, name: bytes) -> None:
        path = self.pick(self.model.directories(), where)
        self.both(
            lambda: self.model.mkdir(path, name),
            lambda: run(self.hall.ns.mkdir(ROOT, self.handle(path), name, SetAttr())),
        )

    @rule(where=PICK, name=NAMES)
    def symlink(self, where: int, name: bytes) -> None:
        path = self.pick(self.model.directories(), where)
        self.both(
            lambda: self.model.symlink(path, name, b"a/b"),
            lambda: run(self.hall.ns.symlink(ROOT, self.handle(path), name, b"a/b", SetAttr())),
        )

    @rule(source=PICK, where=PICK, name=NAMES)
    def link(self, source: int, where: int, name: bytes) -> None:
        from_path = self.pick([path for path, _ in self.model.nodes()], source)
        path = self.pick(self.model.directories(), where)
        self.both(
            lambda: self.model.link(from_path, path, name),
            lambda: run(self.hall.ns.link(ROOT, self.handle(from_path), self.handle(path), name)),
        )

    @rule(where=PICK, name=NAMES, directory=st.booleans())
    def remove(self, where: int, name: bytes, directory: bool) -> None:
        path = self.pick(self.model.directories(), where)
        expect = self.model.rmdir if directory else self.model.remove
        act = self.hall.ns.rmdir if directory else self.hall.ns.remove
        self.both(lambda: expect(path, name), lambda: run(act(ROOT, self.handle(path), name)))

    @rule(where=PICK, name=NAMES, there=PICK, new_name=NAMES)
    def rename(self, where: int, name: bytes, there: int, new_name: bytes) -> None:
        path = self.pick(self.model.directories(), where)
        target = self.pick(self.model.directories(), there)
        self.both(
            lambda: self.model.rename(path, name, target, new_name),
            lambda: run(self.hall.ns.rename(ROOT, self.handle(path), name, self.handle(target), new_name)),
        )

    @precondition(has_files)
    @rule(which=PICK, offset=st.integers(0, 12_000), data=DATA, stable=st.booleans())
    def write(self, which: int, offset: int, data: bytes, stable: bool) -> None:
        path = self.pick(self.model.files(), which)
        stability = Stability.FILE_SYNC if stable else Stability.UNSTABLE
        if data:
            self.model.write(path, offset, data, stable=stable)
        run(self.hall.ns.write(ROOT, self.handle(path), offset, data, stability))

    @precondition(has_files)
    @rule(which=PICK)
    def commit(self, which: int) -> None:
        path = self.pick(self.model.files(), which)
        self.model.commit(path)
        run(self.hall.ns.commit(ROOT, self.handle(path), 0, 0))

    @precondition(has_files)
    @rule(which=PICK, size=st.integers(0, 15_000))
    def truncate(self, which: int, size: int) -> None:
        path = self.pick(self.model.files(), which)
        self.commit(which)
        self.model.truncate(path, size)
        run(self.hall.ns.setattr(ROOT, self.handle(path), SetAttr(size=size), None))

    # ---------------------------------------------------------------- S3 rules

    @rule(path=KEYS, body=DATA)
    def put(self, path: tuple[bytes, ...], body: bytes) -> None:
        self.both(lambda: self.model.put(path, body), lambda: self.hall.put(b"/".join(path), body))

    @rule(path=KEYS)
    def put_marker(self, path: tuple[bytes, ...]) -> None:
        self.both(lambda: self.model.put_marker(path), lambda: self.hall.put(b"/".join(path) + b"/", b""))

    @rule(path=KEYS)
    def delete(self, path: tuple[bytes, ...]) -> None:
        self.both(
            lambda: self.model.delete(path),
            lambda: run(self.hall.ns.delete_object(ROOT, "bucket", b"/".join(path))),
        )

    @rule(path=KEYS)
    def delete_marker(self, path: tuple[bytes, ...]) -> None:
        self.both(
            lambda: self.model.delete_marker(path),
            lambda: run(self.hall.ns.delete_object(ROOT, "bucket", b"/".join(path) + b"/")),
        )

    # ---------------------------------------------------------------- disturbances

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        """Idle data is flushed after a while; garbage goes."""
        self.hall.clock.advance(seconds)
        if seconds > 10:
            for path in self.model.files():
                self.model.commit(path)

    @rule()
    def restart(self) -> None:
        """A new gateway takes over after an orderly stop: nothing is lost."""
        run(self.hall.ns.close())
        self.hall = self.hall.reopen()
        for path in self.model.files():
            self.model.commit(path)

    # ---------------------------------------------------------------- the same through both doors

    @invariant()
    def nfs_shows_the_model(self) -> None:
        if hasattr(self, "model"):
            self._compare(self.hall.root, self.model.root)

    def _compare(self, file: FileId, node: Dir) -> None:
        ns = self.hall.ns
        entries = {}
        after = 0
        while True:
            page = run(ns.readdir(ROOT, file, after, 3))
            entries.update({entry.name: entry for entry in page.entries})
            if page.eof:
                break
            after = page.entries[-1].cookie
        assert set(entries) == {*node.names, b".", b".."}
        directory = run(ns.getattr(ROOT, file))
        assert directory.nlink == 2 + sum(isinstance(child, Dir) for child in node.names.values())
        found = {name: run(ns.lookup(ROOT, file, name)).file for name in node.names}
        for name, attr in found.items():  # all of them first: reading the bytes moves access times
            assert attr == entries[name].attr
        for name, child in node.names.items():
            attr = found[name]
            if isinstance(child, Dir):
                self._compare(attr.file, child)
            elif isinstance(child, Link):
                assert run(ns.readlink(ROOT, attr.file))[1] == child.target
                assert attr.nlink == child.nlink
            else:
                self._compare_file(attr, child)

    def _compare_file(self, attr: Any, child: File) -> None:
        assert (attr.size, attr.nlink) == (len(child.data), child.nlink)
        result = run(self.hall.ns.read(ROOT, attr.file, 0, attr.size + 10))
        assert b"".join(result.buffers) == child.data
        assert result.eof
        middle = run(self.hall.ns.read(ROOT, attr.file, attr.size // 3, attr.size // 2))
        assert b"".join(middle.buffers) == child.data[attr.size // 3 : attr.size // 3 + attr.size // 2]

    @invariant()
    def s3_shows_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        wanted = self.model.keys()
        listed: list[bytes] = []
        after = b""
        while True:
            page = run(self.hall.ns.list_objects(ROOT, "bucket", ListRequest(after=after, limit=2)))
            for info in page.contents:
                assert info.size == len(wanted[info.key])
            listed += [info.key for info in page.contents]
            if page.next_after is None:
                break
            after = page.next_after
        assert listed == sorted(wanted)
        for key in listed:
            if not key.endswith(b"/"):
                assert self.hall.get(key) == wanted[key]
                self._compare_meta(key)

    def _compare_meta(self, key: bytes) -> None:
        """User metadata says how long the body was that it came with: it is never another PUT's."""
        user = run(self.hall.ns.head_object(ROOT, "bucket", key, Conditions())).user
        assert user.get("n", "1")[-1] in "13579"

    def teardown(self) -> None:
        if hasattr(self, "model"):
            run(self.hall.ns.close())
            self.check()

    def check(self) -> None:
        """Let garbage go and look for faults."""
        self.hall.clock.advance(60)
        assert self.hall.findings() == []
