"""PUT: the body goes into blobs as it arrives, then one Change makes it the object's content (DESIGN 4, D1).

Permission, conflicts and conditions are checked before the body and again, in the plan that commits, after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from foundation.errors import FsError, NotSupported
from metastore.records import NULL_VERSION, ObjectMeta
from namespace.authority import CHANGE, ENTER, MARK, OVERWRITE, authorize_account, mode_by_acl
from namespace.conditions import check_write
from namespace.contents import name_body
from namespace.edit import Edit, Planned
from namespace.hall import Verbs
from namespace.lineage import made_id, supersede
from namespace.metadata import DIRECTORY_CONTENT_TYPE, object_info, validators
from namespace.objects import CANNED
from namespace.paths import KeyPath
from namespace.placing import make_file, put_marker
from namespace.upload_body import BodyUpload

if TYPE_CHECKING:
    from namespace.api import Caller, ObjectInfo, PutRequest
    from namespace.cache import InodeEntry
    from namespace.contents import Body
    from namespace.hall import Hall
    from namespace.view import View
    from namespace.volume import VolumeState


class PutVerb(Verbs):
    """PutObject."""

    def __init__(self, hall: Hall) -> None:
        """Act on *hall*."""
        super().__init__(hall)
        self._hall = hall

    async def begin_put(self, caller: Caller, bucket: str, request: PutRequest) -> _PutSession:
        """Check that the object may be put and make ready for its body."""
        volume = await self._volumes.named(bucket)

        def plan(view: View) -> Planned[int]:
            check_put(view, caller, request)
            content = view.number("content")
            return Planned(lambda: content)

        content = await self._engine.run(volume, plan)
        return _PutSession(self._hall, volume, caller, request, BodyUpload(self._hall, volume, content))


class _PutSession:
    """A PUT whose body is on its way."""

    def __init__(self, hall: Hall, volume: VolumeState, caller: Caller, request: PutRequest, body: BodyUpload) -> None:
        """Put *request* with what comes as *body*."""
        self._hall = hall
        self._volume = volume
        self._caller = caller
        self._request = request
        self._body = body
        self.write = body.write
        self.abort = body.abort

    async def finish(self, etag: bytes, checksums: dict[str, str]) -> ObjectInfo:
        """Check again, and make the body the object's content in one Change."""
        return await self.finish_as(Said(etag, checksums))

    async def finish_as(self, said: Said) -> ObjectInfo:
        """Do what `finish` does, with all that may be *said* of the body."""
        body = await self._body.close()
        now_ns = self._hall.clock.now_ns
        try:
            return await self._hall.engine.run(
                self._volume, lambda view: plan_object(Edit(view, now_ns()), self._caller, self._request, body, said)
            )
        except FsError:
            self._body.abort()
            raise


class Said(Struct, frozen=True):
    """What S3 says of a body beyond its bytes and the request; `etag` None: a synthetic one."""

    etag: bytes | None
    checksums: dict[str, str] = {}
    parts: dict[str, str] = {}


def plan_object(edit: Edit, caller: Caller, request: PutRequest, body: Body, said: Said) -> Planned[ObjectInfo]:
    """Check permission, conflicts and conditions, and plan that *body* is the object's content."""
    path = check_put(edit.view, caller, request, body.size)
    if path.names_directory and not _has_body(request, body.size):
        made = put_marker(edit, caller, path, request.acl)
        version_id = NULL_VERSION if edit.view.volume.versioning else b""
        return edit.planned(lambda: replace(shown_info(edit, request.key, made.ino), version_id=version_id))
    return _put_file(edit, caller, path, request, body, said)


def check_put(view: View, caller: Caller, request: PutRequest, size: int = 0) -> KeyPath:
    """Raise unless *caller* may put the object, of which *size* bytes are known, now.

    The right comes first: who may not write must not learn from a conflict or a condition what is there.
    """
    path = KeyPath(view, caller, request.key)
    _authorize_put(view, caller, path, request, size)
    path.check_room(view)
    if path.names_directory and view.volume.strict and _has_body(request, size):
        raise NotSupported("a directory's key with a body, in a strict bucket")
    seen = path.object(view)
    check_write(request.conditions, *((None, 0) if seen is None else validators(seen)))
    return path


