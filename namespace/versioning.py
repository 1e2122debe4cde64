"""The verbs of S3 on versions: the bucket's setting, single versions, locks, and the list of all (ADR 0064)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundation.crash import crash_point
from foundation.errors import InvalidArgument
from metastore.records import NEWEST, NULL_VERSION, ROOT_INO, VersionEntry
from namespace.api import (
    NO_CONDITIONS,
    CopySource,
    ObjectInfo,
    VersionInfo,
    VersionListing,
    VersionListRequest,
)
from namespace.authority import ASK, LIST_KEYS, authorize_account, authorize_change, may_list
from namespace.conditions import check_read
from namespace.edit import Planned
from namespace.lineage import seq_of
from namespace.metadata import object_info
from namespace.names import successor
from namespace.objects import ObjectVerbs, look
from namespace.paths import KeyPath
from namespace.settings import change_settings
from namespace.trails import Trail
from namespace.versions import lock_of, plan_lock
from namespace.volume import ENABLED, SUSPENDED, VERSIONING

if TYPE_CHECKING:
    from namespace.api import Caller, Conditions, OpenObject
    from namespace.view import View

_after_setting = crash_point("versioning.after_commit")
#: Versions fetched beyond those that a page lacks tell whether another page follows.
_ONE_MORE = 1
#: As `next_version`: behind what has no row, which is on top of its key's history.
_TOP = b"top"


class VersionVerbs(ObjectVerbs):
    """Versions, seen and removed."""

    async def get_versioning(self, caller: Caller, bucket: str) -> str:
        """Return `enabled`, `suspended`, or an empty string; raise AccessDenied of another's bucket."""
        volume = await self._volumes.named(bucket)
        authorize_account(caller, volume.row.owner)
        return volume.versioning

    async def set_versioning(self, caller: Caller, bucket: str, state: str) -> None:
        """Begin to keep versions, or keep no more than there are; what is there stays as it is."""
        if state not in {ENABLED, SUSPENDED}:
            raise InvalidArgument("versioning is enabled or suspended")
        volume = await self._volumes.named(bucket)
        authorize_account(caller, volume.row.owner)
        authorize_change(caller)
        await change_settings(self._engine.metastore, volume, {VERSIONING: state})
        _after_setting()

    async def head_version(
        self, caller: Caller, bucket: str, key: bytes, version_id: bytes, conditions: Conditions = NO_CONDITIONS
    ) -> ObjectInfo:
        """Return what S3 shows of a version; raise VersionNotFound or IsDeleteMarker."""
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[ObjectInfo]:
            info, _ = look(view, caller, key, conditions, check_read, version_id)
            return Planned(lambda: info)

        return await self._engine.run(volume, plan)

    async def open_version(
        self, caller: Caller, bucket: str, key: bytes, version_id: bytes, conditions: Conditions = NO_CONDITIONS
    ) -> OpenObject:
        """Open a version's content; raise as `head_version` does."""
        return await self._open(caller, CopySource(bucket, key, conditions, version_id=version_id), check_read)

    async def get_lock(self, caller: Caller, bucket: str, key: bytes, version_id: bytes) -> tuple[int, bool]:
        """Return until when a version is retained, and whether it has a legal hold."""
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[tuple[int, bool]]:
            row = lock_of(view, caller, key, version_id)
            ASK.require(caller, view.live(row.ino)[1])
            return Planned(lambda: (row.retain_until, row.legal_hold))

        return await self._engine.run(volume, plan)

    async def set_lock(
        self, caller: Caller, bucket: str, key: bytes, version_id: bytes, lock: tuple[int | None, bool | None]
    ) -> None:
        """Retain a version, or set or lift its legal hold."""
        volume = await self._volumes.named(bucket)
        if volume.versioning != ENABLED:
            raise InvalidArgument("only a bucket that keeps versions locks them")
        now = self._clock.now_ns
        await self._engine.run(volume, lambda view: plan_lock(view, caller, (key, version_id), lock, now()))

    async def list_versions(self, caller: Caller, bucket: str, request: VersionListRequest) -> VersionListing:
        """Return one page of versions as the database has them (ADR 0060)."""
        volume = await self._volumes.named(bucket)
        place = await self._engine.run(volume, lambda view: _plan_list(view, caller, request))
        page = _Page(request, place)
        while page.wanted > 0:
            entries = await self._engine.metastore.walk_versions(
                volume.vol, ROOT_INO, page.place, page.upper, page.wanted, lambda image: may_list(caller, image)
            )
            if not page.take(entries):
                break
        return page.listing()


