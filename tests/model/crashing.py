"""The dual machine with a process that dies at a crash point, and a gateway that takes over what the rooms hold.

Death is an exception at the armed point: from then on the old process changes nothing any more. What was answered must
be there; the rule under way counts as done whole or not at all, whichever the rooms show; UNSTABLE data is as it was
committed or as it was written.
"""

from __future__ import annotations

import copy
from functools import wraps
from typing import TYPE_CHECKING, Any

from hall import ROOT, MemoryHall, run
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from machine import DualMachine
from reference import File
from rules import PICK

from foundation.clock import ManualClock
from foundation.crash import crash_points
from foundation.errors import FsError
from metastore.memory import MemoryDatabase
from namespace.api import SetAttr, Stability
from storage_engine.memory import MemoryBodyStore

if TYPE_CHECKING:
    from collections.abc import Callable


class Died(BaseException):
    """The process is dead: nothing may catch this."""


class MortalBodies:
    """The way of one process to the shared bodies: it ends with the process."""

    def __init__(self, bodies: MemoryBodyStore) -> None:
        self.shared = bodies
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        if self.dead:
            raise Died
        return getattr(self.shared, name)


class MortalHall(MemoryHall):
    """A gateway that can die."""

    def __init__(
        self,
        database: MemoryDatabase | None = None,
        bodies: MortalBodies | None = None,
        predecessors: frozenset[int] = frozenset(),
    ) -> None:
        shared = bodies.shared if bodies is not None else MemoryBodyStore(ManualClock())
        super().__init__(database, MortalBodies(shared), predecessors)

    def die(self) -> None:
        """Change nothing from now on."""
        self.bodies.dead = True
        self.metastore._database = MemoryDatabase()
        self.clock._due.clear()


class CrashMachine(DualMachine):
    """Dies at `point`, once or more in a run; `hits` counts over all runs."""

    point: str
    hits = 0

    def make_hall(self) -> MortalHall:
        self.died = False
        self.left = 1  # passes of the point until it kills; rules count, looking does not
        return MortalHall()

    @rule(passes=st.sampled_from([1, 1, 1, 2, 3, 5]))
    def arm(self, passes: int) -> None:
        self.left = passes

    @precondition(lambda self: self.has_files())
    @rule(which=PICK)
    def let_go_of_several_extents(self, which: int) -> None:
        """Only a content of several extents is freed in chunks."""
        path = self.pick(self.model.files(), which)
        for offset in (0, 5000):
            self.model.write(path, offset, b"piece", stable=True)
            run(self.hall.ns.write(ROOT, self.handle(path), offset, b"piece", Stability.FILE_SYNC))
            self.acknowledged = copy.deepcopy(self.model)
        self.model.truncate(path, 0)
        run(self.hall.ns.setattr(ROOT, self.handle(path), SetAttr(size=0), None))
        self.acknowledged = copy.deepcopy(self.model)
        self.let_pass(1.0)

    @precondition(lambda self: self.point.startswith("rewrite.") and self.left)
    @rule(body=st.binary(min_size=1, max_size=9))
    def leave_an_object_in_pieces(self, body: bytes) -> None:
        """Only a file of many small extents is rewritten."""
        self.model.put(b"pieces", body)
        self.hall.put(b"pieces", body)
        self.acknowledged = copy.deepcopy(self.model)
        for offset in (*range(0, 400, 10), *range(5, 400, 10)):
            self.model.write((b"pieces",), offset, b"piece", stable=True)
            run(self.hall.ns.write(ROOT, self.handle((b"pieces",)), offset, b"piece", Stability.FILE_SYNC))
            self.acknowledged = copy.deepcopy(self.model)
        self.let_pass(2.0)

    def _die(self) -> None:
        type(self).hits += 1
        self.left = 0
        self.died = True
        self.hall.die()  # while one takes over, the one before it: it is dead already
        raise Died

    def survive(self, act: Callable[[], Any]) -> None:
        """Do *act*; if the process dies of it, go on with another and with what that finds."""
        self.acknowledged = copy.deepcopy(self.model)
        point = crash_points()[self.point]
        try:
            if self.left:
                point.arm(self._die, self.left)
            act()
        except BaseException:  # whatever a dying process says, nobody hears it
            if not self.died:
                raise
        finally:
            self.left = max(0, self.left - point.passes) if self.left else 0
            point.disarm()
        if self.died:
            self.recover()

    def recover(self) -> None:
        dead = self.hall
        while self.died:
            self.died = False
            try:
                self.hall = dead.reopen()
            except Died:  # it may be armed for the take-over itself
                continue
        candidates = [self.model, self.acknowledged]
        wrong = []
        for self.model in candidates:
            try:
                self._settle_contents()
                self.nfs_shows_the_model()
                self.s3_shows_the_model()
            except (AssertionError, FsError, KeyError) as difference:
                wrong.append(difference)
            else:
                return
        raise AssertionError(f"neither as before the crash nor as after: {wrong}")

    def _settle_contents(self) -> None:
        """Take what is there for the bytes of each file that may be one or the other."""
        for path in self.model.files():
            node = self.model.at(path)
            assert isinstance(node, File)
            file = self.handle(path)
            size = run(self.hall.ns.getattr(ROOT, file)).size
            found = b"".join(run(self.hall.ns.read(ROOT, file, 0, size)).buffers)
            assert found in {node.data, node.committed}
            node.data = node.committed = found


def mortal(point: str) -> type[CrashMachine]:
    """Return a machine that dies at *point*: none of its rules need survive."""
    members: dict[str, Any] = {"point": point, "hits": 0}
    for name in dir(CrashMachine):
        marked = getattr(getattr(CrashMachine, name), "hypothesis_stateful_rule", None)
        if marked is not None and name != "arm":
            members[name] = _survived(marked)
    return type(f"CrashAt_{point}", (CrashMachine,), members)


def _survived(marked: Any) -> Any:
    """Return the rule *marked* such that the machine goes on when the process dies of it."""

    @wraps(marked.function)
    def survived(self: CrashMachine, *args: Any, **arguments: Any) -> None:
        self.survive(lambda: marked.function(self, *args, **arguments))

    made = rule(**marked.arguments)(survived)
    for condition in marked.preconditions:
        made = precondition(condition)(made)
    return made
