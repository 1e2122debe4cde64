"""`gatefold check` over the rooms in memory: what it calls a fault, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.check import Report, check, report_lines
from foundation.aio import start
from metastore.api import AuditedEdge, Backlog, Finding
from metastore.records import Blob, Edge, FileType, RingRow, Volume
from storage_engine.api import BlobId, Held, NodeState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

VOL = 7


class Rooms:
    """The few answers that a check asks for, as the test sets them."""

    def __init__(self) -> None:
        self.live = {1: Blob(VOL, 1, 100, 1, 1), 2: Blob(VOL, 2, 50, 1, 1)}
        self.held = [
            Held(BlobId(VOL, number), node, size, True) for number, size in ((1, 100), (2, 50)) for node in (1, 2)
        ]
        self.findings: list[Finding] = []
        self.names: list[AuditedEdge] = []
        self.waiting = Backlog()
        self.nodes = [NodeState(1, "here:1", True, 10, 5, 2, ""), NodeState(2, "here:2", True, 10, 5, 2, "")]
        self.deleted_meanwhile: set[int] = set()
        self.ring_row: RingRow | None = RingRow(1, 2, 2, ((1, 2),), "")

    async def ring(self) -> RingRow | None:
        return self.ring_row

    async def volumes(self) -> list[Volume]:
        return [Volume(VOL, "data", "me", 0, 1, 1, {})]

    def audit(self, _vol: int) -> AsyncIterator[Finding]:
        return _each(self.findings)

    def edges(self, _vol: int) -> AsyncIterator[AuditedEdge]:
        return _each(self.names)

    async def backlog(self, _vol: int) -> Backlog:
        return self.waiting

    def live_blobs(self, _vol: int) -> AsyncIterator[Blob]:
        return _each(list(self.live.values()))

    async def load_blob(self, _vol: int, number: int) -> Blob | None:
        return None if number in self.deleted_meanwhile else self.live[number]

    def inventory(self, _vol: int, *, verify: bool) -> AsyncIterator[Held]:
        assert verify
        return _each(self.held)

    async def states(self) -> list[NodeState]:
        return self.nodes


async def _each(things: Iterable[Any]) -> AsyncIterator[Any]:
    for thing in things:
        yield thing


def checked(rooms: Any) -> Report:
    results: list[Report] = []
    start(check(rooms, rooms)).addCallback(results.append)
    return results[0]


def rules(report: Report) -> list[str]:
    return [each.rule for each in [*report.findings, *report.volumes[0].findings]]


def test_a_sound_house_is_clean() -> None:
    report = checked(Rooms())
    assert report.clean
    assert (report.volumes[0].blobs, report.volumes[0].bytes, report.volumes[0].garbage) == (2, 150, 0)
    assert list(report_lines(report))[-1] == "clean"


def test_blobs_that_no_row_names_are_garbage_and_no_fault() -> None:
    rooms = Rooms()
    rooms.held += [Held(BlobId(VOL, 9), node, 1, True) for node in (1, 2)]
    report = checked(rooms)
    assert report.clean
    assert report.volumes[0].garbage == 1


def test_a_missing_copy_is_a_fault() -> None:
    rooms = Rooms()
    rooms.held.pop()
    assert rules(checked(rooms)) == ["blob.copies"]


def test_two_copies_on_one_node_are_one_copy() -> None:
    rooms = Rooms()
    rooms.held[-1] = rooms.held[-2]
    assert rules(checked(rooms)) == ["blob.copies"]


def test_a_damaged_copy_is_a_fault_and_does_not_count() -> None:
    rooms = Rooms()
    rooms.held[0] = Held(BlobId(VOL, 1), 1, 100, False)
    report = checked(rooms)
    assert rules(report) == ["blob.damaged", "blob.copies"]
    assert report.as_json()["clean"] is False
    assert report.as_json()["volumes"][0]["findings"][0]["rule"] == "blob.damaged"


def test_a_copy_of_the_wrong_size_is_damaged() -> None:
    rooms = Rooms()
    rooms.held[0] = Held(BlobId(VOL, 1), 1, 99, True)
    assert "blob.damaged" in rules(checked(rooms))


def test_a_blob_deleted_while_the_check_ran_is_no_fault() -> None:
    rooms = Rooms()
    rooms.held = rooms.held[:2]
    rooms.deleted_meanwhile = {2}
    assert checked(rooms).clean


def test_what_the_metastore_finds_is_reported() -> None:
    rooms = Rooms()
    rooms.findings = [Finding(VOL, "inode.nlink", "ino 17", "2, counted 1")]
    report = checked(rooms)
    assert not report.clean
    assert "FAULT inode.nlink: volume 7, ino 17: 2, counted 1" in list(report_lines(report))


def test_a_node_that_does_not_answer_is_a_fault() -> None:
    rooms = Rooms()
    rooms.nodes[1] = NodeState(2, "here:2", False, 0, 0, 0, "refused")
    assert rules(checked(rooms)) == ["node.down"]


def test_a_house_without_a_ring_is_not_clean() -> None:
    rooms = Rooms()
    rooms.ring_row = None
    assert not checked(rooms).clean


def test_a_name_that_breaks_the_rules_of_names_is_a_fault() -> None:
    rooms = Rooms()
    rooms.names = [AuditedEdge(Edge(VOL, 1, b"a", 5, 3, None, listed=False), FileType.REGULAR, None)]
    assert rules(checked(rooms)) == ["edge.unlisted"]


def test_what_waits_to_be_freed_is_told_and_no_fault() -> None:
    rooms = Rooms()
    rooms.waiting = Backlog(contents=2, extents=70)
    report = checked(rooms)
    assert report.clean
    assert any("2 contents with 70 extents" in line for line in report_lines(report))
    assert report.as_json()["volumes"][0]["backlog"]["extents"] == 70
