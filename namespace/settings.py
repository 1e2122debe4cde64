"""A bucket's settings: what its owner and the house's operator may set beside its content."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundation.errors import InvalidArgument
from namespace.hall import Verbs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metastore.api import MetaStore
    from namespace.volume import VolumeState

_MODE = re.compile("0?[0-7]{3}")
_SETGID_MODE = re.compile("0?[0-7]{3}|[0-3][0-7]{3}")
#: What the operator may set, and what it may be: modes of what S3 makes, and whether odd keys are refused.
SETTINGS = {"file_mode": _MODE, "directory_mode": _SETGID_MODE, "strict": re.compile("true|false")}


def check_settings(changes: Mapping[str, str]) -> None:
    """Raise InvalidArgument unless each of *changes* is one that the operator may make."""
    for name, value in changes.items():
        rule = SETTINGS.get(name)
        if rule is None:
            raise InvalidArgument(f"no such setting: {name}; there are {', '.join(SETTINGS)}")
        if rule.fullmatch(value) is None:
            raise InvalidArgument(f"{name} cannot be {value}")


async def change_settings(metastore: MetaStore, volume: VolumeState, changes: Mapping[str, str]) -> None:
    """Change settings of *volume*, one call at a time, and serve it with them once they are durable."""
    async with volume.settings_turn:
        row = await metastore.change_settings(volume.vol, dict(changes))
        volume.change(replace(volume.row, settings=row.settings))


class SettingVerbs(Verbs):
    """What the operator of the house may do with a bucket."""

    async def configure_bucket(self, bucket: str, changes: Mapping[str, str]) -> dict[str, str]:
        """Change settings of *bucket*, whoever owns it, and return all of them; raise InvalidArgument."""
        check_settings(changes)
        volume = await self._volumes.named(bucket)
        await change_settings(self._engine.metastore, volume, changes)
        return volume.row.settings
