"""From an export's path to the directory where it begins (ADR 23).

A path is walked when somebody asks, so a bucket or directory may come after its export. A handle goes on naming its
directory when that is renamed; the path names what is there when it is mounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import AccessDenied, FsError, NotDirectory
from namespace.api import TOP_VOL, Caller, FileType
from protocols.nfs.exports import components_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from namespace.api import FileId, FileNamespace
    from protocols.nfs.exports import Export

#: An export's own path is the administrator's: nobody's rights count on it.
_ADMINISTRATOR = Caller(0, 0)


class Tops:
    """Where exports begin; those of sub-directories are remembered."""

    def __init__(self, namespace: FileNamespace) -> None:
        """Find directories in *namespace*, and remember none yet."""
        self._namespace = namespace
        self._known: dict[str, FileId] = {}

    async def find(self, export: Export) -> FileId:
        """Return the directory that the export's path names now; raise FsError, BucketNotFound among others."""
        components = components_of(export.path)
        if not components:
            return await self._namespace.top.root(TOP_VOL)
        bucket = await self._namespace.top.root_of(components[0])
        if len(components) == 1:
            return bucket
        top = self._known[export.path] = await self.walk(_ADMINISTRATOR, bucket, components[1:])
        return top

    async def known(self, export: Export) -> FileId | None:
        """Return the top of a sub-directory export as it was found last; None where its path leads nowhere now."""
        top = self._known.get(export.path)
        if top is None:
            try:
                top = await self.find(export)
            except FsError:
                return None
        return top

    async def walk(self, caller: Caller, file: FileId, names: Iterable[str]) -> FileId:
        """Return the directory at *names* below *file* as *caller* finds it; raise FsError at a symbolic link."""
        for name in names:
            verbs = self._namespace.top if file.vol == TOP_VOL else self._namespace
            looked = await verbs.lookup(caller, file, name.encode("utf-8", "surrogateescape"))
            if looked.file.type == FileType.SYMLINK:
                raise AccessDenied("a symbolic link on the way")
            if looked.file.type != FileType.DIRECTORY:
                raise NotDirectory(name)
            file = looked.file.file
        return file
