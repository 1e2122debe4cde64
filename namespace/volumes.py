"""Which volumes this gateway serves, how it gets them, and how one gets a new incarnation after it crashed.

A volume's holder is looked up, never assumed. What nobody holds, or a dead gateway (`namespace.holders`), is taken: at
`open`, when a request asks for it, and by a look round every second. What a living one holds is refused as
`HeldElsewhere`. At most one attempt to get a volume is under way, and whoever needs the volume waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.aio import Promise, Semaphore, gather, pause, spawn, within
from foundation.crash import crash_point
from foundation.errors import BucketNotFound, FsError, HeldElsewhere, NoReply, StaleHandle, Unavailable
from foundation.log import Logger
from metastore.api import VolumeTaken
from namespace.holders import GatewayState
from namespace.volume import VolumeState

if TYPE_CHECKING:
    from collections.abc import Callable

    from foundation.clock import Clock, Timer
    from metastore.api import Holding, MetaStore
    from metastore.records import Inode, Reply, Volume
    from namespace.holders import Holders
    from namespace.lease import Lease
    from namespace.memory import Memory
    from storage_engine.api import BodyStore

_log = Logger()
_taken = crash_point("volumes.after_take")
_released = crash_point("volumes.after_release")
#: How long to wait before a volume is taken again after an attempt failed, in seconds.
RETAKE_SECONDS = 0.5
#: How long a request waits for its volume before it is told to come again, in seconds.
PATIENCE_SECONDS = 10.0
#: How long after it is taken a volume is asked for replies of those who served it before, in seconds: Linux connects
#: anew at least every 60 s, and sends again at once what was not answered.
REPLY_SECONDS = 120.0
#: Volumes that are taken side by side: a gateway that died may have held thousands.
TAKEN_TOGETHER = 16


class Volumes:
    """The volumes by number and by name."""

    def __init__(
        self, metastore: MetaStore, bodies: BodyStore, clock: Clock, lease: Lease, holders: Holders, memory: Memory
    ) -> None:
        """Serve what `open` and the looks round take, which share *memory* for their caches."""
        self._metastore = metastore
        self._bodies = bodies
        self._clock = clock
        self._lease = lease
        self._holders = holders
        self._memory = memory
        self._by_number: dict[int, VolumeState] = {}
        self._by_name: dict[str, VolumeState] = {}
        self._arriving: dict[int, Promise[None]] = {}  # volumes that are being taken, or dropped
        #: Open reads of volumes that are not served now: the next incarnation keeps their blobs.
        self._readers: dict[int, dict[object, int]] = {}
        self._making: dict[str, Promise[None]] = {}  # names of volumes that are being made
        self._places = Semaphore(TAKEN_TOGETHER)
        self._timer: Timer | None = None
        self._watching = False
        self._closed = False
        #: Called with a volume that another gateway held before: there may be garbage of it on the nodes.
        self.taken_over: Callable[[VolumeState], object] = lambda _volume: None

    async def open(self) -> None:
        """Begin the lease, take every volume that is free, and look round from now on."""
        self._metastore.refused = self.crashed
        self._lease.lapsed = self._lapsed
        await self._lease.begin()
        await gather(_settled(self._bring(row.vol)) for row in await self._metastore.volumes())
        self._watch_later()

    async def close(self) -> None:
        """Give every volume back, and take none any more; nothing may be asked of them by now."""
        self._closed = True
        self._lease.end()
        if self._timer is not None:
            self._timer.cancel()
        await gather(_settled(arrival) for arrival in list(self._arriving.values()))
        try:
            await gather(self._release(volume) for volume in self.every())
            await self._metastore.end_gateway()
        except FsError as error:
            _log.warn("what is not given back is taken when the lease has run out: {error}", error=error)

    async def _release(self, volume: VolumeState) -> None:
        self._forget(volume)
        try:
            await self._metastore.release_volume(volume.vol)
        except NoReply as error:
            _log.warn("volume {name} is not given back: {error}", name=volume.row.name, error=error)
        _released()

    # ------------------------------------------------------------------ look-up

    def every(self) -> list[VolumeState]:
        """Return all volumes that are served here, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    async def numbered(self, vol: int, request: bytes = b"") -> VolumeState:
        """Return the volume a handle names; raise StaleHandle, HeldElsewhere, or Unavailable when it takes too long.

        Whether a *request* that must not run twice was done, only the volume knows: for one, what another gateway
        holds is waited for, as it may be dying, and NoReply is raised for Unavailable.
        """
        volume = self._by_number.get(vol)
        if volume is not None:
            return volume
        try:
            return await (self._awaited(vol) if request else self._sought(vol))
        except BucketNotFound as error:
            raise StaleHandle("no such volume") from error

    async def named(self, name: str) -> VolumeState:
        """Return the bucket *name*; raise BucketNotFound, HeldElsewhere, or Unavailable when it takes too long."""
        volume = self._by_name.get(name)
        if volume is not None:
            return volume
        row = await self._metastore.volume_named(name)
        if row is None:
            raise BucketNotFound(name)
        return await self._sought(row.vol)

    async def row(self, name: str) -> Volume:
        """Return the row of the bucket *name*, whoever holds it; raise BucketNotFound."""
        self._lease.look()
        volume = self._by_name.get(name)
        if volume is not None:
            return volume.row
        row = await self._metastore.volume_named(name)
        if row is None:
            raise BucketNotFound(name)
        return row

    def is_elsewhere(self, row: Volume) -> bool:
        """Tell whether another gateway, be it alive or not, holds the volume of *row*, which was just read."""
        return row.vol not in self._by_number and row.holder not in (0, self._metastore.gateway_id)

    async def name(self, vol: int) -> str:
        """Return the name of the volume *vol*, whoever holds it; raise StaleHandle. It never has another."""
        volume = self._by_number.get(vol)
        row = await self._metastore.volume_of(vol) if volume is None else volume.row
        if row is None:
            raise StaleHandle("no such volume")
        return row.name

    async def _sought(self, vol: int) -> VolumeState:
        """Take *vol*, or wait for who does."""
        while (volume := self._by_number.get(vol)) is None:
            arrival = _outcome(self._bring(vol))
            if not await within(self._clock, PATIENCE_SECONDS, arrival):
                raise Unavailable("the volume is being taken")
        return volume

    async def _awaited(self, vol: int) -> VolumeState:
        """Wait for *vol* as long as its holder may be dying; raise HeldElsewhere when it evidently lives."""
        give_up = self._clock.boottime_seconds() + PATIENCE_SECONDS
        while True:
            try:
                return await self._sought(vol)
            except Unavailable as error:
                raise NoReply("whether the request was done is not known yet") from error
            except HeldElsewhere:
                if self._closed or self._clock.boottime_seconds() >= give_up:
                    raise
                await pause(self._clock, RETAKE_SECONDS)

    async def gateways(self) -> list[GatewayState]:
        """Return every gateway there is a row of, and the names of the volumes that each holds."""
        rows = await self._metastore.volumes()
        sight = await self._holders.look()
        me = self._metastore.gateway_id
        return [
            GatewayState(
                gateway.id,
                gateway.name,
                gateway.address,
                alive=gateway.id == me or not sight.is_free(gateway.id),
                volumes=tuple(row.name for row in rows if row.holder == gateway.id),
            )
            for gateway in sight.rows.values()
        ]

    # ------------------------------------------------------------------ taking

    def _bring(self, vol: int) -> Promise[None]:
        """Begin to take *vol* unless that is under way; the promise fails with the reason why it is not served."""
        arrival = self._arriving.get(vol)
        if arrival is None:
            arrival = self._arriving[vol] = Promise()
            spawn(f"take volume {vol}", self._arrive(vol, arrival))
        return arrival

    async def _arrive(self, vol: int, arrival: Promise[None]) -> None:
        refusal: BaseException | None = None
        while True:
            try:
                await self._claim(vol)
            except VolumeTaken:
                continue  # somebody was faster: see who
            except (BucketNotFound, HeldElsewhere, NoReply) as error:
                refusal = error
            except Exception as error:  # noqa: BLE001 - whatever it is, the volume is no use before it is taken
                _log.error("volume {vol} could not be taken: {error}", vol=vol, error=error)
                if not self._closed:
                    await pause(self._clock, RETAKE_SECONDS)
                    continue
                refusal = NoReply("the gateway is stopping")
            else:
                if vol not in self._by_number:
                    continue  # it crashed as soon as it was served
            break
        del self._arriving[vol]
        if refusal is None:
            arrival.resolve(None)
        else:
            arrival.fail(refusal)

    async def _claim(self, vol: int) -> None:
        """Take *vol* if it is free and serve it from an empty cache.

        Raise BucketNotFound, HeldElsewhere, VolumeTaken when another was faster, NoReply when this gateway stops.
        """
        term = await self._lease.held()
        async with self._places:
            row = await self._metastore.volume_of(vol)
            if row is None:
                raise BucketNotFound(f"volume {vol}")
            if (making := self._making.get(row.name)) is not None:
                await making
                if vol in self._by_number:
                    return
                raise VolumeTaken("it has just been made")
            if row.holder not in (0, self._metastore.gateway_id):
                sight = await self._holders.look()  # after the row was read: see `holders`
                if not sight.is_free(row.holder):
                    raise HeldElsewhere(sight.address_of(row.holder))
            holding = await self._metastore.take_volume(vol, row.holder, row.epoch)
            _taken()
        if self._closed:
            await self._metastore.release_volume(vol)
            raise NoReply("the gateway is stopping")
        if not self._lease.holds(term):
            raise VolumeTaken("the lease ran out meanwhile: others may have taken it since")
        self._serve(holding, row.holder)

    def _serve(self, holding: Holding, before: int) -> None:
        """Serve the volume that was just taken from the holder *before*."""
        row = holding.volume
        volume = self._adopt(row)
        self._remember(volume, holding.replies)
        spawn(f"close epochs of {row.name}", self._bodies.close_epochs(row.vol, row.epoch))
        if before != row.holder:
            _log.info("volume {name} is taken at epoch {epoch}", name=row.name, epoch=row.epoch)
            self.taken_over(volume)

    def _remember(self, volume: VolumeState, replies: tuple[Reply, ...]) -> None:
        """Let *volume* know what was done already, for as long as anybody may ask again."""
        if replies:
            volume.replies = {each.key: each.reply for each in replies}
            timer = self._clock.call_later(REPLY_SECONDS, volume.replies.clear)
            volume.at_end(lambda _: timer.cancel())

    def _adopt(self, row: Volume) -> VolumeState:
        volume = VolumeState(row, self._memory, lambda: self._metastore.durable)
        volume.readers = self._readers.pop(row.vol, volume.readers)
        self._by_number[row.vol] = self._by_name[row.name] = volume
        return volume

    def _forget(self, volume: VolumeState) -> None:
        """Serve *volume* no more."""
        volume.dead = True
        if self._by_number.get(volume.vol) is volume:
            del self._by_number[volume.vol], self._by_name[volume.row.name]
            if volume.readers:
                self._readers[volume.vol] = volume.readers

    # ------------------------------------------------------------------ made and dropped

    async def make(self, row: Volume, root: Inode) -> Volume:
        """Make a volume and serve it; raise BucketExists."""
        term = await self._lease.held()
        while row.name in self._making:
            await self._making[row.name]
        made = self._making[row.name] = Promise()
        try:
            new = await self._metastore.create_volume(row, root)
            if self._lease.holds(term):  # else it is taken like any other, when somebody asks for it
                self._adopt(new)
        finally:
            del self._making[row.name]
            made.resolve(None)
        return new

    async def drop(self, volume: VolumeState) -> None:
        """Delete an empty volume for good; raise BucketNotEmpty, and serve it on."""
        # From here on nobody finds the volume, so nothing can come into it before it is dropped.
        self._forget(volume)
        dropped = self._arriving[volume.vol] = Promise()
        try:
            await self._metastore.drop_volume(volume.vol)
        except BaseException:
            del self._arriving[volume.vol]
            self._bring(volume.vol)
            dropped.resolve(None)
            raise
        del self._arriving[volume.vol]
        dropped.resolve(None)

    # ------------------------------------------------------------------ after a crash, and when others change

    def crashed(self, vol: int, error: BaseException) -> None:
        """End the incarnation: its cache, numbers and verifier go, and the volume is taken anew."""
        volume = self._by_number.get(vol)
        if volume is None:
            return
        _log.error("volume {name} crashed: {error}", name=volume.row.name, error=error)
        self._forget(volume)
        if not self._closed:
            self._bring(vol)

    def _lapsed(self) -> None:
        """Drop what memory holds: anybody may have changed it since the lease ran out."""
        for volume in self.every():
            self.crashed(volume.vol, NoReply("the lease ran out"))

    def _watch_later(self) -> None:
        self._timer = self._clock.call_later(self._lease.terms.watch_seconds, self._turn)

    def _turn(self) -> None:
        self._watch_later()
        if not self._watching:
            self._watching = True
            spawn("look who holds what", self._watch())

    async def _watch(self) -> None:
        """Take what has become free, and learn what was taken away."""
        try:
            rows = await self._metastore.volumes_elsewhere()
            sight = await self._holders.look()
            for row in rows:
                volume = self._by_number.get(row.vol)
                if volume is not None and row.epoch > volume.epoch:
                    self.crashed(row.vol, VolumeTaken(f"gateway {row.holder} holds it at epoch {row.epoch}"))
                elif volume is None and not self._closed and sight.is_free(row.holder):
                    self._bring(row.vol)
            holders = {row.holder for row in rows}
            for gateway in sight.forgettable:
                if gateway.id not in holders and await self._metastore.forget_gateway(gateway):
                    _log.info("gateway {id} {name} is forgotten", id=gateway.id, name=gateway.name)
        except (FsError, NoReply) as error:
            _log.warn("cannot look who holds what: {error}", error=error)
        finally:
            self._watching = False


async def _outcome(arrival: Promise[None]) -> None:
    await arrival


async def _settled(arrival: Promise[None]) -> None:
    """Wait for the end of *arrival*, whatever it is."""
    try:
        await arrival
    except (FsError, NoReply):
        return
