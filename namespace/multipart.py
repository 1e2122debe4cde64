"""Multipart uploads: parts that are contents of their own, and an object that references their blobs (S3 API).

No part is listed in an object's rows: completing shifts copies of the parts' extents into the object's content, with
one reference more per blob, in chunks if they are many. Then one Change names the content and marks the upload ended;
a duty frees the parts behind it. So a crash finds the upload in progress with all its parts, or the object whole.
"""

from __future__ import annotations

import secrets
from hashlib import md5
from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundation.crash import crash_point
from foundation.errors import FsError, InvalidArgument, UploadNotFound
from metastore.records import Part, Reclaim, Upload
from namespace.api import PartInfo, PutRequest, UploadInfo
from namespace.assembling import Changed, assemble, is_whole, slice_of_part
from namespace.authority import authorize_account, authorize_change
from namespace.checksums import whole_of
from namespace.completion import (
    CANNED,
    MD5_DIGITS,
    chosen_parts,
    digest_of,
    etag_of_parts,
    object_of,
    plan_completed,
)
from namespace.conditions import check_source
from namespace.contents import ContentDraft, name_part_body
from namespace.copying import CopyVerbs, copy_slice, look_source
from namespace.edit import Edit, Planned
from namespace.object_parts import packed_parts
from namespace.putting import Said, check_put, plan_object
from namespace.transfer import pour
from namespace.upload_body import BodyUpload
from namespace.uploads import find_part, find_parts, find_upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from namespace.api import (
        Caller,
        Completion,
        CopySource,
        ObjectInfo,
        PartChoice,
        UploadRequest,
        UploadTarget,
    )
    from namespace.contents import Body
    from namespace.copying import Found
    from namespace.view import View
    from namespace.volume import VolumeState

_after_name = crash_point("complete.after_name")
PARTS_MAX = 10_000
_ID_BYTES = 24


class _PartSession:
    """A part whose body is on its way."""

    def __init__(
        self, namespace: MultipartVerbs, caller: Caller, target: UploadTarget, number: int, body: BodyUpload
    ) -> None:
        """Store as part *number* what comes as *body*."""
        self.checksum = ""  # of the upload, as it was announced
        self._namespace = namespace
        self._caller = caller
        self._target = target
        self._number = number
        self._body = body
        self.write = body.write
        self.abort = body.abort

    async def finish(self, etag: bytes, checksums: dict[str, str]) -> PartInfo:
        """Make the body the upload's part, atomically; raise UploadNotFound if the upload has ended."""
        body = await self._body.close()
        try:
            return await self._namespace.name_part(
                self._caller, self._target, self._number, body, etag, checksums, lambda _view: None
            )
        except FsError:
            self._body.abort()
            raise


