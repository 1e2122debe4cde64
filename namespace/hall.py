"""What every verb needs: the engine, the volumes, the bodies and the clock, put together once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foundation.clock import Clock
    from namespace.engine import Engine
    from namespace.volumes import Volumes
    from namespace.writeback import WriteBack
    from storage_engine.api import BodyStore


class Hall:
    """The pieces that the verbs share."""

    def __init__(self, engine: Engine, volumes: Volumes, bodies: BodyStore, clock: Clock, writeback: WriteBack) -> None:
        """Put the pieces together."""
        self.engine = engine
        self.volumes = volumes
        self.bodies = bodies
        self.clock = clock
        self.writeback = writeback


class Verbs:
    """A group of verbs; `namespace.service.GatefoldNamespace` is all groups in one object."""

    def __init__(self, hall: Hall) -> None:
        """Act on *hall*."""
        self._engine = hall.engine
        self._volumes = hall.volumes
        self._bodies = hall.bodies
        self._clock = hall.clock
        self._writeback = hall.writeback
