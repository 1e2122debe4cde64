"""The parts of a node, put together in the order in which they need each other; no sockets, no reactor."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from storage_engine.node.identity import QUARANTINE, SEGMENTS, Identity, claim_disk
from storage_engine.node.log import Log
from storage_engine.node.quarantine import Quarantine
from storage_engine.node.reclaim import Reclaim
from storage_engine.node.recovery import Recovery
from storage_engine.node.room import Room
from storage_engine.node.segments import Disk, SegmentFolder
from storage_engine.node.store import Store

if TYPE_CHECKING:
    from foundation.clock import Clock
    from storage_engine.node.config import NodeConfig
    from storage_engine.node.threads import Runner
    from storage_engine.node.turn import Turn

_MACHINE = Path("/etc/machine-id")


class Runners(Struct, frozen=True):
    """Where blocking work runs."""

    write: Runner  # appends and their syncs, one at a time
    keep: Runner  # making, sealing, scanning and unlinking segments
    read: Runner  # reads that wait for the disk


class Parts(Struct, frozen=True):
    """A node that has its disk."""

    folder: SegmentFolder
    room: Room
    log: Log
    store: Store
    reclaim: Reclaim
    lock: int  # the descriptor that keeps other processes off the disk


def open_disk(config: NodeConfig, clock: Clock, runners: Runners, turn: Turn, disk: Disk) -> Parts:
    """Claim the disk of *config*, rebuild its index and return the node's parts; this blocks.

    Raise WrongDisk, UnknownFormat or OSError.
    """
    lock = claim_disk(config.folder, Identity(config.id, config.uuid, config.cluster))
    folder = SegmentFolder(config.folder / SEGMENTS, config.uuid.bytes, config.segment_bytes, disk)
    quarantine = Quarantine(config.folder / QUARANTINE)
    room = Room(folder, runners.keep, clock, config.headroom_bytes, config.capacity_bytes)
    index = Recovery(folder, room, quarantine, clock).run(config.uuid.bytes)
    log = Log(folder, room, runners.write, turn)
    store = Store(
        folder=folder,
        index=index,
        room=room,
        log=log,
        quarantine=quarantine,
        read=runners.read,
        clock=clock,
        filesystem=_filesystem(config.folder),
    )
    room.prepare()
    return Parts(folder, room, log, store, Reclaim(store, folder, runners.keep, clock), lock)


def _filesystem(folder: Path) -> str:
    """Return a name that is equal for nodes whose folders share a file system."""
    machine = _MACHINE.read_text(encoding="ascii").strip() if _MACHINE.exists() else socket.gethostname()
    return f"{machine}:{folder.stat().st_dev}"
