"""Who may come in: the metastore's accounts, keys and exports in the form that each door wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from namespace.api import Caller
from protocols.nfs.exports import Export as NfsExport
from protocols.nfs.exports import Exports
from protocols.s3.auth.credential import Credential

if TYPE_CHECKING:
    from metastore.api import Directory
    from metastore.records import Account


def caller_of(account: Account) -> Caller:
    """Return whom the namespace sees when *account* asks."""
    return Caller(account.uid, account.gid, frozenset(account.groups), account.id)


async def read_credentials(directory: Directory) -> dict[str, Credential]:
    """Return the access keys for the S3 door; a key without an account opens nothing."""
    accounts = {account.id: account for account in await directory.accounts()}
    return {
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


async def read_exports(directory: Directory) -> Exports:
    """Return the rules of the NFS door."""
    return Exports(
        NfsExport(
            path=export.path,
            vol=export.vol,
            clients=export.clients,
            read_only=export.read_only,
            squash=export.squash,  # type: ignore[arg-type]  # the door checks it
            anon_uid=export.anon_uid,
            anon_gid=export.anon_gid,
        )
        for export in await directory.exports()
    )
