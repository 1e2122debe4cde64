"""Notes of damage: one small file per damaged record or range. A segment with a note is never reclaimed.

The damaged bytes stay where they are: what looks like rot may be a bad cable, and a later tool may save some of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from twisted.logger import Logger

if TYPE_CHECKING:
    from pathlib import Path

    from storage_engine.api import BlobId

_log = Logger()


class Note(Struct, frozen=True):
    """What was found, and where."""

    segment: int
    position: int
    found_ns: int
    detail: str
    vol: int | None = None
    blob: int | None = None


class Quarantine:
    """The folder of notes."""

    def __init__(self, folder: Path) -> None:
        """Read the notes in *folder*."""
        self._folder = folder
        self.segments = {int(path.stem.partition("-")[0], 16) for path in folder.glob("*.json")}

    def note(self, place: tuple[int, int], detail: str, now_ns: int, blob: BlobId | None = None) -> bool:
        """Note damage at *place* (segment, position); return False when it was noted before.

        Not synced: the damage itself is what lasts, and it will be found again.
        """
        segment, position = place
        path = self._folder / f"{segment:016x}-{position:010x}.json"
        self.segments.add(segment)
        if path.exists():
            return False
        _log.error(
            "damage in segment {segment:016x} at {position}, {blob}: {detail}",
            segment=segment,
            position=position,
            blob=blob,
            detail=detail,
        )
        vol, number = (None, None) if blob is None else (blob.vol, blob.id)
        try:
            path.write_bytes(msgspec.json.encode(Note(segment, position, now_ns, detail, vol, number)))
        except OSError as error:
            # A full or failing disk must not turn a typed answer into a fault: the log line above is the note.
            _log.warn("the note could not be written: {error}", error=error)
        return True
