"""`gatefold check --repair`: what is provably safe, each step one small fenced commit, until an audit finds no more.

A step makes right what the other rows say beyond doubt (a counter, a parent, a flag), or keeps what is there where it
can be found (`lost+found`). Nothing that a lost row may have pointed at is freed, no name and no byte is removed. The
metastore's README says rule by rule what is done, and why the rest is only told.

Each volume is taken first: its new epoch shuts out whoever served it, and a gateway that takes it back ends the
repair. A step leaves a sound state, so a crash between two of them leaves less to repair and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from appliance.home import HomeBusy
from appliance.lost_found import LostFound
from appliance.repair_bodies import BodyRepairs
from appliance.repair_work import CHUNK
from foundation.errors import NoReply
from metastore.api import VolumeTaken
from namespace.audit import audit_edge

if TYPE_CHECKING:
    from appliance.repair_work import Repaired, Step
    from foundation.clock import Clock
    from metastore.api import Finding, MetaStore
    from metastore.records import Edge, Volume

#: Findings looked at between two audits; bounds memory.
_MAX_FINDINGS = 10_000
#: Rules that tell of a lost row, or of one that may belong to something else than it says: while one of them is
#: broken, what seems to belong to nobody may be all that is left of a file.
_DOUBTS = ("extent.", "edge.inode", "version.inode", "inode.body", "inode.range", "content.shared", "part.shared")


async def refuse_if_served(metastore: MetaStore) -> None:
    """Raise HomeBusy while another gateway is connected, whatever it holds."""
    others = await metastore.connected_gateways()
    if others:
        names = ", ".join(f"{gateway.name} ({gateway.id})" for gateway in others)
        raise HomeBusy(f"a gateway is connected to the database: {names}; stop it first")


async def repair(metastore: MetaStore, clock: Clock, volume: Volume) -> list[Repaired]:
    """Repair *volume* and return what was done; the caller's gateway is registered. Raise HomeBusy."""
    try:
        await metastore.take_volume(volume.vol, volume.holder, volume.epoch)
    except VolumeTaken as error:
        raise HomeBusy(f"{volume.name}: a gateway has taken it meanwhile ({error})") from error
    work = _Repair(metastore, clock, volume.vol)
    try:
        await work.run()
        await metastore.release_volume(volume.vol)
    except NoReply as error:
        raise HomeBusy(f"{volume.name}: a gateway has taken it meanwhile ({error})") from error
    return work.done


