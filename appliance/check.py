"""`gatefold check`: is what the tables say what the nodes hold? It changes nothing.

The metastore audits its own tables. Then every live blob is looked for on the nodes: as many sound copies on different
nodes as the ring promises. Live rows are read first and a blob is on its nodes before its row exists, so a blob that
seems to be missing was either deleted meanwhile, which its row says when asked again, or is lost.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from metastore.api import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metastore.api import MetaStore
    from metastore.records import Blob, Volume
    from storage_engine.api import BodyStore


@dataclass(slots=True)
class VolumeReport:
    """What was found in one volume."""

    name: str
    vol: int
    blobs: int = 0  # live ones
    bytes: int = 0  # of live blobs, one copy each
    garbage: int = 0  # blobs on nodes that no live row names; freed in time, no fault
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What was found in all."""

    volumes: list[VolumeReport]
    findings: list[Finding]  # those of no single volume

    @property
    def clean(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.findings and not any(volume.findings for volume in self.volumes)

    def as_json(self) -> dict[str, Any]:
        """Return the report for `--json`."""
        volumes = [
            {**asdict(volume), "findings": [_finding(each) for each in volume.findings]} for volume in self.volumes
        ]
        return {"clean": self.clean, "volumes": volumes, "findings": [_finding(each) for each in self.findings]}


def report_lines(report: Report) -> Iterator[str]:
    """Yield *report* for people."""
    for volume in report.volumes:
        yield f"{volume.name}: {volume.blobs} blobs, {volume.bytes} bytes, {volume.garbage} garbage blobs"
    for finding in [*report.findings, *(each for volume in report.volumes for each in volume.findings)]:
        yield f"FAULT {finding.rule}: volume {finding.vol}, {finding.subject}: {finding.detail}"
    yield "clean" if report.clean else "NOT CLEAN"


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
    live: dict[int, Blob] = {}
    async for blob in metastore.live_blobs(volume.vol):
        live[blob.id] = blob
        found.bytes += blob.size
    found.blobs = len(live)
    sound: dict[int, set[int]] = {}
    garbage: set[int] = set()
    async for held in bodies.inventory(volume.vol, verify=True):
        blob_row = live.get(held.blob.id)
        if blob_row is None:
            garbage.add(held.blob.id)
            continue
        if not held.sound or held.size != blob_row.size:
            what = f"{held.size} bytes, wanted {blob_row.size}" if held.sound else "its checksums do not match"
            detail = f"the copy on node {held.node}: {what}"
            found.findings.append(Finding(volume.vol, "blob.damaged", f"blob {held.blob.id}", detail))
            continue
        sound.setdefault(held.blob.id, set()).add(held.node)
    found.garbage = len(garbage)
    for number in live:
        have = len(sound.get(number, ()))
        if have < copies and await _still_live(metastore, volume.vol, number):
            detail = f"{have} sound copies, wanted {copies}"
            found.findings.append(Finding(volume.vol, "blob.copies", f"blob {number}", detail))
    return found


async def _still_live(metastore: MetaStore, vol: int, number: int) -> bool:
    """Return whether a blob that was live at the start is live now."""
    row = await metastore.load_blob(vol, number)
    return row is not None and row.doomed == 0


def _finding(finding: Finding) -> dict[str, Any]:
    return {"vol": finding.vol, "rule": finding.rule, "subject": finding.subject, "detail": finding.detail}
