"""The state machine: random verbs of both doors go to the model and to the house; both must agree after each.

Groups of rules are mixins in modules of their own (`*_rules.py`), which inherit from `rules.Rules`; a further group is
a further base class of `DualMachine`.
"""

from __future__ import annotations

from typing import Any

from disturbance_rules import DisturbanceRules
from hall import ROOT, run
from hypothesis.stateful import invariant
from nfs_rules import NfsRules
from reference import Dir, File, Link
from s3_rules import S3Rules

from namespace.aliases import file_alias, is_hashed
from namespace.api import Conditions, FileId, ListRequest


class DualMachine(NfsRules, S3Rules, DisturbanceRules):
    """One bucket, the super-user, both doors."""

    @invariant()
    def nfs_shows_the_model(self) -> None:
        if hasattr(self, "model"):
            self._compare(self.hall.root, self.model.root)

    def _compare(self, file: FileId, node: Dir) -> None:
        ns = self.hall.ns
        shown = node.shown()
        entries = self._entries(file)
        assert entries.keys() == {*shown, b".", b".."}
        assert run(ns.getattr(ROOT, file)).nlink == 2 + len(node.dirs)
        found = {name: run(ns.lookup(ROOT, file, name)).file for name in shown}
        for name, attr in found.items():  # all of them first: reading the bytes moves access times
            assert attr == entries[name].attr
        for component, entry in node.files.items():
            alias = file_alias(component, beside_directory=True) or b""
            if component and not is_hashed(alias):
                assert run(ns.lookup(ROOT, file, alias)).file == entries[entry.name].attr
        for name, child in shown.items():
            attr = found[name]
            if isinstance(child, Dir):
                self._compare(attr.file, child)
            elif isinstance(child, Link):
                assert run(ns.readlink(ROOT, attr.file))[1] == child.target
                assert attr.nlink == child.nlink
            else:
                self._compare_file(attr, child)

    def _entries(self, file: FileId) -> dict[bytes, Any]:
        entries: dict[bytes, Any] = {}
        after = 0
        while True:
            page = run(self.hall.ns.readdir(ROOT, file, after, 3))
            assert not {entry.name for entry in page.entries} & entries.keys()
            entries.update({entry.name: entry for entry in page.entries})
            if page.eof:
                return entries
            after = page.entries[-1].cookie

    def _compare_file(self, attr: Any, child: File) -> None:
        assert (attr.size, attr.nlink) == (len(child.data), child.nlink)
        result = run(self.hall.ns.read(ROOT, attr.file, 0, attr.size + 10))
        assert b"".join(result.buffers) == child.data
        assert result.eof
        middle = run(self.hall.ns.read(ROOT, attr.file, attr.size // 3, attr.size // 2))
        assert b"".join(middle.buffers) == child.data[attr.size // 3 : attr.size // 3 + attr.size // 2]

    @invariant()
    def s3_shows_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        wanted = self.model.keys()
        listed: list[bytes] = []
        after = b""
        while True:
            page = run(self.hall.ns.list_objects(ROOT, "bucket", ListRequest(after=after, limit=2)))
            for info in page.contents:
                assert info.size == len(wanted[info.key])
            listed += [info.key for info in page.contents]
            if page.next_after is None:
                break
            after = page.next_after
        assert listed == sorted(wanted)
        for key in listed:
            if len(key) <= 1024:  # longer ones exist on NFS alone
                self._compare_object(key, wanted[key])

    def _compare_object(self, key: bytes, body: bytes) -> None:
        """User metadata says how long the body was that it came with: it is never another PUT's."""
        info = run(self.hall.ns.head_object(ROOT, "bucket", key, Conditions()))
        assert info.size == len(body), (key, info, body)
        assert info.user.get("n", "1")[-1] in "13579"
        if body:
            assert self.hall.get(key) == body

    def teardown(self) -> None:
        if hasattr(self, "model"):
            run(self.hall.ns.close())
            self.check()

    def check(self) -> None:
        """Let garbage go and look for faults."""
        self.hall.clock.advance(60)
        assert self.hall.findings() == []
