"""Finding directories that the root does not reach: cut off, or in a cycle.

One recursive query would say it at once, and hold one snapshot for as long as it takes to read the whole tree; every
row that changes often gets slower meanwhile. So the directories are read in chunks, 17 bytes of memory each, and
followed upwards here. The chunks are of different moments: what looks cut off is looked at again in one statement.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

from metastore.postgres.encoding import INT8, INT8_ARRAY
from metastore.postgres.session import Statement
from metastore.records import ROOT_INO, FileType

#: The directories of a chunk of inodes, each with a directory that names it, 0 if none does.
DIRECTORIES = Statement(
    "audit directories",
    "SELECT i.ino, coalesce((SELECT min(e.parent) FROM edge e WHERE e.vol = i.vol AND e.ino = i.ino), 0) FROM inode i"
    f" WHERE i.vol = $1 AND i.ino > $2 AND i.ino <= $3 AND i.type = {FileType.DIRECTORY:d} ORDER BY i.ino",
    (INT8, INT8, INT8),
)
#: Those of the directories $2 from which no way leads up to the root, at one moment.
CUT_OFF = Statement(
    "audit cut off",
    f"""
    WITH RECURSIVE up AS (
        SELECT k.ino AS start, k.ino FROM unnest($2) AS k (ino)
        UNION
        SELECT u.start, e.parent FROM up u JOIN edge e ON e.vol = $1 AND e.ino = u.ino WHERE u.ino <> {ROOT_INO}
    )
    SELECT i.ino FROM unnest($2) AS k (ino)
    JOIN inode i ON i.vol = $1 AND i.ino = k.ino AND i.type = {FileType.DIRECTORY:d}
    WHERE NOT EXISTS (SELECT 1 FROM up u WHERE u.start = k.ino AND u.ino = {ROOT_INO})
    ORDER BY i.ino
    """,
    (INT8, INT8_ARRAY),
)
_UNKNOWN, _REACHED, _CUT_OFF = 0, 1, 2


class Reach:
    """The directories of a volume and the way up from each."""

    def __init__(self) -> None:
        """Start with none."""
        self._inos = array("q")
        self._parents = array("q")

    def add(self, ino: int, parent: int) -> None:
        """Add a directory; they come by number."""
        self._inos.append(ino)
        self._parents.append(parent)

    def suspects(self) -> list[int]:
        """Return the directories whose way up does not end at the root."""
        states = bytearray(len(self._inos))
        for start in range(len(self._inos)):
            path: list[int] = []
            place = start
            # Marked as cut off on the way: coming by again is a cycle.
            while place >= 0 and states[place] == _UNKNOWN and self._inos[place] != ROOT_INO:
                states[place] = _CUT_OFF
                path.append(place)
                place = self._find(self._parents[place])
            if place >= 0 and (self._inos[place] == ROOT_INO or states[place] == _REACHED):
                for each in path:
                    states[each] = _REACHED
        return [ino for ino, state in zip(self._inos, states, strict=True) if state == _CUT_OFF]

    def _find(self, ino: int) -> int:
        """Return the place of *ino*, -1 if it is no directory."""
        place = bisect_left(self._inos, ino)
        return place if place < len(self._inos) and self._inos[place] == ino else -1
