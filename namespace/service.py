"""The namespace as one object: all verbs, opened over a metastore and a body store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.aio import spawn
from namespace.bucket_directory import BucketDirectory
from namespace.buckets import BucketVerbs
from namespace.duties import Duties
from namespace.engine import Engine
from namespace.hall import Hall
from namespace.holders import Holders
from namespace.lease import Lease, Terms
from namespace.listing import ListVerb
from namespace.look import LookVerbs
from namespace.memory import Memory
from namespace.multipart import MultipartVerbs
from namespace.reading import ReadVerb
from namespace.rename import RenameVerb
from namespace.setattr import SetAttrVerb
from namespace.sharing import Sharing
from namespace.tree import TreeVerbs
from namespace.upload_lists import UploadListVerbs
from namespace.versioning import VersionVerbs
from namespace.volumes import Volumes
from namespace.writeback import WriteBack
from namespace.writing import WriteVerbs

if TYPE_CHECKING:
    from collections.abc import Callable

    from foundation.clock import Clock
    from metastore.api import MetaStore
    from namespace.holders import GatewayState
    from namespace.volume import VolumeState
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
    VersionVerbs,
):
    """One tree per volume, two sets of verbs (`namespace.api.Namespace`)."""

    def __init__(
        self,
        metastore: MetaStore,
        bodies: BodyStore,
        clock: Clock,
        cache_bytes: int = CACHE_BYTES,
        *,
        predecessors: frozenset[int] = frozenset(),
        terms: Terms | None = None,
    ) -> None:
        """Serve volumes of *metastore*, whose gateway is registered, with bodies in *bodies*.

        *predecessors* are gateways that have ended, as the caller can prove: their volumes are taken at once.
        """
        terms = terms or Terms()
        self._lease = Lease(metastore, clock, terms)
        engine = Engine(metastore, clock, self._lease)
        holders = Holders(metastore, clock, terms, predecessors)
        volumes = Volumes(metastore, bodies, clock, self._lease, holders, Memory(cache_bytes))
        engine.crashed = volumes.crashed
        hall = Hall(engine, volumes, bodies, clock, WriteBack(engine, bodies, clock))
        super().__init__(hall)
        self.top = BucketDirectory(hall, self)
        self._duties = Duties(hall)
        engine.loader.copy = Sharing(hall).copy
        volumes.taken_over = self._sweep_later

    def _sweep_later(self, volume: VolumeState) -> None:
        spawn(f"reconcile {volume.row.name}", self._duties.reconcile(volume))

    async def open(self, gone: Callable[[BaseException], object] = lambda _error: None) -> None:
        """Take every free volume and begin the background duties.

        *gone* is called when others have forgotten this gateway: it will never hold anything again.
        """
        self._lease.gone = gone
        await self._volumes.open()
        self._duties.start()

    async def close(self) -> None:
        """Flush UNSTABLE data, end the background duties, give every volume back; the doors are closed already."""
        self._duties.stop()
        await self._writeback.flush_everything()
        await self._duties.write_read_times()
        await self._volumes.close()

    async def gateways(self) -> list[GatewayState]:
        """Return every gateway of the database, and what each holds."""
        return await self._volumes.gateways()
