"""`gatefold account`: who may use the S3 door, and by which keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from appliance.command import explained, home_at, home_option, json_option, run_task, show_rows

if TYPE_CHECKING:
    from pathlib import Path

_KEY_COLUMNS = ("account", "access_key", "secret_key")


@click.group()
def account() -> None:
    """Add and remove accounts and their keys, and look at them."""


@account.command("list")
@home_option
@json_option
@explained
def account_list(home_path: Path, *, as_json: bool) -> None:
    """List the accounts and their access keys."""
    from appliance.tasks import list_accounts  # noqa: PLC0415 - other commands start faster without it

    rows = run_task(lambda reactor, clock: list_accounts(reactor, clock, home_at(home_path)))
    show_rows(rows, ("name", "uid", "gid", "groups", "access_keys"), as_json=as_json)


@account.command("add")
@click.argument("name")
@home_option
@json_option
@click.option("--uid", type=int, help="User number of its files. [default: the next free one from 10000]")
@click.option("--gid", type=int, help="Group number of its files. [default: as the user number]")
@click.option("--groups", default="", help="Further group numbers, separated by commas.")
@explained
def account_add(name: str, home_path: Path, as_json: bool, uid: int | None, gid: int | None, groups: str) -> None:
    """Add the account NAME; `account key add` gives it a key."""
    from appliance.account_tasks import add_account  # noqa: PLC0415 - other commands start faster without it

    try:
        numbers = tuple(int(group) for group in groups.split(",") if group.strip())
    except ValueError:
        raise click.BadParameter("not numbers, separated by commas", param_hint="--groups") from None
    row = run_task(lambda reactor, clock: add_account(reactor, clock, home_at(home_path), name, uid, gid, numbers))
    _show(row, ("name", "uid", "gid", "groups"), as_json=as_json)


@account.command("remove")
@click.argument("name")
@home_option
@explained
def account_remove(name: str, home_path: Path) -> None:
    """Remove the account NAME and its keys; refused while it owns buckets. Its files stay."""
    from appliance.account_tasks import remove_account  # noqa: PLC0415 - other commands start faster without it

    run_task(lambda reactor, clock: remove_account(reactor, clock, home_at(home_path), name))


@account.group("key")
def account_key() -> None:
    """Add and remove access keys, and look at them."""


@account_key.command("add")
@click.argument("name")
@home_option
@json_option
@explained
def key_add(name: str, home_path: Path, *, as_json: bool) -> None:
    """Draw one more key pair for the account NAME and print it, secret included."""
    from appliance.account_tasks import add_key  # noqa: PLC0415 - other commands start faster without it

    row = run_task(lambda reactor, clock: add_key(reactor, clock, home_at(home_path), name))
    _show(row, _KEY_COLUMNS, as_json=as_json)


@account_key.command("list")
@click.argument("name", default="")
@home_option
@json_option
@explained
def key_list(name: str, home_path: Path, *, as_json: bool) -> None:
    """List the access keys of account NAME (of all accounts without one), without their secrets."""
    from appliance.tasks import list_keys  # noqa: PLC0415 - other commands start faster without it

    rows = run_task(lambda reactor, clock: list_keys(reactor, clock, home_at(home_path), name))
    for row in rows:
        del row["secret_key"]
    show_rows(rows, ("account", "access_key"), as_json=as_json)


@account_key.command("remove")
@click.argument("access_key")
@home_option
@explained
def key_remove(access_key: str, home_path: Path) -> None:
    """Remove the key pair of ACCESS_KEY: its next request is refused, and what it is sending is not stored."""
    from appliance.account_tasks import remove_key  # noqa: PLC0415 - other commands start faster without it

    run_task(lambda reactor, clock: remove_key(reactor, clock, home_at(home_path), access_key))


@account_key.command("show")
@click.argument("name", default="")
@home_option
@json_option
@explained
def key_show(name: str, home_path: Path, *, as_json: bool) -> None:
    """Print the key pairs of account NAME (all accounts without one), secret included."""
    from appliance.tasks import list_keys  # noqa: PLC0415 - other commands start faster without it

    rows = run_task(lambda reactor, clock: list_keys(reactor, clock, home_at(home_path), name))
    if not rows:
        raise click.ClickException(f"no keys of account {name!r}")
    show_rows(rows[0] if as_json and len(rows) == 1 else rows, _KEY_COLUMNS, as_json=as_json)


def _show(row: dict[str, Any], columns: tuple[str, ...], *, as_json: bool) -> None:
    show_rows(row if as_json else [row], columns, as_json=as_json)
