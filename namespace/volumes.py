"""Which volumes this gateway serves, and how one gets a new incarnation after it crashed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.aio import Promise, pause, spawn
from foundation.errors import BucketNotFound, NoReply, StaleHandle
from foundation.log import Logger
from namespace.volume import VolumeState

if TYPE_CHECKING:
    from foundation.clock import Clock
    from metastore.api import MetaStore
    from metastore.records import Volume
    from namespace.memory import Memory
    from storage_engine.api import BodyStore

_log = Logger()
#: How long to wait before a volume is taken again after an attempt failed, in seconds.
RETAKE_SECONDS = 0.5


class Volumes:
    """The volumes by number and by name; looked up for every request, never assumed."""

    def __init__(self, metastore: MetaStore, bodies: BodyStore, clock: Clock, memory: Memory) -> None:
        """Serve what `open` takes, which share *memory* for their caches."""
        self._metastore = metastore
        self._bodies = bodies
        self._clock = clock
        self._memory = memory
        self._by_number: dict[int, VolumeState] = {}
        self._by_name: dict[str, VolumeState] = {}
        self._returning: dict[int, Promise[None]] = {}  # crashed volumes that are being taken again
        self._closed = False

    async def open(self) -> None:
        """Take every volume there is."""
        self._metastore.refused = self.crashed
        for row in await self._metastore.volumes():
            await self.take(row.vol)

    def close(self) -> None:
        """Take nothing any more."""
        self._closed = True

    async def take(self, vol: int) -> None:
        """Take a volume and serve it from an empty cache."""
        holding = await self._metastore.take_volume(vol)
        self.adopt(holding.volume)
        await self._bodies.close_epochs(vol, holding.volume.epoch)

    def adopt(self, row: Volume) -> VolumeState:
        """Serve a volume that this gateway has just made or taken; whatever served it before is over."""
        volume = VolumeState(row, self._memory, lambda: self._metastore.durable)
        before = self._by_name.get(row.name)
        if before is not None:
            before.dead = True  # else what it has under way would change the new incarnation by an old cache
            volume.readers = before.readers
        self._by_number[row.vol] = self._by_name[row.name] = volume
        return volume

    def forget(self, volume: VolumeState) -> None:
        """Serve *volume* no more."""
        volume.dead = True
        self._by_number.pop(volume.vol, None)
        self._by_name.pop(volume.row.name, None)

    def every(self) -> list[VolumeState]:
        """Return all volumes, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    async def numbered(self, vol: int) -> VolumeState:
        """Return the volume a handle names; raise StaleHandle if there is none."""
        volume = self._by_number.get(vol)
        if volume is None:
            if vol not in self._returning:
                raise StaleHandle("no such volume")
            await self._returning[vol]
            return await self.numbered(vol)
        return volume

    async def named(self, name: str) -> VolumeState:
        """Return the bucket *name*; raise BucketNotFound."""
        volume = self._by_name.get(name)
        if volume is None:
            raise BucketNotFound(name)
        if volume.dead:
            return await self.numbered(volume.vol)
        return volume

    # ------------------------------------------------------------------ after a crash

    def crashed(self, vol: int, error: BaseException) -> None:
        """End the incarnation: its cache, numbers and verifier go, and the volume is taken anew."""
        volume = self._by_number.pop(vol, None)
        if volume is not None and not self._closed:
            self.lost(volume, error)

    def lost(self, volume: VolumeState, error: BaseException) -> None:
        """Take *volume* anew, which answers no lookup any more; who asks for it waits."""
        _log.error("volume {name} crashed and is taken again: {error}", name=volume.row.name, error=error)
        volume.dead = True
        self._by_name[volume.row.name] = volume
        back = self._returning[volume.vol] = Promise()
        spawn(f"take volume {volume.row.name}", self._retake(volume.vol, back))

    async def _retake(self, vol: int, back: Promise[None]) -> None:
        while not self._closed:
            try:
                await self.take(vol)
            except BucketNotFound:
                self._by_name = {name: each for name, each in self._by_name.items() if each.vol != vol}
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, the volume is no use before it is taken
                _log.error("volume {vol} could not be taken: {error}", vol=vol, error=error)
                await pause(self._clock, RETAKE_SECONDS)
            else:
                break
        if self._returning.get(vol) is back:  # else it crashed again meanwhile
            del self._returning[vol]
        if self._closed:
            back.fail(NoReply("the gateway is stopping"))
        else:
            back.resolve(None)
