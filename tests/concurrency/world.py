"""A gateway over rooms whose every answer a test lets through by hand, and the histories of what callers were told.

Nothing comes back from the metastore or the body store before a step of the schedule lets it: loads with what they saw
when they began, batches one by one, puts and reads one by one. A *segment* is the time between two losses of memory (a
crash of the process, a refused batch): each begins with what the rooms held at that moment, and what had no answer then
may have happened before it, never after.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import registers
from hall import ROOT, run
from linearizable import NEVER, Op, linearizable, tell

from foundation.aio import Promise, start
from foundation.clock import ManualClock
from foundation.errors import FsError, NoReply, Unavailable
from metastore.memory import MemoryDatabase, MemoryMetaStore
from metastore.records import Inode
from namespace.api import Conditions, CreateMode, ListRequest, PutRequest, SetAttr, Stability
from namespace.service import GatefoldNamespace
from storage_engine.api import BlobId
from storage_engine.memory import MemoryBodyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from namespace.api import FileId

BUCKET = "bucket"
NAMES = (b"a", b"b", b"d/a", b"d/b")
FILES = (b"f", b"g")


class GatedMetaStore(MemoryMetaStore):
    """Loads wait one by one, each with what it saw when it began."""

    def __init__(self, clock: Any, database: MemoryDatabase) -> None:
        super().__init__(clock, database)
        self.gated = False
        self.loads: list[Promise[None]] = []

    async def _after_hold(self, seen: Any) -> Any:
        if self.gated:
            self.loads.append(Promise())
            await self.loads[-1]
        return seen

    @property
    def has_batch(self) -> bool:
        """Tell whether a batch is on its way, sending one if there is one to be sent."""
        self._send()
        return self._in_flight is not None

    def apply_unheard(self) -> None:
        """Make the batch that is on its way durable, and tell nobody: the process dies before it hears of it."""
        assert self._in_flight is not None
        self._database.apply(self._in_flight, self._gateway)


class GatedBodies(MemoryBodyStore):
    """Puts and reads wait one by one, and each put may fail."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.gated = False
        self.puts: list[Promise[None]] = []
        self.reads: list[Promise[None]] = []

    async def put(self, blob: Any, body: Any, origin: Any) -> Any:
        if self.gated:
            self.puts.append(Promise())
            await self.puts[-1]
        return await super().put(blob, body, origin)

    async def read(self, blob: Any, offset: int, length: int) -> Any:
        if self.gated:
            self.reads.append(Promise())
            await self.reads[-1]
        return await super().read(blob, offset, length)


@dataclass
class Record:
    """One operation of a caller."""

    what: str
    on: Any  # "names", or the index of a file
    kind: str
    call: int
    segment: int
    args: tuple[Any, ...] = ()
    ret: int = NEVER
    result: Any = None
    error: str = ""

    @property
    def ended(self) -> bool:
        return self.ret != NEVER


@dataclass
class Segment:
    """What was held when it began, and what was asked since."""

    names: registers.Names
    cells: list[registers.Cells]
    records: list[Record] = field(default_factory=list)
    end: int = NEVER


