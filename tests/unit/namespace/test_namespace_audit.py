"""The rules of names as `gatefold check` puts them to every edge."""

from __future__ import annotations

import pytest
from hall import MemoryHall

from metastore.api import AuditedEdge
from metastore.records import Edge, FileType
from namespace.aliases import BODY_ALIAS
from namespace.audit import audit_edge

DIRECTORY = Edge(1, 1, b"a/", 9, 9)
GHOST = Edge(1, 1, b"a/", 9, 9, ghost=True)


def asked(skey, alias=None, *, listed=True, kind=FileType.REGULAR, twin=None):
    broken = audit_edge(AuditedEdge(Edge(1, 1, skey, 5, 3, alias, listed), kind, twin))
    return None if broken is None else (broken[0], broken[1].alias, broken[1].listed)


@pytest.mark.parametrize(
    "sound",
    [
        asked(b"a"),
        asked(b"a/", kind=FileType.DIRECTORY),
        asked(b"", BODY_ALIAS),
        asked(b"a", b"~gf.f-a", twin=DIRECTORY),
        asked(b"a", b"~gf.f-a"),  # made by NFS under this very name
        asked(b"a", twin=GHOST),
        asked(b"a", b"~gf.f-a", twin=GHOST),
        asked(b"..", b"~gf.e-.."),
        asked(b".nfs" + b"0" * 24, listed=False),
        asked(b"link", kind=FileType.SYMLINK, listed=False),
        asked(b"lost", kind=0, listed=False),
    ],
)
def test_a_sound_name_breaks_no_rule(sound):
    assert sound is None


def test_a_broken_one_is_told_with_what_it_should_be():
    assert asked(b"a", b"b") == ("edge.grammar", None, True)
    assert asked(b"a", twin=DIRECTORY) == ("edge.grammar", b"~gf.f-a", True)
    assert asked(b"") == ("edge.grammar", BODY_ALIAS, True)
    assert asked(b"..") == ("edge.grammar", b"~gf.e-..", True)
    assert asked(b"a/", b"x", kind=FileType.DIRECTORY) == ("edge.grammar", None, True)
    assert asked(b"a", listed=False) == ("edge.unlisted", None, True)
    assert asked(b"a/", listed=False, kind=FileType.DIRECTORY) == ("edge.unlisted", None, True)


def test_what_the_namespace_makes_of_odd_keys_breaks_no_rule():
    hall = MemoryHall()
    for key in (
        b"a",
        b"a/b",
        b"c/d",
        b"c",
        b"x//y",
        b"z/",
        b"./..",
        b"l" * 300,
        b"dir/",
        b"dir/file",
        b"\x01",
        b"~gf.f-a",
    ):
        hall.put(key, b"body" if key.endswith(b"r/") else b"")
    assert hall.findings() == []
