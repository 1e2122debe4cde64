"""`gatefold check`: is what the tables say what the nodes hold? It changes nothing; `repair` does, when asked to.

The metastore audits its own tables, and the namespace's rules of names are put to every name. Then every live blob is
looked for on the nodes: as many sound copies on different nodes as the ring promises. Live rows are read first and a
blob is on its nodes before its row exists, so a blob that seems to be missing was either deleted meanwhile, which its
row says when asked again, or is lost.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict as struct_asdict

from appliance.repair import refuse_if_served, repair
from metastore.api import Backlog, Finding
from namespace.audit import audit_edge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.repair_work import Repaired
    from foundation.clock import Clock
    from metastore.api import MetaStore
    from metastore.records import Blob, Volume
    from storage_engine.api import BodyStore, Held

#: Findings of the rules of names that are told of one volume.
_MAX_NAMES = 100


@dataclass(slots=True)
class VolumeReport:
    """What was found in one volume."""

    name: str
    vol: int
    blobs: int = 0  # live ones
    bytes: int = 0  # of live blobs, one copy each
    garbage: int = 0  # blobs on nodes that no live row names; freed in time, no fault
    backlog: Backlog = field(default_factory=Backlog)  # what waits to be freed; no fault
    repaired: list[Repaired] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What was found in all."""

    volumes: list[VolumeReport]
    findings: list[Finding]  # those of no single volume

    @property
    def clean(self) -> bool:
        """Return whether nothing is wrong, or nothing any more."""
        return not self.findings and not any(volume.findings for volume in self.volumes)

    def as_json(self) -> dict[str, Any]:
        """Return the report for `--json`."""
        volumes = [
            {
                **asdict(volume),
                "backlog": struct_asdict(volume.backlog),
                "findings": [_finding(each) for each in volume.findings],
            }
            for volume in self.volumes
        ]
        return {"clean": self.clean, "volumes": volumes, "findings": [_finding(each) for each in self.findings]}


def report_lines(report: Report) -> Iterator[str]:
    """Yield *report* for people."""
    for volume in report.volumes:
        yield f"{volume.name}: {volume.blobs} blobs, {volume.bytes} bytes, {volume.garbage} garbage blobs"
        waiting = volume.backlog
        if waiting != Backlog():
            yield (
                f"  waiting: {waiting.contents} contents with {waiting.extents} extents, {waiting.drafts} drafts,"
                f" {waiting.ended_uploads} ended uploads with {waiting.parts} parts,"
                f" {waiting.unreferenced_blobs} unreferenced and {waiting.doomed_blobs} doomed blobs"
            )
        for done in volume.repaired:
            yield f"  REPAIRED {done.rule}: {done.subject}: {done.was} -> {done.now}"
    for finding in [*report.findings, *(each for volume in report.volumes for each in volume.findings)]:
        yield f"FAULT {finding.rule}: volume {finding.vol}, {finding.subject}: {finding.detail}"
    yield "clean" if report.clean else "NOT CLEAN"


async def repair_and_check(metastore: MetaStore, bodies: BodyStore, clock: Clock) -> Report:
    """Repair every volume, then check it; raise HomeBusy."""
    await refuse_if_served(metastore)
    await metastore.register_gateway("repair")
    repaired = {volume.vol: await repair(metastore, clock, volume) for volume in await metastore.volumes()}
    await metastore.end_gateway()  # the next to serve waits for no lease of ours
    report = await check(metastore, bodies)
    for volume in report.volumes:
        volume.repaired = repaired.get(volume.vol, [])
    return report


async def check(metastore: MetaStore, bodies: BodyStore) -> Report:
    """Check every volume."""
    ring = await metastore.ring()
    report = Report([], [])
    if ring is None:
        report.findings.append(Finding(0, "ring.missing", "ring", "there is no ring: bodies cannot be placed"))
        return report
    for state in await bodies.states():
        if not state.up:
            report.findings.append(Finding(0, "node.down", f"node {state.id}", state.detail or "does not answer"))
    for volume in await metastore.volumes():
        report.volumes.append(await _check_volume(metastore, bodies, volume, ring.copies))
    return report


async def _check_volume(metastore: MetaStore, bodies: BodyStore, volume: Volume, copies: int) -> VolumeReport:
    found = VolumeReport(volume.name, volume.vol)
    async for finding in metastore.audit(volume.vol):
        found.findings.append(finding)
    await _check_names(metastore, found)
    found.backlog = await metastore.backlog(volume.vol)
    live = _LiveBlobs()
    async for blob in metastore.live_blobs(volume.vol):
        live.add(blob)
        found.bytes += blob.size
    found.blobs = len(live.ids)
    garbage: set[int] = set()
    async for held in bodies.inventory(volume.vol, verify=True):
        damage = live.see(held)
        if damage is None:
            garbage.add(held.blob.id)
        elif damage:
            detail = f"the copy on node {held.node}: {damage}"
            found.findings.append(Finding(volume.vol, "blob.damaged", f"blob {held.blob.id}", detail))
    found.garbage = len(garbage)
    for number, have in live.fewer_than(copies):
        if await _still_live(metastore, volume.vol, number):
            detail = f"{have} sound copies, wanted {copies}"
            found.findings.append(Finding(volume.vol, "blob.copies", f"blob {number}", detail))
    return found


async def _check_names(metastore: MetaStore, found: VolumeReport) -> None:
    """Put the rules of names to every name of a volume."""
    told = 0
    async for audited in metastore.edges(found.vol):
        broken = audit_edge(audited)
        if broken is None:
            continue
        edge, (rule, right) = audited.edge, broken
        told += 1
        if told <= _MAX_NAMES:
            detail = f"alias {edge.alias!r} should be {right.alias!r}" if edge.alias != right.alias else "not listed"
            found.findings.append(Finding(found.vol, rule, f"name {edge.skey!r} in {edge.parent}", detail))


class _LiveBlobs:
    """The live blobs of a volume and where sound copies were seen: 24 bytes each."""

    def __init__(self) -> None:
        self.ids = array("q")
        self._sizes = array("q")
        self._nodes = array("Q")  # a bit per node, in the order in which nodes were met
        self._bits: dict[int, int] = {}

    def add(self, blob: Blob) -> None:
        """Add a blob; they come by id."""
        self.ids.append(blob.id)
        self._sizes.append(blob.size)
        self._nodes.append(0)

    def see(self, held: Held) -> str | None:
        """Note a copy; return what is wrong with it, empty if nothing, None if no live blob is held."""
        place = bisect_left(self.ids, held.blob.id)
        if place == len(self.ids) or self.ids[place] != held.blob.id:
            return None
        if not held.sound:
            return "its checksums do not match"
        if held.size != self._sizes[place]:
            return f"{held.size} bytes, wanted {self._sizes[place]}"
        self._nodes[place] |= 1 << self._bits.setdefault(held.node, len(self._bits))
        return ""

    def fewer_than(self, copies: int) -> Iterator[tuple[int, int]]:
        """Yield the blobs that were seen on fewer nodes than *copies*, each with on how many."""
        for number, nodes in zip(self.ids, self._nodes, strict=True):
            if nodes.bit_count() < copies:
                yield number, nodes.bit_count()


async def _still_live(metastore: MetaStore, vol: int, number: int) -> bool:
    """Return whether a blob that was live at the start is live now."""
    row = await metastore.load_blob(vol, number)
    return row is not None and row.doomed == 0


def _finding(finding: Finding) -> dict[str, Any]:
    return {"vol": finding.vol, "rule": finding.rule, "subject": finding.subject, "detail": finding.detail}
