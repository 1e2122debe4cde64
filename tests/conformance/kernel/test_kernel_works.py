"""Real programs work on a mount: each work is checked by content, before and after a new mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from works import WORKS, Work, done_right, each_work

if TYPE_CHECKING:
    from pathlib import Path

    from place import Place


#: In `make test` git works only while the gateway is killed, which shows no less.
_SMALL = [work.name for work in WORKS if work.name != "git"]


@pytest.mark.parametrize(("work", "size"), each_work(_SMALL))
def test_on_a_mount(place: Place, tmp_path: Path, work: Work, size: str):
    (tmp_path / "quiet").touch()
    with place.start(work.script(size, tmp_path), shares=(tmp_path,)) as guest:
        done_right(guest.wait(3600))
