"""The nine requests that must not run twice, on things made for them, and what shows that each ran once.

Every request has its own fingerprint, sent again as it was: to another incarnation of the volume, for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namespace.api import Caller, CreateMode, FileType, SetAttr

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from namespace.api import FileId, FileVerbs

ROOT = Caller(0, 0, account="owner")
VERIFIER = b"verifier"


def request_of(verb: str) -> bytes:
    """Return the fingerprint of the request for *verb*."""
    return verb.encode().ljust(16)


class Nine:
    """A directory with what the nine requests are about; `VERBS` asks each of them."""

    def __init__(self, top: FileId, other: FileId, file: FileId) -> None:
        self.top, self.other, self.file = top, other, file

    @classmethod
    async def prepare(cls, ns: FileVerbs, root: FileId) -> Nine:
        """Make the things; none of this is asked twice."""
        top = (await ns.mkdir(ROOT, root, b"top", SetAttr())).file.file
        other = (await ns.mkdir(ROOT, top, b"other", SetAttr())).file.file
        await ns.mkdir(ROOT, top, b"rmdir", SetAttr())
        for name in (b"remove", b"rename"):
            await ns.create(ROOT, top, name, CreateMode.GUARDED, SetAttr(), b"")
        file = (await ns.create(ROOT, top, b"file", CreateMode.GUARDED, SetAttr(), b"")).file.file
        return cls(top, other, file)

    async def check(self, ns: FileVerbs) -> None:
        """Fail unless each request has run once."""
        page = await ns.readdir(ROOT, self.top, 2, 100)
        assert sorted(entry.name for entry in page.entries) == [
            b"create",
            b"file",
            b"link",
            b"mkdir",
            b"mknod",
            b"other",
            b"symlink",
        ]
        attr = await ns.getattr(ROOT, self.file)
        assert (attr.mode, attr.size, attr.nlink) == (0o600, 7, 2)
        assert [e.name for e in (await ns.readdir(ROOT, self.other, 2, 100)).entries] == [b"renamed"]
        assert (await ns.getattr(ROOT, self.top)).nlink == 4
        # The client that made the file exclusively still knows it by its verifier.
        known = await ns.create(ROOT, self.top, b"create", CreateMode.EXCLUSIVE, SetAttr(), VERIFIER)
        assert known.file == (await ns.lookup(ROOT, self.top, b"create")).file


async def _setattr(ns: FileVerbs, nine: Nine, request: bytes, guard: int | None) -> Any:
    return await ns.setattr(ROOT, nine.file, SetAttr(mode=0o600, size=7), guard, request)


#: By name, in an order in which they can follow each other. SETATTR has a guard that holds once.
VERBS: dict[str, Callable[[Any, Nine, bytes, int | None], Awaitable[Any]]] = {
    "setattr": _setattr,
    "create": lambda ns, nine, request, _: ns.create(
        ROOT, nine.top, b"create", CreateMode.EXCLUSIVE, SetAttr(), VERIFIER, request
    ),
    "mkdir": lambda ns, nine, request, _: ns.mkdir(ROOT, nine.top, b"mkdir", SetAttr(), request),
    "symlink": lambda ns, nine, request, _: ns.symlink(ROOT, nine.top, b"symlink", b"to", SetAttr(), request),
    "mknod": lambda ns, nine, request, _: ns.mknod(ROOT, nine.top, b"mknod", FileType.FIFO, 0, SetAttr(), request),
    "remove": lambda ns, nine, request, _: ns.remove(ROOT, nine.top, b"remove", request),
    "rmdir": lambda ns, nine, request, _: ns.rmdir(ROOT, nine.top, b"rmdir", request),
    "rename": lambda ns, nine, request, _: ns.rename(ROOT, nine.top, b"rename", nine.other, b"renamed", request),
    "link": lambda ns, nine, request, _: ns.link(ROOT, nine.file, nine.top, b"link", request),
}


async def ask_all(ns: FileVerbs, nine: Nine, guard: int | None) -> dict[str, Any]:
    """Ask all nine and return the answers by verb."""
    return {verb: await ask(ns, nine, request_of(verb), guard) for verb, ask in VERBS.items()}


def wcc_of(answer: Any) -> list[Any]:
    """Return every Wcc in *answer*."""
    fields = [getattr(answer, name) for name in ("directory", "source", "target") if hasattr(answer, name)]
    return fields or [answer]


async def check_again(ns: FileVerbs, nine: Nine, first: dict[str, Any], guard: int | None) -> None:
    """Ask all nine again, of those who did not answer them *first*: done, as the objects are now, and not done anew."""
    again = await ask_all(ns, nine, guard)
    for verb, answer in again.items():
        file = getattr(first[verb], "file", None)
        if file is not None:
            assert answer.file == await ns.getattr(ROOT, file.file), verb
            assert answer.file.file == file.file, verb
        for wcc in wcc_of(answer):
            assert wcc.before is None, verb
            assert wcc.after == await ns.getattr(ROOT, wcc.after.file), verb
    await nine.check(ns)
