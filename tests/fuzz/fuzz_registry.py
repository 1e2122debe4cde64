"""What can be fuzzed: the one list that Hypothesis (`make test`) and atheris (`make fuzz`) both run."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Modules that add targets when they are imported.
MODULES = ("nfs_targets", "s3_targets", "s3_door_targets")


@dataclass(frozen=True)
class Target:
    """One decoder: `run` must return for whatever bytes, and raise only if the product is wrong."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]  # inputs in order, from which others are made
    max_bytes: int = 4096


_TARGETS: dict[str, Target] = {}


def add(target: Target) -> None:
    """Put *target* on the list."""
    assert target.name not in _TARGETS, target.name
    _TARGETS[target.name] = target


def targets() -> dict[str, Target]:
    """Return all targets by name."""
    for module in MODULES:
        importlib.import_module(module)
    return dict(_TARGETS)
