"""The object verbs over PostgreSQL and real storage nodes: rows, references and bytes as the memory twins have them."""

from __future__ import annotations

import os
import random

import pytest
from object_hall import PART, choice, md5_of
from postgres_server import migrated_dsn, postgres  # noqa: F401
from storage_nodes import CLOCK, Nodes, drive
from twisted.internet import reactor

from foundation.errors import NotFound, PreconditionFailed, UploadNotFound
from metastore.postgres import PgMetaStore
from namespace.api import (
    Caller,
    Completion,
    Conditions,
    CopyDirectives,
    CopySource,
    CreateMode,
    DeleteTarget,
    PutRequest,
    SetAttr,
    Stability,
    UploadListRequest,
    UploadRequest,
    UploadTarget,
)
from namespace.service import GatefoldNamespace

ROOT = Caller(0, 0, account="owner")
FIRST_PORT = int(os.environ.get("GATEFOLD_TEST_PORTS", "22000-22999").split("-")[0])


class PgHall:
    """One gateway on a database and nodes that others may share."""

    def __init__(self, dsn, bodies, name):
        self.bodies = bodies
        self.metastore = PgMetaStore(reactor, dsn, CLOCK, name)
        drive(self.metastore.open())
        dead = frozenset(gateway.id for gateway in drive(self.metastore.gateways()))
        drive(self.metastore.register_gateway(name))
        self.ns = GatefoldNamespace(self.metastore, bodies, CLOCK, predecessors=dead)
        drive(self.ns.open())

    def close(self):
        drive(self.ns.close())
        drive(self.metastore.close())

    def put(self, key, body, bucket="bucket", conditions=None):
        request = PutRequest(key, {}, {"mtime": "1.5"}, conditions or Conditions())
        session = drive(self.ns.begin_put(ROOT, bucket, request))
        drive(session.write(body))
        return drive(session.finish(md5_of(body), {}))

    def read(self, key, bucket="bucket"):
        reader = drive(self.ns.open_object(ROOT, bucket, key, Conditions()))
        try:
            step = 3 << 20
            pieces = [
                bytes(buffer)
                for at in range(0, reader.info.size, step)
                for buffer in drive(reader.read(at, min(step, reader.info.size - at)))
            ]
            return b"".join(pieces)
        finally:
            reader.close()

    def findings(self, vol):
        async def collect():
            found = [finding async for finding in self.metastore.audit(vol)]
            held = {copy.blob.id async for copy in self.bodies.inventory(vol, verify=True) if copy.sound}
            live = [blob async for blob in self.metastore.live_blobs(vol)]
            return found + [blob for blob in live if blob.refs and blob.id not in held]

        return drive(collect())


@pytest.fixture
def bodies(tmp_path):
    nodes = Nodes(tmp_path, FIRST_PORT + 10)
    nodes.start()
    store = nodes.body_store()
    drive(store.open())
    yield store
    drive(store.close())
    nodes.stop()


@pytest.fixture
def hall(migrated_dsn, bodies):
    hall = PgHall(migrated_dsn, bodies, "first")
    drive(hall.ns.create_bucket(ROOT, "bucket"))
    drive(hall.ns.create_bucket(ROOT, "other"))
    yield hall
    hall.close()


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("namespace.contents.CHUNK", 2)
    monkeypatch.setattr("namespace.assembling._PAGE", 2)
    monkeypatch.setattr("namespace.copying.FEW", 1)
    monkeypatch.setattr("namespace.snapshot.WINDOW", 2)