class World:
    """One bucket with the names of NAMES, to come and go, and FILES, which stay."""

    def __init__(self, cache_bytes: int, *, cold: bool = True) -> None:
        self.database = MemoryDatabase()
        self._cache_bytes = cache_bytes
        self.bodies = GatedBodies(ManualClock())
        self.now = 0
        self.faults: list[str] = []
        self.handles: list[FileId] = []
        self._may_crash = False
        self.open()
        run(self.ns.create_bucket(ROOT, BUCKET))
        self.vol = run(self.ns.head_bucket(ROOT, BUCKET)).vol
        root = run(self.ns.root(self.vol))
        below = run(self.ns.mkdir(ROOT, root, b"d", SetAttr())).file.file
        self.places = ((root, b"a"), (root, b"b"), (below, b"a"), (below, b"b"))
        self.directories = (root, below)
        guarded = CreateMode.GUARDED
        self.files = [run(self.ns.create(ROOT, root, name, guarded, SetAttr(), b"")).file.file for name in FILES]
        self.segments = [Segment(self._durable_names(), self._durable_cells())]
        if cold:
            self.crash(applied=False)

    def open(self) -> None:
        """Start a gateway on what the rooms hold."""
        self.clock = ManualClock(1_700_000_000_000_000_000 + self.now * 1_000_000_000)
        self.bodies.puts, self.bodies.reads, self.bodies.gated = [], [], False
        self.metastore = GatedMetaStore(self.clock, self.database)
        dead = frozenset(self.database.gateways)
        run(self.metastore.register_gateway("test"))
        self.ns = GatefoldNamespace(self.metastore, self.bodies, self.clock, self._cache_bytes, predecessors=dead)
        run(self.ns.open())
        crashed = self.metastore.refused

        def refused(vol: int, error: BaseException) -> None:
            if not self._may_crash:
                self.faults.append(f"the volume crashed: {error!r}")
            crashed(vol, error)

        self.metastore.refused = self.ns._engine.crashed = refused

    def tick(self) -> int:
        self.now += 1
        return self.now

    # ---------------------------------------------------------------- callers

    def ask(self, on: Any, kind: str, work: Coroutine[Any, Any, Any], *args: Any) -> None:
        """Let a caller ask; what it is told is recorded, and must be durable at that moment."""
        record = Record(f"{on} {kind} {args}", on, kind, self.tick(), len(self.segments) - 1, args)
        self.segments[-1].records.append(record)
        start(work).addBoth(self._answered, record)

    def _answered(self, outcome: Any, record: Record) -> None:
        record.ret = self.tick()
        error = getattr(outcome, "value", None) if hasattr(outcome, "raiseException") else None
        if error is not None:
            record.error = type(error).__name__
            if not isinstance(error, (FsError, NoReply)):
                self.faults.append(f"{record.what} raised {error!r}")
        else:
            record.result = outcome
        try:
            if record.segment == len(self.segments) - 1:
                self.check(record.on)
            elif not record.error and record.kind in CHANGES:
                self.faults.append(f"{record.what} was answered after what it changed was lost")
        except Exception as fault:  # noqa: BLE001 - told after the step: a Deferred would swallow it
            self.faults.append(f"at the answer of {record.what}: {fault}")

    def create(self, at: int) -> None:
        directory, name = self.places[at]
        made = self.ns.create(ROOT, directory, name, CreateMode.GUARDED, SetAttr(), b"")
        self.ask("names", "create", self._told(made, lambda made: made.file.file), at)

    def lookup(self, at: int) -> None:
        looked = self.ns.lookup(ROOT, *self.places[at])
        self.ask("names", "lookup", self._told(looked, lambda looked: looked.file.file), at)

    async def _told(self, work: Coroutine[Any, Any, Any], of: Callable[[Any], FileId]) -> int:
        file = of(await work)
        self.handles.append(file)
        return file.ino

    def remove(self, at: int) -> None:
        self.ask("names", "remove", self.ns.remove(ROOT, *self.places[at]), at)

    def rename(self, at: int, to: int) -> None:
        self.ask("names", "rename", self.ns.rename(ROOT, *self.places[at], *self.places[to]), at, to)

    def put_name(self, at: int) -> None:
        self.ask("names", "put", self._put(NAMES[at], b""), at)

    def delete(self, at: int) -> None:
        self.ask("names", "delete", self.ns.delete_object(ROOT, BUCKET, NAMES[at]), at)

    def head(self, at: int) -> None:
        self.ask("names", "head", self.ns.head_object(ROOT, BUCKET, NAMES[at], Conditions()), at)

    def stat(self, which: int) -> None:
        if self.handles:
            file = self.handles[which % len(self.handles)]
            self.ask("names", "stat", self.ns.getattr(ROOT, file), file.ino)

    def readdir(self, which: int) -> None:
        self.ask("names", "readdir", self.ns.readdir(ROOT, self.directories[which], 0, 100), which)

    def list_keys(self) -> None:
        self.ask("names", "list", self.ns.list_objects(ROOT, BUCKET, ListRequest()))

    async def _put(self, key: bytes, body: bytes) -> None:
        session = await self.ns.begin_put(ROOT, BUCKET, PutRequest(key, {}, {}))
        if body:
            await session.write(body)
        await session.finish(b"etag", {})

    def write(self, which: int, cell: int, *, stable: bool) -> None:
        value = self.tick()
        stability = Stability.FILE_SYNC if stable else Stability.UNSTABLE
        data = registers.to_bytes([value])
        kind = "write stable" if stable else "write"
        written = self.ns.write(ROOT, self.files[which], cell * registers.CELL, data, stability)
        self.ask(which, kind, written, cell, value)

    def commit(self, which: int, cells: range | None = None) -> None:
        offset, count = (0, 0) if cells is None else (cells.start * registers.CELL, len(cells) * registers.CELL)
        self.ask(which, "commit", self.ns.commit(ROOT, self.files[which], offset, count), cells)

    def truncate(self, which: int, count: int) -> None:
        change = SetAttr(size=count * registers.CELL)
        self.ask(which, "truncate", self.ns.setattr(ROOT, self.files[which], change, None), count)

    def put(self, which: int, count: int) -> None:
        value = (self.tick(),) * count
        self.ask(which, "put", self._put(FILES[which], registers.to_bytes(value)), value)

    def read(self, which: int) -> None:
        self.ask(which, "read", self._read(self.files[which]))

    async def _read(self, file: FileId) -> registers.Cells:
        result = await self.ns.read(ROOT, file, 0, 1 << 20)
        return registers.to_cells(b"".join(result.buffers))

    def get(self, which: int) -> None:
        self.ask(which, "get", self._get(FILES[which]))

    async def _get(self, key: bytes) -> registers.Cells:
        reader = await self.ns.open_object(ROOT, BUCKET, key, Conditions())
        try:
            return registers.to_cells(b"".join(await reader.read(0, reader.info.size)))
        finally:
            reader.close()

    # ---------------------------------------------------------------- what happens to the gateway

    def refuse_batch(self) -> None:
        """Let the database refuse the batch that is on its way: the incarnation ends."""
        if self.metastore.has_batch:
            self._lose_memory()
            self._may_crash = True
            self.metastore.refuse_next()
            self.metastore.release_batch()
            self._may_crash = False

    def crash(self, *, applied: bool) -> None:
        """Let the process die; *applied*: after its batch became durable and before it heard of it."""
        if applied and self.metastore.has_batch:
            self.metastore.apply_unheard()
        self._lose_memory()
        self.open()

    def _lose_memory(self) -> None:
        segment = self.segments[-1]
        segment.end = self.tick()
        for on in ("names", *range(len(FILES))):
            self.check(on)
            self.check_volatile(on)
        self.segments.append(Segment(self._durable_names(), self._durable_cells()))

    def let_all_through(self) -> None:
        """Let everything that waits end."""
        self.metastore.gated = self.bodies.gated = False
        self.metastore.release_commits()
        for waiting in (self.metastore.loads, self.bodies.puts, self.bodies.reads):
            while waiting:
                waiting.pop(0).resolve(None)
        self.clock.advance(20)

    def findings(self) -> list[Any]:
        """Return what `check` would find wrong, and live blobs that are not held."""

        async def collect() -> list[Any]:
            found: list[Any] = [finding async for finding in self.metastore.audit(self.vol)]
            live = [blob async for blob in self.metastore.live_blobs(self.vol)]
            return found + [blob for blob in live if blob.refs and BlobId(self.vol, blob.id) not in self.bodies.blobs]

        return run(collect())

    # ---------------------------------------------------------------- what the rooms hold

    def _durable_names(self) -> registers.Names:
        names = []
        for directory, name in self.places:
            edge = self.database.children.get((self.vol, directory.ino), {}).get(name)
            names.append(None if edge is None else edge.ino)
        return tuple(names)

    def _durable_cells(self) -> list[registers.Cells]:
        found = []
        for file in self.files:
            image = self.database.rows[Inode][self.vol, file.ino]
            data = bytearray(image.size)
            pieces = [(e.offset, e.length, e.blob, e.blob_offset) for e in self._rows(image)]
            if image.x_length:
                pieces.append((image.x_offset, image.x_length, image.x_blob, image.x_blob_offset))
            for offset, length, blob, blob_offset in pieces:
                body = self.bodies.blobs[BlobId(self.vol, blob)]
                data[offset : offset + length] = body[blob_offset : blob_offset + length]
            found.append(registers.to_cells(bytes(data)))
        return found

    def _rows(self, image: Inode) -> list[Any]:
        return list(self.database.extents.get((self.vol, image.content), {}).values()) if image.extents else []

    # ---------------------------------------------------------------- histories

    def check(self, on: Any) -> None:
        """Raise unless all that callers were told agrees with what a crash at this moment would leave."""
        segment = self.segments[-1]
        now = self.tick()
        if on == "names":
            history = [op for record in segment.records if (op := name_op(record, segment.end)) is not None]
            left, initial = registers.show(dict(enumerate(self._durable_names()))), segment.names
        else:
            history = stored_history([record for record in segment.records if record.on == on], segment.end)
            left, initial = registers.read(self._durable_cells()[on]), segment.cells[on]
        history.append(Op("a crash would leave " + repr(self._left(on)), now, now, True, left))
        if not linearizable(history, initial):
            raise AssertionError(f"no order explains this, from {initial}:\n{tell(history)}")

    def _left(self, on: Any) -> Any:
        return self._durable_names() if on == "names" else self._durable_cells()[on]

    def check_verifiers(self) -> None:
        """Raise if two incarnations gave one write verifier: a COMMIT would promise what the first has lost."""
        seen: set[bytes] = set()
        for segment in self.segments:
            mine = {record.result.verifier for record in segment.records if hasattr(record.result, "verifier")}
            assert not mine & seen, "a write verifier outlived its incarnation"
            seen |= mine

    def check_volatile(self, on: Any) -> None:
        """Raise unless what NFS was shown of a file, UNSTABLE data included, is one order of what was done to it."""
        if on == "names":
            return
        segment = self.segments[-1]
        records = [record for record in segment.records if record.on == on]
        history = [op for record in records if (op := volatile_op(record, segment.end)) is not None]
        if not linearizable(history, segment.cells[on]):
            raise AssertionError(f"no order explains what NFS saw, from {segment.cells[on]}:\n{tell(history)}")