def _plan_list(view: View, caller: Caller, request: VersionListRequest) -> Planned[tuple[bytes, int]]:
    """Find where the page begins: (key, seq)."""
    _, root = view.live(ROOT_INO)
    LIST_KEYS.require(caller, root)
    place = _place_behind(view, caller, request.after_key, request.after_version)
    lowest = max(place, (request.prefix, NEWEST))
    return Planned(lambda: lowest)


def _place_behind(view: View, caller: Caller, key: bytes, version_id: bytes) -> tuple[bytes, int]:
    """Return the place behind a version that an earlier page ended with, which may be gone by now.

    An id tells its place. Behind a `null` version that is gone all that its key still has is told again.
    """
    if not key or not version_id:
        return (key + b"\0" if key else b"", NEWEST)
    if version_id == _TOP:
        return key, NEWEST + 1
    if version_id != NULL_VERSION:
        seq = seq_of(version_id)
        if seq is None:
            raise InvalidArgument("no version has such an id")
        return key, seq + 1
    trail = Trail(view, caller, KeyPath(view, caller, key))
    row = trail.version(version_id)
    if row is not None:
        return key, row.seq + 1
    return key, NEWEST + 1


class _Page:
    """A page that fills up; one version more than fits tells that another page follows."""

    def __init__(self, request: VersionListRequest, place: tuple[bytes, int]) -> None:
        self.place = place
        self.upper = successor(request.prefix) if request.prefix else None
        self._request = request
        self._begun = place[0] if place[1] != NEWEST else None  # the key whose newest version was told before
        self._versions: list[VersionInfo] = []
        self._prefixes: list[bytes] = []
        self._last = (b"", b"")
        self._more = False
        self._done = request.limit <= 0

    @property
    def wanted(self) -> int:
        """Return how many versions to fetch next; 0 when the page, and whether another follows, is known."""
        if self._done or self._more or (self.upper is not None and self.place[0] >= self.upper):
            return 0
        return self._request.limit - len(self._versions) - len(self._prefixes) + _ONE_MORE

    def take(self, entries: list[VersionEntry]) -> bool:
        """Add *entries*, all that were wanted or all there are; return whether to go on."""
        wanted = self.wanted
        for entry in entries:
            prefix = self._prefix_of(entry.path)
            if prefix is not None:
                self._add_prefix(prefix)
                self.place = (successor(prefix) or b"\xff", NEWEST)
                return True
            self._add(entry)
            self.place = (entry.path, (entry.version.seq or NEWEST) + 1)
        return len(entries) == wanted

    def _prefix_of(self, path: bytes) -> bytes | None:
        delimiter = self._request.delimiter
        cut = path.find(delimiter, len(self._request.prefix)) if delimiter else -1
        return path[: cut + len(delimiter)] if cut >= 0 else None

    def _add_prefix(self, prefix: bytes) -> None:
        if prefix > self._request.after_key and self._fits((prefix, b"")):
            self._prefixes.append(prefix)

    def _add(self, entry: VersionEntry) -> None:
        key, row, image = entry.path, entry.version, entry.inode
        if not self._fits((key, row.version_id if row.seq else _TOP)):
            return
        latest = key != self._begun
        self._begun = key
        info = object_info(key, image, None) if image is not None else ObjectInfo(key, 0, b"", row.modified, {}, {}, {})
        info = replace(info, version_id=row.version_id)
        self._versions.append(VersionInfo(info, latest, marker=not row.ino))

    def _fits(self, last: tuple[bytes, bytes]) -> bool:
        if len(self._versions) + len(self._prefixes) < self._request.limit:
            self._last = last
            return True
        self._more = True
        return False

    def listing(self) -> VersionListing:
        """Return the page."""
        end = self._last if self._more else (None, b"")
        return VersionListing(tuple(self._versions), tuple(self._prefixes), *end)