@pytest.mark.usefixtures("small_chunks")
def test_the_object_verbs_over_postgresql_and_nodes(hall, migrated_dsn, bodies):
    ns = hall.ns
    vol = drive(ns.head_bucket(ROOT, "bucket")).vol
    body = random.Random(1).randbytes(18 << 20)
    made = hall.put(b"d/a", body)

    # copies: by reference in chunks, onto itself, as bytes into another bucket
    for bucket, key in (("bucket", b"b"), ("other", b"c")):
        request = PutRequest(key, {}, {})
        info = drive(ns.copy_object(ROOT, CopySource("bucket", b"d/a"), bucket, request, CopyDirectives()))
        assert (info.etag, info.user) == (made.etag, {"mtime": "1.5"})
    request = PutRequest(b"b", {}, {"new": "1"})
    drive(ns.copy_object(ROOT, CopySource("bucket", b"b"), "bucket", request, CopyDirectives(metadata=True)))
    assert drive(ns.head_object(ROOT, "bucket", b"b", Conditions())).user == {"new": "1"}
    with pytest.raises(PreconditionFailed):
        hall.put(b"b", b"x", conditions=Conditions(if_none_match=(b"*",)))

    # a reader goes on through an NFS write and a PUT
    reader = drive(ns.open_object(ROOT, "bucket", b"b", Conditions()))
    root = drive(ns.root(vol))
    file = drive(ns.lookup(ROOT, root, b"b")).file.file
    drive(ns.write(ROOT, file, 5 << 20, b"NFS WAS HERE", Stability.FILE_SYNC))
    changed = body[: 5 << 20] + b"NFS WAS HERE" + body[(5 << 20) + 12 :]
    assert hall.read(b"b") == changed
    assert drive(ns.head_object(ROOT, "bucket", b"b", Conditions())).etag.endswith(b"-1")
    hall.put(b"b", b"short")
    got = b"".join(bytes(each) for each in drive(reader.read(4 << 20, 4 << 20)))
    assert got == body[4 << 20 : 8 << 20]
    reader.close()

    # an upload: parts, a part sent again, a part copied, a completion in chunks
    upload_id = drive(ns.create_upload(ROOT, "bucket", UploadRequest(b"m", {}, {"u": "1"}))).upload_id
    target = UploadTarget("bucket", b"m", upload_id)
    parts = []
    for number, piece in ((1, b"old"), (1, body[:PART]), (2, body[PART : 2 * PART + 1])):
        session = drive(ns.begin_part(ROOT, target, number))
        drive(session.write(piece))
        parts.append(drive(session.finish(md5_of(piece), {})))
    source = CopySource("bucket", b"d/a", start=2 * PART + 1, end=len(body))
    parts.append(drive(ns.copy_part(ROOT, target, 3, source)))
    assert drive(ns.list_parts(ROOT, target, 0, 10)).parts == tuple(parts[1:])
    assert len(drive(ns.list_uploads(ROOT, "bucket", UploadListRequest())).uploads) == 1

    # another gateway takes over between the parts and their completion
    other = PgHall(migrated_dsn, bodies, "second")
    try:
        ns = other.ns
        done = drive(ns.complete_upload(ROOT, target, Completion([choice(part) for part in parts[1:]], Conditions())))
        assert (done.size, done.user) == (len(body), {"u": "1"})
        assert other.read(b"m") == body
        with pytest.raises(UploadNotFound):
            drive(ns.abort_upload(ROOT, target))
        sources = [CopySource("bucket", b"m", start=7, end=6 << 20), CopySource("bucket", b"b")]
        drive(ns.compose(ROOT, "bucket", PutRequest(b"composed", {}, {}), sources))
        assert other.read(b"composed") == body[7 : 6 << 20] + b"short"
        assert other.read(b"c", "other") == body
        assert other.findings(vol) == []

        # all of it goes, with what it referenced
        for volume in ns._volumes.every():
            drive(ns._duties.collect(volume))
        assert drive(other.metastore.load_upload(vol, upload_id)) is None
        assert other.read(b"m") == body
        keys = [DeleteTarget(key) for key in (b"d/a", b"b", b"m", b"composed", b"missing")]
        assert [each.error for each in drive(ns.delete_objects(ROOT, "bucket", keys))] == [None] * 5
        with pytest.raises(NotFound):
            drive(ns.head_object(ROOT, "bucket", b"m", Conditions()))
        for volume in ns._volumes.every():
            drive(ns._duties.collect(volume))
        assert other.findings(vol) == []

        async def live():
            return [blob async for blob in other.metastore.live_blobs(vol)]

        assert drive(live()) == []
        drive(ns.create(ROOT, drive(ns.root(vol)), b"f", CreateMode.GUARDED, SetAttr(), b""))
    finally:
        other.close()
