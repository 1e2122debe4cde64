"""Putting a sound copy in the place of a bad one that a read came across, in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from twisted.logger import Logger

from foundation.aio import Semaphore
from storage_engine.cluster.link import Unreachable
from storage_engine.wire.frames import BrokenStream, Kind, Refusal
from storage_engine.wire.messages import decode_put, encode_blob, encode_put

if TYPE_CHECKING:
    from storage_engine.api import BlobId
    from storage_engine.cluster.link import NodeLink

_log = Logger()
_AT_ONCE = 2
_MAX_WAITING = 1000
_DEADLINE_SECONDS = 10.0


class Healing:
    """The repairs under way."""

    def __init__(self) -> None:
        """Start with none."""
        self.healed = 0
        self._under_way: set[tuple[BlobId, int]] = set()
        self._places = Semaphore(_AT_ONCE)

    async def heal(self, blob: BlobId, source: NodeLink, target: NodeLink, fence: int) -> None:
        """Copy *blob* from *source* to *target*, as the gateway of epoch *fence*; log what hinders it.

        The node verifies what it takes, replaces only a copy that it finds damaged itself, and refuses what was
        deleted meanwhile.
        """
        key = (blob, target.address.id)
        if key in self._under_way or len(self._under_way) >= _MAX_WAITING:
            return
        self._under_way.add(key)
        try:
            async with self._places:
                await self._copy(blob, source, target, fence)
        except (Unreachable, Refusal, BrokenStream) as error:
            _log.warn("{blob} on node {id} stays bad: {error}", blob=blob, id=target.address.id, error=error)
        finally:
            self._under_way.discard(key)

    async def _copy(self, blob: BlobId, source: NodeLink, target: NodeLink, fence: int) -> None:
        put = decode_put(await source.ask(Kind.FETCH, [encode_blob(blob)], _DEADLINE_SECONDS))
        payload = encode_put(msgspec.structs.replace(put, fence=fence))
        await target.ask(Kind.PUT, payload, _DEADLINE_SECONDS, put.length)
        self.healed += 1
        _log.info("{blob} on node {id} is sound again", blob=blob, id=target.address.id)
