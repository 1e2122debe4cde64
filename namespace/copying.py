"""CopyObject, and objects composed of others (DESIGN 4: copies inside a volume are references, between volumes bytes).

The source is read as GET reads it, the target is written as PUT writes it; both are checked again in the plan that
names the new content, and that the source is still what was copied. A source that changes meanwhile is copied anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from foundation.aio import gather
from foundation.crash import crash_point
from foundation.errors import FsError, InvalidArgument, NothingToChange, Unavailable
from metastore.records import ObjectMeta
from namespace.assembling import FEW, TRIES, Changed, Slice, assemble, copied_body, is_whole, layout, slice_of
from namespace.authority import authorize_account, mode_by_acl
from namespace.conditions import check_source
from namespace.contents import ContentDraft
from namespace.edit import Edit, Planned
from namespace.object_parts import kept_parts
from namespace.objects import CANNED, look
from namespace.putting import Said, check_put, plan_object, shown_info
from namespace.transfer import TransferVerbs, described
from namespace.view import View, is_directory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from metastore.records import Inode
    from namespace.api import Caller, CopyDirectives, CopySource, ObjectInfo, PutRequest
    from namespace.volume import VolumeState

T = TypeVar("T")
_after_name = crash_point("copy.after_name")
#: Sources of one composed object: each is looked up again in the plan that names it.
SOURCES_MAX = 1000


class Found(Struct, frozen=True):
    """A copy's source as its first plan saw it."""

    info: ObjectInfo
    image: Inode


class CopyVerbs(TransferVerbs):
    """CopyObject and compose."""

    async def copy_object(
        self, caller: Caller, source: CopySource, bucket: str, request: PutRequest, directives: CopyDirectives
    ) -> ObjectInfo:
        """Make the source's committed content the object's, with metadata as *directives* say."""
        authorize_account(caller)
        volume = await self._volumes.named(bucket)
        if await self._volumes.named(source.bucket) is not volume:
            return await self.transfer(caller, source, bucket, request, directives)
        return await self._trying(lambda: self._copy_here(volume, caller, source, request, directives))

    async def _trying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for _ in range(TRIES):
            try:
                return await attempt()
            except Changed:
                continue
        raise Unavailable("the source keeps changing")

    async def _copy_here(
        self, volume: VolumeState, caller: Caller, source: CopySource, request: PutRequest, directives: CopyDirectives
    ) -> ObjectInfo:
        def plan(view: View) -> Planned[Any]:  # of ObjectInfo, or of (Found, content) where more is to do
            found = look_source(view, caller, source)
            image = found.image
            target = check_put(view, caller, request, image.size).object(view)
            if target is not None and target.ino == image.ino and target.nlink == 1 and is_whole(source):
                if not (directives.metadata or directives.tags or directives.checksums):
                    raise NothingToChange("an object copied onto itself")
                if not view.volume.versioning:
                    return self._describe(view, found, source, request, directives)
            content = view.number("content")
            if image.extents > FEW or not is_whole(source):
                return Planned(lambda: (found, content))
            said, wanted = described(found.info, source, request, directives)
            body = copied_body(view, view.entry(image.ino), content)
            return plan_object(Edit(view, self._clock.now_ns()), caller, wanted, body, said)

        outcome: ObjectInfo | tuple[Found, int] = await self._engine.run(volume, plan)
        if not isinstance(outcome, tuple):
            _after_name()
            return outcome
        found, content = outcome
        said, wanted = described(found.info, source, request, directives)
        return await self._name_slices(volume, caller, wanted, said, [(source, found)], content)

    async def compose(
        self, caller: Caller, bucket: str, request: PutRequest, sources: Sequence[CopySource]
    ) -> ObjectInfo:
        """Make an object of the *sources*, all of *bucket*, one behind the other."""
        authorize_account(caller)
        if not 0 < len(sources) <= SOURCES_MAX or any(source.bucket != bucket for source in sources):
            raise InvalidArgument("an object is composed of 1 to 1,000 objects of its own bucket")
        volume = await self._volumes.named(bucket)

        async def attempt() -> ObjectInfo:
            seen = await gather(self._find(volume, caller, source) for source in sources)
            content = await self._engine.run(volume, _plan_content)
            pairs = list(zip(sources, seen, strict=True))
            return await self._name_slices(volume, caller, request, Said(None), pairs, content)

        return await self._trying(attempt)

    async def _find(self, volume: VolumeState, caller: Caller, source: CopySource) -> Found:
        def plan(view: View) -> Planned[Found]:
            found = look_source(view, caller, source)
            return Planned(lambda: found)

        return await self._engine.run(volume, plan)

    async def _name_slices(
        self,
        volume: VolumeState,
        caller: Caller,
        request: PutRequest,
        said: Said,
        sources: list[tuple[CopySource, Found]],
        content: int,
    ) -> ObjectInfo:
        """Put the sources together and make them the object; raise Changed if one is not what it was."""
        slices = [copy_slice(caller, source, found) for source, found in sources]
        draft = ContentDraft(self._hall, volume, content)
        body = await assemble(self._engine.metastore, draft, slices)

        def plan(view: View) -> Planned[ObjectInfo]:
            for piece in slices:
                piece.check(view)
            return plan_object(Edit(view, self._clock.now_ns()), caller, request, body, said)

        try:
            info = await self._engine.run(volume, plan)
        except (FsError, Changed):
            draft.give_up()
            raise
        _after_name()
        return info

    def _describe(
        self, view: View, found: Found, source: CopySource, request: PutRequest, directives: CopyDirectives
    ) -> Planned[ObjectInfo]:
        """Plan a copy of an object onto itself: what is said of it changes, its content does not."""
        image, entry = found.image, view.entry(found.image.ino)
        edit = Edit(view, self._clock.now_ns())
        # What was shown holds for this content from now on, whoever wrote it.
        edit.touch(entry, etag=found.info.etag, etag_seq=image.write_seq)
        before = view.meta(entry)
        acl = before.acl if before is not None else {}
        said, wanted = described(found.info, source, request, directives)
        if request.acl:
            edit.set(entry, mode=mode_by_acl(image, request.acl))
            acl = {CANNED: request.acl}
        parts = kept_parts(found.info.parts, digests=directives.checksums is None)
        texts = (wanted.headers, wanted.user, said.checksums, wanted.tags, acl, parts)
        edit.put(ObjectMeta(image.vol, image.ino, *texts))
        return edit.planned(lambda: shown_info(edit, request.key, image.ino))


def look_source(view: View, caller: Caller, source: CopySource) -> Found:
    """Find the object to copy from; raise as a GET does, but PreconditionFailed for any condition that fails."""
    return Found(*look(view, caller, source.key, source.conditions, check_source, source.version_id))


def copy_slice(caller: Caller, source: CopySource, found: Found) -> Slice:
    """Return the bytes to copy, with the check that they, and the right to read them, are as they were."""
    seen = layout(found.image)

    def check(view: View) -> None:
        image = look_source(view, caller, source).image
        if image.ino != found.image.ino or layout(image) != seen:
            raise Changed

    image = found.image
    if is_directory(image):
        return Slice(0, (), 0, 0, check)  # the key of a directory is an empty object
    return slice_of(image, source, check)


def _plan_content(view: View) -> Planned[int]:
    content = view.number("content")
    return Planned(lambda: content)