#: What changes something, and so must not be answered once memory was lost.
CHANGES = {"create", "remove", "rename", "put", "delete", "write", "write stable", "truncate", "commit"}
_CERTAIN = {Unavailable.__name__}


def name_op(record: Record, end: int) -> Op | None:
    """Return the operation on names that *record* is; None if it tells nothing."""
    if record.on != "names" or record.error in _CERTAIN:
        return None  # refused before it was planned: it did not happen, and nothing may show that it did
    answered = record.ended and record.ret < end and record.error != NoReply.__name__
    answer = (record.error or "ok") if answered else None
    ret = record.ret if answered else end
    args, result = record.args, record.result
    token = ("token", record.call)
    match record.kind:
        case "create":
            step = registers.create(args[0], answer, result if answer == "ok" else token)
        case "put":
            step = registers.put(args[0], token)
        case "delete":
            step = registers.delete(args[0])
        case "remove":
            step = registers.remove(args[0], answer)
        case "rename":
            step = registers.rename(args[0], args[1], answer)
        case _ if not answered:
            return None
        case "lookup" | "head":
            found = None if answer == "NotFound" else (result if record.kind == "lookup" else True)
            step = registers.show({args[0]: found})
        case "stat":
            step = registers.alive(args[0], answer == "ok")
        case "readdir":
            inos = {entry.name: entry.ino for entry in result.entries}
            step = registers.show({2 * args[0] + at: inos.get(name) for at, name in enumerate((b"a", b"b"))})
        case "list":
            keys = {info.key for info in result.contents}
            step = registers.show({at: (name in keys) or None for at, name in enumerate(NAMES)})
    expected = {"NotFound", "AlreadyExists", "StaleHandle"}
    assert answer in (None, "ok") or answer in expected, f"{record.what} answered {answer}"
    return Op(
        f"{record.what} -> {answer} {result if isinstance(result, int) else ''}", record.call, ret, answered, step
    )


