"""The namespace as one object: all verbs, opened over a metastore and a body store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.aio import spawn
from namespace.buckets import BucketVerbs
from namespace.duties import Duties
from namespace.engine import Engine
from namespace.hall import Hall
from namespace.listing import ListVerb
from namespace.look import LookVerbs
from namespace.memory import Memory
from namespace.multipart import MultipartVerbs
from namespace.reading import ReadVerb
from namespace.rename import RenameVerb
from namespace.setattr import SetAttrVerb
from namespace.tree import TreeVerbs
from namespace.upload_lists import UploadListVerbs
from namespace.volumes import Volumes
from namespace.writeback import WriteBack
from namespace.writing import WriteVerbs

if TYPE_CHECKING:
    from foundation.clock import Clock
    from metastore.api import MetaStore
    from storage_engine.api import BodyStore

#: Memory for cached names and attributes of all volumes, in bytes.
CACHE_BYTES = 96 << 20


class GatefoldNamespace(
    LookVerbs,
    TreeVerbs,
    RenameVerb,
    SetAttrVerb,
    ReadVerb,
    WriteVerbs,
    BucketVerbs,
    MultipartVerbs,
    UploadListVerbs,
    ListVerb,
):
    """One tree per volume, two sets of verbs (`namespace.api.Namespace`)."""

    def __init__(self, metastore: MetaStore, bodies: BodyStore, clock: Clock, cache_bytes: int = CACHE_BYTES) -> None:
        """Serve the volumes of *metastore*, whose gateway is registered, with bodies in *bodies*."""
        engine = Engine(metastore, clock)
        volumes = Volumes(metastore, bodies, clock, Memory(cache_bytes))
        engine.crashed = volumes.crashed
        hall = Hall(engine, volumes, bodies, clock, WriteBack(engine, bodies, clock))
        super().__init__(hall)
        self._duties = Duties(hall)

    async def open(self) -> None:
        """Take every volume and begin the background duties."""
        await self._volumes.open()
        self._duties.start()
        for volume in self._volumes.every():
            spawn(f"reconcile {volume.row.name}", self._duties.reconcile(volume))

    async def close(self) -> None:
        """Flush UNSTABLE data and end the background duties; the doors are closed already."""
        self._duties.stop()
        await self._writeback.flush_everything()
        await self._duties.write_read_times()
        self._volumes.close()
