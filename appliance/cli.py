"""The command line: each command reads its options, calls one function of the appliance and prints the answer."""

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
from appliance.choices import Choices, complete, read_answers
from appliance.claim import SetupRefused, check_unclaimed
from appliance.config import ConfigError
from appliance.home import DatabaseUnusable, Home, HomeBusy
from appliance.postgres.binaries import NoBinaries
from appliance.postgres.cluster import ClusterFailed
from appliance.postgres.identity import NoIdentity
from appliance.postgres.places import UnsafePlace
from appliance.process import ChildFailed
from foundation import __version__
from foundation.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_INTERRUPTED = 130
#: What went wrong for a reason that its message explains; anything else is a bug and shows its traceback.
_EXPLAINED = (
    ConfigError,
    HomeBusy,
    DatabaseUnusable,
    NotRunning,
    NoBinaries,
    NoIdentity,
    ClusterFailed,
    UnsafePlace,
    ChildFailed,
    SetupRefused,
    CannotListenError,
)


def _explained(command: Callable[..., Any]) -> Callable[..., Any]:
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


def _home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--home",
        "home_path",
        required=True,
        envvar="GATEFOLD_HOME",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the installation.",
    )(command)


_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _home(path: Path) -> Home:
    return Home(path.expanduser().absolute())


def _run(work: Callable[[Any, SystemClock], Coroutine[Any, Any, Any]]) -> Any:
    """Run `work(reactor, clock)` under the house's reactor."""

    async def main(reactor: Any) -> Any:
        return await work(reactor, SystemClock(reactor))

    return house_reactor.run(main)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="gatefold")
def main() -> None:
    """Serve one tree of files by NFS and by S3."""


@main.command()
@_home_option
@click.option("--defaults", is_flag=True, help="Ask nothing.")
@click.option("--answers", type=click.Path(dir_okay=False, path_type=Path), help="TOML file with the answers.")
@click.option("--listen", help="IPv4 address of both doors; 0.0.0.0 = all. [default: 127.0.0.1]")
@click.option("--s3-port", type=int, help="[default: 9000 or the next free one]")
@click.option("--nfs-port", type=int, help="[default: 2049 if that can be had, else 12049]")
@click.option("--mount-port", type=int, help="[default: 20048 if that can be had, else 12048]")
@click.option("--portmap/--no-portmap", default=None, help="Answer on port 111. [default: if that can be had]")
@click.option("--nodes", type=int, help="Storage nodes. [default: 3]")
@click.option("--node-port", type=int, help="Port of the first node on loopback. [default: a free run of ports]")
@click.option("--copies", type=int, help="Copies of each body. [default: 2]")
@click.option("--write-quorum", type=int, help="Copies that must be durable before a reply. [default: all]")
@click.option("--database", envvar="GATEFOLD_DATABASE", help="DSN of an external PostgreSQL; else one of our own.")
@click.option("--bucket", help="Name of the first bucket. [default: data]")
@click.option("--uid", type=int, help="User number of the first account's files. [default: yours]")
@click.option("--gid", type=int, help="Group number of the first account's files. [default: yours]")
@click.option("--clients", multiple=True, help="Network that may mount; repeatable. [default: private networks]")
@click.option("--squash", type=click.Choice(["none", "root", "all"]), help="NFS users taken as anonymous.")
@_explained
def setup(home_path: Path, *, defaults: bool, answers: Path | None, **options: Any) -> None:
    """Make an installation in an empty folder."""
    from appliance.setup import set_up  # noqa: PLC0415 - other commands start faster without it
    from appliance.wizard import ask_choices  # noqa: PLC0415

    home = _home(home_path)
    check_unclaimed(home)
    given = {name: value for name, value in options.items() if value not in (None, ())}
    base = read_answers(answers) if answers is not None else Choices()
    choices = Choices(**{**_fields(base), **given})
    if not defaults and answers is None:
        choices = ask_choices(choices)
    choices = complete(choices)
    _run(lambda reactor, clock: set_up(reactor, clock, home, choices, click.echo))
    click.echo(f"\nGatefold is set up in {home.path}. Next:\n\n  gatefold serve --home {home.path}\n")


def _fields(choices: Choices) -> dict[str, Any]:
    return {name: getattr(choices, name) for name in choices.__slots__}


@main.command()
@_home_option
@_explained
def serve(home_path: Path) -> None:
    """Run the installation in the foreground until SIGTERM or Ctrl-C."""
    from appliance.serve import serve as run_house  # noqa: PLC0415

    home = _home(home_path)
    config = home.config()
    with home.lock("lock", "serve"):
        _run(lambda reactor, clock: run_house(reactor, clock, home, config))


