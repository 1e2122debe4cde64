"""What all rules of the model share: one bucket, its model, and an act on both sides with one outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize
from reference import Dir, Model, Path, Refused

from foundation.errors import FsError
from namespace.aliases import file_alias

if TYPE_CHECKING:
    from collections.abc import Callable

    from namespace.api import FileId

from hall import ROOT, MemoryHall, run

PICK = st.integers(0, 1 << 16)
DATA = st.one_of(st.binary(max_size=12), st.integers(1, 9000).map(lambda n: bytes([n & 255]) * n))

SILLY = b".nfs" + b"0" * 24
PLAIN = st.sampled_from([b"a", b"b", b"a.", b"a0", "é".encode(), b"-"])
_LONG = file_alias(b"x" * 300, beside_directory=False) or b""
_BOTH = [b"~gf.x", b"~gf.f-a", b"~gf.f-b", b"~gf.d-body", b"~gf.e-.", b"~gf.e-", b"~gf.e-%FF", b"~gf.e-a%01", b"a\x01"]
_BOTH += [b"~gf.l-~gf.f-a", b"~gf.l-~gf.e-%FF", b"~gf.e-%ff", b"x" * 250, _LONG, b"~gf.f-" + b"x" * 245, SILLY]
ODD_NAMES = st.sampled_from(
    [
        *(*_BOTH, b"\xff", b"~gf.f-\xff", b"~gf.l-~gf.f-\xff", b"~gf.f-~gf.e-.", b"\xff" * 200, b".", b"..", b"", b"/"),
        *(b"a\0", b"x" * 255, b"x" * 256, b"~gf.f-" + SILLY),
    ]
)
ODD_COMPONENTS = st.sampled_from([*_BOTH, b"", b"", b".", b"..", b"a\0", b"x" * 300, "é".encode() * 150, b"\n"])
#: An NFS name, or a number that picks one of those that the directory shows.
NAMES = st.one_of(PLAIN, PLAIN, ODD_NAMES, PICK)
KEYS = st.lists(st.one_of(PLAIN, PLAIN, ODD_COMPONENTS), min_size=1, max_size=3).map(b"/".join)


class Rules(RuleBasedStateMachine):
    """The super-user and one bucket; groups of rules inherit from this."""

    model: Model
    hall: Any
    strict = False

    @initialize()
    def begin(self) -> None:
        """Start with an empty bucket."""
        self.model = Model(strict=self.strict)
        self.hall = self.make_hall()

    def make_hall(self) -> Any:
        """Return the house: what `MemoryHall` offers, over whatever rooms."""
        return MemoryHall()

    def both(self, expect: Callable[[], None], act: Callable[[], Any]) -> None:
        """Do it on both sides; both succeed or refuse with the same error."""
        wanted = None
        try:
            expect()
        except Refused as refusal:
            wanted = str(refusal)
        got = None
        try:
            act()
        except FsError as error:
            got = type(error).__name__
        assert got == wanted, (got, wanted)

    def handle(self, path: Path) -> FileId:
        """Look the path up."""
        file: FileId = self.hall.root
        for name in path:
            file = run(self.hall.ns.lookup(ROOT, file, name)).file.file
        return file

    def pick(self, choices: list[Any], number: int) -> Any:
        return choices[number % len(choices)]

    def name(self, path: Path, chosen: bytes | int) -> bytes:
        """Return the name that a value of `NAMES` stands for in the directory *path*."""
        if isinstance(chosen, bytes):
            return chosen
        node = self.model.at(path)
        assert isinstance(node, Dir)
        return self.pick(sorted(node.shown()) or [b"a"], chosen)

    def has_files(self) -> bool:
        return hasattr(self, "model") and bool(self.model.files())
