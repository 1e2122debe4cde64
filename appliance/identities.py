"""Who may come in: the metastore's accounts, keys and exports in the form that each door wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from appliance.config import rules_of
from namespace.api import Caller
from protocols.nfs.exports import Export, components_of
from protocols.s3.auth.credential import Credential

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.config import Config
    from metastore.api import Directory
    from metastore.records import Account
    from protocols.s3.auth.credential import Credentials


def caller_of(account: Account) -> Caller:
    """Return whom the namespace sees when *account* asks."""
    return Caller(account.uid, account.gid, frozenset(account.groups), account.id)


async def read_credentials(directory: Directory) -> Credentials:
    """Return the look-up of access keys for the S3 door; a key without an account opens nothing."""
    accounts = {account.id: account for account in await directory.accounts()}
    credentials = {
        key.access_key: Credential(
            access_key=key.access_key,
            secret=key.secret_key,
            caller=caller_of(accounts[key.account]),
            owner=key.account,
            display_name=accounts[key.account].name,
        )
        for key in await directory.access_keys()
        if key.account in accounts
    }
    return credentials.get


async def read_rules(config: Config, directory: Directory) -> list[Export]:
    """Return the NFS door's rules: those of *config*, and of paths that it does not name those of the database."""
    rules = rules_of(config)
    named = {components_of(rule.path) for rule in rules}
    return rules + [
        Export(
            path=row.path,
            clients=row.clients,
            read_only=row.read_only,
            squash=row.squash,  # type: ignore[arg-type]  # the door checks it
            anon_uid=row.anon_uid,
            anon_gid=row.anon_gid,
        )
        for row in await directory.exports()
        if components_of(row.path) not in named
    ]


def export_facts(rules: Iterable[Export]) -> list[dict[str, Any]]:
    """Return *rules* as commands show them, by path."""
    return [asdict(rule) for rule in sorted(rules, key=lambda rule: rule.path)]
