"""The directory of all buckets: what the root export shows (ADR 23).

It is a file system of its own with this one directory. Its entries are the buckets, and their attributes are those of
the buckets' roots, which are other file systems. It belongs to root, and lasts no longer than what it shows: nothing
of it is stored. `mtime` and `ctime` are when this process first saw that a bucket had come or gone; its start counts.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

from msgspec.structs import replace

from foundation.aio import gather
from foundation.errors import (
    AccessDenied,
    BucketNotFound,
    FsError,
    HeldElsewhere,
    InvalidArgument,
    IsDirectory,
    NoReply,
    NotFound,
    NotPermitted,
    NotSymlink,
    StaleHandle,
    Unavailable,
)
from metastore.records import ROOT_INO, FileType, Volume
from namespace.api import TOP_VOL, Access, Attr, Caller, DirEntry, DirPage, FileId, FsStat, Looked, Made, Wcc
from namespace.attributes import DIRECTORY_SIZE, attr_of
from namespace.authority import SEARCH, authorize_change, permits
from namespace.bucket_names import check_bucket_name
from namespace.buckets import root_inode
from namespace.edit import Planned
from namespace.hall import Verbs
from namespace.look import FILES_MAX
from namespace.names import check_name, check_new_name
from namespace.setattr import MODE_BITS
from namespace.view import View, new_generation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from metastore.records import Account
    from namespace.api import Linked, ReadResult, Renamed, SetAttr, Written
    from namespace.hall import Hall
    from namespace.service import GatefoldNamespace

TOP = FileId(TOP_VOL, ROOT_INO, 0)
MODE = 0o755
#: What an entry's numbers are above its volume's: `.` and `..` have cookies 1 and 2, the directory has fileid 1.
_COOKIES, _FILEIDS = 2, 1


class BucketDirectory(Verbs):
    """`namespace.api.TopVerbs`."""

    def __init__(self, hall: Hall, namespace: GatefoldNamespace) -> None:
        """Show the volumes of *hall*, whose verbs are *namespace*."""
        super().__init__(hall)
        self._namespace = namespace
        self._numbers: frozenset[int] = frozenset()  # the volumes that were seen last
        self._changed_ns = hall.clock.now_ns()

    # ------------------------------------------------------------------ for who enters

    async def name_of(self, vol: int) -> str:
        """Return the name of a bucket by the number of its volume; raise StaleHandle."""
        return await self._volumes.name(vol)

    async def root_of(self, bucket: str) -> FileId:
        """Return a bucket's root directory; raise BucketNotFound or HeldElsewhere."""
        volume = await self._volumes.named(bucket)
        return await self._engine.run(volume, _plan_root)

    async def root(self, vol: int) -> FileId:
        """Return this directory; raise BucketNotFound for any other volume."""
        if vol != TOP_VOL:
            raise BucketNotFound(f"volume {vol}")
        return TOP

    # ------------------------------------------------------------------ looking

    async def getattr(self, _caller: Caller, file: FileId) -> Attr:
        """Return the directory's attributes."""
        _, here = await self._look(file)
        return here

    async def lookup(self, caller: Caller, directory: FileId, name: bytes) -> Looked:
        """Find the root of the bucket *name*; raise NotFound where the caller may not enter it, or HeldElsewhere."""
        _, here = await self._look(directory)
        with _seeing(here):
            check_name(name)
            return Looked(here if name in (b".", b"..") else await self._found(caller, name), here)

    async def access(self, caller: Caller, file: FileId, wanted: int) -> tuple[Attr, int]:
        """Return the bits of *wanted* that the caller has: everybody reads, and changes who may make buckets."""
        _, here = await self._look(file)
        granted = Access.READ | Access.LOOKUP
        if not caller.read_only and await self._account(caller) is not None:
            granted |= Access.MODIFY | Access.EXTEND | Access.DELETE
        return here, wanted & granted

    async def readdir(self, caller: Caller, directory: FileId, after: int, limit: int) -> DirPage:
        """Return the buckets that the caller may enter, by volume; those held elsewhere without attributes."""
        if limit < 1:
            raise InvalidArgument("a page has room for an entry")
        rows, here = await self._look(directory)
        entries = [DirEntry(name, cookie, ROOT_INO, here) for name, cookie in ((b".", 1), (b"..", 2)) if cookie > after]
        following = (row for row in rows if row.vol + _COOKIES > after)
        entries += await self._entries(caller, following, limit + 1 - len(entries))
        return DirPage(here, tuple(entries[:limit]), eof=len(entries) <= limit)

    async def fsstat(self, caller: Caller, file: FileId) -> tuple[Attr, FsStat]:
        """Return the room that the storage nodes have: all buckets share it."""
        space = await self._bodies.space()
        return await self.getattr(caller, file), FsStat(space.total, space.free, FILES_MAX, FILES_MAX)

    # ------------------------------------------------------------------ buckets made and removed

    async def mkdir(
        self, caller: Caller, directory: FileId, name: bytes, attrs: SetAttr, *_more: object, **_how: object
    ) -> Made:
        """Make a bucket of the account that has the caller's uid; of *attrs* the mode counts."""
        _, here = await self._look(directory)
        with _seeing(here):
            check_new_name(name)
            account = await self._maker(caller)
            bucket = name.decode("ascii", "replace")
            check_bucket_name(bucket)
            now_ns = self._clock.now_ns()
            root = root_inode(caller.uid, caller.gid, now_ns, new_generation())
            if attrs.mode is not None:
                root = replace(root, mode=attrs.mode & MODE_BITS)
            row = await self._volumes.make(Volume(0, bucket, account.id, now_ns, 0, 0, {}), root)
            with _irrevocable():
                wcc = await self._wcc(made={row.vol})
                return Made(await self._namespace.getattr(caller, FileId(row.vol, ROOT_INO, root.gen)), wcc)

    async def rmdir(self, caller: Caller, directory: FileId, name: bytes, *_more: object, **_how: object) -> Wcc:
        """Remove an empty bucket of the account that has the caller's uid."""
        _, here = await self._look(directory)
        with _seeing(here):
            check_new_name(name)
            root = await self._found(caller, name)
            account = await self._maker(caller)
            owner = Caller(caller.uid, caller.gid, caller.groups, account.id)
            await self._namespace.delete_bucket(owner, name.decode())
            with _irrevocable():
                return await self._wcc(gone={root.file.vol})

    # ------------------------------------------------------------------ what cannot be done here

    async def setattr(self, caller: Caller, file: FileId, *_more: object, **_how: object) -> Wcc:
        """Refuse: nobody owns the directory."""
        _, here = await self._look(file)
        with _seeing(here):
            authorize_change(caller)
            raise NotPermitted("the directory of buckets is nobody's")

    async def readlink(self, _caller: Caller, file: FileId) -> tuple[Attr, bytes]:
        """Refuse: it is no symbolic link."""
        await self._refuse(file, NotSymlink("not a symbolic link"))

    async def read(self, _caller: Caller, file: FileId, *_more: object) -> ReadResult:
        """Refuse: it has no bytes."""
        await self._refuse(file, IsDirectory("a directory is read by readdir"))

    async def write(self, _caller: Caller, file: FileId, *_more: object) -> Written:
        """Refuse: it has no bytes."""
        await self._refuse(file, IsDirectory("a directory has no bytes"))

    async def commit(self, _caller: Caller, file: FileId, *_more: object) -> Written:
        """Refuse: it has no bytes."""
        await self._refuse(file, IsDirectory("a directory has no bytes"))

    async def create(self, caller: Caller, directory: FileId, name: bytes, *_more: object, **_how: object) -> Made:
        """Refuse: only buckets lie here."""
        await self._no_place(caller, directory, name)

    async def symlink(self, caller: Caller, directory: FileId, name: bytes, *_more: object, **_how: object) -> Made:
        """Refuse: only buckets lie here."""
        await self._no_place(caller, directory, name)

    async def mknod(self, caller: Caller, directory: FileId, name: bytes, *_more: object, **_how: object) -> Made:
        """Refuse: only buckets lie here."""
        await self._no_place(caller, directory, name)

    async def link(self, caller: Caller, file: FileId, directory: FileId, *_more: object, **_how: object) -> Linked:
        """Refuse: what lies here is a directory."""
        _, here = await self._look(file, directory)
        with _seeing(here, here):
            authorize_change(caller)
            raise IsDirectory("a directory has one name")

    async def remove(self, caller: Caller, directory: FileId, name: bytes, *_more: object, **_how: object) -> Wcc:
        """Refuse: a bucket is a directory."""
        _, here = await self._look(directory)
        with _seeing(here):
            check_new_name(name)
            await self._found(caller, name)
            raise IsDirectory("a bucket is removed by rmdir")

    async def rename(
        self, caller: Caller, source: FileId, name: bytes, target: FileId, *_more: object, **_how: object
    ) -> Renamed:
        """Refuse: a bucket keeps its name."""
        _, here = await self._look(source, target)
        with _seeing(here, here):
            authorize_change(caller)
            check_new_name(name)
            await self._found(caller, name)
            raise AccessDenied("a bucket keeps its name")

    async def _refuse(self, file: FileId, error: FsError) -> NoReturn:
        _, here = await self._look(file)
        with _seeing(here):
            raise error

    async def _no_place(self, caller: Caller, directory: FileId, name: bytes) -> NoReturn:
        _, here = await self._look(directory)
        with _seeing(here):
            authorize_change(caller)
            check_new_name(name)
            raise AccessDenied("only buckets lie here")

    # ------------------------------------------------------------------ how

    async def _look(self, *files: FileId) -> tuple[list[Volume], Attr]:
        """Return all volumes by number, and the directory's attributes; raise StaleHandle for any other."""
        if any(file != TOP for file in files):
            raise StaleHandle("no such directory")
        rows = sorted(await self._engine.metastore.volumes(), key=lambda row: row.vol)
        return rows, self._attr({row.vol for row in rows})

    def _attr(self, numbers: Iterable[int]) -> Attr:
        """Return the attributes while there are the volumes *numbers*, and remember that there are."""
        seen = frozenset(numbers)
        if seen != self._numbers:
            self._numbers = seen
            self._changed_ns = max(self._changed_ns + 1, self._clock.now_ns())
        nlink, time, size = 2 + len(seen), self._changed_ns, DIRECTORY_SIZE
        return Attr(TOP, FileType.DIRECTORY, MODE, nlink, 0, 0, size, size, 0, time, time, time)

    async def _wcc(self, *, made: Iterable[int] = (), gone: Iterable[int] = ()) -> Wcc:
        """Return the directory before and after a change of our own; others' changes meanwhile came before it."""
        now = {row.vol for row in await self._engine.metastore.volumes()}
        before = self._attr((now - set(made)) | set(gone))
        return Wcc(before, self._attr(now))

    async def _account(self, caller: Caller) -> Account | None:
        """Return the account whose buckets *caller* may make and remove: of several, the first by name."""
        if not caller.make_buckets:
            return None
        accounts = sorted(await self._engine.metastore.accounts(), key=lambda account: account.name)
        return next((account for account in accounts if account.uid == caller.uid), None)

    async def _maker(self, caller: Caller) -> Account:
        """Return the same; raise ReadOnly or AccessDenied."""
        authorize_change(caller)
        account = await self._account(caller)
        if account is None:
            raise AccessDenied("the export makes no buckets, or the caller has no account")
        return account

    async def _found(self, caller: Caller, name: bytes) -> Attr:
        """Return the root of the bucket *name*; raise NotFound where there is none that the caller may enter."""
        try:
            volume = await self._volumes.named(name.decode("ascii"))
        except (UnicodeDecodeError, BucketNotFound) as error:
            raise NotFound("no such bucket") from error
        return await self._root_attr(caller, volume.vol)

    async def _root_attr(self, caller: Caller, vol: int) -> Attr:
        volume = await self._volumes.numbered(vol)

        def plan(view: View) -> Planned[Attr]:
            entry, image = view.live(ROOT_INO)
            if not permits(caller, image, SEARCH):
                raise NotFound("the caller may not enter the bucket")
            return Planned(lambda: attr_of(entry))

        return await self._engine.run(volume, plan)

    async def _entries(self, caller: Caller, rows: Iterator[Volume], limit: int) -> list[DirEntry]:
        """Return the first *limit* of *rows* that *caller* is shown."""
        entries: list[DirEntry] = []
        while len(entries) < limit and (some := list(islice(rows, limit - len(entries)))):
            shown = await gather(self._entry(caller, row) for row in some)
            entries += [entry for entry in shown if entry is not None]
        return entries

    async def _entry(self, caller: Caller, row: Volume) -> DirEntry | None:
        """Return the entry of a bucket; None where the caller may not enter it, or it has just gone."""
        attr: Attr | None = None
        if not self._volumes.is_elsewhere(row):
            try:
                attr = await self._root_attr(caller, row.vol)
            except (NotFound, StaleHandle):
                return None
            except (HeldElsewhere, Unavailable):
                pass  # it is there, and cannot be looked at now
        return DirEntry(row.name.encode(), row.vol + _COOKIES, row.vol + _FILEIDS, attr)


@contextmanager
def _seeing(*attrs: Attr) -> Iterator[None]:
    """Let refusals say what was seen of the directory."""
    try:
        yield
    except FsError as error:
        error.seen = attrs
        raise


@contextmanager
def _irrevocable() -> Iterator[None]:
    """Let nothing that goes wrong after a change pass for its refusal (DESIGN 8, D4)."""
    try:
        yield
    except FsError as error:
        raise NoReply("the change is made, and cannot be told of") from error


def _plan_root(view: View) -> Planned[FileId]:
    root = attr_of(view.live(ROOT_INO)[0]).file
    return Planned(lambda: root)
