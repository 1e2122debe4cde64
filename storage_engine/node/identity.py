"""The identity of a node's disk: written once by `format_disk`, checked at every start, locked while in use.

A folder without it is an empty or unmounted disk; one with another node's is a swapped disk. Both are refused: a node
that started on them would answer "I do not hold that" for everything it ever acknowledged.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING
from uuid import UUID  # noqa: TC003 - msgspec reads the annotations

import msgspec
from msgspec import Struct

from storage_engine.checksum import crc32c

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION = 1
SEGMENTS = "segments"
QUARANTINE = "quarantine"
_NAME = "identity.json"
_MAX_BYTES = 4096


class WrongDisk(Exception):
    """The folder is not the one that the configuration names; nothing in it was touched."""


class Identity(Struct, frozen=True):
    """Whose disk this is."""

    id: int  # the node's number in the cluster
    uuid: UUID
    cluster: UUID


class _Stored(Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    id: int
    uuid: UUID
    cluster: UUID
    checksum: str

    def sum(self) -> str:
        """Return what `checksum` must be: a damaged identity is not an identity."""
        return f"{crc32c(f'{self.format} {self.id} {self.uuid} {self.cluster}'.encode()):08x}"


def format_disk(folder: Path, identity: Identity) -> None:
    """Make *folder* the empty disk of the node *identity*; raise WrongDisk when it holds anything."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise WrongDisk(f"{folder} is not empty")
    (folder / SEGMENTS).mkdir(mode=0o700)
    (folder / QUARANTINE).mkdir(mode=0o700)
    stored = _Stored(FORMAT_VERSION, identity.id, identity.uuid, identity.cluster, "")
    text = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(stored, checksum=stored.sum())))
    unborn = folder / (_NAME + ".new")
    with unborn.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unborn.rename(folder / _NAME)
    _sync_folder(folder)
    _sync_folder(folder.parent)


def claim_disk(folder: Path, expected: Identity) -> int:
    """Check that *folder* is the disk of *expected* and lock it; return the descriptor that holds the lock.

    Raise WrongDisk for another disk, an empty one, a newer format, or one that a running process uses.
    """
    try:
        fd = os.open(folder / _NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise WrongDisk(f"{folder} is no disk of a node (is it mounted?): {error.strerror}") from error
    try:
        _check(folder, os.read(fd, _MAX_BYTES), expected)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise WrongDisk(f"{folder} is in use by another process") from error
    except WrongDisk:
        os.close(fd)
        raise
    return fd


def _check(folder: Path, text: bytes, expected: Identity) -> None:
    try:
        version = msgspec.json.decode(text, type=dict[str, object]).get("format")
        if version != FORMAT_VERSION:
            raise WrongDisk(f"{folder} has format {version}; this program knows {FORMAT_VERSION}")
        stored = msgspec.json.decode(text, type=_Stored)
    except msgspec.MsgspecError as error:
        raise WrongDisk(f"the identity file of {folder} is damaged: {error}") from error
    if stored.checksum != stored.sum():
        raise WrongDisk(f"the identity file of {folder} is damaged: its checksum does not match")
    found = Identity(stored.id, stored.uuid, stored.cluster)
    if found != expected:
        raise WrongDisk(f"{folder} belongs to {_name(found)}, not to {_name(expected)}")
    missing = [name for name in (SEGMENTS, QUARANTINE) if not (folder / name).is_dir()]
    if missing:
        raise WrongDisk(f"{folder} has lost its folder {missing[0]}")


def _name(identity: Identity) -> str:
    return f"node {identity.id} ({identity.uuid}) of cluster {identity.cluster}"


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
