"""The small tables in memory: gateways, accounts, keys, exports, nodes, ring."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metastore.memory.database import MemoryDatabase
    from metastore.records import AccessKey, Account, Export, Node, RingRow


class MemoryDirectory:
    """`metastore.api.Directory` over a memory database."""

    _database: MemoryDatabase

    async def accounts(self) -> list[Account]:
        """Return every account, by id."""
        return [self._database.accounts[each] for each in sorted(self._database.accounts)]

    async def access_keys(self) -> list[AccessKey]:
        """Return every key pair, by access key."""
        return [self._database.keys[each] for each in sorted(self._database.keys)]

    async def exports(self) -> list[Export]:
        """Return every export, by path."""
        return [self._database.exports[each] for each in sorted(self._database.exports)]

    async def nodes(self) -> list[Node]:
        """Return every node, by number."""
        return [self._database.nodes[each] for each in sorted(self._database.nodes)]

    async def put_account(self, account: Account) -> None:
        """Add *account* or replace the one of its id."""
        self._database.accounts[account.id] = account

    async def put_access_key(self, key: AccessKey) -> None:
        """Add *key* or replace the one of its name."""
        self._database.keys[key.access_key] = key

    async def drop_account(self, account: str) -> bool:
        """Remove the account *account* and its keys, unless a volume is its; say whether there is none now."""
        database = self._database
        if any(each.owner == account for each in database.volumes.values()):
            return account not in database.accounts
        database.accounts.pop(account, None)
        for key in [each for each in database.keys.values() if each.account == account]:
            del database.keys[key.access_key]
        return True

    async def drop_access_key(self, access_key: str) -> None:
        """Remove a key pair, if there is one."""
        self._database.keys.pop(access_key, None)

    async def put_export(self, export: Export) -> None:
        """Add *export* or replace the one of its path."""
        self._database.exports[export.path] = export

    async def drop_export(self, path: str) -> None:
        """Remove the export of *path*, if there is one."""
        self._database.exports.pop(path, None)

    async def put_node(self, node: Node) -> None:
        """Add *node* or replace the one of its number."""
        self._database.nodes[node.id] = node

    async def ring(self) -> RingRow | None:
        """Return the newest ring."""
        return self._database.rings[-1] if self._database.rings else None

    async def put_ring(self, ring: RingRow) -> None:
        """Add *ring*; raise ValueError unless its epoch is the newest one's plus one."""
        newest = self._database.rings[-1].epoch if self._database.rings else 0
        if ring.epoch != newest + 1:
            raise ValueError(f"ring epoch {ring.epoch} does not follow {newest}")
        self._database.rings.append(ring)