class MultipartVerbs(CopyVerbs):
    """CreateMultipartUpload, UploadPart, UploadPartCopy, CompleteMultipartUpload, AbortMultipartUpload."""

    async def create_upload(self, caller: Caller, bucket: str, request: UploadRequest) -> UploadInfo:
        """Begin a multipart upload of an object that the caller could put now."""
        volume = await self._volumes.named(bucket)
        upload_id = secrets.token_hex(_ID_BYTES).encode()

        def plan(view: View) -> Planned[UploadInfo]:
            check_put(view, caller, PutRequest(request.key, request.headers, request.user))
            edit = Edit(view, self._clock.now_ns())
            upload = Upload(
                volume.vol,
                upload_id,
                request.key,
                caller.account,
                edit.now_ns,
                request.headers,
                request.user,
                request.tags,
                {CANNED: request.acl} if request.acl else {},
                request.checksum,
            )
            _put_upload(edit, upload)
            return edit.planned(lambda: upload_info(upload))

        return await self._engine.run(volume, plan)

    async def begin_part(self, caller: Caller, target: UploadTarget, number: int) -> _PartSession:
        """Make ready for the body of part *number*; raise UploadNotFound, InvalidArgument for another number."""
        volume = await self._volumes.named(target.bucket)
        content, checksum = await self._engine.run(volume, lambda view: _plan_part(view, caller, target, number))
        session = _PartSession(self, caller, target, number, BodyUpload(self._hall, volume, content))
        session.checksum = checksum
        return session

    async def copy_part(self, caller: Caller, target: UploadTarget, number: int, source: CopySource) -> PartInfo:
        """Make bytes of an object a part, by reference inside a bucket."""
        volume = await self._volumes.named(target.bucket)
        if await self._volumes.named(source.bucket) is not volume:
            return await self._transfer_part(caller, target, number, source)
        return await self._trying(lambda: self._copy_part_here(volume, caller, target, number, source))

    async def _copy_part_here(
        self, volume: VolumeState, caller: Caller, target: UploadTarget, number: int, source: CopySource
    ) -> PartInfo:
        def plan(view: View) -> Planned[tuple[Found, int]]:
            found = look_source(view, caller, source)
            content, _ = _plan_part(view, caller, target, number).answer()
            return Planned(lambda: (found, content))

        found, content = await self._engine.run(volume, plan)
        piece = copy_slice(caller, source, found)
        draft = ContentDraft(self._hall, volume, content)
        body = await assemble(self._engine.metastore, draft, [piece])
        etag, checksums = _copied_etag(found.info, source), found.info.checksums if is_whole(source) else {}
        try:
            return await self.name_part(caller, target, number, body, etag, checksums, piece.check)
        except (FsError, Changed):
            draft.give_up()
            raise

    async def _transfer_part(self, caller: Caller, target: UploadTarget, number: int, source: CopySource) -> PartInfo:
        reader = await self._open(caller, source, check_source)
        try:
            session = await self.begin_part(caller, target, number)
            try:
                await pour(reader, source, session)
            except BaseException:
                session.abort()
                raise
            checksums = reader.info.checksums if is_whole(source) else {}
            return await session.finish(_copied_etag(reader.info, source), checksums)
        finally:
            reader.close()

    async def name_part(  # noqa: PLR0913, PLR0917 - which part, and what it is
        self,
        caller: Caller,
        target: UploadTarget,
        number: int,
        body: Body,
        etag: bytes,
        checksums: dict[str, str],
        check: Callable[[View], None],
    ) -> PartInfo:
        """Make *body* part *number* in the Change that replaces one that was there."""
        volume = await self._volumes.named(target.bucket)
        digest_of(etag)

        def plan(view: View) -> Planned[PartInfo]:
            check(view)
            upload = find_upload_of(view, caller, target)
            old = find_part(view, upload, number)
            edit = Edit(view, self._clock.now_ns())
            name_part_body(edit, body)
            if old is not None:
                edit.put(Reclaim(volume.vol, old.content, edit.now_ns))
            part = Part(volume.vol, upload.upload_id, number, body.content, body.size, etag, checksums, edit.now_ns)
            edit.put(part)
            edit.then(lambda: volume.uploads.put_part(part, volume.last_batch))
            return edit.planned(lambda: part_info(part))

        return await self._engine.run(volume, plan)

    async def complete_upload(self, caller: Caller, target: UploadTarget, completion: Completion) -> ObjectInfo:
        """Make an object of the parts and end the upload, in one Change.

        Asked again, with the same parts, it answers the same as long as this gateway remembers, or the object is there.
        """
        volume = await self._volumes.named(target.bucket)
        parts = tuple(completion.parts)
        try:
            return await self._trying(lambda: self._complete(volume, caller, target, parts, completion))
        except UploadNotFound:
            # A client that lost the answer asks again.
            return await self._engine.run(volume, lambda view: plan_completed(view, caller, target, parts))

    async def _complete(
        self,
        volume: VolumeState,
        caller: Caller,
        target: UploadTarget,
        parts: tuple[PartChoice, ...],
        completion: Completion,
    ) -> ObjectInfo:
        def plan(view: View) -> Planned[tuple[Upload, list[Part], int]]:
            upload = find_upload_of(view, caller, target)
            chosen = chosen_parts(find_parts(view, upload), parts)
            check_put(view, caller, object_of(upload, completion), sum(part.size for part in chosen))
            content = view.number("content")
            return Planned(lambda: (upload, chosen, content))

        begun, chosen, content = await self._engine.run(volume, plan)
        checksums = whole_of(begun.checksum, chosen, completion)
        slices = [slice_of_part(part, _still(caller, target, part)) for part in chosen]
        draft = ContentDraft(self._hall, volume, content)
        body = await assemble(self._engine.metastore, draft, slices)
        packed = packed_parts(chosen, begun.checksum, begun.upload_id)
        said = Said(etag_of_parts([part.etag for part in chosen]), checksums, begun.tags, parts=packed)

        def name(view: View) -> Planned[ObjectInfo]:
            upload = find_upload_of(view, caller, target)
            if chosen_parts(find_parts(view, upload), parts) != chosen:
                raise Changed
            edit = Edit(view, self._clock.now_ns())
            _put_upload(edit, replace(upload, ended=edit.now_ns))
            planned = plan_object(edit, caller, object_of(upload, completion), body, said)

            def answer() -> ObjectInfo:
                info = planned.answer()
                volume.uploads.complete(upload.upload_id, parts, info)
                return info

            return Planned(answer, planned.change, planned.effects)

        try:
            info = await self._engine.run(volume, name)
        except (FsError, Changed):
            draft.give_up()
            raise
        _after_name()
        return info

    async def abort_upload(self, caller: Caller, target: UploadTarget) -> None:
        """End the upload; a duty frees its parts."""
        volume = await self._volumes.named(target.bucket)

        def plan(view: View) -> Planned[None]:
            upload = find_upload_of(view, caller, target)
            authorize_change(caller)
            edit = Edit(view, self._clock.now_ns())
            _put_upload(edit, replace(upload, ended=edit.now_ns))
            return edit.planned(lambda: None)

        await self._engine.run(volume, plan)


