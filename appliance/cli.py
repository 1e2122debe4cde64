"""The command line: each command reads its options, calls one function of the appliance and prints the answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from appliance.account_commands import account
from appliance.bucket_commands import bucket
from appliance.choices import Choices, complete, read_answers
from appliance.claim import check_unclaimed
from appliance.command import explained, home_at, home_option, json_option, run_task, show_rows
from appliance.config import FIRST_GATEWAY
from appliance.gateway_commands import gateway
from foundation import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="gatefold")
def main() -> None:
    """Serve one tree of files by NFS and by S3."""


@main.command()
@home_option
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
@explained
def setup(home_path: Path, *, defaults: bool, answers: Path | None, **options: Any) -> None:
    """Make an installation in an empty folder."""
    from appliance.setup import set_up  # noqa: PLC0415 - other commands start faster without it
    from appliance.wizard import ask_choices  # noqa: PLC0415 - other commands start faster without it

    home = home_at(home_path)
    check_unclaimed(home)
    given = {name: value for name, value in options.items() if value not in (None, ())}
    base = read_answers(answers) if answers is not None else Choices()
    choices = Choices(**{**_fields(base), **given})
    if not defaults and answers is None:
        choices = ask_choices(choices)
    choices = complete(choices)
    run_task(lambda reactor, clock: set_up(reactor, clock, home, choices, click.echo))
    click.echo(f"\nGatefold is set up in {home.path}. Next:\n\n  gatefold serve --home {home.path}\n")


def _fields(choices: Choices) -> dict[str, Any]:
    return {name: getattr(choices, name) for name in choices.__slots__}


@main.command()
@home_option
@click.option("--gateway", "name", default=FIRST_GATEWAY, help="Run this further gateway, and nothing else.")
@explained
def serve(home_path: Path, name: str) -> None:
    """Run the installation in the foreground until SIGTERM or Ctrl-C."""
    from appliance.serve import serve as run_house  # noqa: PLC0415 - other commands start faster without it

    home = home_at(home_path)
    config = home.config()
    config.for_gateway(name)
    with home.lock("lock" if name == FIRST_GATEWAY else f"serve-{name}.lock", "serve"):
        run_task(lambda reactor, clock: run_house(reactor, clock, home, config, name))


@main.command()
@home_option
@json_option
@explained
def status(home_path: Path, *, as_json: bool) -> None:
    """Say what the installation is and whether it runs."""
    from appliance import status as facts_of  # noqa: PLC0415 - other commands start faster without it

    facts = facts_of.status(home_at(home_path))
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(facts_of.status_lines(facts)))


@main.command()
@home_option
@json_option
@click.option("--repair", is_flag=True, help="First make right what can be made right safely; nothing may serve.")
@explained
def check(home_path: Path, *, as_json: bool, repair: bool) -> None:
    """Compare tables, counters and the copies on the nodes; exit with 1 if anything is wrong, or still is."""
    from appliance.check import report_lines  # noqa: PLC0415 - other commands start faster without it
    from appliance.tasks import run_check, run_repair  # noqa: PLC0415 - other commands start faster without it

    home = home_at(home_path)
    work = run_repair if repair else run_check
    report = run_task(lambda reactor, clock: work(reactor, clock, home))
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else "\n".join(report_lines(report)))
    sys.exit(0 if report.clean else 1)


@main.command()
@home_option
@explained
def upgrade(home_path: Path) -> None:
    """Bring the database to the schema of this program; nothing may serve meanwhile."""
    from appliance.tasks import run_upgrade  # noqa: PLC0415 - other commands start faster without it

    home = home_at(home_path)
    before, after = run_task(lambda reactor, clock: run_upgrade(reactor, clock, home))
    click.echo(f"schema {before} -> {after}" if before != after else f"schema {after}: nothing to do")


_EXPORT_COLUMNS = ("path", "id", "clients", "squash", "read_only")


@main.group()
def export() -> None:
    """Look at NFS exports."""


@export.command("list")
@home_option
@json_option
@explained
def export_list(home_path: Path, *, as_json: bool) -> None:
    """List the exports."""
    from appliance.tasks import list_exports  # noqa: PLC0415 - other commands start faster without it

    rows = run_task(lambda reactor, clock: list_exports(reactor, clock, home_at(home_path)))
    show_rows(rows, _EXPORT_COLUMNS, as_json=as_json)


@export.command("reload")
@home_option
@json_option
@explained
def export_reload(home_path: Path, *, as_json: bool) -> None:
    """Let the running gateways read [[exports]] of gatefold.toml anew, and list what is in force."""
    from appliance.tasks import reload_exports  # noqa: PLC0415 - other commands start faster without it

    show_rows(reload_exports(home_at(home_path)), _EXPORT_COLUMNS, as_json=as_json)


main.add_command(account)
main.add_command(bucket)
main.add_command(gateway)


@main.command(hidden=True)
@home_option
@click.option("--id", "number", type=int, required=True, help="Number of the node.")
@explained
def node(home_path: Path, number: int) -> None:
    """Run one storage node; `serve` does this."""
    from appliance.node import run_node  # noqa: PLC0415 - other commands start faster without it

    home = home_at(home_path)
    sys.exit(run_node(home, home.config(), number))
