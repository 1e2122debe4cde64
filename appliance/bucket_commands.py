"""`gatefold bucket`: what the operator may see and set of buckets; they are made and deleted by S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from appliance.command import explained, home_at, home_option, json_option, run_task, show_rows

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def bucket() -> None:
    """Look at buckets and change their settings."""


@bucket.command("list")
@home_option
@json_option
@explained
def bucket_list(home_path: Path, *, as_json: bool) -> None:
    """List the buckets, with their owners and settings."""
    from appliance.tasks import list_buckets  # noqa: PLC0415 - other commands start faster without it

    rows = run_task(lambda reactor, clock: list_buckets(reactor, clock, home_at(home_path)))
    if not as_json:
        rows = [{**row, "settings": [f"{name}={value}" for name, value in row["settings"].items()]} for row in rows]
    show_rows(rows, ("name", "vol", "owner", "settings"), as_json=as_json)


@bucket.command("set")
@click.argument("name")
@click.argument("settings", nargs=-1, required=True)
@home_option
@explained
def bucket_set(name: str, settings: tuple[str, ...], home_path: Path) -> None:
    """Set SETTINGS of the bucket NAME: file_mode=640 directory_mode=750 (of what S3 makes), strict=true or false."""
    from appliance.account_tasks import set_bucket  # noqa: PLC0415 - other commands start faster without it

    if any("=" not in setting for setting in settings):
        raise click.UsageError("a setting is NAME=VALUE")
    changes = dict(setting.split("=", 1) for setting in settings)
    run_task(lambda reactor, clock: set_bucket(reactor, clock, home_at(home_path), name, changes))
