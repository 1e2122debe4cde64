"""The small tables, read whole: accounts, keys, exports, nodes, ring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore import schema
from metastore.postgres.decoding import tuples
from metastore.postgres.encoding import (
    BOOL,
    INT8,
    INT8_ARRAY,
    TEXT,
    TEXT_ARRAY,
    bigint,
    bigint_array,
    bytes_array,
)
from metastore.postgres.parts import Parts
from metastore.postgres.rows import quoted
from metastore.postgres.session import Statement
from metastore.records import AccessKey, Account, Export, Node, RingRow

if TYPE_CHECKING:
    from sqlalchemy import Table


def _select(table: Table) -> Statement:
    key = quoted(table.primary_key.columns)
    return Statement(f"all of {table.name}", f"SELECT {quoted(table.columns)} FROM {table.name} ORDER BY {key}", ())


def _put(table: Table, types: tuple[int, ...]) -> Statement:
    values = ", ".join(f"${number + 1}" for number in range(len(types)))
    images = ", ".join(f'"{c.name}" = excluded."{c.name}"' for c in table.columns)
    return Statement(
        f"put {table.name}",
        f"INSERT INTO {table.name} ({quoted(table.columns)}) VALUES ({values})"
        f" ON CONFLICT ({quoted(table.primary_key.columns)}) DO UPDATE SET {images}",
        types,
    )


_ACCOUNTS, _KEYS = _select(schema.account), _select(schema.access_key)
_EXPORTS, _NODES = _select(schema.export), _select(schema.node)
_PUT_ACCOUNT = _put(schema.account, (TEXT, TEXT, INT8, INT8, INT8_ARRAY))
_PUT_KEY = _put(schema.access_key, (TEXT, TEXT, TEXT))
_PUT_EXPORT = _put(schema.export, (TEXT, INT8, INT8, TEXT_ARRAY, BOOL, TEXT, INT8, INT8))
_PUT_NODE = _put(schema.node, (INT8, TEXT, TEXT, INT8, TEXT, INT8, TEXT))
_DROP_EXPORT = Statement("drop export", "DELETE FROM export WHERE path = $1", (TEXT,))
_DROP_ACCOUNT = Statement(
    "drop account",
    """
    WITH gone AS (
        DELETE FROM account a WHERE a.id = $1 AND NOT EXISTS (SELECT 1 FROM volume v WHERE v.owner = a.id)
        RETURNING a.id
    )
    DELETE FROM access_key k USING gone WHERE k.account = gone.id
    """,
    (TEXT,),
)
_ACCOUNT = Statement("account", "SELECT id FROM account WHERE id = $1", (TEXT,))
_DROP_KEY = Statement("drop access key", "DELETE FROM access_key WHERE access_key = $1", (TEXT,))
_RING = Statement("ring", "SELECT epoch, copies, write_quorum, checksum FROM ring ORDER BY epoch DESC LIMIT 1", ())
_PARTITIONS = Statement(
    "partitions",
    "SELECT nodes FROM partition WHERE epoch = (SELECT max(epoch) FROM ring) ORDER BY number",
    (),
)
_PUT_RING = Statement(
    "put ring",
    "INSERT INTO ring (epoch, copies, write_quorum, checksum)"
    " SELECT $1, $2, $3, $4 WHERE $1 = 1 + coalesce((SELECT max(epoch) FROM ring), 0) RETURNING epoch",
    (INT8, INT8, INT8, TEXT),
)
#: $3 holds the nodes of all partitions; partition i is the run from its first to its last, counted from 1.
_PUT_PARTITIONS = Statement(
    "put partitions",
    "INSERT INTO partition (epoch, number, nodes)"
    " SELECT $1, k.ord - 1, ($2)[k.first:k.last] FROM unnest($3, $4) WITH ORDINALITY AS k (first, last, ord)"
    " WHERE EXISTS (SELECT 1 FROM ring r WHERE r.epoch = $1)"
    " AND NOT EXISTS (SELECT 1 FROM partition p WHERE p.epoch = $1)",
    (INT8, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY),
)


class PgDirectory(Parts):
    """`metastore.api.Directory` over PostgreSQL."""

    async def accounts(self) -> list[Account]:
        """Return every account, by id."""
        return [Account(*(*row[:4], tuple(row[4]))) for row in await self._query((_ACCOUNTS, []))]

    async def access_keys(self) -> list[AccessKey]:
        """Return every key pair, by access key."""
        return [AccessKey(*row) for row in await self._query((_KEYS, []))]

    async def exports(self) -> list[Export]:
        """Return every export, by path."""
        rows = await self._query((_EXPORTS, []))
        return [Export(path, vol, ino, tuple(clients), *rest) for path, vol, ino, clients, *rest in rows]

    async def nodes(self) -> list[Node]:
        """Return every node, by number."""
        return [Node(*row) for row in await self._query((_NODES, []))]

    async def put_account(self, account: Account) -> None:
        """Add *account* or replace the one of its id."""
        numbers = [bigint(account.uid), bigint(account.gid), bigint_array(account.groups)]
        await self._query((_PUT_ACCOUNT, [account.id.encode(), account.name.encode(), *numbers]))

    async def put_access_key(self, key: AccessKey) -> None:
        """Add *key* or replace the one of its name."""
        await self._query((_PUT_KEY, _texts(key.access_key, key.secret_key, key.account)))

    async def drop_account(self, account: str) -> bool:
        """Remove the account *account* and its keys, unless a volume is its; say whether there is none now."""
        results = await self._link.query([(_DROP_ACCOUNT, _texts(account)), (_ACCOUNT, _texts(account))])
        return not tuples(results[1])

    async def drop_access_key(self, access_key: str) -> None:
        """Remove a key pair, if there is one."""
        await self._query((_DROP_KEY, _texts(access_key)))

    async def put_export(self, export: Export) -> None:
        """Add *export* or replace the one of its path."""
        clients = bytes_array([client.encode() for client in export.clients], TEXT_ARRAY)
        place = [export.path.encode(), bigint(export.vol), bigint(export.ino)]
        anonymous = [bigint(export.anon_uid), bigint(export.anon_gid)]
        rules = [clients, b"\x01" if export.read_only else b"\x00", export.squash.encode()]
        await self._query((_PUT_EXPORT, [*place, *rules, *anonymous]))

    async def drop_export(self, path: str) -> None:
        """Remove the export of *path*, if there is one."""
        await self._query((_DROP_EXPORT, [path.encode()]))

    async def put_node(self, node: Node) -> None:
        """Add *node* or replace the one of its number."""
        uuid, host, zone, state = _texts(node.uuid, node.host, node.zone, node.state)
        await self._query(
            (_PUT_NODE, [bigint(node.id), uuid, host, bigint(node.port), zone, bigint(node.weight), state])
        )

    async def ring(self) -> RingRow | None:
        """Return the newest ring."""
        rings, partitions = map(tuples, await self._link.query([(_RING, []), (_PARTITIONS, [])]))
        if not rings:
            return None
        epoch, copies, write_quorum, checksum = rings[0]
        return RingRow(epoch, copies, write_quorum, tuple(tuple(nodes) for (nodes,) in partitions), checksum)

    async def put_ring(self, ring: RingRow) -> None:
        """Add *ring*; raise ValueError unless its epoch is the newest one's plus one."""
        lasts, end = [], 0
        for nodes in ring.partitions:
            end += len(nodes)
            lasts.append(end)
        firsts = [1, *(last + 1 for last in lasts[:-1])][: len(lasts)]
        all_nodes = [node for nodes in ring.partitions for node in nodes]
        numbers = [bigint(ring.epoch), bigint(ring.copies), bigint(ring.write_quorum)]
        put = (_PUT_RING, [*numbers, ring.checksum.encode()])
        partitions = (_PUT_PARTITIONS, [bigint(ring.epoch), *map(bigint_array, (all_nodes, firsts, lasts))])
        results = await self._link.query([put, partitions])
        # It may be there already: put by an attempt whose answer was lost.
        if not results[0].ntuples and await self.ring() != ring:
            raise ValueError(f"ring epoch {ring.epoch} does not follow the newest one")


def _texts(*values: str) -> list[bytes | None]:
    return [value.encode() for value in values]
