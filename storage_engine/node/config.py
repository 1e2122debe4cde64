"""A node's configuration: one TOML file, every field named below, unknown ones refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID  # noqa: TC003 - msgspec reads the annotations

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIN_SECRET_BYTES = 16


class BadConfig(Exception):
    """The configuration cannot be used; the message says why."""


class NodeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How one node process runs."""

    id: Annotated[int, Meta(ge=1, le=65535)]
    uuid: UUID
    cluster: UUID
    folder: Path  # made by `format_disk`
    port: Annotated[int, Meta(ge=0, le=65535)]
    secret_file: Path  # the cluster's secret; readable by the node's user only
    host: str = "127.0.0.1"
    segment_bytes: Annotated[int, Meta(ge=5 << 20, le=1 << 31)] = 64 << 20  # the longest record must fit
    headroom_bytes: Annotated[int, Meta(ge=0)] = 256 << 20  # left for tombstones and compaction when "full"
    capacity_bytes: Annotated[int, Meta(ge=0)] = 0  # what segments may take; 0 = all of the disk


def parse_config(fields: Mapping[str, object]) -> NodeConfig:
    """Return the configuration that *fields* name; raise BadConfig."""
    try:
        return msgspec.convert(dict(fields), NodeConfig, dec_hook=_decode, strict=True)
    except msgspec.ValidationError as error:
        raise BadConfig(str(error)) from error


def load_config(file: Path) -> NodeConfig:
    """Return the configuration in a TOML *file*; raise BadConfig."""
    try:
        return parse_config(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"{file}: {error}") from error


def read_secret(file: Path) -> bytes:
    """Return the cluster's secret; raise BadConfig when it cannot be read, is short, or others may read it."""
    try:
        mode = file.stat().st_mode
        secret = file.read_bytes().strip()
    except OSError as error:
        raise BadConfig(f"{file}: {error.strerror}") from error
    if mode & 0o007:
        raise BadConfig(f"{file} may be read by everyone")
    if len(secret) < _MIN_SECRET_BYTES:
        raise BadConfig(f"{file} holds fewer than {_MIN_SECRET_BYTES} bytes")
    return secret


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError
