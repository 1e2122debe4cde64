"""The namespace over memory rooms and a clock that tests move: no socket, no database, no reactor."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from foundation.aio import start
from foundation.clock import ManualClock
from metastore.memory import MemoryDatabase, MemoryMetaStore
from metastore.records import ROOT_INO
from namespace.api import Caller, Conditions, FileId, PutRequest
from namespace.audit import audit_edge
from namespace.service import GatefoldNamespace
from storage_engine.memory import MemoryBodyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from twisted.internet.defer import Deferred

T = TypeVar("T")
ROOT = Caller(0, 0, account="owner")


#: Turns a reactor once, where the rooms are real; None: nothing outside is waited for.
_turn: Callable[[], object] | None = None
_PATIENCE_SECONDS = 60.0


@contextmanager
def turned_by(turn: Callable[[], object]) -> Iterator[None]:
    """Let `run` call *turn* until its coroutine has ended: for rooms that need a reactor."""
    global _turn  # noqa: PLW0603 - the machines import `run` by name
    before, _turn = _turn, turn
    try:
        yield
    finally:
        _turn = before


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what *work* returns or raise what it raises; it must end without waiting for anything outside."""
    outcome: list[Any] = []
    start(work).addBoth(outcome.append)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not outcome and _turn is not None and time.monotonic() < deadline:
        _turn()
    assert outcome, "the operation still waits"
    result = outcome[0]
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


def begin(work: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Start *work*, which may wait; look at `.result` for its end."""
    return start(work)


def database_root(database: MemoryDatabase, vol: int) -> int:
    """Return the generation of a volume's root directory."""
    return next(inode.gen for inode in database.inodes(vol) if inode.ino == ROOT_INO)


class MemoryHall:
    """A namespace with one bucket, `bucket`, owned by ROOT."""

    def __init__(
        self,
        database: MemoryDatabase | None = None,
        bodies: MemoryBodyStore | None = None,
        predecessors: frozenset[int] = frozenset(),
    ) -> None:
        self.clock = ManualClock()
        self.database = database or MemoryDatabase()
        self.bodies = bodies or MemoryBodyStore(self.clock)
        self.metastore = MemoryMetaStore(self.clock, self.database)
        run(self.metastore.open())
        run(self.metastore.register_gateway("test", "127.0.0.1:1"))
        self.ns = GatefoldNamespace(self.metastore, self.bodies, self.clock, predecessors=predecessors)
        run(self.ns.open())
        if database is None:
            run(self.ns.create_bucket(ROOT, "bucket"))
        self.vol = run(self.ns.head_bucket(ROOT, "bucket")).vol
        self.root = FileId(self.vol, ROOT_INO, database_root(self.database, self.vol))

    def reopen(self) -> Self:
        """Return the hall of a gateway that follows all before it, which have died: it takes the volumes over."""
        return type(self)(self.database, self.bodies, frozenset(self.database.gateways))

    def second(self) -> MemoryHall:
        """Return the hall of another gateway on the same database and nodes, while this one lives."""
        return MemoryHall(self.database, self.bodies)

    def put(self, key: bytes, body: bytes, caller: Caller = ROOT, conditions: Conditions | None = None) -> Any:
        """PUT an object and return its info; some bodies come with user metadata, some with a checksum."""
        user = {"n": str(len(body))} if len(body) % 2 else {}
        request = PutRequest(key, {}, user, conditions or Conditions())
        session = run(self.ns.begin_put(caller, "bucket", request))
        run(session.write(body))
        return run(session.finish(b"etag%d" % len(body), {"crc32": "AAAA"} if len(body) % 3 else {}))

    def get(self, key: bytes, caller: Caller = ROOT) -> bytes:
        """GET an object's bytes."""
        reader = run(self.ns.open_object(caller, "bucket", key, Conditions()))
        try:
            return b"".join(run(reader.read(0, reader.info.size)))
        finally:
            reader.close()

    def findings(self) -> list[Any]:
        """Return what `check` would find wrong: the metastore's audit, and live blobs that have no sound copy."""

        async def collect() -> list[Any]:
            found: list[Any] = [finding async for finding in self.metastore.audit(self.vol)]
            held = {copy.blob.id async for copy in self.bodies.inventory(self.vol, verify=True) if copy.sound}
            live = [blob async for blob in self.metastore.live_blobs(self.vol)]
            names = [audit_edge(audited) async for audited in self.metastore.edges(self.vol)]
            found += [broken for broken in names if broken is not None]
            found += [("blob without a copy", blob) for blob in live if blob.refs and blob.id not in held]
            return found

        return run(collect())
