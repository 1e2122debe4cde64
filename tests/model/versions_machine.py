"""The state machine of a bucket that keeps versions: random verbs of both doors, and what each shows after them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hall import ROOT, MemoryHall, run
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from versions_reference import Path, Refused, VersionedModel

from foundation.errors import FsError, IsDeleteMarker
from metastore.records import NULL_VERSION
from namespace.api import CreateMode, FileId, SetAttr, Stability, VersionListRequest
from namespace.names import alias_of

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = st.sampled_from([b"a", b"b"])
DIRS = st.sampled_from([b"d", b"e"])
KEYS = st.one_of(
    st.tuples(st.lists(DIRS, max_size=2), FILES).map(lambda parts: (*parts[0], parts[1])),
    st.lists(DIRS, min_size=1, max_size=2).map(lambda parts: (*parts, b"")),
)
DATA = st.binary(max_size=6).map(lambda data: data * 3)
PICK = st.integers(0, 1 << 16)
#: What NFS calls the object `dir/` with a body.
BODY_NAME = alias_of(b"")


class VersionsMachine(RuleBasedStateMachine):
    """One bucket, the super-user, both doors."""

    @initialize(state=st.sampled_from(["enabled", "enabled", "suspended", ""]))
    def begin(self, state: str) -> None:
        self.model = VersionedModel()
        self.hall = self.make_hall()
        self.step = 0
        if state:
            self.set_versioning(state)

    def make_hall(self) -> Any:
        return MemoryHall()

    # ---------------------------------------------------------------- both sides

    def both(self, expect: Callable[[], None], act: Callable[[], Any]) -> None:
        self.model.now = self.hall.clock.now_ns() / 1e9
        wanted = got = None
        try:
            expect()
        except Refused as refusal:
            wanted = str(refusal)
        try:
            act()
        except FsError as error:
            got = type(error).__name__
        assert got == wanted, (got, wanted)

    def handle(self, path: Path) -> FileId:
        file = self.hall.root
        for name in path:
            file = run(self.hall.ns.lookup(ROOT, file, name or BODY_NAME)).file.file
        return file

    def directory(self, number: int) -> Path:
        """Pick a directory that both may have, not too deep."""
        shallow = sorted(path for path in self.model.dirs if len(path) < 3)
        return shallow[number % len(shallow)]

    def file(self, number: int) -> Path:
        return sorted(self.model.files)[number % len(self.model.files)]

    def has_files(self) -> bool:
        return hasattr(self, "model") and bool(self.model.files)

    def has_versions(self) -> bool:
        return hasattr(self, "model") and bool(self.keys())

    def keys(self) -> list[Path]:
        """Return the keys that have versions, or are their own."""
        return sorted({*self.model.files, *(path for path, versions in self.model.history.items() if versions)})

    # ---------------------------------------------------------------- S3

    @rule(state=st.sampled_from(["enabled", "enabled", "suspended"]))
    def set_versioning(self, state: str) -> None:
        self.model.state = state
        run(self.hall.ns.set_versioning(ROOT, "bucket", state))

    @rule(path=KEYS, body=DATA)
    def put(self, path: Path, body: bytes) -> None:
        self.both(lambda: self.model.put(path, body), lambda: self.hall.put(b"/".join(path), body))

    @rule(path=KEYS)
    def delete(self, path: Path) -> None:
        key = b"/".join(path)
        self.both(lambda: self.model.delete(path), lambda: run(self.hall.ns.delete_object(ROOT, "bucket", key)))

    @precondition(has_versions)
    @rule(which=PICK, index=PICK)
    def delete_version(self, which: int, index: int) -> None:
        path = self.keys()[which % len(self.keys())]
        versions = self.model.history.get(path, [])
        index = index % len(versions) if versions else 0
        version_id = versions[index].id if versions else NULL_VERSION
        self.both(
            lambda: self.model.delete_version(path, index),
            lambda: run(self.hall.ns.delete_version(ROOT, "bucket", b"/".join(path), version_id)),
        )

    # ---------------------------------------------------------------- NFS

    @rule(where=PICK, name=FILES)
    def create(self, where: int, name: bytes) -> None:
        path, ns = self.directory(where), self.hall.ns
        self.both(
            lambda: self.model.create(path, name),
            lambda: run(ns.create(ROOT, self.handle(path), name, CreateMode.GUARDED, SetAttr(), b"")),
        )

    @precondition(has_files)
    @rule(source=PICK, where=PICK, name=FILES)
    def link(self, source: int, where: int, name: bytes) -> None:
        file, path = self.file(source), self.directory(where)
        self.both(
            lambda: self.model.link(file, path, name),
            lambda: run(self.hall.ns.link(ROOT, self.handle(file), self.handle(path), name)),
        )

    @rule(where=PICK, name=FILES)
    def remove(self, where: int, name: bytes) -> None:
        path = self.directory(where)
        self.both(
            lambda: self.model.remove((*path, name)), lambda: run(self.hall.ns.remove(ROOT, self.handle(path), name))
        )

    @rule(where=PICK, name=DIRS)
    def mkdir(self, where: int, name: bytes) -> None:
        path = self.directory(where)
        self.both(
            lambda: self.model.mkdir((*path, name)),
            lambda: run(self.hall.ns.mkdir(ROOT, self.handle(path), name, SetAttr())),
        )

    @rule(where=PICK, name=DIRS)
    def rmdir(self, where: int, name: bytes) -> None:
        path = self.directory(where)
        self.both(
            lambda: self.model.rmdir((*path, name)), lambda: run(self.hall.ns.rmdir(ROOT, self.handle(path), name))
        )

    @rule(where=PICK, there=PICK, names=st.one_of(st.tuples(FILES, FILES), st.tuples(DIRS, DIRS)))
    def rename(self, where: int, there: int, names: tuple[bytes, bytes]) -> None:
        source, target = self.directory(where), self.directory(there)
        move = self.model.rename_file if names[0] in {b"a", b"b"} else self.model.rename_directory
        self.both(
            lambda: move((*source, names[0]), (*target, names[1])),
            lambda: run(self.hall.ns.rename(ROOT, self.handle(source), names[0], self.handle(target), names[1])),
        )

    @precondition(has_files)
    @rule(which=PICK, offset=st.integers(0, 20), data=DATA.filter(bool))
    def write(self, which: int, offset: int, data: bytes) -> None:
        path = self.file(which)
        old = self.model.files[path].data
        new = old.ljust(offset, b"\0")[:offset] + data + old[offset + len(data) :]
        self.both(
            lambda: self.model.change(path, new),
            lambda: run(self.hall.ns.write(ROOT, self.handle(path), offset, data, Stability.FILE_SYNC)),
        )

    @precondition(has_files)
    @rule(which=PICK, size=st.integers(0, 30))
    def truncate(self, which: int, size: int) -> None:
        path = self.file(which)
        old = self.model.files[path].data
        self.both(
            lambda: self.model.change(path, old.ljust(size, b"\0")[:size]) if size != len(old) else None,
            lambda: run(self.hall.ns.setattr(ROOT, self.handle(path), SetAttr(size=size), None)),
        )

    # ---------------------------------------------------------------- disturbances

    @rule(seconds=st.sampled_from([5.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.hall.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        run(self.hall.ns.close())
        clock = self.hall.clock
        self.hall = self.hall.reopen()
        self.hall.clock.advance(max(0.0, (clock.now_ns() - self.hall.clock.now_ns()) / 1e9))

    # ---------------------------------------------------------------- what both show

    @invariant()
    def s3_shows_the_history(self) -> None:
        if not hasattr(self, "model"):
            return
        self.step += 1
        found: list[Any] = []
        after, version = b"", b""
        limit = 1 + self.step % 4
        while True:
            request = VersionListRequest(after_key=after, after_version=version, limit=limit)
            page = run(self.hall.ns.list_versions(ROOT, "bucket", request))
            found += page.versions
            if page.next_key is None:
                break
            after, version = page.next_key, page.next_version
        wanted = [(key, each) for key, versions in self.model.told() for each in versions]
        marked = [(key, each.file is None and not each.plain) for key, each in wanted]
        assert [(each.info.key, each.marker) for each in found] == marked
        last = None
        for each, (key, expected) in zip(found, wanted, strict=True):
            assert each.latest == (key != last)
            last = key
            self._compare(key, each.info, expected)

    def _compare(self, key: bytes, info: Any, expected: Any) -> None:
        told = info.version_id
        assert (told == NULL_VERSION) == expected.null
        assert expected.id in (None, told)
        expected.id = told
        if expected.plain:
            return
        if expected.file is None:
            try:
                run(self.hall.ns.head_version(ROOT, "bucket", key, told))
            except IsDeleteMarker:
                return
            raise AssertionError("a delete marker has been read")
        reader = run(self.hall.ns.open_version(ROOT, "bucket", key, told))
        assert reader.info.size == info.size == len(expected.file.data)
        assert reader.info.etag == info.etag
        assert b"".join(run(reader.read(0, reader.info.size))) == expected.file.data
        reader.close()

    @invariant()
    def both_doors_show_the_files(self) -> None:
        if not hasattr(self, "model"):
            return
        for path in list(self.model.dirs):
            attr = run(self.hall.ns.getattr(ROOT, self.handle(path)))
            self.model.inos[path] = attr.file.ino
            page = run(self.hall.ns.readdir(ROOT, attr.file, 2, 1000))
            assert {entry.name for entry in page.entries} == {name or BODY_NAME for name in self.model.children(path)}
        for path, file in self.model.files.items():
            attr = run(self.hall.ns.getattr(ROOT, self.handle(path)))
            assert (attr.size, attr.nlink) == (len(file.data), file.nlink)
            assert b"".join(run(self.hall.ns.read(ROOT, attr.file, 0, 100)).buffers) == file.data
            assert self.hall.get(b"/".join(path)) == file.data

    @invariant()
    def check_finds_nothing(self) -> None:
        if hasattr(self, "model"):
            assert self.hall.findings() == []
