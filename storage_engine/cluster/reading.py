"""One read: from the idlest node that should hold the blob, then from every other that may, each byte verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from foundation.errors import Corrupt, InvalidArgument, Unavailable
from storage_engine.checksum import first_unsound
from storage_engine.cluster.link import Unreachable
from storage_engine.wire.frames import BrokenStream, Kind, Refusal, Status
from storage_engine.wire.messages import decode_range, encode_read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_engine.cluster.link import NodeLink
    from storage_engine.wire.messages import Read

_log = Logger()
ATTEMPT_SECONDS = 5.0
TOTAL_SECONDS = 15.0


class Reading:
    """The attempts of one read."""

    def __init__(self, read: Read, deadline_seconds: float) -> None:
        """Read *read* until the boot time *deadline_seconds*."""
        self.damaged: list[NodeLink] = []  # nodes whose copy is not sound
        self.absent: list[NodeLink] = []  # nodes that do not hold it
        self.source: NodeLink | None = None  # the node that served it
        self._read = read
        self._payload = [encode_read(read)]
        self._deadline_seconds = deadline_seconds
        self._asked: set[int] = set()
        self._unreachable: list[str] = []

    async def ask(self, links: Iterable[NodeLink], now_seconds: float) -> memoryview | None:
        """Return the bytes from the first of *links*, not asked before, that has them sound; None if none has.

        Raise InvalidArgument when the range does not lie in the blob.
        """
        for link in sorted(links, key=_busy):
            if link.address.id in self._asked:
                continue
            self._asked.add(link.address.id)
            left_seconds = self._deadline_seconds - now_seconds
            if left_seconds <= 0:
                self._unreachable.append("no time is left")
                return None
            data = await self._ask(link, min(ATTEMPT_SECONDS, left_seconds))
            if data is not None:
                self.source = link
                return data
        return None

    async def _ask(self, link: NodeLink, seconds: float) -> memoryview | None:
        read = self._read
        try:
            answer = await link.ask(Kind.READ, self._payload, seconds, read.length)
            sums, data = decode_range(answer, read)
        except (Unreachable, BrokenStream) as error:
            self._unreachable.append(str(error))
            return None
        except Refusal as refusal:
            self._refused(link, refusal)
            return None
        if first_unsound(data, read.offset, sums) is not None:
            _log.error("{blob} came damaged from node {id}", blob=read.blob, id=link.address.id)
            self.damaged.append(link)
            return None
        return data

    def _refused(self, link: NodeLink, refusal: Refusal) -> None:
        if refusal.status == Status.BAD_REQUEST:
            raise InvalidArgument(refusal.detail)
        if refusal.status == Status.NOT_HELD:
            self.absent.append(link)
        elif refusal.status == Status.DAMAGED:
            _log.error("{blob} is damaged on node {id}: {why}", blob=self._read.blob, id=link.address.id, why=refusal)
            self.damaged.append(link)
        else:
            self._unreachable.append(f"node {link.address.id}: {refusal}")

    def error(self) -> Unavailable | Corrupt:
        """Return why no attempt succeeded: Unavailable while a copy may exist that was not reached."""
        blob = self._read.blob
        if self._unreachable:
            return Unavailable(f"blob {blob.vol}/{blob.id}: {'; '.join(self._unreachable)}")
        return Corrupt(f"blob {blob.vol}/{blob.id}: {len(self.damaged)} damaged copies, no sound one")


def _busy(link: NodeLink) -> tuple[bool, int]:
    """Return the order of asking: nodes that are up, the idlest first, else as they stand in the ring."""
    return not link.up, link.waiting_bytes
