"""Taking a folder for a setup, and giving it back."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from appliance.claim import SetupRefused, check_unclaimed, claim, release, remove_leftovers
from appliance.home import Home

if TYPE_CHECKING:
    from pathlib import Path


def test_what_an_unfinished_setup_made_is_removed_by_the_next(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.lock("lock", "setup"):
        claim(home, str(uuid.uuid4()))
        (home.path / "postgres" / "data").mkdir(parents=True)
        (home.path / "left").write_text("over")
        claim(home, str(uuid.uuid4()))
        assert sorted(path.name for path in home.path.iterdir()) == [".setup-in-progress", "run"]
        remove_leftovers(home)
        assert [path.name for path in home.path.iterdir()] == ["run"]
        check_unclaimed(home)


def test_a_mark_that_names_no_installation_removes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    claim(home, "")
    (tmp_path / "kept").write_text("")
    with pytest.raises(ValueError, match="badly formed"):
        remove_leftovers(home)
    assert (tmp_path / "kept").exists()


def test_a_finished_setup_is_not_done_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    claim(home, str(uuid.uuid4()))
    home.config_path.write_text("")
    release(home)
    with pytest.raises(SetupRefused, match="is set up already"):
        claim(home, str(uuid.uuid4()))
