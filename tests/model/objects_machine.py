"""The state machine of the object verbs: PUT, copies, composed objects, uploads, conditions, beside NFS and deaths.

Chunks, windows and blobs are small, so that contents of a few extents take every path that those of millions take.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any
from unittest import mock

from hall import ROOT, run
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from object_hall import PART, ObjectHall, choice
from objects_reference import Objects, Refused, Upload, md5_of

from foundation.crash import crash_point
from foundation.errors import FsError
from metastore.records import Blob, Inode, Part, Reclaim
from namespace.api import (
    Completion,
    Conditions,
    CopySource,
    DeleteTarget,
    ListRequest,
    PutRequest,
    Stability,
    UploadListRequest,
    UploadRequest,
    UploadTarget,
)

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = st.sampled_from([b"a", b"b", b"c.txt", b"d/e"])
FILES = st.sampled_from([b"a", b"b", b"c.txt"])  # those that NFS finds in the root
#: Of one blob, of a few, and none.
BODIES = st.one_of(
    st.binary(max_size=9), st.tuples(st.integers(1, 255), st.integers(1, 5)).map(lambda t: bytes([t[0]]) * (t[1] << 19))
)
PARTS = st.one_of(st.binary(max_size=9), st.integers(1, 255).map(lambda n: bytes([n]) * (PART + n)))
USERS = st.sampled_from([{}, {"k": "1"}, {"mtime": "1.25", "md5chksum": "x", "k": "2"}])
PICK = st.integers(0, 1 << 16)
SMALL = {
    "namespace.contents.CHUNK": 2,
    "namespace.assembling._PAGE": 2,
    "namespace.assembling.FEW": 1,
    "namespace.copying.FEW": 1,
    "namespace.snapshot.WINDOW": 2,
    "namespace.upload_body.MAX_BLOB_BYTES": 1 << 19,
    "namespace.uploads.ROWS_LIMIT": 3,
    "namespace.duties.CHUNK": 2,
}
#: Where an operation may die. Those of reaping die in a background round.
POINTS = (
    "draft.after_chunk",
    "copy.after_name",
    "complete.after_name",
    "put.after_body",
    "engine.after_install",
    "engine.before_answer",
)


class Died(BaseException):
    """Stands for the death of the process."""


def die() -> None:
    raise Died


class ObjectMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.patches = contextlib.ExitStack()
        for name, value in SMALL.items():
            self.patches.enter_context(mock.patch(name, value))
        self.model = Objects()
        self.hall = ObjectHall()
        self.readers: list[tuple[Any, bytes]] = []
        self.synthetic: dict[int, bytes] = {}  # version -> the synthetic ETag that was seen of it

    # ---------------------------------------------------------------- both sides

    def both(self, expect: Callable[[], Any], act: Callable[[], Any]) -> Any:
        wanted = got = answer = None
        try:
            expect()
        except Refused as refusal:
            wanted = str(refusal)
        try:
            answer = act()
        except FsError as error:
            got = type(error).__name__
        assert got == wanted, (got, wanted)
        return answer

    def shown(self, key: bytes) -> tuple[bytes, dict[str, str]]:
        """Return the ETag and user metadata that the house shows of what the model has."""
        info = self.hall.head(key)
        file = self.model.files[key]
        if file.etag is None and file.committed:
            assert re.fullmatch(rb"[0-9a-f]{32}-1", info.etag), info.etag
            assert self.synthetic.setdefault(file.version, info.etag) == info.etag
            assert len(set(self.synthetic.values())) == len(self.synthetic)
        else:
            assert info.etag == (file.etag or md5_of(b""))
        if file.is_as_put:
            assert info.user == file.user
        else:
            wanted = {name: value for name, value in file.user.items() if name != "md5chksum"}
            assert info.user.keys() == wanted.keys()
            assert info.user.get("k") == wanted.get("k")
        assert info.checksums == {} or file.is_as_put
        return info.etag, info.user

    def source(self, key: bytes, cut: int) -> tuple[CopySource, Callable[[], bytes]]:
        """Return a source, sometimes a range of it, and what the model says its bytes are."""
        size = len(self.model.files[key].committed) if key in self.model.files else 0
        if not size or not cut % 3:
            return CopySource("bucket", key), lambda: self.model.file(key).committed
        start = cut % size
        end = start + 1 + cut // 7 % (size - start)
        return CopySource("bucket", key, start=start, end=end), lambda: self.model.file(key).committed[start:end]

    # ---------------------------------------------------------------- objects

    @rule(key=KEYS, body=BODIES, user=USERS, condition=st.sampled_from(["", "", "absent", "match", "other"]))
    def put(self, key: bytes, body: bytes, user: dict[str, str], condition: str) -> None:
        etag = self.shown(key)[0] if key in self.model.files else b"none"
        match = {"match": etag, "other": b"other"}.get(condition)
        absent = condition == "absent"
        conditions = Conditions(if_match=(match,) if match else None, if_none_match=(b"*",) if absent else None)

        def expect() -> None:
            known = b"*" if match == etag else match
            self.model.check_write(key, match=known, absent=absent)
            self.model.put(key, body, md5_of(body), user)

        self.both(expect, lambda: self.hall.store(key, body, user=user, conditions=conditions))

    @rule(keys=st.lists(KEYS, min_size=1, max_size=3, unique=True))
    def delete(self, keys: list[bytes]) -> None:
        for key in keys:
            self.model.delete(key)
        outcomes = run(self.hall.ns.delete_objects(ROOT, "bucket", [DeleteTarget(key) for key in keys]))
        assert all(each.error is None for each in outcomes)

    @rule(key=KEYS, to=KEYS, replace=st.booleans(), user=USERS)
    def copy(self, key: bytes, to: bytes, replace: bool, user: dict[str, str]) -> None:
        etag, shown = self.shown(key) if key in self.model.files else (b"", {})

        def expect() -> None:
            file = self.model.file(key)
            if self.model.files.get(to) is file and file.nlink == 1:
                if not replace:
                    raise Refused("InvalidArgument")
                file.etag, file.user, file.is_as_put = etag, user, True
            else:
                self.model.put(to, file.committed, etag, user if replace else shown)

        self.both(expect, lambda: self.hall.copy(key, to, replace=replace, user=user))

    @rule(to=KEYS, keys=st.lists(st.tuples(KEYS, PICK), min_size=1, max_size=3))
    def compose(self, to: bytes, keys: list[tuple[bytes, int]]) -> None:
        sources = [self.source(key, cut) for key, cut in keys]
        request = PutRequest(to, {}, {"k": "composed"})

        def expect() -> None:
            self.model.put(to, b"".join(body() for _, body in sources), None, request.user)

        self.both(expect, lambda: run(self.hall.ns.compose(ROOT, "bucket", request, [each for each, _ in sources])))

    # ---------------------------------------------------------------- uploads

    def pick_upload(self, number: int) -> tuple[UploadTarget, Upload]:
        upload_id = list(self.model.uploads)[number % len(self.model.uploads)]
        upload = self.model.uploads[upload_id]
        return UploadTarget("bucket", upload.key, upload_id), upload

    def has_uploads(self) -> bool:
        return hasattr(self, "model") and bool(self.model.uploads)

    @rule(key=KEYS, user=USERS)
    def create_upload(self, key: bytes, user: dict[str, str]) -> None:
        info = run(self.hall.ns.create_upload(ROOT, "bucket", UploadRequest(key, {}, user)))
        self.model.uploads[info.upload_id] = Upload(key, user)

    @precondition(has_uploads)
    @rule(which=PICK, number=st.integers(1, 4), body=PARTS)
    def send_part(self, which: int, number: int, body: bytes) -> None:
        target, upload = self.pick_upload(which)
        upload.parts[number] = (body, self.hall.part(target, number, body))

    @precondition(has_uploads)
    @rule(which=PICK, number=st.integers(1, 4), key=KEYS, cut=PICK)
    def copy_part(self, which: int, number: int, key: bytes, cut: int) -> None:
        target, upload = self.pick_upload(which)
        source, body = self.source(key, cut)
        part = self.both(body, lambda: run(self.hall.ns.copy_part(ROOT, target, number, source)))
        if part is not None:
            upload.parts[number] = (body(), part)

    @precondition(has_uploads)
    @rule(which=PICK, numbers=st.lists(st.integers(1, 4), max_size=4), mine=st.booleans())
    def complete(self, which: int, numbers: list[int], mine: bool) -> None:
        target, upload = self.pick_upload(which)
        if mine:  # what there is, in order: most of these are accepted
            numbers = sorted(upload.parts)
        parts = [choice(upload.parts[n][1]) if n in upload.parts else _missing(n) for n in numbers]
        self.both(
            lambda: self.model.complete(target.upload_id, numbers),
            lambda: run(self.hall.ns.complete_upload(ROOT, target, Completion(parts, Conditions()))),
        )

    @precondition(has_uploads)
    @rule(which=PICK)
    def abort(self, which: int) -> None:
        target, _ = self.pick_upload(which)
        del self.model.uploads[target.upload_id]
        run(self.hall.ns.abort_upload(ROOT, target))

    # ---------------------------------------------------------------- NFS

    @rule(key=FILES, offset=st.integers(0, 1 << 20), data=st.binary(min_size=1, max_size=9), stable=st.booleans())
    def write(self, key: bytes, offset: int, data: bytes, stable: bool) -> None:
        stability = Stability.FILE_SYNC if stable else Stability.UNSTABLE
        self.both(
            lambda: self.model.write(key, offset, data, stable=stable),
            lambda: self.hall.write(key, offset, data, stability),
        )

    @rule(key=FILES, size=st.integers(0, 3 << 19))
    def truncate(self, key: bytes, size: int) -> None:
        if key in self.model.files:
            run(self.hall.ns.commit(ROOT, self.hall.file(key), 0, 0))
            self.model.flush(key)
            file = self.model.files[key]
            if size != len(file.data):
                file.data = file.data.ljust(size, b"\0")[:size]
                file.nfs_changed()
            self.hall.truncate(key, size)

    @rule(key=FILES, new=FILES)
    def link(self, key: bytes, new: bytes) -> None:
        self.both(
            lambda: self.model.link(key, new),
            lambda: run(self.hall.ns.link(ROOT, self.hall.file(key), self.hall.root, new)),
        )

    # ---------------------------------------------------------------- readers, time, restarts

    @rule(key=KEYS)
    def open(self, key: bytes) -> None:
        if key in self.model.files and len(self.readers) < 4:
            reader = run(self.hall.ns.open_object(ROOT, "bucket", key, Conditions()))
            self.readers.append((reader, self.model.files[key].committed))

    @precondition(lambda self: hasattr(self, "readers") and self.readers)
    @rule(which=PICK, at=PICK)
    def read_on(self, which: int, at: int) -> None:
        reader, body = self.readers[which % len(self.readers)]
        start = at % (len(body) + 1)
        length = min(1 << 20, len(body) - start)
        assert b"".join(run(reader.read(start, length))) == body[start : start + length]

    @precondition(lambda self: hasattr(self, "readers") and self.readers)
    @rule(which=PICK)
    def close(self, which: int) -> None:
        reader, body = self.readers.pop(which % len(self.readers))
        assert b"".join(run(reader.read(0, len(body)))) == body
        reader.close()

    @rule(seconds=st.sampled_from([1.0, 30.0, 90.0]))
    def time_passes(self, seconds: float) -> None:
        """Garbage goes; idle data is flushed after a while."""
        self.hall.clock.advance(seconds)
        if seconds > 10:
            self.flush_all()

    @rule()
    def restart(self) -> None:
        run(self.hall.ns.close())
        self.flush_all()
        self.reopen()

    def flush_all(self) -> None:
        for key in self.model.files:
            self.model.flush(key)

    def reopen(self) -> None:
        self.readers = []
        self.hall = self.hall.reopen()

    @rule(point=st.sampled_from(POINTS), nth=st.integers(1, 3), key=KEYS, to=KEYS, body=BODIES, which=PICK)
    def death(self, point: str, nth: int, key: bytes, to: bytes, body: bytes, which: int) -> None:
        """Die in the middle of a change: it is there whole, or not at all; UNSTABLE data is lost."""
        acts: list[tuple[bytes, Callable[[], Any], Callable[[], None]]] = [
            (to, lambda: self.hall.store(to, body, user={}), lambda: self.model.put(to, body, md5_of(body), {}))
        ]
        if key in self.model.files and self.model.files.get(to) is not self.model.files[key]:
            (etag, user), copied = self.shown(key), self.model.files[key].committed
            acts.append((to, lambda: self.hall.copy(key, to), lambda: self.model.put(to, copied, etag, user)))
        if self.model.uploads:
            target, upload = self.pick_upload(which)
            numbers = [number for number in sorted(upload.parts) if len(upload.parts[number][0]) >= PART]
            parts = [upload.parts[number][1] for number in numbers]
            if numbers:
                acts.append(
                    (
                        upload.key,
                        lambda: self.hall.complete(target, parts),
                        lambda: self.model.complete(target.upload_id, numbers),
                    )
                )
        changed, act, expect = acts[which % len(acts)]
        self.die_in(crash_point(point), nth, changed, act, expect)

    def die_in(self, point: Any, nth: int, key: bytes, act: Callable[[], Any], expect: Callable[[], None]) -> None:
        before = self.observe(key)
        point.arm(die, nth)
        acknowledged = False
        try:
            act()
            acknowledged = True
        except Died:
            pass
        finally:
            point.disarm()
        for file in self.model.files.values():
            file.nfs_lost()
        self.reopen()
        assert self.hall.findings() == []
        if acknowledged or self.observe(key) != before:
            expect()  # the invariants compare

    def observe(self, key: bytes) -> Any:
        """Return what tells one PUT of *key* from the next."""
        try:
            info = run(self.hall.ns.head_object(ROOT, "bucket", key, Conditions()))
        except FsError:
            return None
        return info.etag, {row.ino: row.content for row in self.hall.rows(Inode)}

    # ---------------------------------------------------------------- the same as the model

    @invariant()
    def objects_are_the_models(self) -> None:
        if not hasattr(self, "model"):
            return
        listing = run(self.hall.ns.list_objects(ROOT, "bucket", ListRequest())).contents
        assert [info.key for info in listing] == sorted(self.model.files)
        for info in listing:
            file = self.model.files[info.key]
            assert self.hall.read(info.key) == file.committed
            assert (info.size, info.etag) == (len(file.committed), self.shown(info.key)[0])

    @invariant()
    def nfs_sees_its_own(self) -> None:
        for key, file in self.model.files.items() if hasattr(self, "model") else ():
            if b"/" not in key:
                result = run(self.hall.ns.read(ROOT, self.hall.file(key), 0, len(file.data) + 1))
                assert b"".join(result.buffers) == file.data

    @invariant()
    def uploads_are_the_models(self) -> None:
        if not hasattr(self, "model"):
            return
        page = run(self.hall.ns.list_uploads(ROOT, "bucket", UploadListRequest()))
        assert {info.upload_id: info.key for info in page.uploads} == {
            upload_id: upload.key for upload_id, upload in self.model.uploads.items()
        }
        for upload_id, upload in self.model.uploads.items():
            target = UploadTarget("bucket", upload.key, upload_id)
            parts = run(self.hall.ns.list_parts(ROOT, target, 0, 10)).parts
            assert [part.number for part in parts] == sorted(upload.parts)
            assert all(part == upload.parts[part.number][1] for part in parts)

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        try:
            for reader, _ in self.readers:
                reader.close()
            assert self.hall.findings() == []
            self.leave_nothing()
        finally:
            run(self.hall.ns.close())
            self.patches.close()

    def leave_nothing(self) -> None:
        """Delete all there is: after a while no row and no blob may be left."""
        for upload_id, upload in self.model.uploads.items():
            run(self.hall.ns.abort_upload(ROOT, UploadTarget("bucket", upload.key, upload_id)))
        run(self.hall.ns.delete_objects(ROOT, "bucket", [DeleteTarget(key) for key in self.model.files]))
        for _ in range(4):
            self.hall.clock.advance(40)
        assert self.hall.findings() == []
        for kind in (Reclaim, Part):
            assert self.hall.rows(kind) == []
        assert [blob for blob in self.hall.rows(Blob) if blob.refs or not blob.doomed] == []


def _missing(number: int) -> Any:
    return choice(mock.Mock(number=number, etag=b"0" * 32))