class _Repair(BodyRepairs):
    """The repair of one volume."""

    def __init__(self, metastore: MetaStore, clock: Clock, vol: int) -> None:
        super().__init__(metastore, clock, vol)
        self._lost_found = LostFound(metastore, clock, vol)
        self._findings: list[Finding] = []
        self._seen: set[tuple[str, str]] = set()  # what was repaired and found again is left alone

    async def run(self) -> None:
        """Audit and repair in turns: a later stage relies on what an earlier one has made right."""
        await self._finish_uploads()
        # Bodies and numbers; then every object gets a name; then each directory its place; then what is counted.
        stages = (self._rows, self._names, self._cycles, self._places, self._counters, self._garbage)
        while True:
            self._findings = await self._audit()
            for stage in stages:
                if await self._make(stage()):
                    break
            else:
                if not await self._name_rules():
                    return

    async def _audit(self) -> list[Finding]:
        """Return the first findings; those behind come with the next audit, but a doubt counts wherever it is."""
        findings: list[Finding] = []
        self._in_doubt = False
        async for found in self._metastore.audit(self._vol):
            self._in_doubt = self._in_doubt or found.rule.startswith(_DOUBTS)
            if len(findings) < _MAX_FINDINGS:
                findings.append(found)
        return findings

    async def _make(self, steps: dict[str, Step]) -> bool:
        """Take the *steps* of one stage; return whether any did something."""
        before = len(self.done)
        for found in self._findings:
            step = steps.get(found.rule)
            if step is None or (found.rule, found.subject) in self._seen:
                continue
            outcome = await step(found)
            if outcome is not None:
                self._seen.add((found.rule, found.subject))
                self._note(found.rule, found.subject, *outcome)
        return len(self.done) > before

    # -- the stages -----------------------------------------------------------------------------------------------

    def _rows(self) -> dict[str, Step]:
        return {
            "inode.unreserved": self._reserve("ino"),
            "content.unreserved": self._reserve("content"),
            "part.unreserved": self._reserve("content"),
            "reclaim.unreserved": self._reserve("content"),
            "blob.unreserved": self._reserve_blobs,
            "content.reclaimed": self._keep_content,
            "part.reclaimed": self._keep_content,
            "reclaim.epoch": self._end_draft,
            "extent.count": self._count_extents,
            "extent.inline": self._move_inline,
            "inode.size": self._set_counter("size"),
            "edge.listed": self._unlist,
            "edge.cookie": self._new_cookie,
        }

    def _names(self) -> dict[str, Step]:
        return {"inode.named": self._link_orphan, "edge.parent": self._move_name}

    def _cycles(self) -> dict[str, Step]:
        return {"tree.reachable": self._cut_cycle}

    def _places(self) -> dict[str, Step]:
        return {"inode.parent": self._set_counter("parent")}

    def _counters(self) -> dict[str, Step]:
        return {
            "inode.entries": self._set_counter("entries"),
            "inode.nlink": self._set_counter("nlink"),
            "inode.history": self._set_counter("history"),
            "extent.used": self._count_bytes,
            "blob.refs": self._count_references,
            "part.upload": self._drop_part,
        }

    def _garbage(self) -> dict[str, Step]:
        return {"content.owner": self._give_to_reclaim}

    # -- inodes and names -----------------------------------------------------------------------------------------

    def _set_counter(self, field: str) -> Step:
        async def step(found: Finding) -> tuple[str, str] | None:
            """Set *field* of an inode to what was counted."""
            inode = await self._inode(found.number)
            if inode is None or found.right is None or found.right < 0:
                return None
            was = getattr(inode, field)
            await self._commit(replace(inode, **{field: found.right}))
            return f"{field} {was}", f"{field} {found.right}"

        return step

    async def _unlist(self, found: Finding) -> tuple[str, str] | None:
        edge = await self._edge(found)
        if edge is None:
            return None
        await self._commit(replace(edge, listed=False))
        return "listed", "not listed"

    async def _new_cookie(self, found: Finding) -> tuple[str, str] | None:
        edge = await self._edge(found)
        if edge is None:
            return None
        cookie = (await self._metastore.reserve(self._vol, "cookie", 1)).first
        await self._commit(replace(edge, cookie=cookie))
        return f"cookie {edge.cookie}", f"cookie {cookie}"

    async def _link_orphan(self, found: Finding) -> tuple[str, str] | None:
        """Give an object that has no name one in lost+found."""
        inode = await self._inode(found.number)
        if found.right or inode is None:
            return None  # a directory with several names, or the root with one: which is right, nothing tells
        change, name = await self._lost_found.link(inode)
        await self._commit_change(change)
        return "no name", name

    async def _move_name(self, found: Finding) -> tuple[str, str] | None:
        """Move a name that lies in no directory to lost+found."""
        edge, inode = await self._edge(found), await self._inode(found.right or 0)
        if edge is None or inode is None:
            return None
        change, name = await self._lost_found.link(inode, instead_of=edge)
        await self._commit_change(change)
        return f"{found.name!r} in {found.number}", name

    async def _cut_cycle(self, found: Finding) -> tuple[str, str] | None:
        """Move the directory with the lowest number of a cycle to lost+found; what lies below comes with it."""
        ring, ino = list[int](), found.number
        while ino not in ring:
            ring.append(ino)
            names = await self._metastore.names_of(self._vol, ino, 2)
            if len(names) != 1:
                return None  # a directory without a name gets one first; with two there is no telling
            ino = names[0].parent
        lowest = min(ring[ring.index(ino) :])
        if found.number != lowest:
            return None
        (edge,), inode = await self._metastore.names_of(self._vol, lowest, 2), await self._inode(lowest)
        if inode is None:
            return None
        change, name = await self._lost_found.link(inode, instead_of=edge)
        await self._commit_change(change)
        return f"{edge.skey!r} in {edge.parent}, below itself", name

    async def _name_rules(self) -> bool:
        """Make right what the namespace's rules of names say; return whether anything was."""
        before = len(self.done)
        broken: list[tuple[str, Edge, Edge]] = []  # of one directory: what is broken, and how it is and should be
        async for audited in self._metastore.edges(self._vol):
            if broken and (broken[0][1].parent != audited.edge.parent or len(broken) == CHUNK):
                await self._mend_names(broken)
                broken = []
            found = audit_edge(audited)
            if found is not None and (found[0], _name_of(audited.edge)) not in self._seen:
                broken.append((found[0], audited.edge, found[1]))
        await self._mend_names(broken)
        return len(self.done) > before

    async def _mend_names(self, broken: list[tuple[str, Edge, Edge]]) -> None:
        """Make names of one directory right in one step: their aliases may be swapped."""
        mended = {was.key for _, was, _ in broken}
        rows: list[Edge] = []
        for rule, was, right in broken:
            self._seen.add((rule, _name_of(was)))
            if right.alias is not None:
                has_it = await self._metastore.load_alias(self._vol, right.parent, right.alias)
                if has_it is not None and has_it.edge.key not in mended:
                    continue  # a name that may be right has that alias; it stays told
            rows.append(right)
            self._note(rule, _name_of(was), _told(was), _told(right))
        if rows:
            await self._commit(*rows)


def _name_of(edge: Edge) -> str:
    return f"name {edge.skey!r} in {edge.parent}"


def _told(edge: Edge) -> str:
    return f"alias {edge.alias!r}, {'listed' if edge.listed else 'not listed'}"
