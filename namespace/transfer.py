"""Copies between volumes: bytes, read from a pinned content and written as a body, in bounded memory (DESIGN 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace as with_fields

from namespace.assembling import end_of, is_whole
from namespace.authority import authorize_account
from namespace.conditions import check_source
from namespace.object_parts import copied_parts, kept_parts
from namespace.objects import ObjectVerbs
from namespace.putting import PutVerb, Said

if TYPE_CHECKING:
    from namespace.api import Buffer, Caller, CopyDirectives, CopySource, ObjectInfo, OpenObject, PutRequest
    from namespace.snapshot import ObjectReader

#: What one read of a source asks for.
READ_BYTES = 4 << 20


class Sink(Protocol):
    """What takes a body."""

    async def write(self, data: Buffer) -> None: ...


class TransferVerbs(ObjectVerbs, PutVerb):
    """What moves bytes from object to object."""

    async def open_source(self, caller: Caller, source: CopySource) -> OpenObject:
        """Open all of the object, or version, that a copy would read."""
        authorize_account(caller)
        return await self._open(caller, source, check_source)

    async def transfer(
        self, caller: Caller, source: CopySource, bucket: str, request: PutRequest, directives: CopyDirectives
    ) -> ObjectInfo:
        """Copy an object from another volume; the source's own word of its content goes with the whole of it."""
        reader = await self._open(caller, source, check_source)
        try:
            said, wanted = described(reader.info, source, request, directives)
            session = await self.begin_put(caller, bucket, wanted)
            try:
                await pour(reader, source, session)
            except BaseException:
                session.abort()
                raise
            return await session.finish_as(said)
        finally:
            reader.close()


def described(
    info: ObjectInfo, source: CopySource, request: PutRequest, directives: CopyDirectives
) -> tuple[Said, PutRequest]:
    """Return what is said of a copy: the source's own word of its content, if all of it is copied."""
    wanted = request if directives.metadata else with_fields(request, headers=info.headers, user=info.user)
    wanted = wanted if directives.tags else with_fields(wanted, tags=info.tags)
    if not is_whole(source):
        return Said(None), wanted
    checksums = info.checksums if directives.checksums is None else directives.checksums
    parts = copied_parts(kept_parts(info.parts, digests=directives.checksums is None))
    return Said(info.etag, checksums, parts), wanted


async def pour(reader: ObjectReader, source: CopySource, sink: Sink) -> None:
    """Write the bytes that *source* names into *sink*; raise InvalidArgument if they do not lie in the object."""
    end = end_of(source, reader.info.size)
    for offset in range(source.start, end, READ_BYTES):
        for buffer in await reader.read(offset, min(READ_BYTES, end - offset)):
            await sink.write(buffer)
