"""What every command of the command line shares: its home, its errors, its output."""

from __future__ import annotations

import json
import sys
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from twisted.internet.defer import CancelledError
from twisted.internet.error import CannotListenError

from appliance import reactor as house_reactor
from appliance.admin import NotRunning
from appliance.claim import SetupRefused
from appliance.config import ConfigError
from appliance.home import DatabaseUnusable, Home, HomeBusy, NotPossible
from appliance.postgres.binaries import NoBinaries
from appliance.postgres.cluster import ClusterFailed
from appliance.postgres.identity import NoIdentity
from appliance.postgres.places import UnsafePlace
from appliance.process import ChildFailed
from foundation.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_INTERRUPTED = 130
#: What went wrong for a reason that its message explains; anything else is a bug and shows its traceback.
_EXPLAINED = (
    ConfigError,
    HomeBusy,
    DatabaseUnusable,
    NotPossible,
    NotRunning,
    NoBinaries,
    NoIdentity,
    ClusterFailed,
    UnsafePlace,
    ChildFailed,
    SetupRefused,
    CannotListenError,
)


def explained(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors that explain themselves into a line and an exit status."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except _EXPLAINED as error:
            raise click.ClickException(str(error)) from error
        except CancelledError:
            click.echo("interrupted", err=True)
            sys.exit(_INTERRUPTED)

    return run


def home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that names the installation."""
    return click.option(
        "--home",
        "home_path",
        required=True,
        envvar="GATEFOLD_HOME",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the installation.",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def home_at(path: Path) -> Home:
    """Return the home in folder *path*."""
    return Home(path.expanduser().absolute())


def run_task(work: Callable[[Any, SystemClock], Coroutine[Any, Any, Any]]) -> Any:
    """Run `work(reactor, clock)` under the house's reactor."""

    async def main(reactor: Any) -> Any:
        return await work(reactor, SystemClock(reactor))

    return house_reactor.run(main)


def show_rows(rows: Any, columns: tuple[str, ...], *, as_json: bool) -> None:
    """Print *rows* as JSON, or as lines with the named columns."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        cells = (row[column] for column in columns)
        click.echo("  ".join(" ".join(map(str, cell)) if isinstance(cell, list) else str(cell) for cell in cells))