def _change_of(record: Record) -> Any:
    match record.kind:
        case "write" | "write stable":
            return registers.write(*record.args)
        case "truncate":
            return registers.truncate(record.args[0])
        case "put":
            return registers.replace(record.args[0])
    return None


def _did_not_happen(record: Record) -> bool:
    """Tell whether the answer says so: of a WRITE that failed, the data may have been taken all the same."""
    return record.error not in ("", NoReply.__name__) and not record.kind.startswith("write")


def volatile_op(record: Record, end: int) -> Op | None:
    """Return what *record* means for the bytes that NFS sees."""
    answered = record.ended and record.ret < end and not record.error
    if record.kind == "read":
        what = f"{record.what} -> {record.result}"
        return Op(what, record.call, record.ret, True, registers.read(record.result)) if answered else None
    change = _change_of(record)
    if change is None or _did_not_happen(record):
        return None
    return Op(f"{record.what} {record.error}", record.call, record.ret if answered else end, answered, change)


def stored_history(records: list[Record], end: int) -> list[Op]:
    """Return what *records* mean for the bytes that are durable, which are those that S3 sees.

    An UNSTABLE write is done when a COMMIT that began after its answer says so with the same verifier; until then it
    may become durable at any moment, or never.
    """
    history = []
    for record in records:
        answered = record.ended and record.ret < end and not record.error
        ret = record.ret if answered else end
        if record.kind == "get":
            if answered:
                what = f"{record.what} -> {record.result}"
                history.append(Op(what, record.call, ret, True, registers.read(record.result)))
            continue
        change = _change_of(record)
        if change is None or _did_not_happen(record):
            continue
        if record.kind == "write":
            ret = min((each.ret for each in records if answered and _commits(each, record, end)), default=end)
            answered = ret != end
        history.append(Op(f"{record.what} {record.error}", record.call, ret, answered, change))
    return history


def _commits(commit: Record, write: Record, end: int) -> bool:
    """Tell whether *commit* promises that *write* is durable."""
    if commit.kind != "commit" or commit.call < write.ret or not commit.ended or commit.error or commit.ret > end:
        return False
    cells = commit.args[0]
    return commit.result.verifier == write.result.verifier and (cells is None or write.args[0] in cells)