def find_upload_of(view: View, caller: Caller, target: UploadTarget) -> Upload:
    """Return the upload in progress; raise UploadNotFound, or AccessDenied of another account's."""
    upload = find_upload(view, target.upload_id, target.key)
    authorize_account(caller, upload.owner, view.volume.row.owner)
    return upload


def upload_info(upload: Upload) -> UploadInfo:
    """Return an upload as doors show it."""
    return UploadInfo(upload.object_key, upload.upload_id, upload.initiated, upload.owner, upload.checksum)


def part_info(part: Part) -> PartInfo:
    """Return a part as doors show it."""
    return PartInfo(part.number, part.size, part.etag, part.checksums, part.modified)


def _copied_etag(info: ObjectInfo, source: CopySource) -> bytes:
    """Return the ETag of a part copied from *source*: its MD5 where that is known, else a name for those bytes."""
    if is_whole(source) and b"-" not in info.etag and len(info.etag) == MD5_DIGITS:
        return info.etag
    name = b"%s %d %d" % (info.etag, source.start, -1 if source.end is None else source.end)
    return md5(name, usedforsecurity=False).hexdigest().encode()


def _still(caller: Caller, target: UploadTarget, part: Part) -> Callable[[View], None]:
    def check(view: View) -> None:
        now = find_part(view, find_upload_of(view, caller, target), part.number)
        if now is None or now.content != part.content:
            raise Changed

    return check


def _plan_part(view: View, caller: Caller, target: UploadTarget, number: int) -> Planned[tuple[int, str]]:
    """Plan the content number of a part that the caller may send, and tell the checksum that the upload announced."""
    if not 1 <= number <= PARTS_MAX:
        raise InvalidArgument("part numbers are 1 to 10,000")
    upload = find_upload_of(view, caller, target)
    check_put(view, caller, PutRequest(target.key, {}, {}))
    content = view.number("content")
    return Planned(lambda: (content, upload.checksum))


def _put_upload(edit: Edit, upload: Upload) -> None:
    volume = edit.view.volume
    edit.put(upload)
    edit.then(lambda: volume.uploads.put(upload, volume.last_batch))