@main.command()
@_home_option
@_json_option
@_explained
def status(home_path: Path, *, as_json: bool) -> None:
    """Say what the installation is and whether it runs."""
    from appliance import status as facts_of  # noqa: PLC0415

    facts = facts_of.status(_home(home_path))
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(facts_of.status_lines(facts)))


@main.command()
@_home_option
@_json_option
@click.option("--repair", is_flag=True, help="First make right what can be made right safely; nothing may serve.")
@_explained
def check(home_path: Path, *, as_json: bool, repair: bool) -> None:
    """Compare tables, counters and the copies on the nodes; exit with 1 if anything is wrong, or still is."""
    from appliance.check import report_lines  # noqa: PLC0415
    from appliance.tasks import run_check, run_repair  # noqa: PLC0415

    home = _home(home_path)
    run = run_repair if repair else run_check
    report = _run(lambda reactor, clock: run(reactor, clock, home))
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else "\n".join(report_lines(report)))
    sys.exit(0 if report.clean else 1)


@main.command()
@_home_option
@_explained
def upgrade(home_path: Path) -> None:
    """Bring the database to the schema of this program; nothing may serve meanwhile."""
    from appliance.tasks import run_upgrade  # noqa: PLC0415

    home = _home(home_path)
    before, after = _run(lambda reactor, clock: run_upgrade(reactor, clock, home))
    click.echo(f"schema {before} -> {after}" if before != after else f"schema {after}: nothing to do")


@main.group()
def account() -> None:
    """Look at accounts and their keys."""


@account.command("list")
@_home_option
@_json_option
@_explained
def account_list(home_path: Path, *, as_json: bool) -> None:
    """List the accounts and their access keys."""
    from appliance.tasks import list_accounts  # noqa: PLC0415

    rows = _run(lambda reactor, clock: list_accounts(reactor, clock, _home(home_path)))
    _show(rows, ("name", "uid", "gid", "access_keys"), as_json=as_json)


@account.group("key")
def account_key() -> None:
    """Look at access keys."""


@account_key.command("show")
@click.argument("name", default="")
@_home_option
@_json_option
@_explained
def account_key_show(name: str, home_path: Path, *, as_json: bool) -> None:
    """Print the key pairs of account NAME (all accounts without one), secret included."""
    from appliance.tasks import list_keys  # noqa: PLC0415

    rows = _run(lambda reactor, clock: list_keys(reactor, clock, _home(home_path), name))
    if not rows:
        raise click.ClickException(f"no keys of account {name!r}")
    _show(rows[0] if as_json and len(rows) == 1 else rows, ("account", "access_key", "secret_key"), as_json=as_json)


@main.group()
def bucket() -> None:
    """Look at buckets."""


@bucket.command("list")
@_home_option
@_json_option
@_explained
def bucket_list(home_path: Path, *, as_json: bool) -> None:
    """List the buckets."""
    from appliance.tasks import list_buckets  # noqa: PLC0415

    rows = _run(lambda reactor, clock: list_buckets(reactor, clock, _home(home_path)))
    _show(rows, ("name", "vol", "owner"), as_json=as_json)


@main.group()
def export() -> None:
    """Look at NFS exports."""


@export.command("list")
@_home_option
@_json_option
@_explained
def export_list(home_path: Path, *, as_json: bool) -> None:
    """List the exports."""
    from appliance.tasks import list_exports  # noqa: PLC0415

    rows = _run(lambda reactor, clock: list_exports(reactor, clock, _home(home_path)))
    _show(rows, ("path", "clients", "squash", "read_only"), as_json=as_json)


@main.command(hidden=True)
@_home_option
@_explained
def gateway(home_path: Path) -> None:
    """Run the gateway process; `serve` does this."""
    from appliance.gateway import run_gateway  # noqa: PLC0415

    home = _home(home_path)
    config = home.config()
    with home.lock("gateway.lock", "gateway"):
        _run(lambda reactor, clock: run_gateway(reactor, clock, home, config))


@main.command(hidden=True)
@_home_option
@click.option("--id", "number", type=int, required=True, help="Number of the node.")
@_explained
def node(home_path: Path, number: int) -> None:
    """Run one storage node; `serve` does this."""
    from appliance.node import run_node  # noqa: PLC0415

    home = _home(home_path)
    sys.exit(run_node(home, home.config(), number))


def _show(rows: Any, columns: tuple[str, ...], *, as_json: bool) -> None:
    """Print *rows* as JSON, or as lines with the named columns."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        cells = (row[column] for column in columns)
        click.echo("  ".join(" ".join(map(str, cell)) if isinstance(cell, list) else str(cell) for cell in cells))