def _authorize_put(view: View, caller: Caller, path: KeyPath, request: PutRequest, size: int) -> None:
    """Raise AccessDenied, NotPermitted or ReadOnly unless *caller* may put the object."""
    acl = view.volume.acl
    replaced = path.file
    if path.target is None:
        ENTER.require(caller, path.parent(len(path.found)), acl=acl)
    elif path.file is not None:
        OVERWRITE.require(caller, path.file, acl=acl)
    elif _has_body(request, size):
        ENTER.require(caller, path.target, acl=acl)
    else:
        MARK.require(caller, path.target, acl=acl)
        replaced = path.target
    if request.acl and replaced is not None:
        CHANGE.require(caller, replaced)
    if request.tags:
        authorize_account(caller)


def _has_body(request: PutRequest, size: int) -> bool:
    """Tell whether a directory's key gets more than the plain marker that an explicit directory is."""
    kind, _, _ = request.headers.get("content-type", DIRECTORY_CONTENT_TYPE).partition(";")
    said = request.user or request.tags or request.headers.keys() - {"content-type"}
    return bool(size or said or kind != DIRECTORY_CONTENT_TYPE)


def _put_file(
    edit: Edit, caller: Caller, path: KeyPath, request: PutRequest, body: Body, said: Said
) -> Planned[ObjectInfo]:
    """Give the object its new content; make it, and the directories its key needs, where they are missing."""
    fields = {**name_body(edit, body), "etag": said.etag}
    target = path.file
    if target is not None and target.nlink == 1:
        ino = _overwrite(edit, path, edit.view.entry(target.ino), fields)
        if path.names_directory:
            edit.make_explicit(path.found[-1].ino)
    else:
        ino = make_file(edit, caller, path, {"write_seq": 1, "etag_seq": 1, **fields}, request.acl).ino
    if target is not None and request.acl:
        edit.replace(ino, mode=mode_by_acl(target, request.acl))
    acl = {CANNED: request.acl} if request.acl else {}
    if request.headers or request.user or said.checksums or request.tags or acl or said.parts:
        texts = (request.headers, request.user, said.checksums, request.tags, acl, said.parts)
        edit.put(ObjectMeta(edit.view.volume.vol, ino, *texts))
    elif target is not None and target.nlink == 1:
        edit.drop_meta(ino)
    version_id = made_id(edit)
    return edit.planned(lambda: replace(shown_info(edit, request.key, ino), version_id=version_id))


def _overwrite(edit: Edit, path: KeyPath, entry: InodeEntry, fields: dict[str, Any]) -> int:
    """Replace the content of a file: its handle, owner and mode stay, UNSTABLE data of its writers goes."""
    image = edit.image(entry)
    edge = edit.view.edge(*path.file_name)
    assert edge is not None  # the path was found by it
    if not (edit.view.volume.versioning and supersede(edit, entry, edge, whole=True)):
        edit.detach_content(image)
    seq = image.write_seq + 1
    now = edit.now_ns
    edit.touch(entry, mtime=now, content_time=now, write_seq=seq, etag_seq=seq, **fields)
    edit.then(lambda: _drop_overlay(edit, entry))
    return image.ino


def _drop_overlay(edit: Edit, entry: InodeEntry) -> None:
    overlay = entry.overlay
    if overlay is not None:
        entry.overlay = entry.attr = None
        if overlay.runs:
            overlay.discard()
            edit.view.volume.new_verifier()


def shown_info(edit: Edit, key: bytes, ino: int) -> ObjectInfo:
    """Return what S3 shows of an inode now that *edit* is installed."""
    entry = edit.view.volume.cache.inodes[ino]
    assert entry.image is not None
    return object_info(key, entry.image, entry.meta)
