"""`MemoryMetaStore`: the whole metastore in memory, for models and tests.

Commits are durable at the next `wait`, or when the clock makes its due calls. A test drives the states in between:
`hold_commits` keeps one batch in flight while the next gathers, `release_batch` completes it, `refuse_next` makes it
fail, `hold_loads` keeps loads in flight with the state they saw when they began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from foundation.aio import Promise
from foundation.crash import crash_point
from foundation.errors import BucketExists, BucketNotEmpty, BucketNotFound, NoReply
from metastore.api import GatewayGone, Holding, NumberBlock, VolumeTaken
from metastore.grouping import BatchRefused, CommitBooks, Fenced, Ledger
from metastore.memory.audit import MemoryAudit
from metastore.memory.database import BlobRange, MemoryDatabase
from metastore.memory.garbage import MemoryGarbage
from metastore.memory.history import MemoryHistories
from metastore.memory.loads import MemoryLoads
from metastore.memory.registry import MemoryDirectory
from metastore.records import FIRST_COOKIE, ROOT_INO, Gateway, Inode

if TYPE_CHECKING:
    from foundation.clock import Clock
    from metastore.grouping import Batch
    from metastore.records import (
        Change,
        Volume,
    )

T = TypeVar("T")
# The same points as PostgreSQL's: a model dies at them without a process of its own.
_before_send = crash_point("commit.before_send")
_after_send = crash_point("commit.after_send")
_before_release = crash_point("commit.before_release")
_take_after_commit = crash_point("take_volume.after_commit")
_reserve_after_commit = crash_point("reserve.after_commit")
_release_after_commit = crash_point("release_volume.after_commit")
_renew_after_commit = crash_point("renew.after_commit")

#: The first number of each kind that a new volume may reserve.
_FIRST_NUMBERS = {"ino": ROOT_INO + 1, "cookie": FIRST_COOKIE, "content": 1, "blob": 1}


class MemoryMetaStore(MemoryDirectory, MemoryGarbage, MemoryLoads, MemoryHistories, MemoryAudit, CommitBooks):
    """One gateway's metastore over a `MemoryDatabase`, which other gateways may share."""

    def __init__(self, clock: Clock, database: MemoryDatabase | None = None) -> None:
        """Make a gateway of *database*, or of a new one."""
        self._clock = clock
        self._database = database or MemoryDatabase()
        self._ledger = Ledger()
        self._gateway = 0
        self._in_flight: Batch | None = None
        self._flush_is_due = False
        self._commits_held = False
        self._held_loads: list[Promise[None]] | None = None
        self._held_renewals: list[Promise[None]] | None = None
        self._refusal: BaseException | None = None

    @property
    def database(self) -> MemoryDatabase:
        """Return what a further gateway has to share, and what a test may look into."""
        return self._database

    # -- what tests drive ---------------------------------------------------------------------------------------

    def hold_commits(self) -> None:
        """Keep the next batch in flight; Changes that come meanwhile gather in the one after it."""
        self._commits_held = True

    def release_batch(self) -> bool:
        """Complete the batch in flight and send the next one; return whether there was any."""
        self._send()
        batch = self._in_flight
        if batch is None:
            return False
        self._complete(batch)
        self._send()
        return True

    def release_commits(self) -> None:
        """Let commits through again, beginning with what was held."""
        self._commits_held = False
        self._flush()

    def refuse_next(self, error: BaseException | None = None) -> None:
        """Refuse the next batch that would complete."""
        self._refusal = error or BatchRefused("refused on demand")

    def hold_loads(self) -> None:
        """Let loads and pages wait with what they saw when they began."""
        self._held_loads = self._held_loads or []

    def release_loads(self) -> None:
        """Let every held load return, in order of arrival."""
        held, self._held_loads = self._held_loads or [], None
        for promise in held:
            promise.resolve(None)

    def hold_renewals(self) -> None:
        """Let renewals wait: each before its beat is written, and again before its answer arrives."""
        self._held_renewals = self._held_renewals or []

    def step_renewals(self) -> None:
        """Let each held renewal go one step further: to the database, or back to its caller."""
        held, self._held_renewals = self._held_renewals or [], []
        for promise in held:
            promise.resolve(None)

    def release_renewals(self) -> None:
        """Let renewals through again."""
        held, self._held_renewals = self._held_renewals or [], None
        for promise in held:
            promise.resolve(None)

    async def _after_renewal_hold(self) -> None:
        if self._held_renewals is not None:
            promise: Promise[None] = Promise()
            self._held_renewals.append(promise)
            await promise

    # -- open and close -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Be ready: there is nothing to connect to."""

    async def close(self) -> None:
        """Finish what is queued."""
        self._flush()
        self._database.connected.discard(self._gateway)

    # -- commits ------------------------------------------------------------------------------------------------

    def commit(self, change: Change) -> int:
        """Queue *change* and return its batch's number."""
        number = self._ledger.add(change)
        if self._commits_held:
            self._send()
        elif not self._flush_is_due:
            self._flush_is_due = True
            self._clock.call_later(0, self._flush)
        return number

    async def wait(self, vol: int, batch: int) -> None:
        """Return when *batch* is durable; raise NoReply if it was lost."""
        self._flush()
        await self._ledger.wait(vol, batch)

    def _flush(self) -> None:
        self._flush_is_due = False
        self._send()
        while self._in_flight is not None and not self._commits_held:
            self._complete(self._in_flight)
            self._send()

    def _send(self) -> None:
        if self._in_flight is None:
            self._in_flight = self._ledger.next_batch()

    def _complete(self, batch: Batch) -> None:
        refusal, self._refusal = self._refusal, None
        _before_send()
        try:
            if refusal is not None:
                raise refusal
            self._database.apply(batch, self._gateway)
            _after_send()
        except BatchRefused as error:
            self._in_flight = None
            self._ledger.refuse(batch, error)
        else:
            self._in_flight = None
            _before_release()
            self._ledger.settle(batch)

    # -- numbers ------------------------------------------------------------------------------------------------

    async def reserve(self, vol: int, kind: str, count: int) -> NumberBlock:
        """Reserve *count* numbers of *kind*; raise NoReply if fenced."""
        if kind not in {"ino", "cookie", "content"}:
            raise ValueError(f"no such kind of number: {kind}")
        self._own_epoch(vol)
        return self._advance(vol, kind, count)

    async def reserve_blobs(self, vol: int, count: int) -> NumberBlock:
        """Reserve *count* blob ids for this gateway's epoch of *vol*; raise NoReply if fenced."""
        epoch = self._own_epoch(vol)
        first = self._database.marks[vol, "blob"]
        self._database.ranges.append(BlobRange(vol, first, first + count - 1, self._gateway, epoch))
        return self._advance(vol, "blob", count)

    def _advance(self, vol: int, kind: str, count: int) -> NumberBlock:
        first = self._database.marks[vol, kind]
        self._database.marks[vol, kind] = first + count
        _reserve_after_commit()
        return NumberBlock(first, first + count - 1)

    def _own_epoch(self, vol: int) -> int:
        """Return the epoch at which this gateway serves *vol*; raise NoReply unless the database agrees."""
        epoch = self._ledger.epochs.get(vol)
        if epoch is None:
            raise NoReply(f"volume {vol} is not served")
        try:
            self._database.fence(vol, self._gateway, epoch)
        except Fenced as error:
            raise NoReply(str(error)) from error
        return epoch

    # -- volumes ------------------------------------------------------------------------------------------------

    async def register_gateway(self, name: str, address: str = "") -> Gateway:
        """Add a row for this run and act under its number from now on."""
        database = self._database
        gateway = Gateway(database.next_gateway, name, self._clock.now_ns(), address)
        database.next_gateway += 1
        database.gateways[gateway.id] = gateway
        self._gateway = gateway.id
        self._database.connected.add(gateway.id)
        return gateway

    @property
    def gateway_id(self) -> int:
        """Return the number under which this run acts; 0 before it has one."""
        return self._gateway

    def _own_row(self) -> Gateway:
        """Return the row of this run; raise GatewayGone."""
        row = self._database.gateways.get(self._gateway)
        if row is None or row.beat < 0:
            raise GatewayGone(f"gateway {self._gateway} has no living row")
        return row

    async def renew(self) -> None:
        """Add one to this run's beat; raise GatewayGone."""
        await self._after_renewal_hold()
        row = self._own_row()
        self._database.gateways[row.id] = replace(row, beat=row.beat + 1)
        _renew_after_commit()
        await self._after_renewal_hold()

    async def gateways(self) -> list[Gateway]:
        """Return every run that has a row, by id."""
        return [self._database.gateways[each] for each in sorted(self._database.gateways)]

    async def end_gateway(self) -> None:
        """Mark this run as ended."""
        row = self._database.gateways.get(self._gateway)
        if row is not None:
            self._database.gateways[row.id] = replace(row, beat=-1)

    async def forget_gateway(self, gateway: Gateway) -> bool:
        """Remove a dead run's row if it holds nothing and its beat stood still."""
        row = self._database.gateways.get(gateway.id)
        holds = any(volume.holder == gateway.id for volume in self._database.volumes.values())
        if row is None or row.beat != gateway.beat or holds:
            return False
        del self._database.gateways[gateway.id]
        return True

    async def connected_gateways(self) -> list[Gateway]:
        """Return the other gateways that are connected, by number."""
        others = self._database.connected - {self._gateway}
        return [gateway for gateway in await self.gateways() if gateway.id in others]

    async def volumes(self) -> list[Volume]:
        """Return every volume, by name."""
        return sorted(self._database.volumes.values(), key=lambda volume: volume.name)

    async def volumes_elsewhere(self) -> list[Volume]:
        """Return the volumes that this gateway does not hold, by name."""
        return [volume for volume in await self.volumes() if volume.holder != self._gateway]

    async def create_volume(self, volume: Volume, root: Inode) -> Volume:
        """Add *volume* with its *root*, held by this gateway; raise BucketExists."""
        database = self._database
        if any(each.name == volume.name for each in database.volumes.values()):
            raise BucketExists(volume.name)
        vol, database.next_vol = database.next_vol, database.next_vol + 1
        made = replace(volume, vol=vol, holder=self._gateway, epoch=1)
        database.volumes[vol] = made
        database.marks.update({(vol, kind): first for kind, first in _FIRST_NUMBERS.items()})
        database.put(replace(root, vol=vol))
        self._ledger.serve(vol, 1)
        return made

    async def drop_volume(self, vol: int) -> None:
        """Delete an empty volume; raise BucketNotEmpty, or NoReply if fenced."""
        await self.wait(vol, self._ledger.last)
        self._own_epoch(vol)
        if (vol, ROOT_INO) in self._database.children or (vol, ROOT_INO) in self._database.histories:
            raise BucketNotEmpty(f"volume {vol}")
        self._ledger.leave(vol)
        self._database.remove_volume(vol, self._clock.now_ns())

    async def change_settings(self, vol: int, changes: dict[str, str]) -> Volume:
        """Set *changes* among the settings of *vol*; raise NoReply if fenced."""
        self._own_epoch(vol)
        old = self._database.volumes[vol]
        changed = self._database.volumes[vol] = replace(old, settings={**old.settings, **changes})
        return changed

    async def volume_of(self, vol: int) -> Volume | None:
        """Return the row of *vol* as it is now."""
        return self._database.volumes.get(vol)

    async def volume_named(self, name: str) -> Volume | None:
        """Return the row of the volume *name* as it is now."""
        return next((each for each in self._database.volumes.values() if each.name == name), None)

    async def take_volume(self, vol: int, holder: int, epoch: int) -> Holding:
        """Become the holder if *holder* holds *vol* at *epoch*; raise VolumeTaken, BucketNotFound or GatewayGone."""
        old = self._database.volumes.get(vol)
        if old is None or old.holder != self._gateway:
            self._ledger.leave(vol)
        if old is None:
            raise BucketNotFound(f"volume {vol}")
        self._own_row()
        if (old.holder, old.epoch) != (holder, epoch):
            raise VolumeTaken(f"volume {vol} is held by gateway {old.holder} at epoch {old.epoch}")
        taken = replace(old, holder=self._gateway, epoch=old.epoch + 1)
        self._database.volumes[vol] = taken
        _take_after_commit()
        self._ledger.leave(vol)
        self._ledger.serve(vol, taken.epoch)
        return Holding(taken, tuple(self._database.replies.get(vol, ())))

    async def release_volume(self, vol: int) -> None:
        """Hold *vol* no more, once all that was committed is durable."""
        epoch = self._ledger.epochs.get(vol)
        if epoch is None:
            return
        await self.wait(vol, self._ledger.last)
        row = self._database.volumes.get(vol)
        if row is not None and (row.holder, row.epoch) == (self._gateway, epoch):
            self._database.volumes[vol] = replace(row, holder=0)
        _release_after_commit()
        self._ledger.leave(vol)

    # -- loads and pages ----------------------------------------------------------------------------------------

    async def _after_hold(self, seen: T) -> T:
        """Return what was *seen*, when loads are let through."""
        if self._held_loads is not None:
            promise: Promise[None] = Promise()
            self._held_loads.append(promise)
            await promise
        return seen
